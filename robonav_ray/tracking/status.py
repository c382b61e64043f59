"""What a person wants to know of a running training, as one frozen record, and how long it may still take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunStatus:
    """One look at a run; the panel shows it, the driver fills it in. Unknown figures stay None."""

    run: str
    """Name of the run."""
    wiring: str
    """``ray`` or ``local``."""
    stage: int
    """Index of the current stage."""
    stage_names: tuple[str, ...]
    passed: bool
    elapsed_s: float
    """Seconds of training so far."""
    budget_s: float
    """Seconds of training that are used even when the curriculum is passed earlier."""
    eta_s: float | None = None
    """Estimated seconds to the end of training; see ``estimate_remaining_s``."""
    window_episodes: int = 0
    window_size: int = 50
    success_frac: float | None = None
    """Of the gate's window, as are the next two."""
    mean_return: float | None = None
    collision_frac: float | None = None
    min_success_frac: float | None = None
    min_return: float | None = None
    max_collision_frac: float | None = None
    epsilon: float | None = None
    num_episodes: int = 0
    env_steps: int = 0
    env_steps_per_s: float | None = None
    learner_steps: int = 0
    learner_steps_per_s: float | None = None
    samples_per_insert: float | None = None
    """Achieved, cumulatively since warm-up."""
    samples_per_insert_target: float | None = None
    policy_lag: float | None = None
    """Published versions that acting policies were behind when they last looked."""
    sample_lag: float | None = None
    """Mean age, in published versions, of the rows that the learner is given: how off-policy it learns."""
    replay_size: int = 0
    """Rows."""
    replay_capacity: int = 0
    num_workers: int = 0
    """Rollout workers: all of them act, because one that dies is replaced."""
    workers_replaced: int = 0
    """Workers and replay shards replaced so far in this session."""
    message: str = ""
    """The last thing that happened."""
    tells_success: bool = True
    """Whether the environment says of its episodes if they were a success."""
    tells_collisions: bool = True
    """The same for collisions."""
    has_stages: bool = True
    """Whether there are stages to speak of."""

    @property
    def stage_name(self) -> str:
        """Name of the current stage."""
        return self.stage_names[self.stage]

    @property
    def replay_fill_frac(self) -> float:
        """Filled part of the replay."""
        return self.replay_size / self.replay_capacity if self.replay_capacity else 0.0

    @property
    def gate_frac(self) -> float:
        """How near the gate is, in [0, 1]: the filled part of the window times the criterion that is furthest from being met."""
        near = [min(1.0, self.window_episodes / max(1, self.window_size))]
        if self.success_frac is not None and self.min_success_frac:
            near.append(self.success_frac / self.min_success_frac)
        if self.mean_return is not None and self.min_return is not None and self.min_return > 0:
            near.append(self.mean_return / self.min_return)
        if self.collision_frac is not None and self.max_collision_frac is not None and self.collision_frac > 0:
            near.append(self.max_collision_frac / self.collision_frac)
        return max(0.0, near[0] * min([1.0, *near[1:]]))


def estimate_remaining_s(
    elapsed_s: float,
    budget_s: float,
    stage: int,
    num_stages: int,
    passed: bool,
    stage_began_s: float,
    limit_s: float | None = None,
) -> float | None:
    """Return the estimated seconds to the end of training, or None when nothing is known yet.

    Training ends when the curriculum is passed and the budget is used, whichever is later, or at the hard limit. The
    current stage is expected to take as long as the mean stage passed so far (``stage_began_s / stage``), or to end now
    if it has already taken longer; every stage to come, as long as the longer of the two. A rough guess.

    Args:
        elapsed_s: Seconds of training so far.
        budget_s: Seconds that are used in any case.
        stage: Index of the current stage, counted from where the run began.
        num_stages: Stages, counted likewise.
        passed: Whether the last stage's gate has opened.
        stage_began_s: ``elapsed_s`` at which the current stage began.
        limit_s: Seconds of training at which it ends in any case.
    """
    by_budget = max(0.0, budget_s - elapsed_s)
    remaining: float | None = by_budget
    if not passed:
        if stage == 0:
            remaining = by_budget or None
        else:
            per_stage = stage_began_s / stage
            here = elapsed_s - stage_began_s
            to_pass = max(0.0, per_stage - here) + max(per_stage, here) * (num_stages - stage - 1)
            remaining = max(by_budget, to_pass)
    if limit_s is None:
        return remaining
    by_limit = max(0.0, limit_s - elapsed_s)
    return by_limit if remaining is None else min(by_limit, remaining)
