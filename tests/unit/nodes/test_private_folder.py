"""A Ray session's folder: short, private, in a place where no other user can rename it, and removed once no process is
at work in it.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from robonav_ray.errors import UserError
from robonav_ray.nodes import private_folder
from robonav_ray.nodes.private_folder import Claim, make_private_folder, remove_abandoned
from robonav_ray.own_processes import ProcessName, read_process


def made(below: str = "ray") -> Path:
    """Make a folder, look at it and remove it."""
    folder = make_private_folder("rn-test-", below)
    found = folder.lstat()
    folder.rmdir()
    assert stat.S_IMODE(found.st_mode) == 0o700
    assert stat.S_ISDIR(found.st_mode)
    assert found.st_uid == os.geteuid()
    assert len(os.fsencode(f"{folder}/{below}/session_2026-11-25_02-47-05_123456_1234567/sockets/plasma_store")) <= 107
    assert folder.resolve() == folder
    return folder


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize(
    "name", ["l" * 90, "with space", "quo'te", "ünicode", "missing/one", "~", "link", "file", "unwritable"]
)
def test_any_tmpdir_will_do(variable: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.chdir(tmp_path)
    root = tmp_path / name
    if name == "link":
        (tmp_path / "x" / ("deep" * 20)).mkdir(parents=True)
        root.symlink_to(tmp_path / "x" / ("deep" * 20))
    elif name == "file":
        root.touch()
    elif name != "missing/one":
        root.mkdir(mode=0o500 if name == "unwritable" else 0o700)
    monkeypatch.setenv(variable, str(root))
    assert not made().is_relative_to(tmp_path)
    monkeypatch.setenv(variable, name)  # relative
    assert not made().is_relative_to(tmp_path)


def test_a_short_one_of_ours_is_taken_and_relative_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(private_folder, "_LONGEST_SOCKET", 1000)
    (tmp_path / "t").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("t")
    monkeypatch.chdir(tmp_path)
    for name in ("t", "./t/../t", "link", str(tmp_path / "t")):
        monkeypatch.setenv("TMPDIR", name)
        folder = make_private_folder("rn-test-", "ray")
        assert folder.parent == (tmp_path / "t").resolve()


def test_a_place_where_others_may_rename_it_is_passed_over_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(private_folder, "_LONGEST_SOCKET", 1000)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("RAY_TMPDIR", str(open_to_all))
    assert made().parent != open_to_all
    assert not caplog.records
    monkeypatch.setattr(private_folder, "_roots", lambda: [open_to_all])
    assert make_private_folder("rn-test-", "ray").parent == open_to_all
    assert "others on this machine may rename" in caplog.text
    open_to_all.chmod(0o1777)
    caplog.clear()
    assert make_private_folder("rn-test-", "ray").parent == open_to_all
    assert not caplog.records


def test_no_place_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(private_folder, "_roots", lambda: [tmp_path / ("long" * 30)])
    with pytest.raises(UserError, match="no folder for Ray's sockets: set TMPDIR"):
        make_private_folder("rn-test-", "ray")


HOLDS = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from robonav_ray.own_processes import ProcessName
from robonav_ray.nodes.private_folder import Claim
Claim(Path(sys.argv[2]), [ProcessName(1, 1)]); print("claimed", flush=True); sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_left_behind_is_removed_and_nothing_that_is_in_use_not_ours_or_a_link(tmp_path: Path) -> None:
    for name in ("gone", "held", "alive", "kept", "never-claimed", "target", "odd", "new"):
        (tmp_path / f"rn-{name}" / "ray").mkdir(parents=True)
    gone = Claim(tmp_path / "rn-gone", [ProcessName(os.getpid(), 1)])  # this pid, of another process
    gone.close()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(Path(private_folder.__file__).parents[2]), str(tmp_path / "rn-held")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"claimed\n"
    me = read_process(os.getpid())
    assert me is not None
    alive = Claim(tmp_path / "rn-alive", [me.name])
    alive.close()
    kept = Claim(tmp_path / "rn-kept", [ProcessName(1, 1)])
    kept.close(keep=True)
    Claim(tmp_path / "rn-target", [ProcessName(1, 1)]).close()
    Claim(tmp_path / "rn-new", []).close()
    (tmp_path / "other").mkdir()
    (tmp_path / "rn-target").rename(tmp_path / "other" / "target")
    (tmp_path / "rn-link").symlink_to(tmp_path / "other" / "target")
    (tmp_path / "rn-odd" / "owner").write_text("no pid\n")
    (tmp_path / "rn-file").touch()
    before = set(tmp_path.iterdir())
    assert remove_abandoned(tmp_path, "rn-") == [tmp_path / "rn-gone"]
    assert before - set(tmp_path.iterdir()) == {tmp_path / "rn-gone"}
    assert (tmp_path / "other" / "target" / "ray").is_dir()
    holder.communicate()
    assert remove_abandoned(tmp_path, "rn-") == [tmp_path / "rn-held"]
