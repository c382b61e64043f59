"""Replay speed: draw + gather + priority update, against cpprb in the same process, and through the Ray actors.

Both sides hold the same rows (obs, action, reward, next_obs, discount, policy_version), draw the same batch size with
importance weights and write as many priorities back. Rounds alternate between the two, and medians are reported.

    python -m proofs bench_replay --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from proofs.common.made_up import fill, make_fragment
from robonav_ray.config.replay import ReplayConfig
from robonav_ray.records import TransitionSpec
from robonav_ray.replay.buffer import ReplayBuffer
from robonav_ray.screen import say

FRAGMENT_ROWS, NUM_ACTIONS = 4096, 15
ALPHA, BETA = 0.6, 0.4


def make_ours(spec: TransitionSpec, num_rows: int, batch: int, rng: np.random.Generator) -> Callable[[], None]:
    """Return one step of ours: a batch drawn, its priorities sent back."""
    # The pacing is set so that inserts and samples never wait: this measures the structure, not the ratio.
    config = ReplayConfig(
        capacity=num_rows, num_shards=1, min_size=1, samples_per_insert=1.0, error_buffer=1e15, priority_exponent=ALPHA
    )
    buffer = ReplayBuffer(config, spec, 0, FRAGMENT_ROWS, batch)
    for sequence in range(-(-num_rows // FRAGMENT_ROWS)):
        buffer.insert(make_fragment(spec, FRAGMENT_ROWS, NUM_ACTIONS, rng, sequence=sequence))

    def step() -> None:
        samples = buffer.sample(batch, 1)
        assert samples is not None
        buffer.update_priorities(samples[0].item_id, rng.random(batch, np.float32))

    return step


def make_cpprb(spec: TransitionSpec, num_rows: int, batch: int, rng: np.random.Generator) -> Callable[[], None]:
    """Return the same step of cpprb."""
    import cpprb

    env = {c.name: {"shape": c.shape or 1, "dtype": np.dtype(c.dtype).type} for c in spec.columns}
    buffer = cpprb.PrioritizedReplayBuffer(num_rows, env, alpha=ALPHA)
    for sequence in range(-(-num_rows // FRAGMENT_ROWS)):
        fragment = make_fragment(spec, FRAGMENT_ROWS, NUM_ACTIONS, rng, sequence=sequence)
        buffer.add(**dict(zip(spec.names, fragment.columns, strict=True)), priorities=fragment.priority)

    def step() -> None:
        sample = buffer.sample(batch, beta=BETA)
        buffer.update_priorities(sample["indexes"], rng.random(batch, np.float32))

    return step


def seconds_per_step(step: Callable[[], None], num_steps: int) -> float:
    """Return the mean of ``num_steps``."""
    start = time.perf_counter()
    for _ in range(num_steps):
        step()
    return (time.perf_counter() - start) / num_steps


def bench_remote(spec: TransitionSpec, num_rows: int, batch: int, num_shards: int, seconds: float) -> dict[str, float]:
    """Return the rates of the replay in Ray actors, and of its inserts."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from robonav_ray.nodes.own_ray import own_ray
    from robonav_ray.replay.remote import start_replay

    rng = np.random.default_rng(0)
    with own_ray(num_cpus=2, include_dashboard=False, object_store_memory=250_000_000, log_to_driver=False):
        config = ReplayConfig(
            capacity=num_rows,
            num_shards=num_shards,
            min_size=num_rows // 2,
            samples_per_insert=1.0,
            error_buffer=1e15,
            priority_exponent=ALPHA,
        )
        batches_per_call = 8
        replay = start_replay(
            config, spec, 0, max_insert_rows=FRAGMENT_ROWS, max_sample_rows=batch * batches_per_call, cpus_per_shard=0.2
        )
        replay.wait_ready(60.0)
        sink = replay.transition_sink(max_in_flight=4)
        template = make_fragment(spec, FRAGMENT_ROWS, NUM_ACTIONS, rng)
        start = time.perf_counter()
        num_fragments = num_rows // FRAGMENT_ROWS
        fill(sink, template, num_fragments)
        insert_rows_per_s = num_fragments * FRAGMENT_ROWS / (time.perf_counter() - start)
        source, priorities = replay.batch_source(rank=0, prefetch_calls=2), replay.priority_sink()
        while source.sample(batch, batches_per_call) is None:
            pass
        rates: list[float] = []
        for _ in range(5):
            done, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds / 5:
                for sample in source.sample(batch, batches_per_call) or []:
                    priorities.update_priorities(sample.item_id, rng.random(batch, np.float32))
                    done += batch
            rates.append(done / (time.perf_counter() - start))
        source.close()
        replay.shutdown()
        return {"remote_transitions_per_s": statistics.median(rates), "remote_insert_rows_per_s": insert_rows_per_s}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--obs-dim", type=int, default=122)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=200, help="steps per round")
    parser.add_argument("--shards", type=int, default=2, help="shards of the Ray part; 0 leaves it out")
    parser.add_argument("--remote-items", type=int, default=200_000, help="rows of the Ray part")
    parser.add_argument("--remote-seconds", type=float, default=10.0)
    args = parser.parse_args(arguments)
    spec, rng = TransitionSpec.for_discrete((args.obs_dim,)), np.random.default_rng(0)
    ours, theirs = make_ours(spec, args.items, args.batch, rng), make_cpprb(spec, args.items, args.batch, rng)
    seconds: dict[str, list[float]] = {"ours": [], "cpprb": []}
    for step in (ours, theirs):
        seconds_per_step(step, 20)
    for _ in range(args.rounds):
        seconds["ours"].append(seconds_per_step(ours, args.steps))
        seconds["cpprb"].append(seconds_per_step(theirs, args.steps))
    result: dict[str, float] = {
        "transitions_per_s": args.batch / statistics.median(seconds["ours"]),
        "cpprb_transitions_per_s": args.batch / statistics.median(seconds["cpprb"]),
        "ratio": statistics.median(b / a for a, b in zip(seconds["ours"], seconds["cpprb"], strict=True)),
        "items": args.items,
        "batch": args.batch,
        "obs_dim": args.obs_dim,
        "row_bytes": spec.row_bytes,
    }
    del ours, theirs
    if args.shards:
        result |= bench_remote(spec, args.remote_items, args.batch, args.shards, args.remote_seconds)
        result |= {"remote_items": args.remote_items, "remote_shards": args.shards}
    if args.json:
        say(json.dumps(result))
    else:
        for name, value in result.items():
            say(f"{name:28s} {value:,.2f}")
