"""``forest``: round trunks with a passage between any two."""

from __future__ import annotations

import math

import numpy as np

from robonav_ray.worlds.maps.generators.plan import NoRoomError, Plan

_RADIUS_M = (0.1, 0.5)
_MISSES = 150
"""Places in a row without room for a trunk, after which a wood is full."""


def make_forest(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Return (rows, columns) bool, occupied cells: trunks until they take ``fill_frac`` of the ground, or no more stand
    a passage from each other and from the edge.

    Raises:
        NoRoomError: When not one stands so.
    """
    height_m, width_m = (num * plan.resolution_m for num in (plan.rows, plan.columns))
    gap_m = (plan.passage + 1) * plan.resolution_m  # cells count whole
    least_m = max(_RADIUS_M[0], 0.75 * plan.resolution_m)  # one cell at least
    most_m = min(max(_RADIUS_M[1], least_m), 0.5 * min(height_m, width_m) - gap_m)
    if most_m < least_m:
        raise NoRoomError(f"a trunk and the ways around it take {2.0 * (least_m + gap_m):.1f} m")
    trunks, num, filled, misses = np.zeros((64, 3)), 0, 0.0, 0
    while filled < plan.fill_frac * height_m * width_m and misses < _MISSES:
        radius_m = float(rng.uniform(least_m, most_m))
        x, y = rng.uniform(-0.5, 0.5, 2) * (width_m - 2.0 * (gap_m + radius_m), height_m - 2.0 * (gap_m + radius_m))
        at = trunks[:num]
        if (np.hypot(at[:, 0] - x, at[:, 1] - y) < at[:, 2] + radius_m + gap_m).any():
            misses += 1
            continue
        if num == len(trunks):
            trunks = np.concatenate([trunks, np.zeros_like(trunks)])
        trunks[num] = x, y, radius_m
        num, filled, misses = num + 1, filled + math.pi * radius_m**2, 0
    return _drawn(plan, trunks[:num])


def _drawn(plan: Plan, trunks: np.ndarray) -> np.ndarray:
    """Return the map with the trunks (T, 3): x, y, radius in metres, from its middle."""
    grid, res = np.zeros((plan.rows, plan.columns), np.bool_), plan.resolution_m
    for x, y, radius_m in trunks:
        low = [
            max(int((0.5 * num * res + at - radius_m) / res) - 1, 0) for at, num in ((y, plan.rows), (x, plan.columns))
        ]
        size = 2 * plan.cells(radius_m) + 3
        part = grid[low[0] : low[0] + size, low[1] : low[1] + size]
        rows = (low[0] + np.arange(part.shape[0]) + 0.5 - 0.5 * plan.rows) * res - y
        columns = (low[1] + np.arange(part.shape[1]) + 0.5 - 0.5 * plan.columns) * res - x
        part |= np.square(rows)[:, None] + np.square(columns) <= radius_m**2
    return grid
