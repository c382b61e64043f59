"""Where a run stands: what its parts say together, and its curriculum, with what that has seen and how it got there."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from robonav_ray.files.plain_files import replace
from robonav_ray.records import Metrics

PROGRESS_FILE = "curriculum_progress.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class WindowFigures:
    """What a gate's criteria are held against; the fractions and the mean are 0 while the window is empty."""

    num_episodes: int = 0
    success_frac: float = 0.0
    collision_frac: float = 0.0
    mean_return: float = 0.0
    """Mean task return."""


OWN_KIND = "own"
"""The company of a policy whose like are in all other robots."""


@dataclass(frozen=True)
class PartnerFigures:
    """How a snapshot did beside partners, in held-out worlds of the stage."""

    member: str
    """The snapshot."""
    env_steps: int
    """When it was taken."""
    company: tuple[str, ...]
    """The partners, one at least; ``own`` is its own kind."""
    success_frac: tuple[float, ...]
    """Beside each: part of its robots that arrived."""

    @property
    def worst(self) -> tuple[str, float]:
        """The partner beside which it did worst, the first of several, and how."""
        low = min(self.success_frac)
        return self.company[self.success_frac.index(low)], low

    @property
    def worst_text(self) -> str:
        """The same in words, such as ``71% beside straight``."""
        company, frac = self.worst
        return f"{frac:.0%} {'among its own kind' if company == OWN_KIND else f'beside {company}'}"


@dataclass(frozen=True)
class StageTotals:
    """Everything a stage has seen since the run began, gate or not."""

    name: str
    num_episodes: int = 0
    num_env_steps: int = 0
    """Env steps in finished episodes."""
    num_successes: int = 0
    num_collisions: int = 0
    return_sum: float = 0.0
    """Sum of task returns."""

    @property
    def success_frac(self) -> float:
        """Successes per episode; 0 without episodes."""
        return self.num_successes / max(1, self.num_episodes)

    @property
    def mean_return(self) -> float:
        """Mean task return; 0 without episodes."""
        return self.return_sum / max(1, self.num_episodes)


@dataclass(frozen=True)
class StageTransition:
    """One change of stage, or the passing of the last one."""

    from_stage: int
    to_stage: int
    """Equal to ``from_stage`` when ``reason`` is ``passed``."""
    from_name: str
    to_name: str
    reason: Literal["gate", "forced", "passed"]
    env_steps: int
    """Env steps in finished episodes, over all stages."""
    num_episodes: int
    """Finished episodes, over all stages."""
    num_stage_episodes: int
    """Finished episodes of ``from_stage``."""
    num_gate_episodes: int
    """Episodes that had entered the window since the stage was entered."""
    window: WindowFigures
    world: int
    """World of the episode that opened the gate; -1 when forced."""
    started_at: int
    """When that episode had begun on its world's clock; -1 when forced."""
    elapsed_s: float
    """Seconds since the curriculum began, pauses between sessions not counted."""
    partners: PartnerFigures | None = None
    """What a snapshot had shown beside partners, where the gate asked for it."""


