"""Shards: how sampled rows/s grow from 1 to 8 shards, with shards that sleep for every row and with real ones.

Everything but the sleep is the product's: shards in actors, ledger, the learner's batch sources (with their background
threads) and priority sinks. The ranks are actors that draw and send priorities back as a learner does, and make no
update.
"""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

import numpy as np

from proofs.common.made_up import fill, make_fragment
from proofs.scale.system import CpuMeter, ray_nodes
from robonav_ray.config.replay import ReplayConfig
from robonav_ray.part_names import Part
from robonav_ray.records import TransitionSpec
from robonav_ray.replay.shard import ReplayShard
from robonav_ray.replay.shard_records import ShardSample
from robonav_ray.screen import say

SHARDS = (1, 2, 4, 8)
ROW_S = 200e-6
"""Seconds that a sleeping shard takes per row: so long that two cores can move the rows of eight of them."""
NUM_RANKS, BATCH_SIZE, BATCHES_PER_CALL = 3, 256, 16
OBS_DIM, NUM_ACTIONS, CAPACITY, FRAGMENT_ROWS = 120, 15, 40_000, 2_000


class SleepingShard(ReplayShard):
    """A shard that takes ROW_S longer per row drawn, without a core being busy."""

    def sample(self, num: int) -> ShardSample:
        """Sleep for the rows, then draw them."""
        time.sleep(num * ROW_S)
        return super().sample(num)


class SamplingRank:
    """Draws as a learner's rank does, and sends made-up priorities back."""

    def run(self, source: Any, priorities: Any, seconds: float, warm_s: float) -> float:
        """Return rows per second over about ``seconds`` from the first draw after ``warm_s``: from one draw's arrival
        to another's.
        """
        rng, rows = np.random.default_rng(0), 0
        warm_until, began = time.perf_counter() + warm_s, 0.0
        try:
            while True:
                samples = source.sample(BATCH_SIZE, BATCHES_PER_CALL)
                now = time.perf_counter()
                if samples:
                    item_id = np.concatenate([sample.item_id for sample in samples])
                    priorities.update_priorities(item_id, rng.random(len(item_id), np.float32))
                    rows += len(item_id) if began else 0
                if samples and not began and now >= warm_until:
                    began = now
                if samples and began and now - began >= seconds:
                    return rows / (now - began)
        finally:
            source.close()


def measure(num_shards: int, shard_class: type[ReplayShard], ranks: list[Any], seconds: float) -> dict[str, Any]:
    """Return rows per second over all ranks from ``num_shards`` shards, and the CPU that this took."""
    import ray

    from robonav_ray.replay import remote

    spec = TransitionSpec.for_discrete((OBS_DIM,))
    config = ReplayConfig(
        capacity=CAPACITY, num_shards=num_shards, min_size=CAPACITY // 2, samples_per_insert=1.0, error_buffer=1e15,
        shard_timeout_s=60.0,
    )  # fmt: skip
    with patch.object(remote, "ReplayShard", shard_class):
        replay = remote.start_replay(
            config,
            spec,
            0,
            max_insert_rows=FRAGMENT_ROWS,
            max_sample_rows=BATCH_SIZE * BATCHES_PER_CALL * len(ranks),
            cpus_per_shard=0.2,
        )
    try:
        replay.wait_ready(60.0)
        fragment = make_fragment(spec, FRAGMENT_ROWS, NUM_ACTIONS, np.random.default_rng(0))
        fill(replay.transition_sink(max_in_flight=4), fragment, -(-CAPACITY // FRAGMENT_ROWS))
        warm_s = 3.0
        calls = [
            rank.run.remote(replay.batch_source(index, 2), replay.priority_sink(), seconds, warm_s)
            for index, rank in enumerate(ranks)
        ]
        time.sleep(warm_s)
        meter = CpuMeter({SleepingShard.__name__: Part.SHARD, SamplingRank.__name__: Part.RANK})
        time.sleep(seconds)
        busy, cores = meter.read()
        return {
            "shards": num_shards, "samples_per_s": sum(ray.get(calls)), "cpu_frac": busy, "cpu_cores": cores,
            "row_bytes": spec.row_bytes,
        }  # fmt: skip
    finally:
        replay.shutdown()


def bench_shards(shards: tuple[int, ...] = SHARDS, seconds: float = 8.0) -> dict[str, Any]:
    """Return the points of sleeping shards (``latency``) and of real ones (``real``)."""
    import ray

    results: dict[str, Any] = {"row_s": ROW_S, "ranks": NUM_RANKS, "rows_per_call": BATCH_SIZE * BATCHES_PER_CALL}
    with ray_nodes():
        actor_class: Any = ray.remote(num_cpus=0)(SamplingRank)
        ranks = [actor_class.remote() for _ in range(NUM_RANKS)]
        for name, shard_class in (("latency", SleepingShard), ("real", ReplayShard)):
            results[name] = []
            for count in shards:
                point = measure(count, shard_class, ranks, seconds)
                results[name].append(point)
                say(
                    f"{name} {count} shards: {point['samples_per_s']:9,.0f} rows/s, CPU {point['cpu_frac']:.0%}, "
                    f"{point['cpu_cores']}"
                )
    return results
