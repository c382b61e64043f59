"""What lies in place of a run's own files: nothing is followed, emptied or waited for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.errors import UserError
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters
from robonav_ray.runs.located import refuse_unwritable
from robonav_ray.runs.run_directory import RunDirectory, create_run, find_latest_run, open_run
from tests.odd_files import ODD_FILES, TOO_LARGE, put


def test_a_look_at_a_lock_neither_makes_nor_follows_anything(tmp_path: Path) -> None:
    run, victim = RunDirectory(tmp_path / "run"), tmp_path / "victim"
    run.path.mkdir()
    assert not run.is_locked
    assert os.listdir(run.path) == []
    victim.write_text("dear")
    (run.path / ".lock").symlink_to(victim)
    for look in (lambda: run.is_locked, lambda: run.locked().__enter__()):
        with pytest.raises(UserError, match=r"\.lock: is a link"):
            look()
    assert victim.read_text() == "dear"


def test_who_looks_at_a_lock_sees_whether_it_is_held_and_never_stands_in_the_way(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with run.locked():
        assert run.is_locked
    assert not run.is_locked
    with run.locked():
        pass


def make_run(path: Path, name: str = "curriculum") -> RunDirectory:
    """A run with one committed checkpoint."""
    run = create_run(RunConfig(name=name), path)
    CheckpointWriter(run.checkpoints, Counters(env_steps=1)).commit()
    run.write_status("unfinished")
    return run


NEIGHBOURS: dict[str, Callable[[Path], object]] = {
    "config of something else": lambda run: (run / "config.yaml").write_text("services:\n  web: {}\n"),
    "config that is no text": lambda run: (run / "config.yaml").write_bytes(b"\xff\xfe\x00"),
    "config of 5 GB": lambda run: put(TOO_LARGE, run / "config.yaml"),
    "status of 5 GB": lambda run: put(TOO_LARGE, run / "status.json"),
    "deep status": lambda run: (run / "status.json").write_text("[" * 100_000),
    "checkpoints is a file": lambda run: put(Path.touch, run / "checkpoints"),
    "checkpoints is a link": lambda run: put(ODD_FILES["link to a folder"], run / "checkpoints"),
    **{
        f"{name} is a {odd}": lambda run, name=name, odd=odd: put(ODD_FILES[odd], run / name)
        for name, odds in {
            "config.yaml": ("pipe", "link to a file", "link to a device", "link to nothing", "folder"),
            ".lock": ("pipe", "link to a file", "folder"),
            "status.json": ("pipe",),
            "log.txt": ("link to a file",),
        }.items()
        for odd in odds
    },
}


@pytest.mark.parametrize("what", NEIGHBOURS)
def test_a_neighbour_that_is_odd_is_passed_over(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = make_run(tmp_path / "good")
    odd = make_run(tmp_path / "odd")
    NEIGHBOURS[what](odd.path)
    before = os.stat("/etc/hostname")
    for _ in range(2):  # looking at it changes nothing
        found = find_latest_run(tmp_path, unfinished_only=True, name="curriculum")
        assert found is not None
        assert found.path == (odd.path if what in ("status of 5 GB", "deep status") else good.path)
    assert os.stat("/etc/hostname").st_size == before.st_size
    if found.path == good.path and what != "config.yaml is a link to nothing":  # that is no run
        assert "passed over" in caplog.text
        assert "odd" in caplog.text
        with pytest.raises(UserError, match="odd"):
            open_run(odd.path).config  # noqa: B018  (a property that reads)
    assert find_latest_run(tmp_path, unfinished_only=False) is not None


def test_a_run_may_be_reached_through_a_link(tmp_path: Path) -> None:
    make_run(tmp_path / "data" / "run")
    (tmp_path / "runs").symlink_to(tmp_path / "data")
    assert find_latest_run(tmp_path / "runs", unfinished_only=True) is not None
    (tmp_path / "other").symlink_to(tmp_path / "data" / "run")
    with open_run(tmp_path / "other").locked():
        assert open_run(tmp_path / "runs" / "run").is_locked


def test_a_run_is_not_trained_under_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "r\udcff"
    with pytest.raises(UserError, match="no UTF-8"):
        create_run(RunConfig(), path)
    path.mkdir()
    with pytest.raises(UserError, match="no UTF-8"), RunDirectory(path).locked():
        pass
    assert os.listdir(path) == []


def test_a_place_that_may_not_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_unwritable(tmp_path / "new" / "deeper", "--out")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out .*file is no folder"):
        refuse_unwritable(tmp_path / "file" / "deeper", "--out")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="may not be written by you"):
        refuse_unwritable(tmp_path / "new", "--out")
    assert os.listdir(tmp_path) == ["file"]