@dataclass(frozen=True)
class CurriculumProgress:
    """A snapshot of the curriculum for panels, trackers and files."""

    stage: int
    stage_name: str
    num_stages: int
    forced: bool
    passed: bool
    epsilon: float
    elapsed_s: float
    env_steps: int
    num_episodes: int
    num_gate_episodes: int
    """Episodes that entered the window since this stage was entered."""
    num_pending: int
    """Finished episodes that wait for earlier-started ones."""
    num_workers: int
    """Live workers."""
    window: WindowFigures
    window_size: int
    min_success_frac: float | None
    """Criteria of this stage that apply; None where there is none."""
    min_return: float | None
    max_collision_frac: float | None
    stages: tuple[StageTotals, ...]
    transitions: tuple[StageTransition, ...]
    tells_success: bool = True
    """Whether episodes say if they were a success; without, those figures are 0 and mean nothing."""
    tells_collisions: bool = True
    """The same for collisions."""
    is_gated: bool = True
    """Whether the last stage, or the one that the run is held in, asks for anything; without, a run ends by its budget
    alone."""
    problem: str | None = None
    """Why the gate of this stage will never open, and what to do about it; None where it may."""
    min_partner_success_frac: float | None = None
    """As the criteria above."""
    partners: PartnerFigures | None = None
    """What it is held against; None before a snapshot has played, and where it does not apply."""

    @property
    def success_frac(self) -> float:
        """Successes per episode over the whole run."""
        return sum(s.num_successes for s in self.stages) / max(1, self.num_episodes)

    @property
    def is_open(self) -> bool:
        """Whether there is nothing left to pass: the run is in its last stage, or held in one, and that asks for
        nothing.
        """
        return not self.is_gated and (self.forced or self.stage == self.num_stages - 1)

    def metrics(self) -> Metrics:
        """Return the figures that are worth a curve."""
        metrics: Metrics = {
            "curriculum/stage": float(self.stage),
            "curriculum/passed": float(self.passed),
            "curriculum/epsilon": self.epsilon,
            "curriculum/env_steps": float(self.env_steps),
            "curriculum/episodes": float(self.num_episodes),
            "curriculum/gate_episodes": float(self.num_gate_episodes),
            "curriculum/gate_pending": float(self.num_pending),
        }
        if self.window.num_episodes:
            if self.tells_success:
                metrics["curriculum/success_frac"] = self.window.success_frac
            if self.tells_collisions:
                metrics["curriculum/collision_frac"] = self.window.collision_frac
            metrics["curriculum/return_mean"] = self.window.mean_return
        if self.partners is not None:
            metrics["curriculum/partner_success_frac_min"] = self.partners.worst[1]
        return metrics

    def summary_text(self) -> str:
        """Return the progress as a few plain lines: one per stage where there are several, then how each was left."""
        staged = self.num_stages > 1 or self.tells_collisions
        here = f"in stage {self.stage_name}" if staged else "not passed" if self.is_gated else "without a gate"
        verdict = "passed" if self.passed else here
        lines = [
            f"curriculum {verdict}{' (forced)' if self.forced else ''}: {self.num_episodes:,} episodes, "
            f"{self.env_steps:,} env steps, {self.elapsed_s:.0f} s, {self._overall_text()}"
        ]
        for i, stage in enumerate(self.stages if staged else ()):
            mark = ">" if i == self.stage else " "
            told = (
                f"success {stage.success_frac:>6.1%}" if self.tells_success else f"mean return {stage.mean_return:.2f}"
            )
            lines.append(
                f" {mark} {i} {stage.name:<22} {stage.num_episodes:>9,} episodes {stage.num_env_steps:>12,} env steps "
                f"{told}"
            )
        for t in self.transitions:
            what = f"{t.from_name} passed" if t.reason == "passed" else f"{t.from_name} -> {t.to_name} ({t.reason})"
            lines.append(
                f"   at {t.elapsed_s:7.1f} s, {t.env_steps:>10,} env steps: {what}; window of {t.window.num_episodes}: "
                f"{self._window_text(t.window)}{f'; {t.partners.worst_text}' if t.partners is not None else ''}"
            )
        return "\n".join(lines)

    def _overall_text(self) -> str:
        if self.tells_success:
            return f"success {self.success_frac:.1%} overall"
        return f"mean return {sum(s.return_sum for s in self.stages) / max(1, self.num_episodes):.2f} overall"

    def _window_text(self, window: WindowFigures) -> str:
        told = [f"success {window.success_frac:.0%}"] if self.tells_success else []
        told += [f"collisions {window.collision_frac:.0%}"] if self.tells_collisions else []
        return ", ".join([*told, f"return {window.mean_return:.2f}"])

    def gate_text(self) -> str:
        """Return which gate is open next, and how far it is, in one clause."""
        window, near = self.window, [f"{self.window.num_episodes} of {self.window_size} episodes in its window"]
        if self.min_success_frac is not None:
            near.append(f"success {window.success_frac:.0%} (at least {self.min_success_frac:.0%})")
        if self.min_return is not None:
            near.append(f"return {window.mean_return:.4g} (above {self.min_return:g})")
        if self.max_collision_frac is not None:
            near.append(f"collisions {window.collision_frac:.0%} (below {self.max_collision_frac:.0%})")
        if self.min_partner_success_frac is not None:
            worst = "beside partners not played yet" if self.partners is None else f"success {self.partners.worst_text}"
            near.append(f"{worst} (at least {self.min_partner_success_frac:.0%})")
        return f"the gate of stage {self.stage_name!r}: {', '.join(near)}"

    def to_dict(self) -> dict[str, object]:
        """Return the progress as JSON takes it; a figure that is not finite is None."""
        told = {"format_version": FORMAT_VERSION, **dataclasses.asdict(self), "success_frac": self.success_frac}
        return {name: _finite(value) for name, value in told.items()}


@dataclass(frozen=True)
class WiringFacts:
    """Where a run stands; counts are over all of its sessions."""

    env_steps: int
    learner_steps: int
    progress: CurriculumProgress
    num_workers: int
    num_replaced: int = 0
    metrics: Metrics = field(default_factory=dict)
    message: str = ""
    """The last thing that a person should know (a worker replaced, a rank restarted)."""
    league: tuple[str, ...] = ()
    """Where its league stands, in a few short lines; the first says the most."""
    is_starting: bool = False
    """Whether the worlds run, and the learner that comes up beside them has not made its first step of this session."""


def _finite(value: Any) -> Any:
    """Return ``value`` with None in place of numbers that are not finite, also inside of dicts, lists and tuples."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def write_progress(progress: CurriculumProgress, path: Path) -> None:
    """Write the progress as JSON, aside and then renamed: a reader never sees half a file."""
    replace(path, json.dumps(progress.to_dict(), indent=2, allow_nan=False) + "\n")
