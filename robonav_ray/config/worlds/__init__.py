"""The worlds: one robot or several among obstacles, in arrays over (world, robot).

``WorldConfig`` is what all worlds of a run share (body, sensor, reward); ``LevelConfig`` is what may differ from stage
to stage and from world to world.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, model_validator
from pydantic.json_schema import JsonSchemaValue

from robonav_ray.config.base import Section
from robonav_ray.config.words import refuse_secrets
from robonav_ray.config.worlds.body import BodyConfig
from robonav_ray.config.worlds.level import Behaviour, Difficulty, LevelConfig, RandomizationConfig
from robonav_ray.config.worlds.maps import MapConfig, PathConfig, map_section
from robonav_ray.config.worlds.model_files import robot_section, under_given
from robonav_ray.config.worlds.profiles import CROWDNAV_LEVEL, EVERETT_LEVEL, PROFILES
from robonav_ray.config.worlds.robot import LidarConfig, RobotConfig
from robonav_ray.config.worlds.surroundings import Box, ObstacleConfig, RewardConfig, WallSegment

__all__ = [
    "CROWDNAV_LEVEL",
    "EVERETT_LEVEL",
    "NATIVE_ENV_ID",
    "SHOWN_KEYS",
    "Behaviour",
    "BodyConfig",
    "Box",
    "EnvConfig",
    "LevelConfig",
    "LidarConfig",
    "MapConfig",
    "ObstacleConfig",
    "PathConfig",
    "RandomizationConfig",
    "RewardConfig",
    "RobotConfig",
    "WallSegment",
    "WorldConfig",
]


SHOWN_KEYS = ("recent_commands", "forecast", "detour")
"""Of a world, what else the observation of a lidar shows."""


class WorldConfig(Section):
    """What all worlds of a run share. A ``profile`` sets other defaults; what is given explicitly wins over it."""

    also_read: ClassVar[Mapping[str, JsonSchemaValue]] = {
        "map": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "robot": {"type": "string"},
    }

    profile: Literal["navigation", "crowdnav", "everett"] = "navigation"
    """``crowdnav``: circle crossing with ORCA humans (Chen et al., ICRA 2019). ``everett``: robots of several sizes and
    speeds that cross each other's ways (Everett, Chen, How: GA3C-CADRL, IROS 2018)."""
    difficulty: Difficulty = "standard"
    """standard: 10 m, obstacles to .6 m/s; fast: 10 m, 1.2 m/s; hard: 6 m, 1.2 m/s."""
    placement: Literal["arena", "circle_crossing", "everett"] = "arena"
    """``arena``: everything uniform within the walls; ``circle_crossing``: all cross a circle of radius 4 m;
    ``everett``: starts and goals whose straight ways meet, without walls."""
    cases: str | None = Field(default=None, min_length=1)
    """A file of cases that the worlds go through instead of drawing theirs, for placement ``everett``: .npz or a JSON
    list, each case rows (start x, y, goal x, y, preferred speed, radius)."""
    cases_of: int | None = Field(default=None, ge=1, le=64)
    """Of the file, only the cases of so many robots; None takes all."""
    num_robots: int = Field(default=1, ge=1, le=64)
    """Robots per world; they see each other as circles."""
    ended_robots: Literal["leave", "stay"] = "leave"
    """What becomes of a robot that ends before the others of its world: it leaves, or it stays where it is, seen by the
    others and in their way."""
    collisions: Literal["swept", "end_of_step"] = "swept"
    """Whether a collision is an overlap at any moment of a step, or at its end only."""
    time_limit_factor: float | None = Field(default=None, gt=0.0)
    """A robot's time is this times what its tour takes at its preferred speed, goal tolerance off, and at most
    max_steps; None is max_steps."""
    dt_s: float = Field(default=0.1, gt=0.0, le=1.0)
    """Seconds that a step takes."""
    arena_size_m: float | None = Field(default=None, gt=0.0, le=200.0)
    """Side of the square arena; None takes the difficulty's."""
    walls: bool = True
    """Whether the four walls exist (for the lidar and for collisions)."""
    segments: tuple[WallSegment, ...] = Field(default=(), max_length=256)
    boxes: tuple[Box, ...] = Field(default=(), max_length=64)
    map: MapConfig | None = None
    """Floor plans in place of the bare arena; circles, segments and boxes stand in them as they do there."""
    path: PathConfig = PathConfig()
    recent_commands: int = Field(default=0, ge=0, le=16)
    """The last commands that the observation of a lidar shows, newest first: what a robot that obeys late will still
    do. Never late themselves."""
    forecast: bool = False
    """Whether the observation of a lidar says, for each of 15 courses (3 speeds, 5 turn rates), how soon the robot
    would touch something within 2 s, and how near it would come, were all to move on as the last scans show."""
    detour: bool = False
    """Whether the observation of a lidar holds the bearing of the shortest way past what its newest scan shows between
    robot and goal, and its extra length (TangentBug: Kamon, Rivlin and Rimon 1996)."""
    robot: RobotConfig = RobotConfig()
    lidar: LidarConfig = LidarConfig()
    observation: Literal["lidar", "state", "neighbors", "encounters"] = "lidar"
    """``state`` shows the true positions and velocities of the circles, rotated towards the goal, as SARL does;
    ``neighbors`` the other robots and circles as a set, each relative to the robot; ``encounters`` the same set looking
    along the robot's heading, with how soon the robot would meet each on each of several courses."""
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
        if "map" in given:
            given["map"] = map_section(given["map"])
        profile = PROFILES.get(str(given.get("profile", "navigation")), {})
        given = _with_model(given, str(given.get("observation", profile.get("observation", "lidar"))))
        for key, value in profile.items():
            if key not in given:
                given[key] = value
            elif isinstance(value, dict) and isinstance(given[key], Mapping):
                given[key] = {**value, **given[key]}
        return given

    @model_validator(mode="after")
    def _body_fits(self) -> WorldConfig:
        shape = self.robot.body.shape
        if shape != "circle" and (self.placement != "arena" or self.cases is not None):
            raise ValueError(
                f"robot.body.shape={shape} goes with placement=arena, and placement is {self.placement}: set "
                "robot.body.shape=circle"
            )
        if shape != "circle" and self.collisions != "swept":
            raise ValueError(
                f"collisions={self.collisions} is for discs, and robot.body.shape is {shape}: leave one out"
            )
        return self

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
        if self.placement == "everett" and (self.walls or self.segments or self.boxes):
            raise ValueError("placement='everett' has no walls: set walls=false, and leave out segments and boxes")
        if self.cases is not None and self.placement != "everett":
            raise ValueError(
                f"cases ({self.cases!r}) would be ignored, because placement is {self.placement!r}: leave it out, or "
                "take placement=everett (profile=everett sets it)"
            )
        if self.cases_of is not None and self.cases is None:
            raise ValueError(f"cases_of ({self.cases_of}) would be ignored without a file of cases: leave it out")
        lidar = self.lidar
        if self.forecast and (
            self.observation != "lidar" or lidar.stack < 3 or not lidar.align or self.robot.is_holonomic
        ):
            raise ValueError(
                "forecast=true looks along the ways of a robot that turns, and at three scans of a lidar as seen from "
                "one place: set observation=lidar, lidar.stack=3 or more, lidar.align=true and robot.drive=unicycle or "
                "bicycle, or leave it out"
            )
        if self.detour and self.observation != "lidar":
            raise ValueError("detour=true looks at a scan: set observation=lidar, or leave it out")
        if self.recent_commands and self.observation != "lidar":
            raise ValueError(
                f"recent_commands ({self.recent_commands}) are shown beside a scan: set observation=lidar, or leave "
                "them out"
            )
        if self.reward.timeout and self.observation == "state":
            raise ValueError(
                f"reward.timeout ({self.reward.timeout:g}) ends the task when its time is up, which observation=state "
                "does not show: take another observation, or leave it out"
            )
        self._map_fits()
        if self.min_goal_distance_m <= self.goal_tolerance_m:
            raise ValueError(
                f"min_goal_distance_m ({self.min_goal_distance_m}) must be above goal_tolerance_m "
                f"({self.goal_tolerance_m})"
            )
        for x0, y0, x1, y1 in self.wall_lines():
            if max(abs(x0), abs(y0), abs(x1), abs(y1)) > half:
                raise ValueError(f"a wall from ({x0}, {y0}) to ({x1}, {y1}) leaves the arena, which ends at +-{half} m")
        return self

    def _map_fits(self) -> None:
        if self.path.num_points and (self.map is None or self.observation != "lidar"):
            raise ValueError(
                f"path.num_points ({self.path.num_points}) shows the route through a map beside a scan: set map=FILE "
                "and observation=lidar, or leave it out"
            )
        if self.map is None:
            return
        for key in ("placement", "arena_size_m", "cases"):
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default:
                raise ValueError(f"{key} ({value}) would be ignored, because map says where things are: leave it out")
        if not self.walls:
            raise ValueError("walls=false would be ignored, because the map has the walls: leave it out")

    @property
    def side_m(self) -> float:
        """Side of the arena in metres."""
        return (
            self.arena_size_m
            if self.arena_size_m is not None
            else {"standard": 10.0, "fast": 10.0, "hard": 6.0}[self.difficulty]
        )

    @property
    def contact_m(self) -> float:
        """The range at which ``lidar.encoding=proximity`` shows 1: the robot's radius; of another body, or a lidar that
        does not stand in its middle, how far that is from the nearest side, but nothing that it does not see, and no
        less than 10 cm.
        """
        robot, lidar = self.robot, self.lidar
        aside = math.hypot(lidar.x_m, lidar.y_m)
        if robot.body.shape == "circle" and aside == 0.0:
            return robot.radius_m
        is_disc = robot.body.shape == "circle"
        nearest = abs(robot.radius_m - aside) if is_disc else robot.body.side_distance_m(lidar.x_m, lidar.y_m)
        return min(max(nearest, lidar.range_min_m, 0.1), 0.5 * lidar.range_max_m)

    @property
    def obstacle_speed(self) -> float:
        """Greatest obstacle speed in m/s, before randomisation."""
        if self.obstacles.max_speed is not None:
            return self.obstacles.max_speed
        slower = 1.0 if self.robot.model is None else min(1.0, self.robot.max_speed)
        return {"standard": 0.6, "fast": 1.2, "hard": 1.2}[self.difficulty] * slower

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


def _with_model(given: dict[str, Any], observation: str) -> dict[str, Any]:
    """Return the keys of a world with those of its robot's model under what is given of robot and lidar."""
    lidar = given.get("lidar", {})
    if "robot" not in given:
        return given
    robot = given["robot"] = robot_section(given["robot"])
    keys: Mapping[str, Any] = cast("Mapping[str, Any]", robot) if isinstance(robot, Mapping) else {}
    model: Any = robot.model if isinstance(robot, RobotConfig) else keys.get("model")
    if not isinstance(model, str):
        return given
    if keys:
        try:
            given["robot"] = under_given(model, "robot", RobotConfig, keys)
        except ValueError:
            return given  # the robot's own section refuses it, in its place
    if observation == "lidar" and isinstance(lidar, Mapping):
        try:
            given["lidar"] = under_given(model, "lidar", LidarConfig, cast("Mapping[str, Any]", lidar))
        except ValueError as error:
            raise ValueError(f"robot.{error}") from None
    return given


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
