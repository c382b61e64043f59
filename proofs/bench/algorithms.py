"""What each switch of the agent costs: one update, and acting for 64 robots, as ratios to the default agent.

CPU seconds of one thread, the default and all variants turn about; medians over rounds. An update is
``learner.update.Update`` on batches that lie in memory (256 rows, 120 observations, 15 actions), so without replay and
Ray; acting is ``Policy.q_values``, with new noise for noisy nets. The last line with ``--json`` is one object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from proofs.common.made_up import make_samples
from robonav_ray.algo.exploration import exploration_key
from robonav_ray.algo.lidar_ring import LidarRing
from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.algo.policy import Policy
from robonav_ray.algo.structure import Structure
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.learner.state import LearnerState
from robonav_ray.learner.update import Update
from robonav_ray.records import ReplaySample, TransitionSpec
from robonav_ray.screen import say

OBS_DIM, NUM_ACTIONS, RING = 120, 15, LidarRing(0, 3, 36)
PLAIN: dict[str, object] = {"double": False, "dueling": False}
VARIANTS: dict[str, dict[str, object]] = {
    "default (double, dueling)": {},
    "neither double nor dueling": PLAIN,
    "distribution=c51": {"distribution": "c51"},
    "distribution=qr": {"distribution": "qr"},
    "distribution=qr, 200 quantiles": {"distribution": "qr", "num_quantiles": 200},
    "distribution=iqn": {"distribution": "iqn"},
    "noisy": {"noisy": True},
    "munchausen": {"munchausen": True, "double": False},
    "munchausen, iqn": {"munchausen": True, "double": False, "distribution": "iqn"},
    "c51, noisy (rainbow)": {"distribution": "c51", "noisy": True},
    "layer_norm": {"layer_norm": True},
    "dropout=0.1": {"dropout": 0.1},
    "encoder=lidar_conv": {"encoder": "lidar_conv"},
    "encoder=deep_set": {"encoder": "deep_set"},
    "encoder=deep_set, 3 of 9 there": {"encoder": "deep_set"},
    "encoder=attention": {"encoder": "attention"},
    "encoder=attention, 3 of 9 there": {"encoder": "attention"},
}
SET = NeighborSet(6, 9, 8)
"""What the last four see: a robot and nine neighbours, 78 observations."""


def cpu_seconds(call: Callable[[], object], num_calls: int) -> float:
    """Return CPU seconds of this thread per call."""
    start = time.thread_time()
    for _ in range(num_calls):
        call()
    return (time.thread_time() - start) / num_calls


def make_observed(switches: dict[str, object], batch: int, num_there: int) -> tuple[Structure, list[ReplaySample]]:
    """Return what the encoder goes along, and batches of such rows, of whose neighbours the last are absent."""
    structure = SET if "encoder" in switches and switches["encoder"] != "lidar_conv" else RING
    samples = make_samples(TransitionSpec.for_discrete((structure_size(structure),)), batch, NUM_ACTIONS, 8)
    for sample in samples if structure is SET else ():
        for column in (c for c in sample.columns if c.shape[1:] == (SET.size,)):
            show_neighbors(column, num_there)
    return structure, samples


def structure_size(structure: Structure) -> int:
    """Return the columns of an observation."""
    return SET.size if structure is SET else OBS_DIM


def show_neighbors(obs: np.ndarray, num_there: int) -> None:
    """Have the first ``num_there`` neighbours of every row exist, and no other."""
    items = obs[:, SET.own :].reshape(len(obs), SET.num_items, SET.item_size)
    items[:, :, SET.presence] = 1.0
    items[:, num_there:] = 0.0


def make_calls(
    switches: dict[str, object], batch: int, num_there: int
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what makes one update after another, and what acts once for 64 robots."""
    structure, samples = make_observed(switches, batch, num_there)
    obs_dim = structure_size(structure)
    algo, config = AlgoConfig.model_validate(switches), LearnerConfig(batch_size=batch)
    state = LearnerState(obs_dim, NUM_ACTIONS, algo, config, seed=0, structure=structure)
    update = Update(state, algo, config, TransitionSpec.for_discrete((obs_dim,)))
    policy = Policy(obs_dim, NUM_ACTIONS, algo, structure)
    state.policy_version = 1
    policy.load(state.snapshot())
    obs = np.resize(samples[0].columns[0], (64, obs_dim))
    key, step = exploration_key(0), 0

    def learn() -> None:
        update(samples[state.learner_step % len(samples)])

    def act() -> None:
        nonlocal step
        step += 1
        policy.resample_noise(key, step)
        policy.q_values(obs)

    return learn, act


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--batch", type=int, default=LearnerConfig().batch_size)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="*", help="variants, by a part of their name; the default is always measured")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    default = next(iter(VARIANTS))
    names = [n for n in VARIANTS if n == default or not args.only or any(part in n for part in args.only)]
    calls = {name: make_calls(VARIANTS[name], args.batch, 3 if "3 of 9" in name else 9) for name in names}
    for learn, act in calls.values():
        cpu_seconds(learn, 3)
        cpu_seconds(act, 3)
    pace: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
    for _ in range(args.rounds):
        for name, (learn, act) in calls.items():
            pace[name][0].append(cpu_seconds(learn, 8))
            pace[name][1].append(cpu_seconds(act, 20))
    result = {}
    say(f"{'variant':34} {'update ms':>10} {'ratio':>7} {'acting us':>10} {'ratio':>7}")
    for name in names:
        ms, us = (statistics.median(values) * unit for values, unit in zip(pace[name], (1e3, 1e6), strict=True))
        ratios = [
            statistics.median(a / b for a, b in zip(*pair, strict=True))
            for pair in zip(pace[name], pace[default], strict=True)
        ]
        result[name] = {"update_ms": round(ms, 2), "update_ratio": round(ratios[0], 2),
                        "acting_us": round(us, 1), "acting_ratio": round(ratios[1], 2)}  # fmt: skip
        say(f"{name:34} {ms:10.2f} {ratios[0]:7.2f} {us:10.1f} {ratios[1]:7.2f}")
    if args.json:
        say(json.dumps({"batch": args.batch, **result}))
