"""What may differ from stage to stage, and from world to world: obstacles, goals, time, faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, cast

from pydantic import Field, ModelWrapValidatorHandler, model_validator
from pydantic.json_schema import JsonSchemaValue

from robonav_ray.config.base import Section
from robonav_ray.config.worlds.surroundings import Box, WallSegment

PART_KEYS = ("num_static", "num_dynamic", "behaviours", "randomization")
"""Of a level, what a part of its worlds may have otherwise."""
ARENA_KEYS = ("difficulty", "arena_size_m", "segments", "boxes")
"""Of ``env.world``, the same."""
Difficulty = Literal["standard", "fast", "hard"]
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


def usual_steps(num_goals: int) -> int:
    """Return the steps that suit so many goals at 1 m/s in the arena of 10 m: 10 s each, and 20 s at least."""
    return max(200, 100 * num_goals)


class PartConfig(Section):
    """What some of a stage's worlds have otherwise; None is as in the others."""

    frac: float = Field(gt=0.0, le=1.0)
    """Part of the worlds; the same ones as long as the stage lasts, spread over the whole ladder of exploration."""
    num_static: int | None = Field(default=None, ge=0, le=64)
    """Circles that stand still."""
    num_dynamic: int | None = Field(default=None, ge=0, le=64)
    """Circles that move."""
    behaviours: tuple[Behaviour, ...] | None = Field(default=None, min_length=1, max_length=8)
    """What moving circles do; the i-th takes ``behaviours[i % len]``."""
    randomization: RandomizationConfig | None = None
    """Noise and faults, all of them: what is not named is off."""
    difficulty: Difficulty | None = None
    """As ``env.world.difficulty``."""
    arena_size_m: float | None = Field(default=None, gt=0.0, le=200.0)
    """As ``env.world.arena_size_m``."""
    segments: tuple[WallSegment, ...] | None = Field(default=None, max_length=256)
    """As ``env.world.segments``."""
    boxes: tuple[Box, ...] | None = Field(default=None, max_length=64)
    """As ``env.world.boxes``."""

    @property
    def of_world(self) -> dict[str, Any]:
        """What is given of ``env.world``."""
        return {key: value for key, value in self.model_dump(include=set(ARENA_KEYS)).items() if value is not None}

    @model_validator(mode="after")
    def _has_something_of_its_own(self) -> PartConfig:
        keys = (*PART_KEYS, *ARENA_KEYS)
        if all(getattr(self, key) is None for key in keys):
            raise ValueError(f"frac ({self.frac:g}) alone changes nothing: name one of {', '.join(keys)}")
        return self


class LevelConfig(Section):
    """What may differ from stage to stage."""

    also_read: ClassVar[Mapping[str, JsonSchemaValue]] = {"max_steps": {"type": "null"}}

    num_static: int = Field(default=0, ge=0, le=64)
    """Circles that stand still."""
    num_dynamic: int = Field(default=7, ge=0, le=64)
    """Circles that move."""
    behaviours: tuple[Behaviour, ...] = Field(default=("waypoint",), min_length=1, max_length=8)
    """What moving circles do; the i-th takes ``behaviours[i % len]``."""
    num_goals: int = Field(default=4, ge=1, le=16)
    """Goals to be reached in sequence."""
    max_steps: int = Field(default=400, ge=1, le=1_000_000)
    """Steps after which an episode is over (truncated, unless reward.timeout costs something); null follows from the
    goals, the robot's speed and the map, and so does what is not given where the robot has a model, where there is a
    map, or where it could not be passed."""
    num_robots: int | None = Field(default=None, ge=1, le=64)
    """Robots that take part, at most the world's num_robots; the others are not there. None is all of them."""
    min_robots: int | None = Field(default=None, ge=1, le=64)
    """Robots that take part are drawn per episode, from this to ``num_robots``, each number as likely as the next; None
    is always ``num_robots``."""
    randomization: RandomizationConfig = RandomizationConfig()
    mix: tuple[PartConfig, ...] = Field(default=(), max_length=32)
    """Parts of the worlds that run otherwise, so that one stage practises all of them side by side; worlds in no part
    are as the keys above say."""

    @model_validator(mode="after")
    def _parts_are_at_most_all(self) -> LevelConfig:
        if (total := sum(part.frac for part in self.mix)) > 1.0 + 1e-9:
            raise ValueError(f"mix: the parts' frac add up to {total:g}, and cannot be more than 1")
        return self

    @property
    def of_parts(self) -> tuple[LevelConfig, ...]:
        """What the worlds of each part run, without a mix of their own."""
        own = [{key: value for key in PART_KEYS if (value := getattr(part, key)) is not None} for part in self.mix]
        return tuple(self.model_copy(update={"mix": (), **keys}) for keys in own)

    @model_validator(mode="wrap")
    @classmethod
    def _null_is_not_given(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        given: Mapping[str, Any] = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}
        if "max_steps" not in given or given["max_steps"] is not None:
            return handler(data)
        level = handler({key: value for key, value in given.items() if key != "max_steps"})
        object.__setattr__(level, "max_steps", usual_steps(level.num_goals))
        return level
