"""When a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from robonav_ray.config.runtime import BudgetConfig


class StopReason(Enum):
    """Why training stopped; ``finished`` tells whether there is something left to resume."""

    FINISHED = "the curriculum is passed and the budget is used"
    MAX_ENV_STEPS = "budget.max_env_steps is reached"
    TIME_LIMIT = "the time limit is reached"
    SIGNAL = "it was interrupted"

    @property
    def finished(self) -> bool:
        """False when the run should be resumed."""
        return self in (StopReason.FINISHED, StopReason.MAX_ENV_STEPS)


@dataclass(frozen=True)
class Budget:
    """Training ends when the curriculum is passed and ``time_s`` of training is used, whichever is later, or at a hard limit."""

    config: BudgetConfig

    def used_frac(self, *, train_s: float, env_steps: int, passed_s: float | None) -> float:
        """Return what part of the budget is used, 0 to 1: of ``time_s`` or of ``max_env_steps``, whichever is further; 0 without either.

        Seconds end a run only once the curriculum is passed, so only those after ``passed_s`` count: until then nothing of ``time_s`` is
        used, however slow the machine. ``max_time_s`` is no part of it: a run that meets it is resumed.

        Args:
            train_s: Seconds since the first learner step, over all sessions of the run.
            env_steps: Over all sessions.
            passed_s: ``train_s`` at which the curriculum was passed; None before.
        """
        of_time = 0.0
        if passed_s is not None:
            left_s = self.config.time_s - passed_s
            of_time = (train_s - passed_s) / left_s if left_s > 0.0 else 1.0
        of_steps = env_steps / self.config.max_env_steps if self.config.max_env_steps is not None else 0.0
        return min(1.0, max(of_time, of_steps))

    def stop_reason(self, *, train_s: float, session_s: float, env_steps: int, passed: bool) -> StopReason | None:
        """Return why to stop now, or None.

        Args:
            train_s: Seconds since the first learner step, over all sessions of the run.
            session_s: Seconds since the command of this session began.
            env_steps: Over all sessions.
            passed: Whether the curriculum is passed.
        """
        if self.config.max_env_steps is not None and env_steps >= self.config.max_env_steps:
            return StopReason.MAX_ENV_STEPS
        if passed and train_s >= self.config.time_s:
            return StopReason.FINISHED
        if self.config.max_time_s is not None and session_s >= self.config.max_time_s - self.config.stop_margin_s:
            return StopReason.TIME_LIMIT
        return None
