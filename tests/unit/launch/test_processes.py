"""A node's processes are found, frozen and ended together, also those that left their parents or their session; others
are let alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from robonav_ray.launch.processes import MARK, Trace, find_processes, kill_processes, signal_processes

# A leader with a child, a child in a session of its own, and a child of a child whose parent ends at once.
TREE = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
code = f"import subprocess; subprocess.Popen({sleep!r}, start_new_session=True)"
subprocess.Popen([sys.executable, "-c", code]).wait()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def node(tmp_path) -> Iterator[tuple[Trace, subprocess.Popen[str]]]:
    mark = f"test:{os.getpid()}:{tmp_path.name}"
    leader = subprocess.Popen(
        [sys.executable, "-c", TREE],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, MARK: mark},
    )
    assert leader.stdout is not None
    assert leader.stdout.readline() == "ready\n"
    trace = Trace(mark, leader.pid, psutil.Process(leader.pid).create_time())
    yield trace, leader
    kill_processes([trace])
    leader.wait(timeout=60)
    leader.stdout.close()


def statuses(trace: Trace) -> set[str]:
    return {process.status() for process in find_processes([trace])}


def test_all_of_a_node_is_found_and_ended(node):
    trace, leader = node
    found = find_processes([trace])
    assert len(found) == 4
    assert leader.pid in [process.pid for process in found]
    assert kill_processes([trace]) == []
    assert not psutil.pid_exists(leader.pid)


def test_what_outlives_its_leader_is_still_found(node):
    trace, leader = node
    leader.kill()
    leader.wait(timeout=60)
    assert len(find_processes([trace])) == 3


def test_frozen_means_all_of_it_and_frozen_processes_can_be_ended(node):
    trace, _ = node
    assert signal_processes([trace], signal.SIGSTOP) == 4
    end = time.monotonic() + 60
    while statuses(trace) != {psutil.STATUS_STOPPED} and time.monotonic() < end:
        time.sleep(0.02)
    assert statuses(trace) == {psutil.STATUS_STOPPED}
    assert kill_processes([trace]) == []


def test_a_process_with_the_leaders_pid_is_not_the_leader(node):
    _, leader = node
    old = Trace("another mark", leader.pid, psutil.Process(leader.pid).create_time() - 3600)
    assert find_processes([old]) == []


def test_a_node_that_was_not_started_has_no_processes():
    """Its leader is noted as 0, which is the session of the machine's first processes."""
    assert find_processes([Trace("no mark", 0, 0.0), Trace("no mark", 1, 0.0)]) == []


def test_who_asks_and_its_parents_are_never_found():
    ours = Trace("no mark", os.getsid(0), psutil.Process(os.getsid(0)).create_time() if os.getsid(0) > 1 else 0.0)
    spared = {1, os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    assert not spared & {process.pid for process in find_processes([ours])}


def test_who_has_the_nodes_folder_on_the_command_line_is_not_of_the_node(node, tmp_path):
    """A reader of its logs, for instance."""
    trace, _ = node
    (tmp_path / "raylet.out").touch()
    reader = subprocess.Popen(["tail", "-f", str(tmp_path / "raylet.out")])
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", f"--temp-dir={tmp_path}/1"])
    try:
        assert kill_processes([trace]) == []
        assert (reader.poll(), program.poll()) == (None, None)
    finally:
        for child in (reader, program):
            child.kill()
            child.wait(timeout=60)
