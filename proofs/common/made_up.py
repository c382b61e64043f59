"""Made-up data of the right shapes: rows, fragments, batches, weights. What is in them changes nothing in the time that
they take.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from robonav_ray.algo.policy import parameter_shapes
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.interfaces import TransitionSink
from robonav_ray.records import Fragment, PolicySnapshot, ReplaySample, TransitionSpec, pack_item_id


class Client(TransitionSink, Protocol):
    """A rollout worker's client of a replay over Ray."""

    def flush(self) -> None:
        """Wait until everything is stored."""
        ...


def make_columns(spec: TransitionSpec, rows: int, num_actions: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return rows of discrete actions: normal observations and rewards, uniform actions, discounts of .97."""
    obs, action, reward, next_obs, discount, *rest = spec.allocate(rows)
    for column in (obs, next_obs, reward):
        column[:] = rng.standard_normal(column.shape, np.float32)
    action[:], discount[:] = rng.integers(0, num_actions, rows), 0.97
    return (obs, action, reward, next_obs, discount, *rest)


def make_fragment(
    spec: TransitionSpec, rows: int, num_actions: int, rng: np.random.Generator, *, worker: int = 0, sequence: int = 0
) -> Fragment:
    """Return a fragment of such rows with uniform TD errors."""
    return Fragment(worker, 0, sequence, make_columns(spec, rows, num_actions, rng), rng.random(rows, np.float32))


def fill(sink: Client, fragment: Fragment, num_fragments: int) -> None:
    """Insert one fragment again and again, and wait until all of them are stored."""
    for sequence in range(num_fragments):
        sink.insert(replace(fragment, sequence=sequence))
    sink.flush()


def make_samples(spec: TransitionSpec, rows: int, num_actions: int, count: int) -> list[ReplaySample]:
    """Return ``count`` batches of such rows, each drawn with the same probability and a uniform weight."""
    rng, samples = np.random.default_rng(0), []
    for _ in range(count):
        columns = make_columns(spec, rows, num_actions, rng)
        ids = pack_item_id(0, 0, np.arange(rows))
        samples.append(ReplaySample(columns, ids, np.full(rows, 1.0 / rows), rng.random(rows, np.float32)))
    return samples


def make_snapshot(obs_dim: int, num_actions: int, algo: AlgoConfig, seed: int = 0) -> PolicySnapshot:
    """Return version 1 of a network with normal weights, scaled by their fan-in."""
    rng, shapes = np.random.default_rng(seed), parameter_shapes(obs_dim, num_actions, algo)
    arrays = tuple((rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32) for shape in shapes.values())
    return PolicySnapshot(1, 0, tuple(shapes), arrays)
