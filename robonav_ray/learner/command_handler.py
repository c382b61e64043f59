"""What the learner does on command. A command that cannot be carried out is answered with ``Refused`` and changes
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from robonav_ray.commands import (
    Answer,
    Command,
    Committed,
    Copy,
    Cut,
    Describe,
    Described,
    Done,
    Networks,
    PollCut,
    Refused,
    Request,
    Resume,
    Save,
    Standing,
    TakeOver,
    Written,
)
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.files.background_write import BackgroundWrite
from robonav_ray.files.storage import local_folder, open_folder
from robonav_ray.learner.ranks import OneRank
from robonav_ray.learner.state import LearnerState, write_state
from robonav_ray.learner.update import Update
from robonav_ray.runs.hyperparameters import changed, check_changeable


class CommandHandler:
    """Carries out commands at a step boundary, the same on every rank, and keeps what they switch. What rank 0 answers
    counts.
    """

    def __init__(
        self,
        state: LearnerState,
        config: LearnerConfig,
        update: Update,
        ranks: OneRank,
        on_committed: Callable[[str], None] | None,
    ) -> None:
        """Start with ``config`` and the overrides that ``state`` remembers."""
        self._state, self._update, self._ranks, self._on_committed = state, update, ranks, on_committed
        self.paused = False
        self.stopping = False
        self._reloaded = False
        self._writing: BackgroundWrite | None = None
        self.config = changed(config, state.overrides)
        update.configure(self.config)

    def answer(self, command: Command) -> Answer:
        """Carry out one command and return the answer; never raises for a command that fails.

        Raises:
            RanksDivergedError: When a save finds that ranks differ: the learner has failed then, not the command.
        """
        try:
            return self._carry_out(command.request)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            return Refused(str(error))

    def take_reloaded(self) -> bool:
        """Return whether the state was replaced since the last call."""
        reloaded, self._reloaded = self._reloaded, False
        return reloaded

    def _carry_out(self, request: Request[Any]) -> Answer:
        match request:
            case Save(location):
                return self._save(location)
            case Cut(location):
                return self._cut(location)
            case PollCut():
                return self._poll_cut()
            case Copy():
                return self._copy()
            case Resume():
                self.paused = False
                return self._standing()
            case TakeOver(location, changes):
                return self._take_over(location, changes)
            case Describe():
                return Described(self._update.histograms() if self._ranks.rank == 0 else ())
            case Committed(location):
                if self._on_committed is not None:
                    self._on_committed(location)
                return Done()
            case _:
                return Refused(f"a learner knows no {type(request).__name__}")

    def _save(self, location: str) -> Written:
        self._ranks.check_equal(self._state.fingerprint)
        return Written(tuple(self._state.save(Path(location))) if self._ranks.rank == 0 else ())

    def _cut(self, location: str) -> Standing:
        """Copy the state now and write it in a thread, so that slow storage costs no learner step."""
        self._ranks.check_equal(self._state.fingerprint)
        if self._ranks.rank == 0:
            state = self._state.state_dict()
            self._writing = BackgroundWrite(lambda: write_state(state, open_folder(location)))
        self.paused = True
        return self._standing()

    def _poll_cut(self) -> Written | None:
        if self._ranks.rank != 0:
            return None
        if self._writing is None:
            raise ValueError("no cut was made since the learner started")
        files = self._writing.poll()
        return None if files is None else Written(tuple(files))

    def _copy(self) -> Networks:
        began, state = time.perf_counter(), self._state
        document = {
            "counters": state.counters(),
            "overrides": dict(state.overrides),
            "precision": state.precision.state_dict(),
        }
        arrays = state.networks() if self._ranks.rank == 0 else {}
        return Networks(document, arrays, time.perf_counter() - began)

    def _take_over(self, location: str, changes: Mapping[str, Any]) -> Standing:
        check_changeable(changes)
        config = changed(self.config, changes)
        load_shared(self._state, location, self._ranks)
        self.config, self._reloaded, self.paused = config, True, True
        self._update.configure(config)
        self._state.overrides |= changes
        return self._standing()

    def _standing(self) -> Standing:
        return Standing(self._state.learner_step, self._state.policy_version)


def load_shared(state: LearnerState, location: Path | str, ranks: OneRank, *, take_overrides: bool = False) -> None:
    """Load ``location`` (a path or a URI) on rank 0 and hand the state to all ranks, so that only rank 0 has to see the
    files.

    The policy version never falls: it stays where it was when that is higher. Hyper-parameters that were changed by
    command stay those of the running learner, unless ``take_overrides``.

    Raises:
        ValueError: On every rank, when the directory is missing, damaged or of another network; nothing is changed
            then.
    """
    version, overrides = state.policy_version, dict(state.overrides)
    problem = None
    if ranks.rank == 0:
        try:
            with local_folder(str(location)) as directory:
                state.load(directory)
        except (ValueError, OSError) as error:
            problem = str(error)
    problem, counters, loaded_overrides, precision = ranks.broadcast(
        (problem, state.counters(), dict(state.overrides), state.precision.state_dict())
    )
    if problem is not None:
        raise ValueError(problem)
    ranks.broadcast_tensors(list(state.tensors().values()))
    state.precision.load_state_dict(precision)
    for name, value in counters.items():
        setattr(state, name, value)
    state.policy_version = max(version, state.policy_version)
    state.overrides = loaded_overrides if take_overrides else overrides
