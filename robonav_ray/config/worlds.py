"""The worlds: one robot or several among obstacles, in arrays over (world, robot).

``WorldConfig`` is what all worlds of a run share (body, sensor, reward); ``LevelConfig`` is what may differ from stage to stage
and from world to world.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from robonav_ray.config.base import Section


class RandomizationConfig(Section):
    """Domain randomisation and faults; each a level from 0 (off) to 3 (strong)."""

    range_noise: int = Field(0, ge=0, le=3)
    beam_dropout: int = Field(0, ge=0, le=3)
    blind_sector: int = Field(0, ge=0, le=3)
    frozen_scan: int = Field(0, ge=0, le=3)
    blackout: int = Field(0, ge=0, le=3)
    odometry_noise: int = Field(0, ge=0, le=3)
    odometry_drift: int = Field(0, ge=0, le=3)
    observation_latency: int = Field(0, ge=0, le=3)
    action_latency: int = Field(0, ge=0, le=3)
    dropped_commands: int = Field(0, ge=0, le=3)
    actuator_gain: int = Field(0, ge=0, le=3)
    slip: int = Field(0, ge=0, le=3)
    obstacle_speed: int = Field(0, ge=0, le=3)
    obstacle_count: int = Field(0, ge=0, le=3)
    obstacle_size: int = Field(0, ge=0, le=3)


class LevelConfig(Section):
    """What may differ from stage to stage."""

    num_static: int = Field(0, ge=0, le=64)
    num_dynamic: int = Field(7, ge=0, le=64)
    num_goals: int = Field(4, ge=1, le=16)
    max_steps: int = Field(400, ge=1)
    randomization: RandomizationConfig = RandomizationConfig()


class WorldConfig(Section):
    """What all worlds of a run share."""

    profile: Literal["navigation", "crowdnav"] = "navigation"
    difficulty: Literal["standard", "fast", "hard"] = "standard"


class EnvConfig(Section):
    """Which environment the rollout workers run."""

    id: str = "robonav_ray/Nav-v0"
    """A Gymnasium id: ours, or any other with a flat Box observation and Discrete actions."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of ``gymnasium.make`` for an environment that is not ours."""
    world: WorldConfig = WorldConfig()
    """Our worlds; must stay at its default when ``id`` is another environment."""
