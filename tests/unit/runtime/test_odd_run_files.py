"""What lies in place of a run's own files: nothing is followed, emptied or waited for."""

import os
from pathlib import Path

import pytest

from robonav_ray.errors import UserError
from robonav_ray.runtime.run_directory import RunDirectory


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
