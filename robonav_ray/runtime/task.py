"""The task that a config names: its levels, and the shapes that every room is built for."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium

from robonav_ray.algo.lidar_ring import LidarRing, lidar_ring
from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError
from robonav_ray.config.worlds import NATIVE_ENV_ID, LevelConfig
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
    """Whether the episodes that the curriculum sees end as a success or not."""

    @property
    def is_native(self) -> bool:
        """Whether these are our own worlds, which have levels, metres and pictures."""
        return self.env_id == NATIVE_ENV_ID

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
    if config.hindsight.strategy != "none" and not env.is_goal_env:
        raise ConfigError(
            f"hindsight.strategy={config.hindsight.strategy} needs a goal-env, and env.id={config.env.id!r} is none: set "
            "hindsight.strategy=none, or take an environment with a Dict observation (observation, achieved_goal, desired_goal) "
            "and compute_reward, such as robonav_ray/BitFlip-v0, or our worlds (robonav_ray/Nav-v0) "
            "with env.world.observation=lidar and env.world.reward.mode=sparse"
        )
    # An environment of somebody else that was given no stages of its own has one that is open, whatever its episodes tell.
    has_outcomes = env.has_outcomes and config.curriculum.stages_for(config.env.is_native) == config.curriculum.stages
    stages = config.curriculum.stages_for(has_outcomes)
    return Task(
        env_id=config.env.id,
        levels=tuple(stage.level for stage in stages),
        level_names=tuple(stage.name for stage in stages),
        obs_dim=int(env.obs_shape[0]),
        num_actions=env.num_actions,
        lidar=lidar_ring(config.env),
        has_outcomes=has_outcomes,
    )
