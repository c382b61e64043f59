"""How many env steps per second one rollout worker makes on one core: worlds, policy (2 x 256), exploration, folding,
priorities.

The worker is the very object that the Ray actor holds; only its three neighbours are replaced by ones that cost
nothing, so the figure is what the actor does between two shipments.

    python -m proofs bench_rollout --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from gymnasium.spaces.utils import flatdim

from proofs.common.made_up import make_snapshot
from robonav_ray.algo.policy import Policy
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.records import Assignment, EpisodeResults, Fragment, Opponents, PolicySnapshot
from robonav_ray.rollout.partners import PartnersTask
from robonav_ray.rollout.worker import RolloutWorker
from robonav_ray.screen import say
from robonav_ray.worlds.make import make_vector_env


class Fixed:
    """The last stage at epsilon .1 with fixed weights; takes everything and keeps nothing."""

    def __init__(self, snapshot: PolicySnapshot, stage: int, members: Mapping[str, PolicySnapshot]) -> None:
        self._newest, self._members = snapshot, members
        opponents = None
        if members:
            num = len(members)
            opponents = Opponents(0, tuple(members), (0,) * num, (1.0,), ((1.0 / num,) * num,))
        self._assignment = Assignment(stage=stage, epsilon=0.1, clock=0, serial=0, opponents=opponents)

    def next_assignment(self, worker: int) -> Assignment:
        """The same one always."""
        return self._assignment

    def report(self, results: EpisodeResults) -> None:
        """Episodes are not looked at."""

    def insert(self, fragment: Fragment) -> None:
        """Rows are not kept."""

    def newer_than(self, version: int) -> PolicySnapshot | None:
        """The one snapshot, to a worker that lacks it."""
        return self._newest if self._newest.version > version else None

    wait_newer_than = newer_than

    def snapshot(self, member: str) -> PolicySnapshot | None:
        """The weights of another member."""
        return self._members.get(member)


def make_bench_worker(lanes: int, steps: int, robots: int = 1, policies: int = 1) -> RolloutWorker:
    """Return a worker with ``lanes`` robots, ``robots`` in a world; with several policies each world is shared with
    one of the others.
    """
    worlds = lanes // robots
    config = load_run_config(
        None,
        [f"rollout.num_worlds={worlds}", f"rollout.steps_per_fragment={steps}", f"env.world.num_robots={robots}"],
    )
    levels = tuple(stage.level for stage in config.curriculum.stages)
    env = make_vector_env(config.env, levels, num_envs=lanes, first_world=0, seed=0, gamma=config.algo.gamma)
    obs_dim, num_actions = flatdim(env.single_observation_space), flatdim(env.single_action_space)

    def make_policy() -> Policy:
        return Policy(obs_dim, num_actions, config.algo)

    others = {f"other-{i}": make_snapshot(obs_dim, num_actions, config.algo, seed=i) for i in range(1, policies)}
    neighbours = Fixed(make_snapshot(obs_dim, num_actions, config.algo), len(levels) - 1, others)
    return RolloutWorker(
        worker=0,
        life=0,
        env=env,
        policy=make_policy(),
        algo=config.algo,
        rollout=config.rollout,
        seed=0,
        first_world=0,
        num_lanes_total=lanes,
        gate_ladder_frac=config.curriculum.gate_ladder_frac,
        assignments=neighbours,
        sink=neighbours,
        weights=neighbours,
        partners=PartnersTask(neighbours, make_policy, robots, policies) if others else None,
    )


def rates_of(workers: Sequence[RolloutWorker], repeats: int, seconds: float) -> list[list[float]]:
    """Return env steps/s of each of ``workers``, ``repeats`` times ``seconds`` in turns."""
    rates: list[list[float]] = [[] for _ in workers]
    for worker in workers:
        worker.collect()
    for _ in range(repeats):
        for worker, mine in zip(workers, rates, strict=True):
            began, env_steps = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                env_steps += worker.collect().env_steps
            mine.append(env_steps / (time.perf_counter() - began))
    return rates


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=256, help="worlds of the worker")
    parser.add_argument("--steps", type=int, default=16, help="vector steps per fragment")
    parser.add_argument("--repeats", type=int, default=9, help="measurements of which the median is told")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement")
    parser.add_argument("--policies", type=int, default=5, help="policies in one batch, beside one alone (0: neither)")
    parser.add_argument("--json", action="store_true", help="print only the JSON line")
    args = parser.parse_args(arguments)

    worker = make_bench_worker(args.worlds, args.steps)
    (rates,) = rates_of([worker], args.repeats, args.seconds)
    obs_dim = worker.spec.columns[worker.spec.index("obs")].shape[0]
    result: dict[str, object] = {
        "env_steps_per_s": round(statistics.median(rates)),
        "min": round(min(rates)),
        "max": round(max(rates)),
        "worlds": args.worlds,
        "obs_dim": obs_dim,
        "hidden_dims": list(AlgoConfig().hidden_dims),
    }
    if not args.json:
        say(
            f"{result['env_steps_per_s']:,} env steps/s on one core ({args.worlds} worlds, {obs_dim} observations, "
            "policy included)"
        )
    if args.policies > 1:
        result |= _over_policies(args)
        if not args.json:
            say(
                f"{result['policies_env_steps_per_s']:,} env steps/s over {args.policies} policies in one batch "
                f"({_ROBOTS} robots a world), {result['policies_frac']:.0%} of those over one"
            )
    say(json.dumps(result))


_ROBOTS = 4
"""Robots of a world that several policies share."""


def _over_policies(args: argparse.Namespace) -> dict[str, object]:
    lanes = max(1, args.worlds // _ROBOTS) * _ROBOTS
    workers = [make_bench_worker(lanes, args.steps, _ROBOTS, num) for num in (1, args.policies)]
    one, many = (statistics.median(rates) for rates in rates_of(workers, args.repeats, args.seconds))
    return {
        "policies": args.policies,
        "policies_env_steps_per_s": round(many),
        "one_policy_env_steps_per_s": round(one),
        "policies_frac": round(many / one, 3),
    }
