"""What a shard's saved state may hold: its rows travel as bare bytes, its ids, leaves and places are what kernels index
by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robonav_ray.ranges import Numbers, check_generator, count, like, real, require
from robonav_ray.records import MAX_LIFE, MAX_SEQUENCE, TransitionSpec, unpack_item_id

MAX_LEAF = 1.0e40
"""Above every priority that float32 holds."""
_ROUNDING = 1.0 - 1e-6
LIFE = count(high=MAX_LIFE - 2)
"""Leaves one life more."""


def check_counts(state: Mapping[str, Any], capacity: int) -> None:
    """RangeError unless the single numbers of a shard's state, and its generator, are in their ranges."""
    declared: dict[str, Numbers] = {
        "incarnation": LIFE,
        "next_sequence": count(high=MAX_SEQUENCE >> 1),
        "max_leaf": real(low=0.0, high=MAX_LEAF),
        "num_duplicates": count(),
        "num_stale": count(),
        "first_slot": count(high=capacity),
        "num_writes": count(),
    }
    for name in declared.keys() & state.keys():
        declared[name].check(f"shard.json: {name}", state[name])
    full = state["next_sequence"] >= capacity
    first = state["next_sequence"] % capacity if full else 0
    require(
        state["first_slot"] in (0, first), f"shard.json: first_slot is {state['first_slot']} and must be 0 or {first}"
    )
    check_generator("shard.json: rng", state["rng"])


def check_arrays(
    state: Mapping[str, Any], spec: TransitionSpec, shard: int, capacity: int, least_leaf: float | None
) -> None:
    """RangeError unless the arrays of a shard's state are in their ranges, and agree with each other and with the
    counts.

    Args:
        state: With the counts checked, and arrays of the right lengths and dtypes.
        spec: Says what the columns of rows may hold.
        shard: Its index.
        capacity: Of the ring.
        least_leaf: The least that a live row is drawn by; None when all are alike.
    """
    rows, item_id, leaf, end = state["rows"], state["item_id"], state["leaf"], state["next_sequence"]
    size = len(item_id)
    for column in spec.columns:
        Numbers(np.dtype(column.dtype), (size, *column.shape), column.low, column.high).check(
            f"rows.npy: {column.name}", rows[column.name]
        )
    parts = unpack_item_id(item_id)
    slot = np.arange(size)
    sequence = slot + (end - 1 - slot) // capacity * capacity  # the newest that belongs there
    require(parts.sequence == sequence, "item_id.npy: a row is not in the slot of its sequence")
    require(item_id >= 0, "item_id.npy: an id is negative")
    require(parts.shard == shard, f"item_id.npy: an id of another shard than {shard}")
    require(parts.life <= state["incarnation"], "item_id.npy: an id of a life to come")
    if least_leaf is not None:
        like(leaf, _ROUNDING * least_leaf, max(float(state["max_leaf"]), least_leaf)).check("leaf.npy", leaf)
    if "order" in state:
        order = state["order"]
        like(order, 0, size - 1).check("order.npy", order)
        there = np.zeros(size, np.bool_)
        there[order] = True
        require(there, "order.npy: a slot stands nowhere")
        standing = leaf[order]
        require(
            standing[(np.arange(1, size) - 1) >> 1] >= standing[1:], "order.npy: a place holds more than its parent"
        )
