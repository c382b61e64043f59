"""Rollout workers as Ray actors, and the fleet that keeps their number.

An actor makes fragments for a slice of a second per call and returns what they came to; the fleet keeps one call under way per worker,
so that a dead one shows at once, is replaced by a new life of the same worker, and is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from robonav_ray.algo.lidar_ring import lidar_ring
from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.config.worlds import LevelConfig
from robonav_ray.counter_rng import ROLE_EXPLORATION, ROLE_WORLD, seed_for
from robonav_ray.interfaces import AssignmentSource, TransitionSink, WeightSource
from robonav_ray.rollout.worker import HindsightTask, RolloutStats, RolloutWorker
from robonav_ray.worlds.make import make_goal_functions, make_vector_env

SLICE_S = 0.5
"""Seconds of work per call: how often the fleet hears from a worker."""


@dataclass(frozen=True)
class RolloutWiring:
    """Everything one life of one worker is made from; travels to its process."""

    config: RunConfig
    levels: tuple[LevelConfig, ...]
    worker: int
    incarnation: int
    first_world: int
    num_worlds: int
    assignments: AssignmentSource
    sink: TransitionSink
    weights: WeightSource


def make_worker(wiring: RolloutWiring) -> RolloutWorker:
    """Build the plain worker. Each life draws other worlds and other noise; life 0 draws those that the run's seed names."""
    config, robots = wiring.config, wiring.config.env.world.num_robots
    hindsight = None
    if config.hindsight.strategy != "none":
        computed = config.replay.sampler != "uniform" and config.replay.initial_priority == "computed"
        hindsight = HindsightTask(make_goal_functions(config.env), config.hindsight, computed)
    env = make_vector_env(
        config.env,
        wiring.levels,
        num_envs=wiring.num_worlds * robots,
        first_world=wiring.first_world,
        seed=seed_for(config.seed, ROLE_WORLD, wiring.incarnation),
        gamma=config.algo.gamma,
        tell_goals=hindsight is not None,
    )
    obs_dim, num_actions = int(env.single_observation_space.shape[0]), int(env.single_action_space.n)  # type: ignore[index,attr-defined]
    return RolloutWorker(
        worker=wiring.worker,
        incarnation=wiring.incarnation,
        env=env,
        policy=Policy(obs_dim, num_actions, config.algo, lidar_ring(config.env)),
        algo=config.algo,
        rollout=config.rollout,
        seed=seed_for(config.seed, ROLE_EXPLORATION, wiring.incarnation),
        first_world=wiring.first_world * robots,
        num_lanes_total=config.rollout.num_worlds * robots,
        gate_ladder_frac=config.curriculum.gate_ladder_frac,
        assignments=wiring.assignments,
        sink=wiring.sink,
        weights=wiring.weights,
        hindsight=hindsight,
    )


class _WorkerActor:
    """One life of a worker in its own process."""

    def __init__(self, wiring: RolloutWiring) -> None:
        self._worker = make_worker(wiring)
        ask = getattr(wiring.weights, "wait_newer_than", wiring.weights.newer_than)
        newest = ask(0)
        if newest is not None:  # a later life, or a resumed run: never a step with an empty policy
            self._worker.use(newest)

    def run(self, seconds: float) -> RolloutStats:
        total = RolloutStats()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            total = total.plus(self._worker.collect())
        return total


class RolloutFleet:
    """All rollout workers of a run."""

    def __init__(
        self,
        wirings: list[RolloutWiring],
        *,
        cpus_per_worker: float,
        max_restarts: int,
        on_lost: Callable[[int], None],
    ) -> None:
        """Start one actor per wiring; ``on_lost(worker)`` is called before a dead one is replaced."""
        self._wirings = wirings
        self._actor_class: Any = ray.remote(num_cpus=cpus_per_worker, max_restarts=0)(_WorkerActor)
        self._max_restarts = max_restarts
        self._on_lost = on_lost
        self.num_replaced = 0
        self.last_loss = ""
        self._actors: list[Any] = []
        self._calls: list[ray.ObjectRef] = []
        self._start()

    @property
    def num_workers(self) -> int:
        """Workers that the fleet keeps alive."""
        return len(self._actors)

    def poll(self, timeout_s: float) -> RolloutStats:
        """Wait up to ``timeout_s`` for news and return what has been done since the last poll; replaces the dead.

        Raises:
            RuntimeError: When a worker raised an error of its own, or more workers died than ``max_restarts`` allows.
        """
        total = RolloutStats()
        ready, _ = ray.wait(self._calls, num_returns=len(self._calls), timeout=timeout_s)
        for ref in ready:
            index = self._calls.index(ref)
            try:
                total = total.plus(ray.get(ref))
                self._calls[index] = self._actors[index].run.remote(SLICE_S)
            except RayTaskError as error:  # first: an error about somebody else's death is a RayActorError too
                raise RuntimeError(f"rollout worker {index} failed: {error.cause!r}") from error
            except RayActorError as error:
                self._replace(index, error)
        return total

    def restart(self) -> None:
        """Begin a new life of every worker: what they have not shipped is lost, and they ask for an assignment anew."""
        self.kill()
        self._wirings = [replace(wiring, incarnation=wiring.incarnation + 1) for wiring in self._wirings]
        self._start()

    def _start(self) -> None:
        self._actors = [self._actor_class.remote(wiring) for wiring in self._wirings]
        self._calls = [actor.run.remote(SLICE_S) for actor in self._actors]

    def kill(self) -> None:
        """End all workers at once; what they have not shipped is lost, which costs at most a fragment each."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors, self._calls = [], []

    def _replace(self, index: int, error: RayActorError) -> None:
        self.num_replaced += 1
        self.last_loss = f"rollout worker {index} died and was replaced"
        if self.num_replaced > self._max_restarts:
            raise RuntimeError(
                f"{self.num_replaced} rollout workers died, more than rollout.max_restarts allows; last: {error}"
            ) from error
        self._on_lost(index)
        wiring = self._wirings[index]
        self._wirings[index] = replace(wiring, incarnation=wiring.incarnation + 1)
        self._actors[index] = self._actor_class.remote(self._wirings[index])
        self._calls[index] = self._actors[index].run.remote(SLICE_S)
