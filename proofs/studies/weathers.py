"""What the robustness study asks for and tries: the cells with their targets, and the variants."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofs.common.checkout import ROOT
from robonav_ray.config.curriculum import CurriculumConfig


@dataclass(frozen=True)
class Target:
    """Success in a cell, 0 to 1."""

    now: float
    """What `make train` had when the study began, on 1,000 worlds."""
    must: float
    aim: float


CELLS = {
    "as_trained": Target(0.933, 0.94, 0.96),
    "action_delay_2": Target(0.756, 0.88, 0.93),
    "observation_delay_2": Target(0.791, 0.88, 0.93),
    "odometry_drift_2": Target(0.679, 0.82, 0.90),
    "all_noise_1": Target(0.682, 0.85, 0.90),
    "obstacles_14": Target(0.719, 0.85, 0.90),
    "moving_7_static_7": Target(0.836, 0.87, 0.90),
    "arena_6": Target(0.570, 0.78, 0.85),
    "fast": Target(0.376, 0.68, 0.78),
    "hard": Target(0.094, 0.25, 0.45),
    "intercepting": Target(0.191, 0.30, 0.50),
    "inner_walls": Target(0.435, 0.65, 0.85),
}


@dataclass(frozen=True)
class Variant:
    """The navigation preset with changes."""

    text: str
    changes: dict[str, Any] = field(default_factory=dict)
    config: str | None = None
    """A curriculum that is shipped, by name."""
    cost: float = 1.0
    """Seconds of an update, against the preset's: of encoder and distribution as docs/algorithms.md has them, of more
    beams and wider layers a guess that is not measured yet."""

    @property
    def file(self) -> Path | None:
        """Where the curriculum stands; None for the default one."""
        return None if self.config is None else ROOT / "configs" / "curriculum" / f"{self.config}.yaml"


def finish(last: dict[str, Any]) -> dict[str, Any]:
    """Return the change that puts a stage behind the four of the default curriculum."""
    usual = [one.model_dump(mode="json") for one in CurriculumConfig().stages]
    return {"curriculum.stages": [*usual, last]}


def stage(name: str, *, min_success: float = 0.5, **level: Any) -> dict[str, Any]:
    """Return a stage with four goals that is passed with ``min_success``."""
    shared = {"num_static": 0, "num_dynamic": 7, "num_goals": 4, "max_steps": 400}
    return {
        "name": name,
        "level": {**shared, **level},
        "epsilon": {"start": 0.1, "end": 0.01, "decay": 0.998},
        "gate": {"min_success_frac": min_success},
    }


NOISE = {
    "range_noise": 1, "beam_dropout": 1, "blind_sector": 1, "frozen_scan": 1, "blackout": 1, "odometry_noise": 1,
    "odometry_drift": 1, "dropped_commands": 1, "actuator_gain": 1, "slip": 1,
}  # fmt: skip
VARIED = {"obstacle_count": 3, "obstacle_speed": 3, "obstacle_size": 2}
LATE = {"action_latency": 1, "observation_latency": 1}
MANY_KINDS = ["waypoint", "waypoint", "bounce", "orca", "waypoint", "intercept"]

VARIANTS = {
    "baseline": Variant("the navigation preset"),
    "noise": Variant(
        "a fifth stage with all noise at level 1 and delays of one step in all of its worlds",
        finish(stage("noise", randomization={**NOISE, **LATE})),
    ),
    "varied": Variant(
        "a fifth stage that draws number, speed and size of obstacles in every episode",
        finish(stage("varied", num_dynamic=10, randomization=VARIED)),
    ),
    "everything": Variant(
        "a fifth stage with both, drift 2 and obstacles of all kinds in all of its worlds",
        finish(
            stage(
                "everything",
                num_dynamic=10,
                num_static=3,
                behaviours=MANY_KINDS,
                min_success=0.4,
                randomization={**NOISE, **VARIED, **LATE, "odometry_drift": 2},
            )
        ),
    ),
    "weathers": Variant("a fifth stage with eight parts side by side", config="weathers"),
    "weathers72": Variant("the same with 72 beams", {"env.world.lidar.num_beams": 72}, "weathers", cost=1.2),
    "weathers_wide": Variant("the same with two layers of 512", {"algo.hidden_dims": [512, 512]}, "weathers", cost=2.0),
    "weathers_iqn": Variant(
        "the same with the distribution of the return, by implicit quantiles",
        {"algo.distribution": "iqn"},
        "weathers",
        cost=2.4,
    ),
    "robust": Variant(
        "the preset: a fifth stage with eighteen parts; 72 beams, the last four commands, forecast and detour",
        {"preset": "robust"},
        cost=1.55,
    ),
    "robust_wide": Variant(
        "the same with two layers of 512",
        {"preset": "robust", "algo.hidden_dims": [512, 512]},
        cost=2.7,
    ),
    "beams72": Variant("72 beams", {"env.world.lidar.num_beams": 72}, cost=1.2),
    "ring": Variant("convolutions around the ring of beams", {"algo.encoder": "lidar_conv"}, cost=2.3),
}
