"""Which processes are ours, and the signals that they get. Linux only, and of Python only what is always there: the
reaper runs alone.

A pid is given to another process when its own has ended, so a process is named by pid and start time, and the two are
compared again before it gets a signal. Ours are those that we have started and what is born below them. What a process
has open, is called or holds on its command line says nothing: a person may read our logs, or keep programs in a folder
called ray.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
SERVES, ACTS = 10, 19
"""Niceness of what serves a learner rank (shards, central parts), and of rollout workers, which the pacing lets catch
up: where cores are short the rank comes first."""


class ProcessName(NamedTuple):
    """Names one process for good."""

    pid: int
    started: int
    """Clock ticks since boot."""


@dataclass(frozen=True)
class Process:
    """One process at one moment."""

    pid: int
    parent: int
    started: int
    """Clock ticks since boot."""
    state: str
    """One letter, as in ps: T is stopped, Z has ended and is not reaped yet."""

    @property
    def name(self) -> ProcessName:
        """What it is told by from all others."""
        return ProcessName(self.pid, self.started)

    @property
    def is_alive(self) -> bool:
        """Whether it lives, be it frozen; one that has ended and that its parent has not reaped yet does not."""
        return self.state not in "ZX"


def read_process(pid: int, proc: Path = PROC) -> Process | None:
    """Return the process with this pid; None when there is none, or none that we may see (``hidepid``), which is none
    of ours.
    """
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:  # gone, also between two reads, or hidden from us
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the title before it may hold anything
    return Process(pid, int(fields[1]), int(fields[19]), fields[0])


def list_pids(proc: Path = PROC) -> set[int]:
    """Return the pids that are in use."""
    return {int(name) for name in os.listdir(proc) if name.isdigit()}


def lives(name: ProcessName, proc: Path = PROC) -> bool:
    """Whether this very process lives."""
    found = read_process(name.pid, proc)
    return found is not None and found.started == name.started and found.is_alive


def send(name: ProcessName, number: int, proc: Path = PROC) -> bool:
    """Send a signal to this very process; False when it is gone, also when its pid has a new owner."""
    handle = None
    try:
        with contextlib.suppress(NotImplementedError):
            handle = _open_process(name.pid)
        if not lives(name, proc):
            return False
        if handle is None:
            os.kill(name.pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


def _open_process(pid: int) -> int:
    """Return a handle that stands for the process also when its pid is given away; NotImplementedError on a kernel
    without such.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM, errno.EINVAL):  # before Linux 5.3, or a sandbox
            raise NotImplementedError from error
        raise


class Family:
    """Processes that were named, and everything that is born below them from one look to the next."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._seen: dict[int, Process] = {}
        self._members: dict[int, ProcessName] = {}

    def add(self, names: Iterable[ProcessName]) -> None:
        """Take these in, and at the next look, for which all processes are new, what is below them."""
        self._members |= {name.pid: name for name in names}
        self._seen.clear()

    def look(self) -> list[Process]:
        """Take in what was born below the members; return the strangers that were not there at the last look.

        Only processes that are new are read: a look costs a millisecond.
        """
        pids = list_pids(self._proc)
        self._members = {pid: name for pid, name in self._members.items() if pid in pids}
        self._seen = {pid: process for pid, process in self._seen.items() if pid in pids}
        new = {
            process.pid: process
            for pid in pids - self._seen.keys()
            if (process := read_process(pid, self._proc)) is not None
        }
        self._seen |= new
        born = True
        while born:
            born = [process for process in new.values() if process.pid not in self._members and self._is_below(process)]
            self._members |= {process.pid: process.name for process in born}
        return [process for process in new.values() if process.pid not in self._members]

    def living(self) -> list[ProcessName]:
        """Return the members that live."""
        return [name for name in self._members.values() if lives(name, self._proc)]

    def _is_below(self, process: Process) -> bool:
        parent = self._members.get(process.parent)
        return parent is not None and process.started >= parent.started and lives(parent, self._proc)


def with_variable(processes: Iterable[Process], variable: str, proc: Path = PROC) -> list[ProcessName]:
    """Return those of ``processes`` that are this user's and were started with ``variable`` (NAME=value) in their
    environment.
    """
    found = []
    for process in processes:
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            folder = proc / str(process.pid)
            if folder.stat().st_uid == os.geteuid() and variable.encode() in (folder / "environ").read_bytes().split(
                b"\0"
            ):
                found.append(process.name)
    return found


def step_back(niceness: int) -> None:
    """Have other processes come before this one where cores are short: raise its niceness to ``niceness``, never lower
    it.
    """
    os.nice(max(0, niceness - os.getpriority(os.PRIO_PROCESS, 0)))
