"""What is left when the run is over: CPUs, placement groups, processes, and whether its last checkpoint is sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proofs.chaos.processes import Watch
from proofs.common.checkout import with_proofs
from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.records import TransitionSpec
from robonav_ray.replay.buffer import make_ledger, shard_directories
from robonav_ray.replay.shard import ReplayShard
from robonav_ray.runs.checkpoint import newest_good_checkpoint
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.sizes import max_fragment_rows, max_sample_rows

FREE_LIMIT_S = 60.0


def look_at_cluster(
    address: str, environment: Mapping[str, str], since: float, limit_s: float = FREE_LIMIT_S
) -> dict[str, Any]:
    """Return how long after ``since`` (epoch seconds) all CPUs were seen to be free, and how many placement groups are
    left; ``error`` where the cluster did not answer.
    """
    command = [sys.executable, "-m", "proofs.chaos.cluster_state", address, str(limit_s), str(since)]
    done = subprocess.run(
        command,
        env=with_proofs({**os.environ, **environment}),
        capture_output=True,
        text=True,
        timeout=limit_s + 90,
        check=False,
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def orphans(watch: Watch) -> list[str]:
    """Return the actors of the run that outlived it."""
    return [f"{process.pid} {process.title}" for process in watch.still_alive() if process.role is not None]


def survivors(watch: Watch, wait_s: float = 10.0) -> list[str]:
    """Return every process ever seen that is still there although everything was told to end, after ``wait_s`` at
    most.
    """
    deadline = time.monotonic() + wait_s
    while (alive := watch.still_alive()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return [f"{process.pid} {process.title[:80]}" for process in alive]


def run_facts(config: RunConfig) -> dict[str, float]:
    """Return the figures of a run that bounds depend on."""
    workers = config.rollout.num_workers if isinstance(config.rollout.num_workers, int) else 1
    worlds = -(-config.rollout.num_worlds // workers)
    fragment_rows, sample_rows = max_fragment_rows(config, worlds), max_sample_rows(config)
    ledger = make_ledger(config.replay, fragment_rows, sample_rows)
    return {
        "fragment_rows": float(fragment_rows),
        # What was drawn ahead and not used when a checkpoint was cut is drawn anew after a resume; what was on its way
        # from workers that were lost had been counted already.
        "balance_rows": float(
            ledger.error_buffer
            + config.learner.prefetch_calls * sample_rows
            + config.replay.samples_per_insert * workers * config.rollout.max_in_flight * fragment_rows
        ),
        "samples_per_insert": config.replay.samples_per_insert,
        "interval_s": config.checkpoint.interval_s,
    }


def load_config(run: Path) -> RunConfig:
    """Return the config that the run was begun with."""
    return load_run_config(run / "config.yaml", ())


def inspect_replay(run: Path, config: RunConfig, kept: Sequence[Path] = ()) -> dict[str, Any]:
    """Load the shards of every checkpoint that was kept; return what is wrong with them, and how many rows stood twice
    in one of them.

    Rows hold continuous observations before and after a step, so two that are equal to the bit came from one step.
    ``kept`` are the replays of the checkpoints so far; the newest of the run comes last.
    """
    checkpoint, damaged = newest_good_checkpoint(run / "checkpoints")
    if checkpoint is None or not checkpoint.replay.is_dir():
        return {"bad_shards": [*damaged, "there is no checkpoint with a replay"], "rows_stored_twice": None}
    replays = [*(path for path in kept if path.parent.name != checkpoint.path.name), checkpoint.replay]
    bad, twice, inspected = list(damaged), 0, 0
    spec = describe_task(config).spec
    for replay in replays:
        wrong, rows = _load_rows(replay, config, spec)
        bad += [f"{replay.parent.name}: {line}" for line in wrong]
        twice += count_equal_rows(rows)
        inspected += sum(map(len, rows))
    return {
        "bad_shards": bad,
        "rows_stored_twice": twice,
        "rows_inspected": inspected,
        "checkpoints_inspected": len(replays),
    }


def _load_rows(replay: Path, config: RunConfig, spec: TransitionSpec) -> tuple[list[str], list[np.ndarray]]:
    """Return what is wrong with the shards of a checkpoint, and the rows of those that are sound."""
    bad: list[str] = []
    rows: list[np.ndarray] = []
    for index, path in enumerate(shard_directories(replay, config.replay.num_shards)):
        shard = ReplayShard(config.replay, spec, config.seed, index)
        try:
            shard.load(str(path))
            shard.check_valid()
            rows.append(shard.state_dict()["rows"])
        except (AssertionError, ValueError) as error:
            bad.append(f"shard {index}: {error}")
    return bad, rows


def count_equal_rows(parts: Sequence[np.ndarray]) -> int:
    """Return how many rows are equal, to the bit, to one that stands elsewhere.

    Rows are told apart by 64 bits of each, a sum of its words with random odd weights: a million rows that differ are
    taken for equal with a probability of 3e-8.
    """
    if not parts:
        return 0
    rows = np.ascontiguousarray(np.concatenate(parts))
    words = np.zeros((len(rows), -(-rows.dtype.itemsize // 8)), np.uint64)
    words.view(np.uint8)[:, : rows.dtype.itemsize] = rows.view(np.uint8).reshape(len(rows), -1)
    weights = np.random.default_rng(0).integers(0, 1 << 63, words.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
    digest = (words * weights).sum(axis=1, dtype=np.uint64)
    return len(digest) - len(np.unique(digest))
