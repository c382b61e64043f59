"""A robot: its body, its drive, its lidar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field, model_validator

from robonav_ray.config.base import Section
from robonav_ray.config.words import ShownPlace
from robonav_ray.config.worlds.body import BodyConfig
from robonav_ray.config.worlds.model_files import under_given


class RobotConfig(Section):
    """Body and drive. SI units; yaw counter-clockwise, x ahead, y left."""

    model: ShownPlace | None = None
    """A shipped robot (``turtlebot3_burger``), or a YAML file of one: its keys lie under those given here and in
    ``lidar``, and obstacle speeds and limits of steps that are not given follow from its speed."""
    drive: Literal["unicycle", "holonomic", "bicycle"] = "unicycle"
    """``unicycle`` takes (v, omega), ``holonomic`` (v_x, v_y) in the body frame with a fixed yaw; ``bicycle`` is a
    unicycle that cannot turn on the spot."""
    motion: Literal["midpoint", "turn_first"] = "midpoint"
    """How a unicycle moves in a step: along the heading in the middle of its turn, or turn first, then straight along
    the new heading."""
    actions: Literal["discrete15", "holonomic81", "increments9", "everett11", "continuous"] = "discrete15"
    """15 = 3 speeds x 5 turn rates; 81 = stop + 5 speeds x 16 directions; 9 = -/0/+ on either part of the command; 11 =
    full speed x 5 turn rates, half speed and standing x 3."""
    radius_m: float = Field(default=0.25, gt=0.0, le=2.0)
    """The robot is a disc of this radius; where ``body`` is none, its outer radius, which is computed."""
    body: BodyConfig = BodyConfig()
    radius_min_m: float | None = Field(default=None, gt=0.0)
    """Each robot's radius is drawn per episode, uniform between this and radius_m; None: all have radius_m."""
    max_speed: float = Field(default=1.0, gt=0.0, le=10.0)
    """m/s."""
    min_speed: float | None = Field(default=None, gt=0.0)
    """Each robot's greatest speed, its preferred one, is drawn per episode, the greater of two uniform draws between
    this and max_speed; None: all have max_speed."""
    max_turn_rate: float = Field(default=1.5, gt=0.0, le=10.0)
    """rad/s; not holonomic."""
    min_turn_radius_m: float | None = Field(default=None, gt=0.0, le=20.0)
    """Of a bicycle: its turn rate is at most its speed divided by this."""
    max_acceleration: float | None = Field(default=None, gt=0.0)
    """m/s^2; None is no limit."""
    max_turn_acceleration: float | None = Field(default=None, gt=0.0)
    """rad/s^2; None is no limit."""
    command_delay_s: float = Field(default=0.0, ge=0.0, le=5.0)
    """Time until a command reaches the wheels, to the nearest whole step; a stage's ``action_latency`` comes on top."""

    @property
    def is_holonomic(self) -> bool:
        """Whether commands are (v_x, v_y), and not (v, omega)."""
        return self.drive == "holonomic"

    @model_validator(mode="before")
    @classmethod
    def _model_lies_under(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = cast("Mapping[str, Any]", data)
        model = given.get("model")
        return under_given(model, "robot", cls, given) if isinstance(model, str) else given

    @model_validator(mode="after")
    def _body_has_one_size(self) -> RobotConfig:
        if self.body.shape == "circle":
            return self
        outer = float(f"{self.body.outer_radius_m:.9g}")
        if "radius_m" in self.model_fields_set and abs(self.radius_m - outer) > 1e-6:
            raise ValueError(
                f"radius_m ({self.radius_m}) is that of a disc, and the body's shape is {self.body.shape} (its outer "
                f"radius is {outer:g}): leave radius_m out, or set body.shape=circle"
            )
        if self.radius_min_m is not None:
            raise ValueError(
                f"radius_min_m ({self.radius_min_m}) is drawn for discs, and the body is a {self.body.shape}"
            )
        object.__setattr__(self, "radius_m", outer)
        return self

    @model_validator(mode="after")
    def _turns_as_it_drives(self) -> RobotConfig:
        if self.drive == "bicycle" and self.min_turn_radius_m is None:
            raise ValueError("drive=bicycle turns in a circle of at least min_turn_radius_m: give it")
        if self.drive != "bicycle" and self.min_turn_radius_m is not None:
            raise ValueError(
                f"min_turn_radius_m ({self.min_turn_radius_m}) would be ignored, because drive is {self.drive}: leave "
                "it out, or set drive=bicycle"
            )
        return self

    @model_validator(mode="after")
    def _actions_fit_drive(self) -> RobotConfig:
        wrong = {"holonomic": ("discrete15", "everett11")}.get(self.drive, ("holonomic81",))
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
    """A planar lidar; beam i looks to ``yaw - field_of_view / 2 + i * angle_increment``."""

    num_beams: int = Field(default=36, ge=1, le=2048)
    """Ranges in one scan."""
    range_max_m: float = Field(default=5.0, gt=0.0, le=100.0)
    """A beam that meets nothing nearer returns this."""
    range_min_m: float = Field(default=0.0, ge=0.0, le=10.0)
    """What is nearer than this is not seen: its beam returns the greatest range."""
    field_of_view_rad: float = Field(default=2.0 * math.pi, gt=0.0, le=2.0 * math.pi)
    """A full circle is divided into ``num_beams``; a smaller sector has a beam on either edge."""
    x_m: float = Field(default=0.0, ge=-2.0, le=2.0)
    """Where it stands, ahead of the robot's centre."""
    y_m: float = Field(default=0.0, ge=-2.0, le=2.0)
    """The same, to the left."""
    yaw_rad: float = Field(default=0.0, ge=-math.pi, le=math.pi)
    """Where the middle of its field of view looks, from straight ahead."""
    noise_m: float = Field(default=0.0, ge=0.0, le=1.0)
    """Standard deviation of every range; a stage's ``range_noise`` adds its own."""
    rate_hz: float | None = Field(default=None, gt=0.0, le=1000.0)
    """Scans in a second, where steps are more: between two of them the last one stands. None: one a step."""
    stack: int = Field(default=3, ge=1, le=16)
    """Scans in one observation, newest first: a single one hides how obstacles move."""
    stack_interval: int = Field(default=4, ge=1, le=32)
    """Steps between two scans of the stack: the longer, the further obstacles have moved between them."""
    encoding: Literal["range", "proximity"] = "proximity"
    """How a range r is shown: ``range`` as r / range_max, ``proximity`` as (R / r - R / range_max) / (1 - R /
    range_max) with R the robot's radius: 1 at contact, 0 at the greatest range, and finest where a decision hangs on
    centimetres. Of a body that is no disc, or a lidar that does not stand in its middle, R is how far that is from the
    nearest side."""
    align: bool = True
    """Show the older scans as their points lie seen from where the robot is now (by its odometry), so that what stands
    still looks the same in all of them and what moves does not."""

    @model_validator(mode="after")
    def _sees_something(self) -> LidarConfig:
        if self.range_min_m >= self.range_max_m:
            raise ValueError(f"range_min_m ({self.range_min_m}) must be below range_max_m ({self.range_max_m})")
        return self

    @model_validator(mode="after")
    def _one_scan_has_no_older_ones(self) -> LidarConfig:
        for key in ("stack_interval", "align") if self.stack == 1 else ():
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default:
                raise ValueError(
                    f"{key} ({value}) would be ignored, because stack is 1: leave it out, or take stack=2 or more"
                )
        return self


class RobotModel(Section):
    """A robot as it is bought, which ``env.world.robot`` names: body and drive, and the lidar on it."""

    robot: RobotConfig = RobotConfig()
    lidar: LidarConfig = LidarConfig()
