"""What a killed driver leaves of its Ray is ended, and nothing else: a program that reads its logs, is called like it
or has its pid lives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from robonav_ray.nodes import reaper
from robonav_ray.nodes.reaper import SessionProcesses
from robonav_ray.own_processes import ProcessName, lives, read_process
from tests.unit.test_own_processes import FakeProc

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
ROOT = Path(reaper.__file__).parents[2]
# A driver with what Ray starts for it: a raylet, with a worker whose child has nothing in its environment and loses its
# parent.
DRIVER = """
import os, signal, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from robonav_ray.nodes.reaper import Reaper
folder, how = Path(sys.argv[2]), sys.argv[3]
RAYLET = '''
import os, subprocess, sys, time
worker = "import subprocess as s, time; print(s.Popen(['sleep', '60'], env={}).pid, flush=True); time.sleep(60)"
os.environ["RAY_RAYLET_PID"] = str(os.getpid())
child = subprocess.Popen([sys.executable, "-S", "-c", worker], stdout=subprocess.PIPE)
print(os.getpid(), child.pid, child.stdout.readline().decode().strip(), flush=True)
sys.stdin.readline()
print(subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL).pid, flush=True)
time.sleep(60)
'''
claim = os.open(folder / "owner", os.O_CREAT | os.O_RDWR)
reaper = Reaper(folder, claim, keep=how == "keep")
raylet = subprocess.Popen([sys.executable, "-S", "-c", RAYLET, f"--session-dir={folder}/session"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(raylet.stdout.readline(), end="", flush=True)
if how != "untold":
    reaper.watch([raylet.pid])
raylet.stdin.write("go on\\n")
raylet.stdin.flush()
print(raylet.stdout.readline(), end="", flush=True)
sys.stdin.readline()
if how == "well":
    reaper.dismiss()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def bystanders(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A program that reads the session's log, a program in a folder called ray, and one that is called like a worker of
    Ray."""
    log = tmp_path / "rn-ray-x" / "ray" / "raylet.out"
    log.parent.mkdir(parents=True)
    log.touch()
    program = tmp_path / "ray" / "agent.py"
    program.parent.mkdir()
    program.write_text(f"import time; file = open({str(log)!r}); time.sleep(60)")
    sleeper = f"import time; file = open({str(log)!r}, 'a'); time.sleep(60)"
    found = [
        subprocess.Popen(["tail", "-f", str(log)], stdout=subprocess.DEVNULL),
        subprocess.Popen([sys.executable, "-S", str(program), f"--session-dir={log.parent}/session"]),
        subprocess.Popen(["ray::_WorkerActor", "-S", "-c", sleeper], executable=sys.executable),
        subprocess.Popen([sys.executable, "-S", "-c", sleeper], env={"RAY_SESSION_DIR": str(log.parent)}),
    ]
    yield found
    for process in found:
        process.kill()
        process.wait()


def run_driver(folder: Path, how: str) -> list[ProcessName]:
    """Have a driver killed; return the processes of its Ray."""
    driver = subprocess.Popen(
        [sys.executable, "-S", "-c", DRIVER, str(ROOT), str(folder), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert driver.stdout is not None
    assert driver.stdin is not None
    pids = [int(word) for _ in range(2) for word in driver.stdout.readline().split()]
    names = [process.name for pid in pids if (process := read_process(pid)) is not None]
    assert len(names) == 4
    if how != "well":
        (watcher,) = (one for one in psutil.Process(driver.pid).children() if "reaper" in " ".join(one.cmdline()))
        waits = watcher.num_ctx_switches().voluntary + 3
        assert wait_until(lambda: watcher.num_ctx_switches().voluntary >= waits), "it has looked since, and waits again"
    os.kill(names[1].pid, signal.SIGKILL)  # what is below the worker is an orphan now, known from before
    driver.stdin.close()
    assert driver.wait(60) == -signal.SIGKILL
    driver.stdout.close()
    return names


def wait_until(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 120
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()


def test_a_killed_driver_takes_its_session_along_and_nobody_else(
    tmp_path: Path, bystanders: list[subprocess.Popen[bytes]]
) -> None:
    folder = tmp_path / "rn-ray-x"
    began = time.monotonic()
    names = run_driver(folder, "told")
    assert wait_until(lambda: not folder.exists())
    assert wait_until(lambda: not any(lives(name) for name in names))
    assert time.monotonic() - began >= reaper.GRACE_S
    assert [process.poll() for process in bystanders] == [None] * len(bystanders)


def test_one_that_comes_up_after_its_driver_has_ended_still_hears_what_it_was_told(tmp_path: Path) -> None:
    folder = tmp_path / "rn-ray-x"
    folder.mkdir()
    driver, raylet = (subprocess.Popen(["sleep", length]) for length in ("0", "60"))
    driver.wait()
    process = read_process(raylet.pid)
    assert process is not None
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from robonav_ray.nodes.reaper import main; main(sys.argv[1:])"
    )
    try:
        subprocess.run(
            [sys.executable, "-S", "-c", code, str(driver.pid), str(folder), "remove"],
            input=f"{process.name.pid}:{process.name.started}\n{reaper.NOW}\n", text=True, check=True, timeout=200,
        )  # fmt: skip
        assert raylet.wait(60) == -signal.SIGKILL
        assert not folder.exists()
    finally:
        raylet.kill()
        raylet.wait()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["untold", "keep"])
def test_also_before_ray_was_up_and_with_a_folder_to_keep(
    how: str, tmp_path: Path, bystanders: list[subprocess.Popen[bytes]]
) -> None:
    folder = tmp_path / "rn-ray-x"
    names = run_driver(folder, how)
    assert wait_until(lambda: not any(lives(name) for name in names))
    assert wait_until(lambda: folder.exists() == (how == "keep"))
    assert [process.poll() for process in bystanders] == [None] * len(bystanders)


def test_after_a_good_end_nothing_is_done(tmp_path: Path) -> None:
    names = run_driver(tmp_path, "well")
    try:
        assert [lives(name) for name in names] == [True, False, True, True]
        assert tmp_path.exists()
    finally:
        for name in names:
            if lives(name):
                os.kill(name.pid, signal.SIGKILL)


RAYLET, DRIVER_NAME = ProcessName(50, 500), ProcessName(40, 400)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    fake = FakeProc(tmp_path)
    fake.put(40, 1, 400)
    fake.put(50, 40, 500)
    fake.put(51, 50, 510)
    return fake


def living(session: SessionProcesses) -> set[int]:
    return {name.pid for name in session.living()}


def test_a_worker_that_comes_later_and_lost_its_parents_at_once_is_known_by_its_raylet(proc: FakeProc) -> None:
    session = SessionProcesses(DRIVER_NAME, "/none", proc.path)
    session.named([RAYLET])
    assert living(session) == {50, 51}
    proc.drop(50)
    proc.put(60, 1, 600, environ=b"RAY_RAYLET_PID=50\0")
    proc.put(61, 60, 610)
    proc.put(62, 1, 490, environ=b"RAY_RAYLET_PID=50\0")  # older than the raylet: another one had its pid then
    assert living(session) == {51, 60, 61}


def test_when_the_raylets_pid_is_another_raylets_its_workers_are_not_ours(proc: FakeProc) -> None:
    session = SessionProcesses(DRIVER_NAME, "/none", proc.path)
    session.named([RAYLET])
    proc.put(50, 1, 900)
    proc.put(51, 1, 510)
    proc.put(60, 50, 910, environ=b"RAY_RAYLET_PID=50\0")
    assert living(session) == {51}


def test_until_ray_is_up_its_the_drivers_children_with_the_folder_and_those_of_others_are_dropped_then(
    proc: FakeProc,
) -> None:
    session = SessionProcesses(DRIVER_NAME, "/tmp/rn-ray-x", proc.path)
    for pid, parent in ((70, 40), (71, 40), (72, 1)):
        proc.put(pid, parent, 700)
        (proc.path / str(pid) / "cmdline").write_bytes(b"tail\0/tmp/rn-ray-x/ray/log" if pid != 71 else b"git\0status")
    assert living(session) == {70}
    session.named([RAYLET])
    assert living(session) == {50, 51}
