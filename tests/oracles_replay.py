"""Slow, obvious twins of the replay's fast structures, and makers of rows that say who they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.records import Fragment, TransitionSpec
from robonav_ray.replay.shard import ReplayShard

SPEC = TransitionSpec(
    tuple(column._replace(low=-1e9, high=1e9) for column in TransitionSpec.for_discrete((3,)).columns)
)
"""Any number will do in any column: rows say who they are."""


class NaiveSumTree:
    """A list of leaves; every question is answered by looking at all of them."""

    def __init__(self, capacity: int) -> None:
        self.leaf = [0.0] * capacity

    def set(self, slot: np.ndarray, value: np.ndarray) -> None:
        for s, v in zip(slot, value, strict=True):
            self.leaf[s] = float(v)

    @property
    def total(self) -> float:
        return sum(self.leaf)

    @property
    def min_leaf(self) -> float:
        return min((v for v in self.leaf if v > 0), default=float("inf"))

    def sample(self, uniform: np.ndarray) -> np.ndarray:
        slots = []
        for u in uniform:
            target, slot = u * self.total, -1
            for s, v in enumerate(self.leaf):
                if v > 0:
                    slot = s
                    if target < v:
                        break
                    target -= v
            slots.append(slot)
        return np.array(slots)


class NaiveLedger:
    """The rule of ``SamplesPerInsertLedger`` in four lines, every reservation settled at once."""

    def __init__(self, ratio: float, min_size: int, error_buffer: float) -> None:
        self.ratio, self.min_size, self.error_buffer = ratio, min_size, error_buffer
        self.inserted = self.sampled = 0

    def insert(self, rows: int) -> bool:
        ok = (
            self.inserted < self.min_size
            or self.ratio * (self.inserted + rows - self.min_size) - self.sampled <= self.error_buffer
        )
        self.inserted += rows * ok
        return ok

    def sample(self, rows: int) -> bool:
        warm = self.inserted >= self.min_size
        ok = warm and self.ratio * (self.inserted - self.min_size) - self.sampled - rows >= -self.error_buffer
        self.sampled += rows * ok
        return ok


def serial_fragment(
    sequence: int, rows: int, *, worker: int = 0, life: int = 0, priority: np.ndarray | None = None
) -> Fragment:
    """Return a fragment whose every column encodes the row's own number: worker * 1e5 + sequence * rows + row."""
    number = worker * 100_000 + sequence * rows + np.arange(rows)
    columns = SPEC.allocate(rows)
    obs, action, reward, next_obs, discount, version = columns
    obs[:] = number[:, None] + np.array([0.0, 0.25, 0.5])
    next_obs[:] = -number[:, None]
    action[:] = number
    reward[:] = number + 0.125
    discount[:] = number % 7
    version[:] = sequence
    if priority is None:
        priority = np.ones(rows, np.float32)
    return Fragment(worker, life, sequence, columns, priority.astype(np.float32))


def check_serial_columns(columns: tuple[np.ndarray, ...]) -> np.ndarray:
    """AssertionError unless all columns of each row belong together; returns the rows' numbers (B,) int64."""
    obs, action, reward, next_obs, discount, _ = columns
    number = action.astype(np.int64)
    np.testing.assert_array_equal(obs, (number[:, None] + np.array([0.0, 0.25, 0.5])).astype(np.float32))
    np.testing.assert_array_equal(next_obs, np.broadcast_to(-number[:, None], next_obs.shape).astype(np.float32))
    np.testing.assert_array_equal(reward, (number + 0.125).astype(np.float32))
    np.testing.assert_array_equal(discount, (number % 7).astype(np.float32))
    return number


def chi_square_p(observed: np.ndarray, probability: np.ndarray) -> float:
    """Return the p-value of counts ``observed`` (K,) under ``probability`` (K,)."""
    from scipy import stats

    return float(stats.chisquare(observed, probability * observed.sum()).pvalue)


def make_shard(
    capacity: int = 64, seed: int = 7, *, index: int = 0, life: int = 0, num_shards: int = 1, **settings: Any
) -> ReplayShard:
    """A shard of ``capacity`` rows of a replay with these ``settings``."""
    config = ReplayConfig(capacity=capacity * num_shards, num_shards=num_shards, **settings)
    return ReplayShard(config, SPEC, seed, index, life)
