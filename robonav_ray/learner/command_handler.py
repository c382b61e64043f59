"""What the learner does on command. A command that cannot be carried out is answered with ``error: ...`` and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from robonav_ray.config.learner import LearnerConfig
from robonav_ray.files.background_write import BackgroundWrite
from robonav_ray.files.storage import local_folder, open_folder
from robonav_ray.learner.ranks import OneRank
from robonav_ray.learner.state import LearnerState, write_state
from robonav_ray.learner.update import Update
from robonav_ray.records import Command
from robonav_ray.runs.hyperparameters import changed, parse_changes

OK = "ok"


class CommandHandler:
    """Carries out commands at a step boundary, the same on every rank, and keeps what they switch.

    ========================  ============================  =====================================================
    op                        argument                      answer
    ========================  ============================  =====================================================
    ``save``                  directory                     JSON: files, learner_step, policy_version
    ``begin_save``            directory                     JSON: learner_step, policy_version of what a thread begins to write
    ``poll_save``             none                          JSON: files of the save begun last, null while it is being written
    ``load``                  directory                     JSON: learner_step, policy_version (weights are published anew)
    ``committed``             checkpoint directory          ``ok``
    ``hyperparameters``       JSON of changes               JSON of all that can be changed, as it is now
    ``pause`` ``resume``      none                          the learner_step, which stays until ``resume``
    ``stop``                  none                          the learner_step
    ========================  ============================  =====================================================
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
        self.config = config
        self._ops: dict[str, Callable[[str], str]] = {
            "save": self._save,
            "begin_save": self._begin_save,
            "poll_save": self._poll_save,
            "load": self._load,
            "committed": self._committed,
            "hyperparameters": self._hyperparameters,
            "pause": self._pause,
            "resume": self._resume,
            "stop": self._stop,
        }
        self._take_over(config, state.overrides)

    def obey(self, command: Command) -> str:
        """Carry out one command and return the answer; never raises for a command that fails.

        Raises:
            RanksDivergedError: When a save finds that ranks differ: the learner has failed then, not the command.
        """
        op = self._ops.get(command.op)
        if op is None:
            return f"error: unknown command {command.op!r}; known: {', '.join(self._ops)}"
        try:
            return op(command.argument)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            return f"error: {error}"

    def take_reloaded(self) -> bool:
        """Return whether the state was replaced since the last call."""
        reloaded, self._reloaded = self._reloaded, False
        return reloaded

    def _save(self, argument: str) -> str:
        self._ranks.check_equal(self._state.fingerprint)
        if self._ranks.rank != 0:
            return OK
        return json.dumps({"files": self._state.save(Path(argument)), **self._progress()})

    def _begin_save(self, argument: str) -> str:
        """Copy the state now and write it in a thread, so that slow storage costs no learner step."""
        self._ranks.check_equal(self._state.fingerprint)
        if self._ranks.rank != 0:
            return OK
        state = self._state.state_dict()
        self._writing = BackgroundWrite(lambda: write_state(state, open_folder(argument)))
        return json.dumps(self._progress())

    def _poll_save(self, _: str) -> str:
        if self._ranks.rank != 0:
            return OK
        if self._writing is None:
            return "error: no save was begun since the learner started"
        return json.dumps({"files": self._writing.poll()})

    def _load(self, argument: str) -> str:
        load_shared(self._state, argument, self._ranks)
        self._reloaded = True
        return json.dumps(self._progress())

    def _committed(self, argument: str) -> str:
        if self._on_committed is not None:
            self._on_committed(argument)
        return OK

    def _hyperparameters(self, argument: str) -> str:
        changes = parse_changes(argument)
        self._take_over(self.config, changes)
        self._state.overrides |= changes
        return self.config.model_dump_json()

    def _pause(self, _: str) -> str:
        self.paused = True
        return str(self._state.learner_step)

    def _resume(self, _: str) -> str:
        self.paused = False
        return str(self._state.learner_step)

    def _stop(self, _: str) -> str:
        self.stopping = True
        return str(self._state.learner_step)

    def _take_over(self, config: LearnerConfig, changes: dict[str, object]) -> None:
        self.config = changed(config, changes)
        self._update.configure(self.config)

    def _progress(self) -> dict[str, int]:
        return {"learner_step": self._state.learner_step, "policy_version": self._state.policy_version}


def load_shared(state: LearnerState, location: Path | str, ranks: OneRank, *, take_overrides: bool = False) -> None:
    """Load ``location`` (a path or a URI) on rank 0 and hand the state to all ranks, so that only rank 0 has to see the files.

    The policy version never falls: it stays where it was when that is higher. Hyper-parameters that were changed by
    command stay those of the running learner, unless ``take_overrides``.

    Raises:
        ValueError: On every rank, when the directory is missing, damaged or of another network; nothing is changed then.
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
