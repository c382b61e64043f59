"""From the config to a vector environment: our worlds, or any Gymnasium environment in their place."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from robonav_ray.config.worlds import EnvConfig, LevelConfig
from robonav_ray.counter_rng import ROLE_WORLD, seed_for
from robonav_ray.interfaces import GoalFunctions
from robonav_ray.worlds.actions import action_space
from robonav_ray.worlds.goal_env import LegGoals
from robonav_ray.worlds.goal_vector import ComputedGoals, FlatGoalVector, NavGoalVectorEnv, ResumableGoalVector, flat_goal_space
from robonav_ray.worlds.observation import ObservationLayout
from robonav_ray.worlds.randomization import check_levels, max_circles
from robonav_ray.worlds.told import TellingEnv, TellingVector, is_own
from robonav_ray.worlds.vector_env import NavVectorEnv

_SEED_BITS = (1 << 31) - 1


@dataclass(frozen=True)
class EnvDescription:
    """What a learner must know of an environment before it is built."""

    obs_shape: tuple[int, ...]
    obs_dtype: str
    num_actions: int
    is_own: bool
    """Whether these are our worlds, in whatever wrappers: every episode has an outcome, collisions among them."""
    is_goal_env: bool = False
    """Whether goals can be exchanged: a Dict observation and ``compute_reward``, or our worlds with a lidar."""
    max_episode_steps: int | None = None
    """Steps after which Gymnasium ends an episode; None where it does not (our worlds end theirs themselves)."""
    draws: bool = True
    """Whether it can be asked for pictures (``render_mode="rgb_array"``)."""


def _check_spaces(env_id: str, observation: gym.Space, action: gym.Space) -> tuple[gym.spaces.Box, gym.spaces.Discrete]:
    """Return the flat observation space (of a goal-env: observation and desired goal) and the action space."""
    if isinstance(observation, gym.spaces.Dict):
        observation = flat_goal_space(env_id, observation)[0]
    if not isinstance(observation, gym.spaces.Box) or len(observation.shape) != 1:
        raise ValueError(
            f"env.id={env_id!r} has observation space {observation}; supported is a flat Box (one axis), or the Dict of a goal-env"
        )
    if not isinstance(action, gym.spaces.Discrete) or int(action.start) != 0:
        raise ValueError(f"env.id={env_id!r} has action space {action}; supported is Discrete(n) that starts at 0")
    return observation, action


def _check_known(env_id: str) -> None:
    module, colon, _ = env_id.partition(":")
    if colon:  # Gymnasium's way to name an environment that a module registers when it is imported
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"env.id={env_id!r}: the module {module!r} cannot be imported ({error})") from None
    if env_id.rpartition(":")[2] in gym.registry:
        return
    near = difflib.get_close_matches(env_id, list(gym.registry), n=1, cutoff=0.0)
    raise ValueError(f"env.id={env_id!r} is not registered with Gymnasium; the nearest is {near[0] if near else 'none'!r}")


def _check_discrete(env: EnvConfig) -> None:
    if env.world.robot.actions == "continuous":
        raise ValueError(
            "env.world.robot.actions='continuous' has no Discrete actions; choose discrete15, holonomic81 or increments9"
        )


def describe_env(env: EnvConfig, levels: tuple[LevelConfig, ...]) -> EnvDescription:
    """Return shapes without building worlds; ValueError, naming ``env.id`` or the level, for what is not supported."""
    if env.is_native:
        _check_discrete(env)
        check_levels(env.world, levels)
        size = ObservationLayout.of(env.world, max(max_circles(level) for level in levels)).size
        actions = action_space(env.world.robot)
        assert isinstance(actions, gym.spaces.Discrete)
        return EnvDescription((size,), "float32", int(actions.n), True, env.world.observation == "lidar")
    _check_known(env.id)
    single = gym.make(env.id, **env.kwargs)
    try:
        observation, action = _check_spaces(env.id, single.observation_space, single.action_space)
        has_goals = isinstance(single.observation_space, gym.spaces.Dict)
        return EnvDescription(
            observation.shape,
            str(observation.dtype),
            int(action.n),
            is_own(single),
            is_goal_env=has_goals and callable(getattr(single.unwrapped, "compute_reward", None)),
            max_episode_steps=single.spec.max_episode_steps if single.spec is not None else None,
            draws="rgb_array" in (single.metadata.get("render_modes") or ()),
        )
    finally:
        single.close()


def make_goal_functions(env: EnvConfig) -> GoalFunctions:
    """Return the goal functions of an environment, for hindsight. ValueError when it is no goal-env."""
    if env.is_native:
        return LegGoals(env.world)
    _check_known(env.id)
    return ComputedGoals(gym.make(env.id, **env.kwargs), env.id)


class DenseFinalObs(VectorWrapper):
    """Turn the object array that Gymnasium's SyncVectorEnv gives as ``final_obs`` into one (N, *obs_shape) array."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step, with ``infos["final_obs"]`` valid where ``infos["_final_obs"]``."""
        obs, reward, terminated, truncated, infos = self.env.step(actions)
        if "final_obs" in infos:
            dense = np.zeros_like(obs)
            for i in np.flatnonzero(infos["_final_obs"]):
                dense[i] = infos["final_obs"][i]
            infos = {**infos, "final_obs": dense}
        return obs, reward, terminated, truncated, infos


