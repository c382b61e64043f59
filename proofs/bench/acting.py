"""What acting costs beside the worlds: forward passes and n-step folding, on one thread.

The last line with ``--json`` is one object: microseconds per forward pass of a 2 x 256 dueling policy by batch size,
and nanoseconds per env step of ``NStepFolder`` at 122 observations.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import numpy as np

from proofs.common.made_up import make_snapshot
from robonav_ray.algo.exploration import epsilon_greedy, exploration_key
from robonav_ray.algo.n_step import NStepFolder
from robonav_ray.algo.policy import Policy
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.records import TransitionSpec
from robonav_ray.screen import say

OBS_DIM, NUM_ACTIONS = 122, 15


def median_us(call: Callable[[], object], num_calls: int, repeats: int = 9) -> float:
    """Return microseconds per call: the median over ``repeats`` of the mean over ``num_calls``."""
    times = []
    call()
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(num_calls):
            call()
        times.append((time.perf_counter() - start) / num_calls * 1e6)
    return float(np.median(times))


def make_policy() -> Policy:
    """Return a policy of the default network with random weights."""
    algo = AlgoConfig()
    policy = Policy(OBS_DIM, NUM_ACTIONS, algo)
    policy.load(make_snapshot(OBS_DIM, NUM_ACTIONS, algo))
    return policy


def fold_ns_per_step(num_lanes: int, num_steps: int = 64) -> float:
    """Return nanoseconds that folding one env step into n-step transitions takes."""
    rng = np.random.default_rng(0)
    folder = NStepFolder(num_lanes, OBS_DIM, 3, 0.99)
    columns = TransitionSpec.for_discrete((OBS_DIM,)).allocate(folder.max_rows(num_steps))
    priority = np.zeros(len(columns[0]), np.float32)
    obs = rng.standard_normal((4, num_lanes, OBS_DIM)).astype(np.float32)
    ends = rng.random((num_steps, num_lanes)) < 0.02
    nothing, value = np.zeros(num_lanes, bool), rng.standard_normal(num_lanes).astype(np.float32)
    action = np.zeros(num_lanes, np.int32)

    def fragment() -> None:
        row = 0
        for t in range(num_steps):
            row = folder.push(
                obs[t % 4],
                action,
                value,
                ends[t],
                nothing,
                value,
                value,
                obs[(t + 1) % 4],
                value,
                1,
                columns,
                priority,
                row,
            )

    return median_us(fragment, 5) * 1e3 / (num_lanes * num_steps)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    policy, rng, result = make_policy(), np.random.default_rng(0), {}
    for size in (32, 64, 128, 256):
        obs = rng.standard_normal((size, OBS_DIM)).astype(np.float32)
        result[f"forward_us_{size}"] = round(median_us(lambda obs=obs: policy.q_values(obs), 100), 1)
    for lanes in (32, 256):
        result[f"fold_ns_per_step_{lanes}"] = round(fold_ns_per_step(lanes), 1)
    q, world = policy.q_values(rng.standard_normal((64, OBS_DIM)).astype(np.float32)), np.arange(64)
    outs, key = (np.zeros(64, np.int32), np.zeros(64, np.float32), np.zeros(64, np.float32)), exploration_key(0)
    result["epsilon_greedy_us_64"] = round(
        median_us(lambda: epsilon_greedy(q, np.full(64, 0.5), key, world, world, *outs), 500), 1
    )
    for name, value in result.items():
        say(f"{name:24} {value}")
    if args.json:
        say(json.dumps(result))
