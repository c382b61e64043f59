"""A stale kernel is never taken from Numba's cache, and what one job has compiled the next one finds, wherever its
sources lie."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest
from numba.core.caching import FunctionCache

from robonav_ray import compiled, guarded
from robonav_ray.worlds.kernels import step

PACKAGE = Path(compiled.__file__).parent
DRAW = (
    "from robonav_ray import counter_rng as c; c.uniform01(1, 2); s = c.uniform01.stats; "
    "print(len(s.cache_hits), len(s.cache_misses))"
)


def copy_of_the_kernels(folder: Path) -> Path:
    for room in ("", *compiled._ROOMS):
        (folder / room).mkdir(parents=True, exist_ok=True)
        for path in (PACKAGE / room).glob("*.py"):
            shutil.copy(path, folder / room)
    return folder


def draw(sources: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Compile one kernel, or find it, in a process that has ``sources`` for its package."""
    environment = {**os.environ, "PYTHONPATH": str(sources.parent), "XDG_CACHE_HOME": str(cache)}
    environment.pop("NUMBA_CACHE_DIR", None)
    return subprocess.run(
        [sys.executable, "-c", DRAW], env=environment, cwd=sources.parent, capture_output=True, text=True, check=True
    )


def hits_and_misses(sources: Path, cache: Path) -> list[int]:
    return [int(word) for word in draw(sources, cache).stdout.split()]


def make_read_only(package: Path) -> None:
    """Take ``__pycache__`` from the sources, also for root."""
    for room in ("", *compiled._ROOMS):
        shutil.rmtree(package / room / "__pycache__", ignore_errors=True)
        (package / room / "__pycache__").touch()


@pytest.mark.parametrize(
    "changed",
    ["counter_rng.py", "worlds/kernels/lidar.py", "worlds/kernels/layout.py", "algo/forward.py", "replay/sum_tree.py"],
)
def test_the_stamp_covers_every_source_of_kernels(changed, tmp_path) -> None:
    package = copy_of_the_kernels(tmp_path)
    before = compiled.fingerprint.__wrapped__(package)
    assert before == compiled.fingerprint()
    (package / changed).write_text((package / changed).read_text() + "\n# another line\n")
    assert compiled.fingerprint.__wrapped__(package) != before


def test_kernels_carry_the_stamp() -> None:
    assert step.step_batch._cache._cache_file._source_stamp[1] == compiled.fingerprint()


def test_a_job_finds_what_another_one_has_compiled(tmp_path) -> None:
    first, second = (
        copy_of_the_kernels(tmp_path / node / "runtime_resources" / "working_dir_files" / "package" / "robonav_ray")
        for node in ("one", "two")
    )
    cache = tmp_path / "cache"
    assert hits_and_misses(first, cache) == [0, 1]
    assert hits_and_misses(second, cache) == [1, 0]
    assert stat.S_IMODE((cache / "robonav_ray" / "kernels").stat().st_mode) & 0o022 == 0
    (second / "algo" / "n_step.py").write_text((second / "algo" / "n_step.py").read_text() + "\n# changed\n")
    assert hits_and_misses(second, cache) == [0, 1]


def test_a_checkout_keeps_its_kernels_beside_its_sources_and_does_not_even_read_those_of_older_ones(tmp_path) -> None:
    """What older sources have left names modules of theirs, which may be elsewhere by now."""
    package = copy_of_the_kernels(tmp_path / "checkout" / "robonav_ray")
    assert hits_and_misses(package, tmp_path / "cache") == [0, 1]
    assert not (tmp_path / "cache" / "robonav_ray").exists()
    for index in package.rglob("*.nbi"):
        index.write_bytes(pickle.dumps(numba.__version__, protocol=-1) + b"cno_such_module\nthing\n.")
    assert hits_and_misses(package, tmp_path / "cache") == [0, 1]
    assert hits_and_misses(package, tmp_path / "cache") == [1, 0]


def test_a_cache_that_cannot_be_written_is_passed_over(tmp_path) -> None:
    package = copy_of_the_kernels(tmp_path / "runtime_resources" / "robonav_ray")
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert hits_and_misses(package, tmp_path / "cache") == [0, 1]
    assert hits_and_misses(package, tmp_path / "cache") == [1, 0]


