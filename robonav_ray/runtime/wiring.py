"""What the controller needs of a wiring, whether it runs over Ray or in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from robonav_ray.commands import Networks
from robonav_ray.config import RunConfig
from robonav_ray.histograms import Histogram
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, Counters
from robonav_ray.runs.progress import WiringFacts
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.stored_notes import StoredNotes
from robonav_ray.runs.stored_runs import stored_run
from robonav_ray.runs.task import Task


@dataclass(frozen=True)
class RunSession:
    """One life of a run: what it is, where it lives, what it begins from."""

    config: RunConfig
    task: Task
    run: RunDirectory
    checkpoint: Checkpoint | None
    """Where to go on from; None for a fresh run."""
    began: float
    """``time.monotonic()`` at which the command began (the process's start)."""
    goes_on: bool = False
    """Whether there are notes of an earlier session to go on with, though there may be no checkpoint."""
    lost_at: float | None = None
    """``time.monotonic()`` at which the session before it in this command was lost with a part; None where there was
    none."""

    stored_seen: frozenset[str] | None = None
    """Names of the checkpoints in the storage when ``checkpoint`` was chosen; None: those that are there when the
    session begins."""

    @property
    def counters(self) -> Counters:
        """Counters at the beginning of this session."""
        return self.checkpoint.counters if self.checkpoint else Counters()

    @cached_property
    def notes(self) -> StoredNotes | None:
        """What brings the run's small files into ``checkpoint.storage``; None without one."""
        storage = self.config.checkpoint.storage
        return None if storage is None else StoredNotes(self.run.path, stored_run(storage, self.run))


class PendingSave(Protocol):
    """A cut that has been made; parts may still be writing it."""

    @property
    def learner_step(self) -> int:
        """Of the cut."""
        ...

    def poll(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` seconds; return whether every part has written, and the writer given the entries of
        their files.

        May be called from another thread than the rest of the wiring.

        Raises:
            OSError, LearnerCallError: When a part could not.
        """
        ...

    def abandon(self) -> None:
        """Let the parts stop writing; does not wait for that."""
        ...


@dataclass(frozen=True)
class Saved:
    """A save that was made at once; implements PendingSave."""

    learner_step: int

    def poll(self, timeout_s: float) -> bool:
        """Return True."""
        return True

    def abandon(self) -> None:
        """Nothing goes on."""


class Works(Protocol):
    """The parts of a run while they train."""

    def poll(self, timeout_s: float, until_env_steps: int | None = None) -> WiringFacts:
        """Let the parts work (or do their work) for about ``timeout_s`` and say where the run stands.

        Parts that only work while they are polled stop as soon as ``until_env_steps`` is reached; others go on.

        Raises:
            RuntimeError: When a part has failed for good.
        """
        ...

    def tell_budget(self, used_frac: float) -> None:
        """Let the learner know what part of the run's budget is used, 0 to 1; it hears of it at its next look."""
        ...


class Describes(Protocol):
    """The parts of a run as distributions."""

    def histograms(self) -> tuple[Histogram, ...] | None:
        """Return how weights, gradients, Q values, TD errors and priorities are distributed, and the lengths of the
        episodes since they were last told; None while the parts are being asked.

        Never waits: one that is given None asks again.
        """
        ...


class Saves(Protocol):
    """The parts of a run while they are saved."""

    def begin_save(self, writer: CheckpointWriter, *, last: bool = False) -> PendingSave:
        """Make a cut through all parts, and have each write its state at that cut into ``writer.path``. One at a time.

        Parts that can go on working while they write; with ``last`` nothing is wanted of them any more, and they need
        not.

        Raises:
            OSError, LearnerCallError, ValueError: When a part could not; all parts go on working.
        """
        ...

    def networks(self) -> Networks:
        """Return a copy of the learner's networks as they are now; all parts go on working.

        Raises:
            LearnerCallError: When the learner does not answer.
        """
        ...

    def save_replay(self, directory: Path) -> None:
        """Write the rows of the replay alone into ``directory``, at one cut.

        Raises:
            OSError, LearnerCallError: When a part could not; all parts go on working.
        """
        ...

    def committed(self, checkpoint: Checkpoint) -> None:
        """Tell the parts that ``checkpoint`` is theirs to come back to."""
        ...


class Ends(Protocol):
    """The parts of a run at its end."""

    def salvage(self) -> WiringFacts | None:
        """Return where the run stands after ``poll`` has raised; None where nothing that could be saved is left.

        From here on nothing but a last ``begin_save`` and ``close`` is asked of the parts.
        """
        ...

    def close(self) -> None:
        """End all parts; nothing is saved. A second call does nothing."""
        ...


class TakesOver(Protocol):
    """The parts of a run that may go on from another run."""

    def take_over(self, donor: Checkpoint, changes: Mapping[str, Any]) -> bool:
        """Go on from ``donor``, a checkpoint of another run on the same task, without starting the parts anew.

        Weights, optimiser and curriculum become the donor's, and the learner's settings ``changes`` (those that may
        change while it runs) are set anew; rows stay, and env steps go on being counted. Returns False, and changes
        nothing, where the parts cannot: they have to be started anew.

        Raises:
            LearnerCallError, ValueError: When a part could not; the learner goes on as it can.
        """
        ...


class Wiring(Works, Describes, Saves, Ends, TakesOver, Protocol):
    """The parts of a run, joined and running."""
