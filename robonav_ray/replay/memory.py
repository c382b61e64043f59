"""Bytes that the replay will take, and whether the machine has them; asked before anything is started."""

from __future__ import annotations

from pathlib import Path

import psutil

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.records import TransitionSpec
from robonav_ray.replay.rank_heap import RankHeap
from robonav_ray.replay.sum_tree import SumTree

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def shard_capacities(config: ReplayConfig) -> list[int]:
    """Return the rows of each shard; they sum to ``replay.capacity`` and differ by at most one."""
    least, rest = divmod(config.capacity, config.num_shards)
    return [least + (i < rest) for i in range(config.num_shards)]


def shard_bytes(spec: TransitionSpec, capacity: int, sampler: str = "prioritized") -> int:
    """Return the bytes of one shard: packed rows, ids, and what it draws by (a tree, a heap, nothing)."""
    index = {"prioritized": SumTree.num_bytes, "rank": RankHeap.num_bytes}.get(sampler)
    return capacity * (spec.row_bytes + 8) + (index(capacity) if index else 0)


def replay_bytes(spec: TransitionSpec, config: ReplayConfig) -> int:
    """Return the bytes of all shards."""
    return sum(shard_bytes(spec, capacity, config.sampler) for capacity in shard_capacities(config))


def machine_memory_bytes() -> int:
    """Return the memory of this machine, or of its container (cgroup v1 or v2) where that is less."""
    limits = [psutil.virtual_memory().total]
    for path in _CGROUP_LIMITS:
        if path.is_file():
            text = path.read_text().strip()
            if text.isdecimal():
                limits.append(int(text))
    return min(limits)


def check_memory(spec: TransitionSpec, config: ReplayConfig, machine_bytes: int | None = None) -> int:
    """Return the bytes that the replay will take; ValueError when they are more than ``replay.max_memory_frac`` of the
    memory.

    ``machine_bytes`` is the memory that the shards share: this machine's by default, the sum over nodes in a cluster.
    """
    available = machine_memory_bytes() if machine_bytes is None else machine_bytes
    needed, allowed = replay_bytes(spec, config), int(available * config.max_memory_frac)
    if needed > allowed:
        rows = int(0.99 * config.capacity * allowed / needed)
        raise ValueError(
            f"the replay needs {needed / 1e9:.2f} GB ({config.capacity} rows of {spec.row_bytes} bytes, ids and "
            f"trees), but only {allowed / 1e9:.2f} GB may be used (replay.max_memory_frac = {config.max_memory_frac} "
            f"of {available / 1e9:.2f} GB): set replay.capacity to {rows} or less, or raise replay.max_memory_frac (at "
            "most 0.9)"
        )
    return needed
