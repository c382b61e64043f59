"""The parts of a run over Ray, by name: one table for the run's events, the process table, reports and figures.

``runtime/part_titles.py`` says which process is which part.
"""

from __future__ import annotations

from enum import StrEnum

GROUPS_SUFFIX = ".placement_groups"
"""Of the empty file beside Ray Train's notes whose stem begins the names of the placement groups that Train makes for a
run."""


class Part(StrEnum):
    """A kind of part. There may be several workers, shards, ranks and nodes, and one of each other kind."""

    WORKER = "worker"
    SHARD = "shard"
    RANK = "rank"
    CONTROLLER = "controller"
    HOST = "host"
    """The process that the curriculum, the ledger and the mailbox share."""
    WEIGHTS = "weights"
    NODE = "node"
    SESSION = "session"


_IN_EVENTS = {Part.WORKER: "rollout", Part.SHARD: "replay", Part.RANK: "learner"}


def event_name(part: Part, which: int | str | None = None) -> str:
    """Return the part's name in ``events.jsonl``: ``rollout/3``, ``replay/1``, ``learner``, ``node/10.0.0.2``,
    ``session``.

    ``which`` is the index or the address; None stands for the only one, or for all of the kind.
    """
    name = _IN_EVENTS.get(part, part.value)
    return name if which is None else f"{name}/{which}"
