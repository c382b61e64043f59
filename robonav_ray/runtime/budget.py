"""When a run ends, and whether it can have learned anything by then."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError
from robonav_ray.config.runtime import BudgetConfig


class StopReason(Enum):
    """Why training stopped; ``finished`` tells whether there is something left to resume."""

    FINISHED = "the curriculum is passed and the budget is used"
    BUDGET = "its budget is used"
    MAX_ENV_STEPS = "budget.max_env_steps is reached"
    TIME_LIMIT = "the time limit is reached"
    NO_GAIN = "its last judgements brought no gain (evaluation.patience)"
    TARGET = "its last judgement has reached evaluation.target_success"
    GIVEN_UP = "a gate did not open"
    SIGNAL = "it was interrupted"

    @property
    def finished(self) -> bool:
        """False when the run should be resumed."""
        return self not in (StopReason.TIME_LIMIT, StopReason.GIVEN_UP, StopReason.SIGNAL)


@dataclass(frozen=True)
class Budget:
    """Training ends when the curriculum is passed and the budget is used, whichever is later, at a hard limit, or when
    it is given up.

    Where the last stage has no gate, it ends when it is in that stage and the budget is used.
    """

    config: BudgetConfig

    def used_frac(self, *, train_s: float, env_steps: int, passed_s: float | None, is_gated: bool = True) -> float:
        """Return what part of the budget is used, 0 to 1: of seconds or of env steps, whichever is further; 0 without
        either.

        Seconds end a run with a gate only once the curriculum is passed, so only those after ``passed_s`` count: until
        then nothing of ``time_s`` is used, however slow the machine. ``max_time_s`` is no part of it: a run that meets
        it is resumed.

        Args:
            train_s: Seconds since the first learner step, over all sessions of the run.
            env_steps: Over all sessions.
            passed_s: ``train_s`` at which the curriculum was passed; None before.
            is_gated: Whether there is anything to pass in the last stage.
        """
        of_time, passed_s = 0.0, passed_s if is_gated else 0.0
        if passed_s is not None and self.config.env_steps is None:
            left_s = self.config.time_s - passed_s
            of_time = (train_s - passed_s) / left_s if left_s > 0.0 else float(is_gated)
        limits = (self.config.max_env_steps, self.config.env_steps)
        most = min((limit for limit in limits if limit is not None), default=None)
        of_steps = env_steps / most if most is not None else 0.0
        return min(1.0, max(of_time, of_steps))

    def is_used(self, train_s: float, env_steps: int) -> bool:
        """Whether what is trained in any case has been trained."""
        return train_s >= self.config.needed_s and env_steps >= (self.config.env_steps or 0)

    def stop_reason(
        self,
        *,
        train_s: float,
        session_s: float,
        env_steps: int,
        passed: bool,
        is_open: bool = False,
        waited_s: float = 0.0,
    ) -> StopReason | None:
        """Return why to stop now, or None.

        Args:
            train_s: Seconds since the first learner step, over all sessions of the run.
            session_s: Seconds since the command of this session began.
            env_steps: Over all sessions.
            passed: Whether the curriculum is passed.
            is_open: Whether it is in its last stage, or the one that it is held in, and that has no gate: there is none
                to wait for.
            waited_s: Seconds of training of this session since a gate opened last.
        """
        config, says_how_long = self.config, self._says_how_long
        if config.max_env_steps is not None and env_steps >= config.max_env_steps:
            return StopReason.MAX_ENV_STEPS
        if passed and self.is_used(train_s, env_steps):
            return StopReason.FINISHED
        if is_open and says_how_long and self.is_used(train_s, env_steps):
            return StopReason.BUDGET
        if config.max_time_s is not None and session_s >= config.max_time_s - config.stop_margin_s:
            return StopReason.TIME_LIMIT
        give_up_s = config.gives_up_after_s
        is_waiting = not passed and not (is_open and (says_how_long or config.max_time_s is not None))
        if is_waiting and give_up_s is not None and waited_s >= give_up_s:
            # open: an earlier program began it without an end
            return StopReason.BUDGET if is_open else StopReason.GIVEN_UP
        return None

    @property
    def _says_how_long(self) -> bool:
        return self.config.env_steps is not None or self.config.time_s > 0.0

    def longer(self, *, env_steps: int, train_s: float, passed: bool) -> list[str]:
        """Return overrides with which a run that has finished is resumed and trains about as long again.

        Where ``time_s`` is 0, it stays so: env steps then say how much longer, unless ``max_env_steps`` alone has ended
        the run.
        """
        config, more = self.config, list[str]()
        if config.max_env_steps is not None:
            more.append(f"budget.max_env_steps={2 * max(env_steps, config.max_env_steps)}")
        if config.env_steps is not None or (config.time_s == 0.0 and (passed or not more)):
            more.append(f"budget.env_steps={2 * max(env_steps, config.env_steps or 0)}")
        elif config.time_s > 0.0:
            more.append(f"budget.time_s={2 * max(train_s, config.time_s) + 300:.0f}")
        return more


def check_budget(config: RunConfig) -> None:
    """Refuse a budget with which nothing can be learned, or that says nothing of when to end.

    Raises:
        ConfigError: with the figures and the keys to change.
    """
    budget, curriculum = config.budget, config.curriculum
    last = curriculum.stages_for(config.env.is_native)[-1 if curriculum.force_stage is None else curriculum.force_stage]
    ends = (budget.time_s or None, budget.env_steps, budget.max_env_steps, budget.max_time_s)
    if not last.is_gated and not any(end is not None for end in ends):
        raise ConfigError(
            f"budget.time_s (0): the last stage ({last.name}) has no gate, so nothing says how long to train: set "
            "budget.env_steps or budget.time_s, or give the stage a gate (curriculum.stages.0.gate.min_return)"
        )
    if budget.max_env_steps is not None:
        check_learns(config, budget.max_env_steps, "budget.max_env_steps")
    if budget.env_steps is not None and not last.is_gated:
        check_learns(config, budget.env_steps, "budget.env_steps")


def check_learns(config: RunConfig, env_steps: int, key: str) -> None:
    """Raise ConfigError when a run that ends after ``env_steps``, which ``key`` says, has too few rows to learn
    anything.
    """
    per_fragment = config.rollout.num_worlds * config.env.world.num_robots * config.rollout.steps_per_fragment
    rows = -(-env_steps // per_fragment) * per_fragment * (1 + config.hindsight.rows_per_step)
    if rows < config.replay.min_size:
        raise ConfigError(
            f"{key} ({env_steps}): nothing would be learned, because learning begins with replay.min_size "
            f"({config.replay.min_size}) rows, and the run ends with {rows} at most: raise {key}, or lower "
            "replay.min_size"
        )
