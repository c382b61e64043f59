"""The processes of a node that runs on this machine: found also when their parents are gone, signalled all together.

A node is one session of processes (``setsid``); what leaves the session is known by the mark in its environment, or by
its parents. Nothing else is ever signalled: who reads the node's logs has its folder on the command line, too, and is
none of it. Before it sends a signal psutil compares the start times, as ``robonav_ray/own_processes.py`` does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

MARK = "ROBONAV_NODE"
"""Environment variable that every process of a node inherits; its value is ``Trace.mark``."""


@dataclass(frozen=True)
class Trace:
    """What a node's processes are known by."""

    mark: str
    """Value of MARK in their environment, unique to the node."""
    leader_pid: int
    leader_time_s: float
    """When the leader of their session was created, so that another process with its pid is not taken for it."""


def find_processes(traces: Iterable[Trace]) -> list[psutil.Process]:
    """Return the live processes of the nodes; zombies are not counted."""
    traces = list(traces)
    # A node that was not started yet has the leader 0, and the session 0 is the kernel's, and every process's.
    sessions = {trace.leader_pid for trace in traces if trace.leader_pid > 1 and not _is_another(trace)}
    marks = {trace.mark for trace in traces}
    spared = {0, 1, os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    children: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter(["ppid"]):
        if process.pid in spared:
            continue
        children.setdefault(process.info["ppid"] or 0, []).append(process)
        if _belongs(process, sessions, marks):
            found[process.pid] = process
    waiting = list(found.values())
    while waiting:
        for child in children.get(waiting.pop().pid, ()):
            if child.pid not in found:
                found[child.pid] = child
                waiting.append(child)
    return [process for process in found.values() if _is_alive(process)]


def signal_processes(traces: Iterable[Trace], number: signal.Signals) -> int:
    """Send a signal to every process of the nodes, until no new one shows up; return how many got it."""
    traces, reached = list(traces), set[int]()
    for _ in range(5):  # a process may be born while the others are being signalled
        new = [process for process in find_processes(traces) if process.pid not in reached]
        if not new:
            break
        for process in new:
            reached.add(process.pid)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
    return len(reached)


def kill_processes(traces: Iterable[Trace], timeout_s: float = 10.0) -> list[psutil.Process]:
    """SIGKILL every process of the nodes, frozen ones included; return those that are there after ``timeout_s``
    (normally none).
    """
    traces, end = list(traces), time.monotonic() + timeout_s
    while True:
        left = find_processes(traces)
        if not left or time.monotonic() > end:
            return left
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=min(1.0, timeout_s))


def _belongs(process: psutil.Process, sessions: set[int], marks: set[str]) -> bool:
    try:
        if os.getsid(process.pid) in sessions:
            return True
        return process.environ().get(MARK) in marks
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False  # gone, or another user's


def _is_another(trace: Trace) -> bool:
    """Whether the leader's pid is now that of a process which is not the leader."""
    try:
        return abs(psutil.Process(trace.leader_pid).create_time() - trace.leader_time_s) > 1.0
    except psutil.NoSuchProcess:
        return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
