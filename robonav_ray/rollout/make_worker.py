"""What one life of a rollout worker is made from, and the plain worker made of it."""

from __future__ import annotations

from dataclasses import dataclass

from robonav_ray.algo.own_network import make_policy
from robonav_ray.algo.structure import structure_of
from robonav_ray.config import RunConfig
from robonav_ray.config.worlds import LevelConfig
from robonav_ray.counter_rng import ROLE_EXPLORATION, ROLE_WORLD, seed_for
from robonav_ray.interfaces import AssignmentSource, PolicyPool, TransitionSink, WeightSource
from robonav_ray.rollout.partners import PartnersTask
from robonav_ray.rollout.recording import HindsightTask
from robonav_ray.rollout.worker import RolloutWorker
from robonav_ray.worlds.make import make_goal_functions, make_vector_env


@dataclass(frozen=True)
class WorkerOrder:
    """Everything one life of one worker is made from; travels to its process."""

    config: RunConfig
    levels: tuple[LevelConfig, ...]
    worker: int
    life: int
    first_world: int
    num_worlds: int
    assignments: AssignmentSource
    sink: TransitionSink
    weights: WeightSource
    pool: PolicyPool | None = None
    """Weights of the league's members; None where no world is shared with them."""


def make_worker(order: WorkerOrder) -> RolloutWorker:
    """Build the plain worker. Each life draws other worlds and other noise; life 0 draws those that the run's seed
    names.
    """
    config, robots = order.config, order.config.env.world.num_robots
    hindsight = None
    if config.hindsight.strategy != "none":
        computed = config.replay.sampler != "uniform" and config.replay.initial_priority == "computed"
        hindsight = HindsightTask(make_goal_functions(config.env), config.hindsight, computed)
    env = make_vector_env(
        config.env,
        order.levels,
        num_envs=order.num_worlds * robots,
        first_world=order.first_world,
        seed=seed_for(config.seed, ROLE_WORLD, order.life),
        gamma=config.algo.gamma,
        tell_goals=hindsight is not None,
    )
    obs_dim, num_actions = int(env.single_observation_space.shape[0]), int(env.single_action_space.n)  # type: ignore[index,attr-defined]
    structure = structure_of(config.env, obs_dim)
    partners = None
    if order.pool is not None and config.league is not None:
        partners = PartnersTask(
            order.pool,
            lambda: make_policy(obs_dim, num_actions, config.algo, structure),
            robots,
            max(1, config.league.policies_per_worker - 1),
            config.league.learning_robots,
            config.league.role == "obstacle",
        )
    return RolloutWorker(
        worker=order.worker,
        life=order.life,
        env=env,
        policy=make_policy(obs_dim, num_actions, config.algo, structure),
        algo=config.algo,
        rollout=config.rollout,
        seed=seed_for(config.seed, ROLE_EXPLORATION, order.life),
        first_world=order.first_world * robots,
        num_lanes_total=config.rollout.num_worlds * robots,
        gate_ladder_frac=config.curriculum.gate_ladder_frac,
        assignments=order.assignments,
        sink=order.sink,
        weights=order.weights,
        hindsight=hindsight,
        num_stages=len(order.levels),
        partners=partners,
    )
