"""The worlds: one robot or several among obstacles, in arrays over (world, robot).

``WorldConfig`` is what all worlds of a run share (body, sensor, reward); ``LevelConfig`` is what may differ from stage
to stage and from world to world.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from robonav_ray.config.base import Section
from robonav_ray.config.words import refuse_secrets

Behaviour = Literal["waypoint", "bounce", "intercept", "orca", "social_force"]


class RandomizationConfig(Section):
    """Domain randomisation and faults; each a level from 0 (off) to 3 (strong).

    What the levels mean in SI units stands in ``robonav_ray/worlds/kernels/randomization.py``.
    """

    range_noise: int = Field(default=0, ge=0, le=3)
    """Gaussian noise on every range: 0, .02, .08, .2 m."""
    beam_dropout: int = Field(default=0, ge=0, le=3)
    """Part of the beams that return nothing in a step: 0, .05, .2, .5."""
    blind_sector: int = Field(default=0, ge=0, le=3)
    """A sector, drawn per episode, that never returns anything: 0, 30, 60, 120 degrees."""
    frozen_scan: int = Field(default=0, ge=0, le=3)
    """Per step, the probability that the scan stands still for the next 5 steps: 0, .01, .03, .1."""
    blackout: int = Field(default=0, ge=0, le=3)
    """Per step, the probability that no beam returns anything for 5 steps: 0, .005, .02, .05."""
    odometry_noise: int = Field(default=0, ge=0, le=3)
    """White noise on the pose from which goal features are computed: 0, .02, .05, .15 m and half as much in rad."""
    odometry_drift: int = Field(default=0, ge=0, le=3)
    """Random walk of the same pose, per square root of a metre: 0, .02, .05, .1 m and a quarter of it in rad."""
    observation_latency: int = Field(default=0, ge=0, le=3)
    """Age of the observation: 0, 1, 2, 4 steps."""
    action_latency: int = Field(default=0, ge=0, le=3)
    """Age of the command that is executed: 0, 1, 2, 3 steps."""
    dropped_commands: int = Field(default=0, ge=0, le=3)
    """Probability that a command is lost and the last one goes on: 0, .05, .15, .3."""
    actuator_gain: int = Field(default=0, ge=0, le=3)
    """Gain error of either actuator, drawn per episode: +-0, 5, 10, 20 %."""
    slip: int = Field(default=0, ge=0, le=3)
    """Per step, up to this part of the motion is lost, and half of it turns sideways: 0, .05, .15, .3."""
    obstacle_speed: int = Field(default=0, ge=0, le=3)
    """Factor on obstacle speeds, per episode, log-uniform in: 1, .8-1.25, .65-1.5, .5-2."""
    obstacle_count: int = Field(default=0, ge=0, le=3)
    """Static and moving obstacles more or fewer, per episode: +-0, 1, 2, 3 of either kind that the level has."""
    obstacle_size: int = Field(default=0, ge=0, le=3)
    """Factor on obstacle radii, per episode, log-uniform in: 1, .85-1.2, .7-1.4, .5-1.6."""


class LevelConfig(Section):
    """What may differ from stage to stage."""

    num_static: int = Field(default=0, ge=0, le=64)
    """Circles that stand still."""
    num_dynamic: int = Field(default=7, ge=0, le=64)
    """Circles that move."""
    behaviours: tuple[Behaviour, ...] = Field(default=("waypoint",), min_length=1, max_length=8)
    """What moving circles do; the i-th takes ``behaviours[i % len]``."""
    num_goals: int = Field(default=4, ge=1, le=16)
    """Goals to be reached in sequence."""
    max_steps: int = Field(default=400, ge=1, le=1_000_000)
    """Steps after which an episode is truncated."""
    randomization: RandomizationConfig = RandomizationConfig()


class RobotConfig(Section):
    """Body and drive. SI units; yaw counter-clockwise, x ahead, y left."""

    drive: Literal["unicycle", "holonomic"] = "unicycle"
    """``unicycle`` takes (v, omega), ``holonomic`` (v_x, v_y) in the body frame with a fixed yaw."""
    actions: Literal["discrete15", "holonomic81", "increments9", "continuous"] = "discrete15"
    """15 = 3 speeds x 5 turn rates; 81 = stop + 5 speeds x 16 directions; 9 = -/0/+ on either part of the command."""
    radius_m: float = Field(default=0.25, gt=0.0, le=2.0)
    """The robot is a disc of this radius."""
    max_speed: float = Field(default=1.0, gt=0.0, le=10.0)
    """m/s."""
    max_turn_rate: float = Field(default=1.5, gt=0.0, le=10.0)
    """rad/s; unicycle only."""
    max_acceleration: float | None = Field(default=None, gt=0.0)
    """m/s^2; None is no limit."""
    max_turn_acceleration: float | None = Field(default=None, gt=0.0)
    """rad/s^2; None is no limit."""

    @model_validator(mode="after")
    def _actions_fit_drive(self) -> RobotConfig:
        wrong = {"unicycle": "holonomic81", "holonomic": "discrete15"}[self.drive]
        if self.actions == wrong:
            raise ValueError(f"actions={wrong!r} does not go with drive={self.drive!r}; change one of the two")
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


class ObstacleConfig(Section):
    """Circles other than robots."""

    radius_min_m: float = Field(default=0.2, gt=0.0)
    """Radii are uniform between this and ``radius_max_m``."""
    radius_max_m: float = Field(default=0.5, gt=0.0)
    """The largest radius, before randomisation."""
    max_speed: float | None = Field(default=None, gt=0.0, le=10.0)
    """m/s; None takes the difficulty's: .6 standard, 1.2 fast and hard."""
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
    """w of the potential Phi = w (offset - distance to the goal - remaining legs); gamma Phi(s') - Phi(s) is paid."""
    progress_offset_m: float = Field(default=10.0, ge=0.0)
    """The offset; about the mean of what lies ahead, so that a collision, where Phi drops to 0, does not pay the way
    not gone."""
    discomfort: float = -0.1
    """Paid per step at clearance 0, falling linearly to nothing at ``discomfort_distance_m``."""
    discomfort_distance_m: float = Field(default=0.2, gt=0.0)
    """Clearance from which on ``discomfort`` is paid."""
    time: float = -0.03
    """Paid per step: standing still is no way out."""
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


