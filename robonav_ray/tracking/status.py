"""What a person wants to know of a running training, as one frozen record, and how long it may still take."""

from __future__ import annotations

from dataclasses import dataclass, field

from robonav_ray.config import RunConfig
from robonav_ray.runs.checkpoint_index import CheckpointIndex
from robonav_ray.runs.progress import CurriculumProgress, WiringFacts


@dataclass(frozen=True)
class WatchedRun:
    """What stays the same while a run is watched."""

    name: str
    wiring: str
    """``ray`` or ``local``."""
    config: RunConfig
    stage_names: tuple[str, ...]
    has_stages: bool = True
    """Whether there are stages to speak of."""


@dataclass(frozen=True)
class Pace:
    """What the driver's clock says; unknown figures are None."""

    elapsed_s: float
    """Seconds of training so far."""
    eta_s: float | None = None
    """Estimated seconds to the end of training; see ``estimate_remaining_s``."""
    env_steps_per_s: float | None = None
    learner_steps_per_s: float | None = None


@dataclass(frozen=True)
class RunStatus:
    """One look at a run: which it is, what its parts say, how fast it goes."""

    run: WatchedRun
    facts: WiringFacts
    pace: Pace
    index: CheckpointIndex = field(default_factory=CheckpointIndex)
    """What judgements beside the training have found so far."""

    @property
    def progress(self) -> CurriculumProgress:
        """Where the curriculum stands."""
        return self.facts.progress

    @property
    def stage_name(self) -> str:
        """Name of the current stage."""
        return self.run.stage_names[self.progress.stage]

    @property
    def success_frac(self) -> float | None:
        """Of the gate's window; None where that is empty, or where the environment tells no success."""
        return self.progress.window.success_frac if self._has_window and self.progress.tells_success else None

    @property
    def collision_frac(self) -> float | None:
        """As ``success_frac``."""
        return self.progress.window.collision_frac if self._has_window and self.progress.tells_collisions else None

    @property
    def mean_return(self) -> float | None:
        """Of the gate's window; None where that is empty."""
        return self.progress.window.mean_return if self._has_window else None

    def figure(self, metric: str) -> float | None:
        """Return a metric of the parts; None before it is known."""
        return self.facts.metrics.get(metric)

    @property
    def replay_fill_frac(self) -> float:
        """Filled part of the replay."""
        return (self.figure("replay/size") or 0.0) / self.run.config.replay.capacity

    @property
    def gate_frac(self) -> float:
        """How near the gate is, in [0, 1]: the filled part of the window times the criterion that is furthest from
        being met.
        """
        progress = self.progress
        near = [min(1.0, progress.window.num_episodes / max(1, progress.window_size))]
        if self.success_frac is not None and progress.min_success_frac:
            near.append(self.success_frac / progress.min_success_frac)
        if self.mean_return is not None and progress.min_return is not None and progress.min_return > 0:
            near.append(self.mean_return / progress.min_return)
        if self.collision_frac is not None and progress.max_collision_frac is not None and self.collision_frac > 0:
            near.append(progress.max_collision_frac / self.collision_frac)
        if progress.partners is not None and progress.min_partner_success_frac:
            near.append(progress.partners.worst[1] / progress.min_partner_success_frac)
        return max(0.0, near[0] * min([1.0, *near[1:]]))

    @property
    def _has_window(self) -> bool:
        return self.progress.window.num_episodes > 0


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