def make_vector_env(
    env: EnvConfig,
    levels: tuple[LevelConfig, ...],
    *,
    num_envs: int,
    first_world: int,
    seed: int,
    gamma: float,
    tell_goals: bool = False,
    draw: bool = False,
) -> VectorEnv:
    """Return ``num_envs`` lanes in SAME_STEP mode, seeded by their global index; call ``reset()`` without a seed.

    With R robots per world ``num_envs`` counts worlds x R lanes, and ``first_world`` worlds. Another environment than ours
    is made through ``gymnasium.make_vec(vectorization_mode="sync")``; it has no levels: ``env.is_native`` tells which it is,
    and ``levels`` and ``gamma`` are not used. With ``tell_goals`` it is a goal vector environment (see ``goal_vector``), for hindsight.
    With ``draw`` another environment's ``render()`` returns a picture of each lane.
    """
    if env.is_native:
        _check_discrete(env)
        nav = NavGoalVectorEnv if tell_goals else NavVectorEnv
        return nav(num_envs, world=env.world, levels=levels, seed=seed, gamma=gamma, first_world=first_world)
    _check_known(env.id)
    spec = gym.spec(env.id.rpartition(":")[2])  # _check_known has imported the module in front of it
    if spec.namespace == "robonav_ray" and spec.vector_entry_point is not None and not draw:
        # ours know their worlds, and can be saved
        own = gym.make_vec(
            env.id, num_envs, vectorization_mode="vector_entry_point", seed=seed, first_world=first_world, **env.kwargs
        )
        return ResumableGoalVector(own, env.id, tell_goals) if isinstance(own.single_observation_space, gym.spaces.Dict) else own
    made = gym.make_vec(
        env.id,
        num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        wrappers=[partial(TellingEnv, tell_steps=tell_goals)],
        **env.kwargs,
        **({"render_mode": "rgb_array"} if draw else {}),
    )
    assert isinstance(made, SyncVectorEnv)
    envs = TellingVector(made)
    try:
        _check_spaces(env.id, envs.single_observation_space, envs.single_action_space)
    except ValueError:
        envs.close()
        raise
    seeds: list[int | None] = [int(seed_for(seed, ROLE_WORLD, first_world + i)) & _SEED_BITS for i in range(num_envs)]
    envs.reset(seed=seeds)  # type: ignore[arg-type]  # SyncVectorEnv takes one seed per environment
    if isinstance(envs.single_observation_space, gym.spaces.Dict):
        return FlatGoalVector(envs, env.id, tell_goals)
    return DenseFinalObs(envs)
