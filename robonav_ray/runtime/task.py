"""The task that a config names: its levels, and the shapes that every room is built for."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium

from robonav_ray.algo.lidar_ring import LidarRing, lidar_ring
from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError
from robonav_ray.config.worlds import LevelConfig
from robonav_ray.records import TransitionSpec
from robonav_ray.worlds.make import describe_env


@dataclass(frozen=True)
class Task:
    """What is practised."""

    env_id: str
    levels: tuple[LevelConfig, ...]
    level_names: tuple[str, ...]
    obs_dim: int
    num_actions: int
    lidar: LidarRing | None
    """The lidar's ring in the observations, where there is one."""
    has_outcomes: bool

    @property
    def spec(self) -> TransitionSpec:
        """Columns of a transition of this task."""
        return TransitionSpec.for_discrete((self.obs_dim,))

    def describe(self) -> str:
        """Return one line for people."""
        stages = f"{len(self.levels)} stage{'s' * (len(self.levels) > 1)} ({', '.join(self.level_names)})"
        return f"{self.env_id}, {self.obs_dim} observations, {self.num_actions} actions, {stages}"


def describe_task(config: RunConfig) -> Task:
    """Return the task, after looking at the environment itself.

    Raises:
        ConfigError: When the environment does not exist or its spaces are not supported.
    """
    all_levels = tuple(stage.level for stage in config.curriculum.stages)
    try:
        env = describe_env(config.env, all_levels)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except (gymnasium.error.Error, TypeError) as error:  # not installed, or env.kwargs that it does not take
        raise ConfigError(f"env.id={config.env.id!r} cannot be made with env.kwargs={config.env.kwargs}: {error}") from None
    stages = config.curriculum.stages_for(env.has_outcomes)
    return Task(
        env_id=config.env.id,
        levels=tuple(stage.level for stage in stages),
        level_names=tuple(stage.name for stage in stages),
        obs_dim=int(env.obs_shape[0]),
        num_actions=env.num_actions,
        lidar=lidar_ring(config.env),
        has_outcomes=env.has_outcomes,
    )
