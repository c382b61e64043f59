"""A robot: its body, its drive, its lidar."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from robonav_ray.config.base import Section


class RobotConfig(Section):
    """Body and drive. SI units; yaw counter-clockwise, x ahead, y left."""

    drive: Literal["unicycle", "holonomic"] = "unicycle"
    """``unicycle`` takes (v, omega), ``holonomic`` (v_x, v_y) in the body frame with a fixed yaw."""
    motion: Literal["midpoint", "turn_first"] = "midpoint"
    """How a unicycle moves in a step: along the heading in the middle of its turn, or turn first, then straight along
    the new heading."""
    actions: Literal["discrete15", "holonomic81", "increments9", "everett11", "continuous"] = "discrete15"
    """15 = 3 speeds x 5 turn rates; 81 = stop + 5 speeds x 16 directions; 9 = -/0/+ on either part of the command; 11 =
    full speed x 5 turn rates, half speed and standing x 3."""
    radius_m: float = Field(default=0.25, gt=0.0, le=2.0)
    """The robot is a disc of this radius."""
    radius_min_m: float | None = Field(default=None, gt=0.0)
    """Each robot's radius is drawn per episode, uniform between this and radius_m; None: all have radius_m."""
    max_speed: float = Field(default=1.0, gt=0.0, le=10.0)
    """m/s."""
    min_speed: float | None = Field(default=None, gt=0.0)
    """Each robot's greatest speed, its preferred one, is drawn per episode, the greater of two uniform draws between
    this and max_speed; None: all have max_speed."""
    max_turn_rate: float = Field(default=1.5, gt=0.0, le=10.0)
    """rad/s; unicycle only."""
    max_acceleration: float | None = Field(default=None, gt=0.0)
    """m/s^2; None is no limit."""
    max_turn_acceleration: float | None = Field(default=None, gt=0.0)
    """rad/s^2; None is no limit."""

    @model_validator(mode="after")
    def _actions_fit_drive(self) -> RobotConfig:
        wrong = {"unicycle": ("holonomic81",), "holonomic": ("discrete15", "everett11")}[self.drive]
        if self.actions in wrong:
            raise ValueError(f"actions={self.actions!r} does not go with drive={self.drive!r}; change one of the two")
        if self.drive == "holonomic" and self.motion != "midpoint":
            raise ValueError(f"motion ({self.motion}) would be ignored, because drive is holonomic: leave it out")
        return self

    @model_validator(mode="after")
    def _least_is_not_above_most(self) -> RobotConfig:
        for least, most in (("radius_min_m", "radius_m"), ("min_speed", "max_speed")):
            value, bound = getattr(self, least), getattr(self, most)
            if value is not None and value > bound:
                raise ValueError(f"{least} ({value}) must not be above {most} ({bound})")
        return self


class LidarConfig(Section):
    """A planar lidar at the robot's centre; beam i looks to ``-field_of_view / 2 + i * angle_increment``."""

    num_beams: int = Field(default=36, ge=1, le=2048)
    """Ranges in one scan."""
    range_max_m: float = Field(default=5.0, gt=0.0, le=100.0)
    """A beam that meets nothing nearer returns this."""
    field_of_view_rad: float = Field(default=2.0 * math.pi, gt=0.0, le=2.0 * math.pi)
    """A full circle is divided into ``num_beams``; a smaller sector has a beam on either edge."""
    stack: int = Field(default=3, ge=1, le=16)
    """Scans in one observation, newest first: a single one hides how obstacles move."""
    stack_interval: int = Field(default=4, ge=1, le=32)
    """Steps between two scans of the stack: the longer, the further obstacles have moved between them."""
    encoding: Literal["range", "proximity"] = "proximity"
    """How a range r is shown: ``range`` as r / range_max, ``proximity`` as (R / r - R / range_max) / (1 - R /
    range_max) with R the robot's radius: 1 at contact, 0 at the greatest range, and finest where a decision hangs on
    centimetres."""
    align: bool = True
    """Show the older scans as their points lie seen from where the robot is now (by its odometry), so that what stands
    still looks the same in all of them and what moves does not."""

    @model_validator(mode="after")
    def _one_scan_has_no_older_ones(self) -> LidarConfig:
        for key in ("stack_interval", "align") if self.stack == 1 else ():
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default:
                raise ValueError(
                    f"{key} ({value}) would be ignored, because stack is 1: leave it out, or take stack=2 or more"
                )
        return self