def test_sources_that_may_not_be_written_have_their_kernels_in_a_folder_of_the_users_own(tmp_path) -> None:
    package = copy_of_the_kernels(tmp_path / "installed" / "robonav_ray")
    make_read_only(package)
    assert hits_and_misses(package, tmp_path / "cache") == [0, 1]
    assert hits_and_misses(package, tmp_path / "cache") == [1, 0]
    for folder in (tmp_path / "cache" / "robonav_ray", tmp_path / "cache" / "robonav_ray" / "kernels"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_where_nothing_can_be_kept_kernels_run_all_the_same_and_it_is_said_once(tmp_path) -> None:
    package = copy_of_the_kernels(tmp_path / "installed" / "robonav_ray")
    make_read_only(package)
    (tmp_path / "cache").touch()
    done = draw(package, tmp_path / "cache")
    assert done.stdout.split() == ["0", "1"]
    assert done.stderr.count("compiled kernels are kept nowhere") == 1
    assert "set NUMBA_CACHE_DIR to a folder that is yours" in done.stderr


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_unwritable_sources", lambda: "permission denied")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
@pytest.mark.parametrize(
    ("there", "says"),
    [
        ("file", "exists|not a directory"),
        ("link", "is a link or a file"),
        ("somebody else's", r"belongs to another user \(uid"),
        ("open to all", "others may rename"),
        ("open to a group", "others may rename"),
        ("below what is open to all", "others may rename"),
        ("written by all", "every user may write"),
    ],
)
def test_a_folder_that_others_could_have_filled_is_not_taken(
    there: str, says: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_only: None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "no" / "home"))
    (tmp_path / "no").touch()
    monkeypatch.setenv(variable, str(tmp_path / "base"))
    base = tmp_path / "base" / (".cache" if variable == "HOME" else "")
    if there == "file":
        base.parent.mkdir(exist_ok=True)
        base.touch()
    else:
        (base / "robonav_ray").mkdir(parents=True)
    if there == "link":
        (base / "robonav_ray").rename(tmp_path / "elsewhere")
        (base / "robonav_ray").symlink_to(tmp_path / "elsewhere")
    elif there == "open to all":
        base.chmod(0o777)
    elif there == "open to a group":
        base.chmod(0o775)
        monkeypatch.setattr(guarded, "_is_of_this_user_alone", lambda group: False)
    elif there == "below what is open to all":
        tmp_path.chmod(0o777)
    elif there == "written by all":
        (base / "robonav_ray").chmod(0o777)
    elif there == "somebody else's":
        me = os.geteuid()
        monkeypatch.setattr(
            Path, "lstat", lambda self: os.stat_result((stat.S_IFDIR | 0o755, 0, 0, 1, me + 1, 0, 0, 0, 0, 0))
        )
    kept = compiled.kept_in.__wrapped__()
    assert not kept.anywhere
    assert re.search(says, kept.describe())
    assert "permission denied" in kept.describe()


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_a_folder_of_ours_is_taken_and_closed_to_others(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_only: None
) -> None:
    monkeypatch.setenv("HOME", "/dev/null/home")
    monkeypatch.setenv(variable, str(tmp_path / "base"))
    base = tmp_path / "base" / (".cache" if variable == "HOME" else "")
    (base / "robonav_ray").mkdir(parents=True)
    (base / "robonav_ray").chmod(0o775)
    kept = compiled.kept_in.__wrapped__()
    assert kept.folder == base / "robonav_ray" / "kernels" / compiled.fingerprint()[:16]
    assert stat.S_IMODE((base / "robonav_ray").stat().st_mode) == 0o755


def test_without_a_home_only_what_was_named_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_only: None
) -> None:
    def unknown(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    assert not compiled.kept_in.__wrapped__().anywhere
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert compiled.kept_in.__wrapped__().folder.is_relative_to(tmp_path)


def test_a_full_disk_is_no_reason_not_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FunctionCache, "save_overload", full)
    monkeypatch.setattr(FunctionCache, "load_overload", full)
    assert compiled.njit()(lambda x: x + 1)(2) == 3
    assert "a compiled kernel could not be kept (no space left on device)" in caplog.text


def test_a_users_own_group_is_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = SimpleNamespace(pw_name="me", pw_gid=tmp_path.stat().st_gid)
    monkeypatch.setattr(guarded.pwd, "getpwuid", lambda _: user)
    tmp_path.chmod(0o775)
    for name, members, ours in (
        ("me", [], True),
        ("me", ["me"], True),
        ("me", ["me", "you"], False),
        ("staff", [], False),
    ):
        monkeypatch.setattr(guarded.grp, "getgrgid", lambda _, n=name, m=members: SimpleNamespace(gr_name=n, gr_mem=m))
        assert guarded.is_guarded(tmp_path) is ours
    tmp_path.chmod(0o755)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "link").symlink_to(tmp_path)
    assert guarded.is_guarded(tmp_path)
    assert not guarded.is_guarded(tmp_path / "open" / "link"), "others can have it lead elsewhere"
