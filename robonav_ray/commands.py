"""What the runtime asks of a learner, and what it is answered: frozen records, small enough that rank 0 hands each on
to all ranks.

::

    runtime --Command(id, Request[A])--> learner, at a step boundary
            <------- A or Refused ------
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from robonav_ray.files.manifest import FileEntry
from robonav_ray.histograms import Histogram

A = TypeVar("A")
"""The answer to a request that was carried out."""


@dataclass(frozen=True)
class Done:
    """It has been carried out, and there is nothing to tell."""


@dataclass(frozen=True)
class Standing:
    """Where the learner stands."""

    learner_step: int
    policy_version: int


@dataclass(frozen=True)
class Written:
    """Files that are whole."""

    files: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Described:
    """What the numbers of the learner look like."""

    histograms: tuple[Histogram, ...]


@dataclass(frozen=True)
class Networks:
    """The networks as they are at a step boundary."""

    document: Mapping[str, Any]
    """Counters, overrides and precision, as a saved learner has them."""
    arrays: Mapping[str, np.ndarray]
    """Parameters of the online and the target network under the names of a saved learner; empty but on rank 0."""
    copied_s: float
    """Seconds that it took to copy them."""

    @property
    def learner_step(self) -> int:
        """Gradient steps behind them."""
        return int(self.document["counters"]["learner_step"])


@dataclass(frozen=True)
class Refused:
    """It could not be carried out, and has changed nothing."""

    reason: str


Answer = Done | Standing | Written | Described | Networks | Refused | None


@dataclass(frozen=True)
class Request(Generic[A]):
    """Something that is asked of a learner."""


@dataclass(frozen=True)
class Save(Request[Written]):
    """Write the state to ``location``, a path or a URI, before the next step."""

    location: str


@dataclass(frozen=True)
class Cut(Request[Standing]):
    """Stand still from this step boundary until ``Resume``, and begin to write the state of now to ``location``."""

    location: str


@dataclass(frozen=True)
class PollCut(Request[Written | None]):
    """Say what the newest ``Cut`` has written; None while it is being written."""


@dataclass(frozen=True)
class Copy(Request[Networks]):
    """Hand over a copy of the networks, and go on."""


@dataclass(frozen=True)
class Resume(Request[Standing]):
    """Go on; does no harm to a learner that goes on already."""


@dataclass(frozen=True)
class TakeOver(Request[Standing]):
    """Go on from another learner's state, with other settings, but stand still until ``Resume``; weights are published
    anew.
    """

    location: str
    """What a learner has saved, a path or a URI."""
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings by their names; see ``runs.hyperparameters.CHANGEABLE``."""


@dataclass(frozen=True)
class Committed(Request[Done]):
    """The checkpoint at ``location`` is whole: a restarted rank comes back from it."""

    location: str


@dataclass(frozen=True)
class Describe(Request[Described]):
    """Count how weights, gradients, Q values and TD errors are distributed now; changes nothing."""


@dataclass(frozen=True)
class Command:
    """A request under way; the answer comes back under its ``id``."""

    id: int
    request: Request[Any]


@dataclass(frozen=True)
class CommandBatch:
    """What ``exchange`` returns: commands in order, and whether to stop at this step boundary."""

    commands: tuple[Command, ...] = ()
    stop: bool = False
    budget_frac: float | None = None
    """Part of the run's budget that is used, 0 to 1; None before that was told."""
