"""What a shard answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

PRIORITY_EDGES = np.concatenate(([0.0], np.geomspace(1e-4, 1e4, 65)))
"""Edges between which priorities are counted, the same for every shard, so that their counts add up."""


class ShardStats(NamedTuple):
    """What a shard says of itself with every answer."""

    shard: int
    life: int
    mass: float
    """Sum of what rows are drawn by: priority ** priority_exponent, rank ** -priority_exponent, or 1 when the sampler
    is uniform."""
    min_leaf: float
    """The least that a live row is drawn by; inf when empty."""
    size: int
    """Live rows."""
    num_inserted: int
    """Rows ever stored."""
    num_duplicates: int
    """Fragments dropped because they had been stored before."""
    num_stale: int
    """Priority updates dropped because the row had been overwritten or lost."""


class Draw(NamedTuple):
    """Rows chosen but not yet copied; valid until the next insert."""

    slot: np.ndarray
    """(B,) int64."""
    item_id: np.ndarray
    """(B,) int64."""
    probability: np.ndarray
    """(B,) float64: within this shard."""
    stats: ShardStats


@dataclass(frozen=True)
class ShardSample:
    """Rows drawn from one shard, as they travel: packed, to be spread into columns by the receiver."""

    rows: np.ndarray
    """(B,) of ``RowLayout(spec).dtype``; B is 0 when the shard is empty."""
    item_id: np.ndarray
    """(B,) int64."""
    probability: np.ndarray
    """(B,) float64: within this shard."""
    stats: ShardStats
