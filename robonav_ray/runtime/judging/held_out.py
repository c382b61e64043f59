"""A policy on held-out worlds of one stage: for an evaluation, and for judgements beside a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gymnasium.vector import VectorEnv

from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.evaluation.episodes import EpisodeTable, EvaluationProgress, evaluate_policy
from robonav_ray.interfaces import HasLevels
from robonav_ray.runs.task import Task
from robonav_ray.worlds.make import make_vector_env

BESIDE_TRAINING = 1 << 16
"""What the worlds of judgements beside a training are numbered from, where those of an evaluation have the number of
their stage: a best checkpoint is chosen on other worlds than those that then tell how good it is."""


def judge_stage(
    policy: Policy,
    config: RunConfig,
    task: Task,
    level: int,
    progress: Callable[[EvaluationProgress], None] | None = None,
    *,
    first_seed: int = 0,
) -> EpisodeTable:
    """Play ``evaluation.num_episodes`` greedy episodes of ``policy`` on the held-out worlds of one stage.

    ``first_seed`` is 0 for the worlds of evaluations, or BESIDE_TRAINING.
    """
    return evaluate_policy(
        policy.greedy,
        lambda first, count: held_out_env(config, task, level, first_seed + level, first, count),
        config.evaluation.num_episodes,
        num_worlds=config.evaluation.num_worlds,
        step_s=config.env.world.dt_s if task.is_native else None,
        max_steps=task.levels[level].max_steps if task.is_native else None,
        cut_off_after=task.steps_of(level, config.evaluation.max_episode_steps),
        progress=progress,
    )


def held_out_env(
    config: RunConfig, task: Task, level: int, index: int, first: int, count: int
) -> VectorEnv[Any, Any, Any]:
    """Return the held-out worlds ``first`` to ``first + count`` of stage ``level``, numbered ``index`` among all that
    are held out.
    """
    seed = seed_for(config.evaluation.seed, ROLE_EVALUATION, index)
    lanes = count * config.env.world.num_robots
    env = make_vector_env(
        config.env, task.levels, num_envs=lanes, first_world=first, seed=seed, gamma=config.algo.gamma
    )
    if isinstance(env, HasLevels):
        env.set_level(level)
    return env
