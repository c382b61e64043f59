"""What can be broken: one kind per row of the promises about parts that die or freeze while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from robonav_ray.part_names import Part

Action = Literal["kill", "hang", "kill_node", "freeze_node", "partition", "add_node", "kill_driver", "stop_driver"]


@dataclass(frozen=True)
class Kind:
    """One way to break a run."""

    name: str
    action: Action
    role: Part | None
    """Whose process is the victim; None where it is a node or the driver."""
    promise: str
    """Key of ``promises.PROMISES``."""
    text: str
    settle_s: float
    """How long the effects are looked for at least before the next fault."""
    limit_s: float
    """How long the recovery is waited for before the next fault comes all the same."""

    @property
    def needs_commit(self) -> bool:
        """Whether the run is over it only with a new checkpoint: one that is lost twice without one in between gives
        up, as it says.
        """
        return self.promise == "central"


def _kill(role: Part, promise: str, text: str, settle_s: float = 4.0, limit_s: float = 45.0) -> Kind:
    return Kind(role.value, "kill", role, promise, f"SIGKILL of {text}", settle_s, limit_s)


def _hang(role: Part, text: str) -> Kind:
    return Kind(
        f"hang-{role}", "hang", role, "frozen", f"SIGSTOP of {text} for --freeze-s seconds, then SIGCONT", 4.0, 75.0
    )


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _kill(Part.WORKER, "worker", "a rollout worker", settle_s=1.0),
        _kill(Part.SHARD, "shard", "a replay shard", settle_s=3.0),
        _kill(Part.RANK, "rank", "a learner rank", limit_s=90.0),
        _kill(Part.HOST, "central", "the process of curriculum, ledger and mailbox", limit_s=180.0),
        _kill(Part.WEIGHTS, "central", "the weight store", limit_s=180.0),
        _kill(Part.CONTROLLER, "central", "the controller of Ray Train", limit_s=180.0),
        Kind(
            "node",
            "kill_node",
            None,
            "node",
            "SIGKILL of all processes of a node; another one joins afterwards",
            4.0,
            120.0,
        ),
        Kind(
            "freeze",
            "freeze_node",
            None,
            "frozen",
            "SIGSTOP of all processes of a node for --freeze-s seconds",
            4.0,
            120.0,
        ),
        _hang(Part.WORKER, "a rollout worker"),
        _hang(Part.SHARD, "a replay shard"),
        _hang(Part.RANK, "a learner rank"),
        Kind(
            "partition", "partition", None, "node", "a node's network down for --freeze-s seconds, then up", 4.0, 120.0
        ),
        Kind("add", "add_node", None, "add", "another node joins", 4.0, 60.0),
        Kind(
            "driver",
            "kill_driver",
            None,
            "driver",
            "SIGKILL of `robonav train`, then the same command with --resume auto",
            4.0,
            150.0,
        ),
        Kind(
            "sigterm",
            "stop_driver",
            None,
            "sigterm",
            "SIGTERM to `robonav train`, then the same with --resume auto",
            4.0,
            150.0,
        ),
    )
}

GROUPS: dict[str, tuple[str, ...]] = {
    "central": ("host", "weights", "controller"),
    "hang": ("hang-worker", "hang-shard", "hang-rank"),
    "all": tuple(name for name in KINDS if name != "partition"),
}


class UnknownKindError(ValueError):
    """A kind of fault that does not exist; the message names those that do."""


def chosen_kinds(names: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds that names and groups stand for, each once, in the order given."""
    found: dict[str, Kind] = {}
    for name in names:
        if name not in KINDS and name not in GROUPS:
            raise UnknownKindError(
                f"no fault is called {name!r}; there are {', '.join(KINDS)}, and the groups {', '.join(GROUPS)}"
            )
        found |= {one: KINDS[one] for one in GROUPS.get(name, (name,))}
    return tuple(found.values())
