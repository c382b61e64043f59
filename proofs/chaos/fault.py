"""One fault: to whom it comes, and when the run has got over it."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from proofs.chaos.kinds import Kind
from proofs.chaos.processes import Look, Process
from proofs.chaos.schedule import Planned
from robonav_ray import own_processes
from robonav_ray.part_names import Part, event_name

Key = tuple[int, int]
FLOWING_S, FLOWING = 2.0, 3
"""The learner goes on when so many new counts of its steps were read within so many seconds."""


@dataclass
class Fault:
    """What was done, and what was seen of it while the run went on; seconds are since ``time``."""

    number: int
    kind: str
    planned_s: float
    time: float
    victim: str
    node: str | None = None
    held_rank: bool = False
    back_s: float | None = None
    """Until the part that was lost was at work again, elsewhere or in a new process."""
    resumed_s: float | None = None
    """Until the learner's steps were seen to flow again (see ``measure`` for the exact figure)."""
    thawed_s: float | None = None
    gone_s: float | None = None
    """Until the command had ended, where that was asked for."""
    driver_exit: int | None = None
    """Exit code of the command, where it ended."""
    idle: bool = False
    """Whether nothing was to come of it."""
    missed: bool = False
    """Whether no part was hit, or the run was not learning when it came."""
    note: str = ""

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


@dataclass
class Loss:
    """Who was at work before a fault, and who was hit by it."""

    before: dict[Part, set[Key]]
    hit: set[Key] = field(default_factory=set)
    all_anew: bool = False
    """Whether all parts begin anew, not only those that were hit."""
    new_node: str | None = None

    def is_made_good(self, look: Look, thawed: bool) -> bool:
        """Return whether as many are at work as before in every role that was hit; who was frozen counts again once
        thawed.
        """
        if self.new_node is not None:
            return any(process.role is not None and process.is_at_work for process in look.nodes.get(self.new_node, ()))
        now = look.at_work()
        for role, before in self.before.items():
            if not (self.all_anew or before & self.hit):
                continue
            # Ray Train starts all ranks again when it loses one.
            gone = before if self.all_anew or role == Part.RANK else before & self.hit
            alive = now.get(role, set()) - (set() if thawed else gone)
            if len(alive) < (1 if self.all_anew else len(before)):  # a new session is sized anew
                return False
        return True


def candidates(look: Look, kind: Kind, head: str | None) -> list[tuple[str, Process | None]]:
    """Return (node, process) of whom a fault may come to, in the order in which they started; nodes that the run uses,
    if there are any.
    """
    if kind.role is not None:
        return [pair for pair in look.of_role(kind.role) if pair[1].is_at_work]
    if kind.action in ("kill_node", "freeze_node", "partition"):
        nodes = [(name, group) for name, group in look.nodes.items() if group and name not in (head, "driver")]
        used = [(name, group) for name, group in nodes if any(process.role is not None for process in group)]
        return [(name, None) for name, _ in sorted(used or nodes, key=lambda pair: pair[1][0].started)]
    return [("driver", None)]


def choose(look: Look, planned: Planned, head: str | None) -> tuple[str, Process | None] | None:
    """Return the victim of a fault; None when there is none."""
    found = candidates(look, planned.kind, head)
    return found[planned.pick(len(found))] if found else None


def loss_of(look: Look, kind: Kind, node: str, process: Process | None) -> Loss:
    """Return what a fault takes from the run."""
    loss = Loss(look.at_work(), all_anew=kind.action in ("kill_driver", "stop_driver"))
    if process is not None:
        loss.hit = {process.key}
    elif kind.action in ("kill_node", "freeze_node", "partition"):
        loss.hit = {p.key for p in look.nodes[node]}
    return loss


_BACK = {Part.WORKER: "back", Part.SHARD: "back", Part.RANK: "restarted"}
"""The event with which the run itself says that a part is at work again."""
_ROWS = re.compile(r"came back with (\d+) rows")


def said_of(role: Part | None, fault: Fault, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the run's own events say of a part of which there are several, as changes to the fault's record.

    ``back_s`` becomes the later of the new process and of the event: a worker has delivered then, a shard has its rows.
    ``began_empty`` says that a shard came back without any.
    """
    if role is None or role not in _BACK or fault.missed:
        return {}
    mine = [e for e in events if str(e.get("part", "")).startswith(event_name(role))]
    found = next((e for e in mine if e["event"] == _BACK[role]), None)
    back = None if found is None or fault.back_s is None else max(fault.back_s, round(found["time"] - fault.time, 2))
    rows = _ROWS.match(str(found["detail"])) if found is not None and role == Part.SHARD else None
    return {"back_s": back, "began_empty": role == Part.SHARD and (rows is None or int(rows[1]) == 0)}


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal; False when the process is gone."""
    return own_processes.send(process.name, number)


def learner_flows(changes: Sequence[tuple[float, int]], since: float, now: float) -> bool:
    """Return whether the learner makes steps: several new counts after the fault, and lately."""
    return sum(1 for time, _ in changes[-20:] if time > since and now - time <= FLOWING_S) >= FLOWING
