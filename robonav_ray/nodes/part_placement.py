"""Which node each part shall be on, as far as we have a say: pure arithmetic over what the nodes have free.

Learner ranks come first, because each needs its CPUs (and its GPU) on one node: nodes with the label
``robonav.role=learner``, then those with most room. Ray Train places them itself, so theirs is a reservation: nothing
else is planned into their room. Shards go beside the ranks, because every row travels from a shard to a rank several
times and to a shard once. Rollout workers are dealt out over the CPUs that are left, so that a node that dies takes few
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROLE_LABEL = "robonav.role"
LEARNER_ROLE = "learner"
_EPS = 1e-6


@dataclass(frozen=True)
class NodeFacts:
    """What one node has for us."""

    node_id: str
    address: str
    """Its IP address."""
    cpus: float
    """Free CPUs."""
    gpus: float = 0.0
    """Free GPUs."""
    role: str = ""
    """Value of the label ``robonav.role``; empty without one."""
    is_driver: bool = False
    """Whether the driver runs there."""
    total_cpus: float = 0.0
    """CPUs of the node, free or not."""
    total_gpus: float = 0.0
    """GPUs of the node, free or not."""


@dataclass(frozen=True)
class Placement:
    """Node ids by index of the part."""

    ranks: tuple[str, ...]
    shards: tuple[str, ...]
    workers: tuple[str, ...]

    def spread_text(self, nodes: Sequence[NodeFacts]) -> str:
        """Return one line for people: what is where; empty with a single node."""
        if len(nodes) < 2:
            return ""
        parts: list[str] = []
        for node in nodes:
            held = [
                f"{count} {name}{'s' * (count > 1)}"
                for name, ids in (("rank", self.ranks), ("shard", self.shards), ("worker", self.workers))
                if (count := ids.count(node.node_id))
            ]
            if held:
                parts.append(f"{node.address} ({', '.join(held)})")
        return "; ".join(parts)


class NoRoomError(ValueError):
    """A part fits on no node; ``part`` is ``rank``, ``shard`` or ``worker``."""

    def __init__(self, part: str, widest: float) -> None:
        super().__init__(f"no node has room for a {part}; the most that one has free is {widest:g} CPUs")
        self.part, self.widest = part, widest


class Room:
    """What is left on each node while parts are given their places."""

    def __init__(self, nodes: Sequence[NodeFacts]) -> None:
        self.nodes = list(nodes)
        self.cpus = {node.node_id: node.cpus for node in nodes}
        self.gpus = {node.node_id: node.gpus for node in nodes}

    def take(self, part: str, cpus: float, gpus: float, preferred: Sequence[str] = ()) -> str:
        """Return the node for a part: the preferred one with most room, else the one with most room of all."""
        fits = [n for n in self.cpus if self.cpus[n] >= cpus - _EPS and self.gpus[n] >= gpus - _EPS]
        if not fits:
            raise NoRoomError(part, max(self.cpus.values(), default=0.0))
        wanted = [n for n in fits if n in preferred] or fits
        node = max(wanted, key=lambda n: self.cpus[n])
        self.cpus[node] -= cpus
        self.gpus[node] -= gpus
        return node

    def slots(self, cpus: float) -> int:
        """Return how many parts of that size still fit."""
        return sum(int(free / cpus + _EPS) for free in self.cpus.values())


def place_fixed(
    nodes: Sequence[NodeFacts],
    *,
    num_ranks: int,
    cpus_per_rank: float,
    gpus_per_rank: float,
    num_shards: int,
    cpus_per_shard: float,
) -> tuple[Room, tuple[str, ...], tuple[str, ...]]:
    """Give ranks and shards their nodes; return what is left, and the nodes of both.

    Raises:
        NoRoomError: When one of them fits nowhere.
    """
    room = Room(nodes)
    learners = [node.node_id for node in nodes if node.role == LEARNER_ROLE]
    ranks = tuple(room.take("rank", cpus_per_rank, gpus_per_rank, learners) for _ in range(num_ranks))
    beside = list(dict.fromkeys(ranks)) or [node.node_id for node in nodes if node.is_driver]
    shards = tuple(room.take("shard", cpus_per_shard, 0.0, beside) for _ in range(num_shards))
    return room, ranks, shards


def deal_workers(room: Room, num_workers: int, cpus_per_worker: float) -> tuple[str, ...]:
    """Return a node for each worker, the one with most room first; NoRoomError when they do not all fit."""
    return tuple(room.take("worker", cpus_per_worker, 0.0) for _ in range(num_workers))
