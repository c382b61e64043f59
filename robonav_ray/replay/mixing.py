"""From draws inside shards to batches of one global distribution.

Row i of shard s is drawn with P = q_s * p(i | s), where q_s is the mass by which the shard was chosen and p(i | s) the
probability inside it. When all masses are fresh this is exactly leaf_i / (sum of all leaves), so any number of shards
samples as one buffer. When a mass is a little old, P is still the probability with which the row was really drawn, and
the importance weight uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robonav_ray.records import ReplaySample
from robonav_ray.replay.row_layout import RowLayout
from robonav_ray.replay.shard_records import ShardStats


def shard_probability(mass: np.ndarray) -> np.ndarray:
    """Return q (S,), the probability of each shard, from masses (S,) >= 0; ValueError when all are 0."""
    total = float(mass.sum())
    if not total > 0.0:
        raise ValueError("no shard holds any mass: nothing can be drawn")
    return mass / total


def split_by_mass(probability: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """Return (S,) int64 draws per shard, multinomial: together with a random order, ``num`` independent global
    draws.
    """
    return rng.multinomial(num, probability)


def importance_exponent_at(step: int, start: float, final: float, anneal_steps: int) -> float:
    """Return beta at learner step ``step``: linear from ``start`` to ``final`` over ``anneal_steps``, then constant
    (PER, 3.4).
    """
    return start + (final - start) * min(max(step, 0) / anneal_steps, 1.0)


def min_probability(shard_prob: np.ndarray, stats: list[ShardStats]) -> float:
    """Return the probability of the least likely live row of the whole replay: the row with the largest importance
    weight.
    """
    return min(q * s.min_leaf / s.mass for q, s in zip(shard_prob, stats, strict=True) if q > 0.0 and s.mass > 0.0)


def importance_weight(probability: np.ndarray, least: float, exponent: float | np.ndarray) -> np.ndarray:
    """Return w (B,) float32 = (N P)**-beta / max over the whole replay of (N P)**-beta = (P / P_min)**-beta; N cancels
    (PER, 3.4).

    ``exponent`` is beta, one for all rows or (B,).
    """
    return np.minimum((probability / least) ** -exponent, 1.0).astype(np.float32)


@dataclass(frozen=True)
class MixedDraw:
    """Rows of several batches in their final, random order, before beta is known."""

    columns: tuple[np.ndarray, ...]
    """(N, *shape) each."""
    item_id: np.ndarray
    """(N,) int64."""
    probability: np.ndarray
    """(N,) float64: with which the row was drawn."""
    min_probability: float
    """Of the least likely live row of the whole replay at the time of drawing."""

    def batches(self, batch_size: int, exponents: list[float]) -> list[ReplaySample]:
        """Cut into ``len(exponents)`` batches of ``batch_size`` rows (views, no copies), batch j weighted with beta
        ``exponents[j]``.
        """
        weight = importance_weight(self.probability, self.min_probability, np.repeat(exponents, batch_size))
        parts = [slice(j * batch_size, (j + 1) * batch_size) for j in range(len(exponents))]
        return [
            ReplaySample(tuple(c[part] for c in self.columns), self.item_id[part], self.probability[part], weight[part])
            for part in parts
        ]


class _Drawn(Protocol):
    """What ``Draw`` and ``ShardSample`` have in common."""

    @property
    def item_id(self) -> np.ndarray: ...
    @property
    def probability(self) -> np.ndarray: ...
    @property
    def stats(self) -> ShardStats: ...


def mix(
    layout: RowLayout,
    shard_prob: np.ndarray,
    draws: Sequence[_Drawn],
    copy_rows: Callable[[int, tuple[np.ndarray, ...], np.ndarray], None],
    rng: np.random.Generator,
) -> MixedDraw:
    """Put the draws of all shards into one random order.

    ``shard_prob`` (S,) is what the shards were chosen by; ``copy_rows(s, columns, position)`` copies the rows of draw s
    to the given positions of the columns. Multinomial counts in a random order are independent draws from the mixture.
    """
    counts = [len(d.item_id) for d in draws]
    num = sum(counts)
    position = np.split(rng.permutation(num), np.cumsum(counts)[:-1])
    columns = layout.empty_columns(num)
    item_id, probability = np.empty(num, np.int64), np.empty(num)
    for s, draw in enumerate(draws):
        copy_rows(s, columns, position[s])
        item_id[position[s]] = draw.item_id
        probability[position[s]] = draw.probability * shard_prob[s]
    return MixedDraw(columns, item_id, probability, min_probability(shard_prob, [d.stats for d in draws]))


class Annealing:
    """beta of every batch handed out, by the learner step that will use it.

    One batch is one learner step, so the step is counted here, as batches are handed out (not as they are drawn:
    batches that wait in a prefetch queue get the beta of the step that uses them). The learner says where it is before
    it draws, which makes a difference after a restore and after updates that were dropped.
    """

    def __init__(self, start: float, final: float, anneal_steps: int) -> None:
        """Begin at learner step 0."""
        self._start, self._final, self._anneal_steps = start, final, anneal_steps
        self.learner_step = 0

    @property
    def exponent(self) -> float:
        """Beta at the present learner step."""
        return importance_exponent_at(self.learner_step, self._start, self._final, self._anneal_steps)

    def next_exponents(self, num_batches: int) -> list[float]:
        """Return beta for the next ``num_batches`` learner steps, and count them."""
        first = self.learner_step
        self.learner_step += num_batches
        return [
            importance_exponent_at(s, self._start, self._final, self._anneal_steps)
            for s in range(first, first + num_batches)
        ]
