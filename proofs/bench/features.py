"""What mixed precision, accumulation and compilation cost or bring, against the plain update, turn about in one
process.

Every feature makes the learner's own updates (``learner.update.Update``) on the same made-up batches, without replay or
Ray around them. ``speedup`` is the median over rounds of plain seconds by the feature's; ``gradient_off`` is how far
the feature's gradient of one batch lies from the plain one, as a part of its norm; ``first_update_s`` holds what the
first update takes, compilation included. On a GPU (``--device cuda``) the list grows by fp16 and by CUDA graphs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from proofs.common.made_up import make_samples
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.errors import UserError
from robonav_ray.learner.devices import check_features, describe, pick_device, set_threads
from robonav_ray.learner.state import LearnerState
from robonav_ray.learner.update import Update
from robonav_ray.records import ReplaySample, TransitionSpec
from robonav_ray.screen import say

FEATURES: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "accumulation_4": {"accumulation_steps": 4},
    "compile": {"compile": "default"},
    "compile_bf16": {"compile": "default", "precision": "bf16"},
    "cuda_graphs": {"compile": "reduce-overhead"},
    "cuda_graphs_bf16": {"compile": "reduce-overhead", "precision": "bf16"},
}


def make_update(args: argparse.Namespace, algo: AlgoConfig, rows: int, device: torch.device, **changes: Any) -> Update:
    """Return an update with ``changes`` to the learner's config."""
    config = LearnerConfig(batch_size=rows, **changes)
    check_features(config, device)
    spec = TransitionSpec.for_discrete((args.obs_dim,))
    state = LearnerState(args.obs_dim, args.num_actions, algo, config, 0, device)
    return Update(state, algo, config, spec)


def gradient(update: Update, sample: ReplaySample) -> torch.Tensor:
    """Return the gradient of one batch as one float64 vector."""
    update.gradients(update._stage.load(sample))
    update.state.precision.unscale(update.state.optimizer)
    if update.state.precision.scaler is not None:
        update.state.precision.scaler.update(update.state.precision.loss_scale)
    return torch.cat([p.grad.flatten().float().cpu() for p in update.state.online.parameters() if p.grad is not None])


def seconds(update: Update, samples: list[ReplaySample], updates: int) -> float:
    """Return seconds per update."""
    began = time.perf_counter()
    for i in range(updates):
        update(samples[i % len(samples)])
    return (time.perf_counter() - began) / updates


def measure(args: argparse.Namespace, rows: int, names: list[str], device: torch.device) -> dict[str, Any]:
    """Return the figures of every feature at one batch size."""
    algo = AlgoConfig.model_validate(json.loads(args.algo))
    samples = make_samples(TransitionSpec.for_discrete((args.obs_dim,)), rows, args.num_actions, 8)
    plain = make_update(args, algo, rows, device)
    expected = gradient(plain, samples[0])
    updates: dict[str, Update] = {}
    found: dict[str, Any] = {}
    for name in names:
        try:
            updates[name] = make_update(args, algo, rows, device, **FEATURES[name])
        except UserError as error:
            found[name] = {"not_here": str(error)}
            continue
        began = time.perf_counter()
        off = float((gradient(updates[name], samples[0]) - expected).norm() / expected.norm())
        found[name] = {"first_update_s": round(time.perf_counter() - began, 2), "gradient_off": float(f"{off:.2g}")}
        seconds(updates[name], samples, 8)
    seconds(plain, samples, 8)
    paces: dict[str, list[float]] = {name: [] for name in ("plain", *updates)}
    for _ in range(args.rounds):
        for name, update in {"plain": plain, **updates}.items():
            paces[name].append(seconds(update, samples, args.updates))
    found["plain"] = {"updates_per_s": round(1 / statistics.median(paces["plain"]), 1)}
    for name in updates:
        ratios = [a / b for a, b in zip(paces["plain"], paces[name], strict=True)]
        found[name] |= {
            "updates_per_s": round(1 / statistics.median(paces[name]), 1),
            "speedup": round(statistics.median(ratios), 2),
        }
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--features", nargs="+", choices=sorted(FEATURES), default=["bf16", "accumulation_4"])
    parser.add_argument(
        "--algo", default="{}", help='switches of the algorithm as JSON, for instance {"distribution": "c51"}'
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--obs-dim", type=int, default=122)
    parser.add_argument("--num-actions", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--updates", type=int, default=40, help="updates per round and feature")
    args = parser.parse_args(arguments)
    set_threads(1)
    device = pick_device(args.device)
    result: dict[str, Any] = {"device": describe(device), "torch": torch.__version__, "algo": args.algo}
    for rows in args.batch:
        result[str(rows)] = found = measure(args, rows, args.features, device)
        for name, figures in found.items():
            say(f"batch {rows:5}  {name:18} " + "  ".join(f"{k} {v}" for k, v in figures.items()))
    if args.json:
        say(json.dumps(result))
