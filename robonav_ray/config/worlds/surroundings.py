"""What is around a robot and what it is paid for: obstacles, walls, reward terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from robonav_ray.config.base import Section


class ObstacleConfig(Section):
    """Circles other than robots."""

    radius_min_m: float = Field(default=0.2, gt=0.0)
    """Radii are uniform between this and ``radius_max_m``."""
    radius_max_m: float = Field(default=0.5, gt=0.0)
    """The largest radius, before randomisation."""
    max_speed: float | None = Field(default=None, gt=0.0, le=10.0)
    """m/s; None takes the difficulty's: .6 standard, 1.2 fast and hard; of a robot with a model that is slower than 1
    m/s, that part of it."""
    min_speed_frac: float = Field(default=0.2, ge=0.0, le=1.0)
    """Speeds are uniform between this part of the greatest one and the greatest one."""
    start_clearance_m: float = Field(default=0.5, ge=0.0)
    """Free space between a robot and any obstacle at the start."""
    orca_time_horizon_s: float = Field(default=5.0, gt=0.0)
    """How far ahead an ORCA circle avoids collisions."""
    orca_reacts_prob: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability, per circle and episode, that an ORCA or social-force circle sees the robots."""

    @model_validator(mode="after")
    def _ordered(self) -> ObstacleConfig:
        if self.radius_min_m > self.radius_max_m:
            raise ValueError(f"radius_min_m ({self.radius_min_m}) must not be above radius_max_m ({self.radius_max_m})")
        return self


class RewardConfig(Section):
    """Weights of the reward terms; each term is summed up per episode. The first three are the task terms."""

    mode: Literal["shaped", "sparse"] = "shaped"
    """``sparse`` pays the task terms only, so that hindsight can tell what another goal would have paid (Andrychowicz
    et al. 2017)."""
    goal: float = 5.0
    """Paid for every goal."""
    finish: float = 5.0
    """Paid when all goals are reached."""
    collision: float = -5.0
    """Paid at a collision."""
    progress_per_m: float = Field(default=0.5, ge=0.0)
    """w of the potential Phi = w (offset - way to the goal - remaining legs); gamma Phi(s') - Phi(s) is paid. Ways go
    around inner walls and boxes, and along the routes of a map."""
    progress_offset_m: float = Field(default=10.0, ge=0.0)
    """The offset; about the mean of what lies ahead, so that a collision, where Phi drops to 0, does not pay the way
    not gone."""
    discomfort: float = -0.1
    """Paid per step at clearance 0, falling linearly to nothing at ``discomfort_distance_m``."""
    discomfort_distance_m: float = Field(default=0.2, gt=0.0)
    """Clearance from which on ``discomfort`` is paid."""
    time: float = -0.03
    """Paid per step: standing still is no way out."""
    timeout: float = Field(default=0.0, le=0.0)
    """Paid when max_steps are over. 0: the episode is cut off there, and learnt from as if it went on; anything else
    ends the task, as a collision does, which the part ``time_left`` of the observation lets the robot foresee (Pardo et
    al. 2018)."""
    effort: float = 0.0
    """Paid per step times the squared change of the command, as a part of its range."""

    @model_validator(mode="before")
    @classmethod
    def _sparse_defaults(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("mode") != "sparse":  # pyright: ignore[reportUnknownMemberType]
            return data  # pyright: ignore[reportUnknownVariableType]
        given: dict[str, Any] = dict(data)  # pyright: ignore[reportUnknownArgumentType]
        return dict.fromkeys(_SHAPING_TERMS, 0.0) | given

    @model_validator(mode="after")
    def _sparse_is_sparse(self) -> RewardConfig:
        paid = [f"{name} ({value:g})" for name in _SHAPING_TERMS if (value := float(getattr(self, name)))]
        if self.mode == "sparse" and paid:
            raise ValueError(f"mode=sparse pays the task terms only: leave out {', '.join(paid)}, or set mode=shaped")
        return self


_SHAPING_TERMS = ("progress_per_m", "discomfort", "time", "timeout", "effort")


class WallSegment(Section):
    """A thin wall inside the arena."""

    x0_m: float
    """One end; the arena's centre is (0, 0)."""
    y0_m: float
    """The same end."""
    x1_m: float
    """The other end."""
    y1_m: float
    """The same end."""


class Box(Section):
    """A rectangle inside the arena, sides parallel to the axes."""

    x_m: float
    """Of its centre; the arena's centre is (0, 0)."""
    y_m: float
    """Of its centre."""
    width_m: float = Field(gt=0.0)
    """Along x."""
    height_m: float = Field(gt=0.0)
    """Along y."""
