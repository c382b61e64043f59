"""A process is told by pid and start time; what is born below a member is one, and no other process is signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from robonav_ray import own_processes
from robonav_ray.own_processes import Family, ProcessName, lives, read_process, send, with_variable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class FakeProc:
    """A folder that looks like /proc."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    def put(self, pid: int, parent: int, started: int, state: str = "S", environ: bytes = b"") -> None:
        (self.path / str(pid)).mkdir(exist_ok=True)
        fields = [state, str(parent), *["0"] * 17, str(started), "0"]
        (self.path / str(pid) / "stat").write_text(f"{pid} (a ) (name) {' '.join(fields)}")
        (self.path / str(pid) / "environ").write_bytes(environ)
        (self.path / str(pid) / "cmdline").write_bytes(b"program")

    def drop(self, pid: int) -> None:
        for file in (self.path / str(pid)).iterdir():
            file.unlink()
        (self.path / str(pid)).rmdir()

    def pids(self, family: Family) -> set[int]:
        return {name.pid for name in family.living()}


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def test_a_pid_that_was_given_away_names_another_process(proc: FakeProc) -> None:
    proc.put(7, 1, 100)
    assert lives(ProcessName(7, 100), proc.path)
    proc.put(7, 1, 200)
    assert not lives(ProcessName(7, 100), proc.path)
    proc.put(7, 1, 100, state="Z")
    assert not lives(ProcessName(7, 100), proc.path)
    assert read_process(8, proc.path) is None


@pytest.mark.parametrize("with_handles", [True, False])
def test_a_signal_reaches_the_process_that_was_meant_and_no_other_with_its_pid(
    with_handles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_handles:  # a kernel before 5.3

        def refused(pid: int) -> int:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(os, "pidfd_open", refused)
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    found = read_process(process.pid)
    assert found is not None
    assert not send(ProcessName(found.pid, found.started - 1), signal.SIGKILL)
    assert process.poll() is None
    assert send(found.name, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not send(found.name, signal.SIGKILL)


def test_what_is_born_below_a_member_is_one_also_when_its_parents_are_gone(proc: FakeProc) -> None:
    proc.put(10, 1, 100)
    proc.put(30, 20, 120)  # listed before its parent
    proc.put(20, 10, 110)
    proc.put(40, 1, 130)
    family = Family(proc.path)
    family.add([ProcessName(10, 100)])
    assert [one.pid for one in family.look()] == [40]
    assert proc.pids(family) == {10, 20, 30}
    proc.drop(20)
    proc.put(30, 1, 120)  # an orphan now
    proc.put(31, 30, 140)
    assert family.look() == []
    assert proc.pids(family) == {10, 30, 31}


def test_a_child_of_who_has_a_members_pid_now_is_a_stranger(proc: FakeProc) -> None:
    proc.put(10, 1, 100)
    family = Family(proc.path)
    family.add([ProcessName(10, 100)])
    family.look()
    proc.put(10, 1, 900)
    proc.put(11, 10, 910)
    assert [one.pid for one in family.look()] == [11]
    assert family.living() == []


def test_a_process_that_is_older_than_its_parent_is_not_its_child(proc: FakeProc) -> None:
    proc.put(10, 1, 100)
    proc.put(11, 10, 90)
    family = Family(proc.path)
    family.add([ProcessName(10, 100)])
    family.look()
    assert proc.pids(family) == {10}


def test_an_environment_tells_whole_words_of_this_user_only(proc: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.put(10, 1, 100, environ=b"A=1\0RAY_RAYLET_PID=77\0")
    proc.put(11, 1, 100, environ=b"RAY_RAYLET_PID=777\0")
    proc.put(12, 1, 100, environ=b"NOTE=RAY_RAYLET_PID=77\0")
    everybody = [one for pid in (10, 11, 12, 13) if (one := read_process(pid, proc.path)) is not None]
    assert [name.pid for name in with_variable(everybody, "RAY_RAYLET_PID=77", proc.path)] == [10]
    monkeypatch.setattr(own_processes.os, "geteuid", lambda: os.getuid() + 1)
    assert with_variable(everybody, "RAY_RAYLET_PID=77", proc.path) == []


def test_processes_that_are_hidden_from_us_are_none_of_ours(proc: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in (1, 10, 11):
        proc.put(pid, 10 if pid == 11 else 0, 100)
    read = Path.read_text

    def hidden(path: Path, *words: str, errors: str) -> str:  # /proc with hidepid=1
        if path.parent.name == "1":
            raise PermissionError(1, "Operation not permitted", str(path))
        return read(path, *words, errors=errors)

    monkeypatch.setattr(Path, "read_text", hidden)
    family = Family(proc.path)
    family.add([ProcessName(10, 100)])
    assert family.look() == []
    assert proc.pids(family) == {10, 11}
    assert not lives(ProcessName(1, 100), proc.path)
