"""The processes of our own cluster: everything below the nodes that we started, and what each of them is for.

Read from /proc directly: a look takes a few milliseconds, and is taken several times a second while the run is
measured.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robonav_ray import own_processes
from robonav_ray.part_names import Part
from robonav_ray.runtime.part_titles import method_of, part_of

_GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True)
class Process(own_processes.Process):
    """One process at one moment."""

    title: str = ""

    @property
    def key(self) -> tuple[int, int]:
        """Names the process for good."""
        return self.name

    @property
    def role(self) -> Part | None:
        """What it is for; None for what is not an actor of a run."""
        return part_of(self.title)

    @property
    def is_at_work(self) -> bool:
        """Whether its constructor is done and it can run. A rollout worker always does; one that does not is a spare,
        and waits.
        """
        if self.state in "ZXT":
            return False
        method = method_of(self.title)
        return method == "run" if self.role == Part.WORKER else method != "__init__"


@dataclass(frozen=True)
class Look:
    """Who was there at one moment."""

    time: float
    nodes: Mapping[str, tuple[Process, ...]]
    """By the name of the node: its processes, the node's own first."""

    def of_role(self, role: Part) -> list[tuple[str, Process]]:
        """Return (node, process) of all that live, in the order in which they started."""
        found = [(node, p) for node, group in self.nodes.items() for p in group if p.role == role and p.is_alive]
        return sorted(found, key=lambda pair: (pair[1].started, pair[1].pid))

    def nodes_up(self) -> set[str]:
        """Return the names of the nodes of which a process lives, be it frozen; a dead one that is not reaped yet does
        not count.
        """
        return {name for name, group in self.nodes.items() if name != "driver" and any(p.is_alive for p in group)}

    def at_work(self) -> dict[Part, set[tuple[int, int]]]:
        """Return the keys of those at work, by role."""
        found: dict[Part, set[tuple[int, int]]] = {}
        for group in self.nodes.values():
            for process in group:
                if process.role is not None and process.is_at_work:
                    found.setdefault(process.role, set()).add(process.key)
        return found


@dataclass
class Watch:
    """Looks at our processes, and remembers every one it has ever seen."""

    seen: dict[tuple[int, int], str] = field(default_factory=dict)
    """Title by key."""

    def look(self, roots: Mapping[str, int]) -> Look:
        """Return who is there now below ``roots`` (pid by name of the node)."""
        table = scan()
        children: dict[int, list[Process]] = {}
        for process in table.values():
            children.setdefault(process.parent, []).append(process)
        nodes = {}
        for name, root in roots.items():
            tree, queue = [], [table[root]] if root in table else []
            while queue:
                process = queue.pop(0)
                tree.append(titled(process))
                queue += children.get(process.pid, [])
            nodes[name] = tuple(tree)
            self.seen |= {process.key: process.title for process in tree}
        return Look(time.time(), nodes)

    def still_alive(self) -> list[Process]:
        """Return those ever seen that are still there, without dead ones that are not reaped yet."""
        table = scan()
        return [titled(table[pid]) for pid, started in self.seen if pid in table and _is_same(table[pid], started)]


def _is_same(process: Process, started: int) -> bool:
    return process.started == started and process.is_alive


def scan() -> dict[int, Process]:
    """Return all processes of the machine by pid, without their titles."""
    return {pid: process for pid in own_processes.list_pids() if (process := read_stat(pid)) is not None}


def read_stat(pid: int) -> Process | None:
    """Return one process without its title; None when it is not there."""
    found = own_processes.read_process(pid)
    return None if found is None else Process(found.pid, found.parent, found.started, found.state)


def titled(process: Process) -> Process:
    """Return the process with its title: what it calls itself, or its command."""
    try:
        raw = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except _GONE:
        return process
    title = raw.replace(b"\0", b" ").strip().decode(errors="replace")
    return Process(process.pid, process.parent, process.started, process.state, title)


def descendants(pids: Iterable[int]) -> list[Process]:
    """Return ``pids`` and everything below them."""
    look = Watch().look({str(pid): pid for pid in pids})
    return [process for group in look.nodes.values() for process in group]
