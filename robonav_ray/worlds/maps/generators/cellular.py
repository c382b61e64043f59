"""``cellular``: the cellular automaton of the BARN set (Perille, Truong, Xiao, Stone: Benchmarking Metric Ground
Navigation, SSRR 2020; https://github.com/dperille/jackal-map-creation).

A field of cylinders lies across the way from one end of the map to the other; before and behind it the ground is free.
With ``width_m=4.5 height_m=11.5 passage_m=0.75`` the field has the set's 30 x 30 places 15 cm apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from robonav_ray.worlds.maps.generators.plan import NoRoomError, Plan
from robonav_ray.worlds.maps.grid_map import GridMap

FILL_FRACS = (-0.05, 0.0, 0.05, 0.1)
"""Added to ``fill_frac``: with .2 these are the four fill fractions of the set."""
SMOOTHINGS = (2, 3, 4)
"""How often the automaton goes over the field. 4 x 3 pairs; map i has pair i % 12, as the set's 300 have 25 each."""
WINDOW = 5
"""Places that a body takes, as the Jackal does of 15 cm each."""
MARGIN_M, END_M = 3.5, 0.75
"""Free ground before and behind the field, at most a third of the map; the two ends of the way are so far from the
edge."""
_PLACES_AT_ONCE, _PLACES = 1 << 17, 1 << 22
"""Places of the fields that are drawn at once, and before less is filled: of BARN's size 4,600 fields."""
_PIECEWISE_M = 0.06
"""Coarser cells than these draw a cylinder as the square around it."""


def ends(grid: GridMap) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return where the way through a map of ``cellular`` begins and where it ends: two points (x, y) of the world
    frame, in the middle of the free ground before and behind the field, the map's height less 1.5 m apart (in a map
    with BARN's measures 10 m, as there).
    """
    half = 0.5 * grid.size_m[1] - END_M
    return (0.0, -half), (0.0, half)


def make_cellular(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Return (rows, columns) bool, occupied cells: a field through which a body ``passage_m`` wide gets from the bottom
    to the top. Fields without such a way are drawn again; where thousands have none, with two percent less filled.

    Raises:
        NoRoomError: When no field fits.
    """
    place_m = max(plan.passage_m / WINDOW, plan.resolution_m)
    margin_m = min(MARGIN_M, plan.rows * plan.resolution_m / 3.0)
    across = int(plan.columns * plan.resolution_m / place_m + 1e-6)
    along = int((plan.rows * plan.resolution_m - 2.0 * margin_m) / place_m + 1e-6)
    if across < WINDOW + 4 or along < 1:
        raise NoRoomError(f"a field with room to choose takes {(WINDOW + 4) * place_m:.1f} m")
    fill_frac = plan.fill_frac + FILL_FRACS[plan.index // len(SMOOTHINGS) % len(FILL_FRACS)]
    num_smoothings = SMOOTHINGS[plan.index % len(SMOOTHINGS)]
    at_once = max(_PLACES_AT_ONCE // (along * across), 1)
    num_rounds = max(_PLACES // (at_once * along * across), 2)
    while True:
        for _ in range(num_rounds):
            fields = grow(rng.random((at_once, along, across)) < fill_frac, num_smoothings)
            passable = has_way(fields)
            if passable.any():
                return _drawn(plan, fields[passable.argmax()], place_m)
        fill_frac -= 0.02


def grow(fields: np.ndarray, num_smoothings: int) -> np.ndarray:
    """Return fields (B, along, across) bool after so many steps of the automaton: a place with at least 5 of its 8
    neighbours filled is filled, one with at most 1 is emptied. The first and last column are walls, and all beyond is.
    """
    fields = fields.copy()
    fields[:, :, [0, -1]] = True
    for _ in range(num_smoothings):
        walled = np.pad(np.pad(fields, ((0, 0), (1, 1), (0, 0))), ((0, 0), (0, 0), (1, 1)), constant_values=True)
        rows = walled.astype(np.uint8)
        rows = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
        filled = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] - fields
        fields = (fields | (filled >= 5)) & (filled > 1)
    return fields


def has_way(fields: np.ndarray) -> np.ndarray:
    """Return (B,) bool: whether a body of ``WINDOW`` x ``WINDOW`` places gets from a field's first row to its last,
    place by place.
    """
    near = fields
    for axis in (1, 2):
        near = ndimage.maximum_filter1d(near.view(np.uint8), WINDOW, axis=axis, mode="constant").view(np.bool_)
    beside = np.zeros((3, 3, 3), np.bool_)
    beside[1] = ndimage.generate_binary_structure(2, 1)  # fields lie on each other, and have nothing in common
    labelled: Any = ndimage.label(~near, beside)
    part, num_parts = labelled
    reached = np.zeros(num_parts + 1, np.bool_)
    reached[part[:, 0]] = True
    reached[0] = False
    return np.any(reached[part[:, -1]], axis=1)


def _drawn(plan: Plan, field: np.ndarray, place_m: float) -> np.ndarray:
    """Return the map with a cylinder in every filled place, and walls along both sides."""
    rows, columns = (
        (np.arange(num) + 0.5) * plan.resolution_m - 0.5 * num * plan.resolution_m for num in (plan.rows, plan.columns)
    )
    y, x = (at / place_m + 0.5 * num for at, num in zip((rows, columns), field.shape, strict=True))
    row, column = np.floor(y).astype(int), np.floor(x).astype(int)
    inside = (row >= 0) & (row < field.shape[0])
    beside = (column < 1) | (column >= field.shape[1] - 1)
    grid = field[np.clip(row, 0, field.shape[0] - 1)][:, np.clip(column, 0, field.shape[1] - 1)] & inside[:, None]
    if plan.resolution_m <= _PIECEWISE_M:
        grid &= np.square(y - row - 0.5)[:, None] + np.square(x - column - 0.5) <= 0.25 + 1e-9
    return grid | beside
