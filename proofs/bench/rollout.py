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
from collections.abc import Sequence

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from gymnasium.spaces.utils import flatdim

from proofs.common.made_up import make_snapshot
from robonav_ray.algo.policy import Policy
from robonav_ray.config.load import load_run_config
from robonav_ray.records import Assignment, EpisodeResults, Fragment, PolicySnapshot
from robonav_ray.rollout.worker import RolloutWorker
from robonav_ray.screen import say
from robonav_ray.worlds.make import make_vector_env


class Fixed:
    """Stage 4 at epsilon .1 with fixed weights; takes everything and keeps nothing."""

    def __init__(self, snapshot: PolicySnapshot, stage: int) -> None:
        self.snapshot, self.stage = snapshot, stage
        self.num_rows = 0

    def next_assignment(self, worker: int) -> Assignment:
        """The same one always."""
        return Assignment(stage=self.stage, epsilon=0.1, clock=0, serial=0)

    def report(self, results: EpisodeResults) -> None:
        """Episodes are not looked at."""
        pass

    def insert(self, fragment: Fragment) -> None:
        """Count the rows."""
        self.num_rows += fragment.num_rows

    def newer_than(self, version: int) -> PolicySnapshot | None:
        """The one snapshot, to a worker that lacks it."""
        return self.snapshot if self.snapshot.version > version else None

    wait_newer_than = newer_than


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=256, help="worlds of the worker")
    parser.add_argument("--steps", type=int, default=16, help="vector steps per fragment")
    parser.add_argument("--repeats", type=int, default=9, help="measurements of which the median is told")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement")
    parser.add_argument("--json", action="store_true", help="print only the JSON line")
    args = parser.parse_args(arguments)

    config = load_run_config(None, [f"rollout.num_worlds={args.worlds}", f"rollout.steps_per_fragment={args.steps}"])
    levels = tuple(stage.level for stage in config.curriculum.stages)
    env = make_vector_env(config.env, levels, num_envs=args.worlds, first_world=0, seed=0, gamma=config.algo.gamma)
    obs_dim, num_actions = flatdim(env.single_observation_space), flatdim(env.single_action_space)
    neighbours = Fixed(make_snapshot(obs_dim, num_actions, config.algo), stage=len(levels) - 1)
    worker = RolloutWorker(
        worker=0,
        life=0,
        env=env,
        policy=Policy(obs_dim, num_actions, config.algo),
        algo=config.algo,
        rollout=config.rollout,
        seed=0,
        first_world=0,
        num_lanes_total=args.worlds,
        gate_ladder_frac=config.curriculum.gate_ladder_frac,
        assignments=neighbours,
        sink=neighbours,
        weights=neighbours,
    )
    worker.collect()
    rates = []
    for _ in range(args.repeats):
        began, env_steps = time.perf_counter(), 0
        while time.perf_counter() - began < args.seconds:
            env_steps += worker.collect().env_steps
        rates.append(env_steps / (time.perf_counter() - began))
    result = {
        "env_steps_per_s": round(statistics.median(rates)),
        "min": round(min(rates)),
        "max": round(max(rates)),
        "worlds": args.worlds,
        "obs_dim": obs_dim,
        "hidden_dims": list(config.algo.hidden_dims),
    }
    if not args.json:
        say(
            f"{result['env_steps_per_s']:,} env steps/s on one core ({args.worlds} worlds, {obs_dim} observations, "
            "policy included)"
        )
    say(json.dumps(result))