_SHAPING_TERMS = ("progress_per_m", "discomfort", "time", "effort")


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


CROWDNAV_LEVEL = LevelConfig(num_static=0, num_dynamic=5, behaviours=("orca",), num_goals=1, max_steps=100)
"""Five ORCA humans and 25 s at .25 s a step, as in CrowdNav."""

_PROFILES: dict[str, dict[str, Any]] = {
    "navigation": {},
    "crowdnav": {
        "placement": "circle_crossing",
        "dt_s": 0.25,
        "arena_size_m": 20.0,
        "walls": False,
        "observation": "state",
        "goal_tolerance_m": 0.3,
        "robot": {"drive": "holonomic", "actions": "holonomic81", "radius_m": 0.3, "max_speed": 1.0},
        "obstacles": {
            "radius_min_m": 0.3,
            "radius_max_m": 0.3,
            "max_speed": 1.0,
            "min_speed_frac": 1.0,
            "start_clearance_m": 0.2,
            "orca_reacts_prob": 0.0,
        },
    },
}


class WorldConfig(Section):
    """What all worlds of a run share. A ``profile`` sets other defaults; what is given explicitly wins over it."""

    profile: Literal["navigation", "crowdnav"] = "navigation"
    """``crowdnav``: circle crossing with ORCA humans (Chen et al., ICRA 2019)."""
    difficulty: Literal["standard", "fast", "hard"] = "standard"
    """standard: 10 m, obstacles to .6 m/s; fast: 10 m, 1.2 m/s; hard: 6 m, 1.2 m/s."""
    placement: Literal["arena", "circle_crossing"] = "arena"
    """``arena``: everything uniform within the walls; ``circle_crossing``: all cross a circle of radius 4 m."""
    num_robots: int = Field(default=1, ge=1, le=64)
    """Robots per world; they see each other as circles."""
    dt_s: float = Field(default=0.1, gt=0.0, le=1.0)
    """Seconds that a step takes."""
    arena_size_m: float | None = Field(default=None, gt=0.0, le=200.0)
    """Side of the square arena; None takes the difficulty's."""
    walls: bool = True
    """Whether the four walls exist (for the lidar and for collisions)."""
    segments: tuple[WallSegment, ...] = Field(default=(), max_length=256)
    boxes: tuple[Box, ...] = Field(default=(), max_length=64)
    robot: RobotConfig = RobotConfig()
    lidar: LidarConfig = LidarConfig()
    observation: Literal["lidar", "state"] = "lidar"
    """``state`` shows the true positions and velocities of the circles, rotated towards the goal, as SARL does."""
    obstacles: ObstacleConfig = ObstacleConfig()
    reward: RewardConfig = RewardConfig()
    goal_tolerance_m: float = Field(default=0.3, gt=0.0)
    """A goal is reached when the robot's centre is nearer than this."""
    min_goal_distance_m: float = Field(default=2.0, gt=0.0)
    """A goal is drawn at least this far from the last one (from the start, the first)."""

    @model_validator(mode="before")
    @classmethod
    def _apply_profile(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given: dict[str, Any] = dict(data)  # pyright: ignore[reportUnknownArgumentType]
        for key, value in _PROFILES.get(str(given.get("profile", "navigation")), {}).items():
            if key not in given:
                given[key] = value
            elif isinstance(value, dict) and isinstance(given[key], Mapping):
                given[key] = {**value, **given[key]}
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> WorldConfig:
        half = 0.5 * self.side_m
        if half - self.robot.radius_m <= max(self.obstacles.radius_max_m, self.robot.radius_m):
            raise ValueError(
                f"arena_size_m ({self.side_m}) is too small for the robot and obstacles of obstacles.radius_max_m"
            )
        if self.lidar.range_max_m <= self.robot.radius_m:
            raise ValueError(
                f"lidar.range_max_m ({self.lidar.range_max_m}) must be above robot.radius_m ({self.robot.radius_m}): "
                "the lidar stands in the robot's centre, and would see nothing but the robot"
            )
        if self.placement == "arena" and self.min_goal_distance_m > 0.5 * self.side_m:
            raise ValueError(
                f"min_goal_distance_m ({self.min_goal_distance_m}) must be at most half of the arena ({half} m)"
            )
        if self.placement == "circle_crossing" and self.num_robots != 1:
            raise ValueError(f"placement='circle_crossing' has one robot; num_robots is {self.num_robots}")
        if self.min_goal_distance_m <= self.goal_tolerance_m:
            raise ValueError(
                f"min_goal_distance_m ({self.min_goal_distance_m}) must be above goal_tolerance_m "
                f"({self.goal_tolerance_m})"
            )
        for x0, y0, x1, y1 in self.wall_lines():
            if max(abs(x0), abs(y0), abs(x1), abs(y1)) > half:
                raise ValueError(f"a wall from ({x0}, {y0}) to ({x1}, {y1}) leaves the arena, which ends at +-{half} m")
        return self

    @property
    def side_m(self) -> float:
        """Side of the arena in metres."""
        return (
            self.arena_size_m
            if self.arena_size_m is not None
            else {"standard": 10.0, "fast": 10.0, "hard": 6.0}[self.difficulty]
        )

    @property
    def obstacle_speed(self) -> float:
        """Greatest obstacle speed in m/s, before randomisation."""
        if self.obstacles.max_speed is not None:
            return self.obstacles.max_speed
        return {"standard": 0.6, "fast": 1.2, "hard": 1.2}[self.difficulty]

    def wall_lines(self) -> list[tuple[float, float, float, float]]:
        """Return inner walls as (x0, y0, x1, y1): the segments, then four lines per box."""
        lines = [(s.x0_m, s.y0_m, s.x1_m, s.y1_m) for s in self.segments]
        for b in self.boxes:
            x0, x1 = b.x_m - b.width_m / 2, b.x_m + b.width_m / 2
            y0, y1 = b.y_m - b.height_m / 2, b.y_m + b.height_m / 2
            lines += [(x0, y0, x1, y0), (x1, y0, x1, y1), (x1, y1, x0, y1), (x0, y1, x0, y0)]
        return lines


NATIVE_ENV_ID = "robonav_ray/Nav-v0"
"""Our own worlds."""


class EnvConfig(Section):
    """Which environment the rollout workers run."""

    id: str = NATIVE_ENV_ID
    """A Gymnasium id: ours, or any other with Discrete actions and a flat Box observation, or the Dict of a
    goal-env."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of ``gymnasium.make`` for an environment that is not ours."""
    world: WorldConfig = WorldConfig()
    """Our worlds; must stay at its default when ``id`` is another environment."""

    @property
    def is_native(self) -> bool:
        """True for our own worlds, which have levels and outcomes."""
        return self.id == NATIVE_ENV_ID

    @property
    def has_lidar_ring(self) -> bool:
        """True where observations hold the scans of a lidar that looks all around."""
        full_circle = self.world.lidar.field_of_view_rad >= 2.0 * math.pi - 1e-6
        return self.is_native and self.world.observation == "lidar" and full_circle

    @property
    def has_neighbor_set(self) -> bool:
        """True where observations list the neighbours, which a lidar only senses."""
        return self.is_native and self.world.observation != "lidar"

    @model_validator(mode="after")
    def _no_ignored_setting(self) -> EnvConfig:
        refuse_secrets("env.kwargs", self.kwargs)
        if self.is_native and self.kwargs:
            raise ValueError(f"kwargs {sorted(self.kwargs)} are for other environments; for {self.id} set env.world.*")
        if not self.is_native and self.world != WorldConfig():
            raise ValueError(f"world must stay at its default when id is {self.id!r}: it would be ignored")
        return self
