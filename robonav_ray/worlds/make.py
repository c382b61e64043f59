"""From the config to a vector environment: our worlds, or any Gymnasium environment in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gymnasium as gym
from gymnasium.vector import VectorEnv

from robonav_ray.config.worlds import EnvConfig, LevelConfig
from robonav_ray.counter_rng import ROLE_WORLD, seed_for
from robonav_ray.interfaces import GoalFunctions, HasDrivers, HasLevels, ParksLanes, Resumes, TellsEpisodes
from robonav_ray.worlds.cases import load_cases
from robonav_ray.worlds.env_table import EnvTable, foreign_table, native_table
from robonav_ray.worlds.foreign.guard import ForeignVector
from robonav_ray.worlds.foreign.registered import find_spec, make_guarded, same_folder, telling_if_slow
from robonav_ray.worlds.goal_env import LegGoals
from robonav_ray.worlds.goal_vector import (
    ComputedGoals,
    FlatGoalVector,
    NavGoalVectorEnv,
    ResumableGoalVector,
    flat_goal_space,
)
from robonav_ray.worlds.kernels.actions import action_space
from robonav_ray.worlds.kernels.observation import ObservationLayout
from robonav_ray.worlds.kernels.randomization import check_levels, max_circles
from robonav_ray.worlds.mix import with_parts, worlds_with_parts
from robonav_ray.worlds.told import TellingEnv, TellingVector, is_own
from robonav_ray.worlds.vector_env import NavVectorEnv

# a misspelt method is an error here, and not an environment that silently has no levels or cannot be saved
if TYPE_CHECKING:
    from robonav_ray.worlds.bit_flip import BitFlipVectorEnv

    _with_levels: type[HasLevels] = NavVectorEnv
    _driving: type[HasDrivers] = NavVectorEnv
    _parking: type[ParksLanes] = NavVectorEnv
    _resuming: tuple[type[Resumes], ...] = (NavVectorEnv, ResumableGoalVector, BitFlipVectorEnv)
    _telling: tuple[type[TellsEpisodes], ...] = (NavVectorEnv, TellingVector)

_SEED_BITS = (1 << 31) - 1


@dataclass(frozen=True)
class EnvDescription:
    """What a learner must know of an environment before it is built."""

    obs_shape: tuple[int, ...]
    obs_dtype: str
    num_actions: int
    table: EnvTable
    """What each number and each action means."""
    is_own: bool
    """Whether these are our worlds, in any wrappers: every episode has an outcome, collisions among them."""
    is_goal_env: bool = False
    """Whether goals can be exchanged: a Dict observation and ``compute_reward``, or our worlds with a lidar."""
    max_episode_steps: int | None = None
    """Steps after which Gymnasium ends an episode; None where it does not (our worlds end theirs themselves)."""
    draws: bool = True
    """Whether it can be asked for pictures (``render_mode="rgb_array"``)."""


def _check_discrete(env: EnvConfig) -> None:
    if env.world.robot.actions == "continuous":
        raise ValueError(
            "env.world.robot.actions='continuous' has no Discrete actions; choose discrete15, holonomic81 or "
            "increments9"
        )


def describe_env(env: EnvConfig, levels: tuple[LevelConfig, ...]) -> EnvDescription:
    """Return shapes without building worlds; ValueError, naming ``env.id`` or the level, for what is not supported."""
    if env.is_native:
        _check_discrete(env)
        try:
            check_levels(env.world, levels)
            worlds_with_parts(env.world, levels)
        except ValueError as error:
            raise ValueError(f"curriculum.stages: {error}") from None
        load_cases(env.world)  # a file that cannot be run is told of before anything starts
        num_circles = max(max_circles(level) for level in with_parts(levels))
        size = ObservationLayout.of(env.world, num_circles).size
        actions = action_space(env.world.robot)
        assert isinstance(actions, gym.spaces.Discrete)
        table = native_table(env.id, env.world, num_circles)
        has_goals = env.world.observation == "lidar" and env.world.map is None  # routes lead to a map's own goals only
        return EnvDescription((size,), "float32", int(actions.n), table, True, has_goals)
    with telling_if_slow(env.id), same_folder():
        return _describe_foreign(env)


def _describe_foreign(env: EnvConfig) -> EnvDescription:
    """Make the environment, reset it, step it and close it: what it does wrong there shows at once, and not when
    everything is up.
    """
    single = make_guarded(env)
    try:
        single.reset(seed=0)
        single.step(0)
    except BaseException:
        single.close()
        raise
    single.close_strictly()
    observation, action = single.observation_space, single.action_space
    assert isinstance(action, gym.spaces.Discrete)
    table = foreign_table(env.id, observation, int(action.n))
    has_goals = isinstance(observation, gym.spaces.Dict)
    if isinstance(observation, gym.spaces.Dict):
        observation = flat_goal_space(env.id, observation)[0]
    assert isinstance(observation, gym.spaces.Box)
    return EnvDescription(
        observation.shape,
        str(observation.dtype),
        int(action.n),
        table,
        is_own(single),
        is_goal_env=has_goals and callable(getattr(single.unwrapped, "compute_reward", None)),
        max_episode_steps=single.spec.max_episode_steps if single.spec is not None else None,
        draws="rgb_array" in (single.metadata.get("render_modes") or ()),
    )


def make_goal_functions(env: EnvConfig) -> GoalFunctions:
    """Return the goal functions of an environment, for hindsight. ValueError when it is no goal-env."""
    if env.is_native:
        return LegGoals(env.world)
    return ComputedGoals(make_guarded(env), env.id)


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

    With R robots per world ``num_envs`` counts worlds x R lanes, and ``first_world`` worlds. Another environment than
    ours is made one by one (``foreign/``); it has no levels: ``env.is_native`` tells which it is, and ``levels`` and
    ``gamma`` are not used. With ``tell_goals`` it is a goal vector environment (see ``goal_vector``), for hindsight.
    With ``draw`` another environment's ``render()`` returns a picture of each lane.
    """
    if env.is_native:
        _check_discrete(env)
        nav = NavGoalVectorEnv if tell_goals else NavVectorEnv
        return nav(num_envs, world=env.world, levels=levels, seed=seed, gamma=gamma, first_world=first_world)
    spec = find_spec(env.id)
    if spec.namespace == "robonav_ray" and spec.vector_entry_point is not None and not draw:
        # ours know their worlds, and can be saved
        own = gym.make_vec(
            env.id, num_envs, vectorization_mode="vector_entry_point", seed=seed, first_world=first_world, **env.kwargs
        )
        if not isinstance(own.single_observation_space, gym.spaces.Dict):
            return own
        assert isinstance(own, Resumes)
        return ResumableGoalVector(own, env.id, tell_goals, saved=own)
    options = {"render_mode": "rgb_array"} if draw else {}
    envs = TellingVector(ForeignVector(lambda: TellingEnv(make_guarded(env, **options), tell_goals), num_envs, env.id))
    seeds: list[int | None] = [int(seed_for(seed, ROLE_WORLD, first_world + i)) & _SEED_BITS for i in range(num_envs)]
    envs.reset(seed=seeds)  # type: ignore[arg-type]  # SyncVectorEnv takes one seed per environment
    if isinstance(envs.single_observation_space, gym.spaces.Dict):
        return FlatGoalVector(envs, env.id, tell_goals)
    return envs
