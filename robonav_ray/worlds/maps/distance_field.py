"""How far every cell is from the nearest wall: the one field from which lidar, collisions and routes are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage


def closed(occupied: np.ndarray) -> np.ndarray:
    """Return ``occupied`` (H, W) with a ring of occupied cells around it, (H + 2, W + 2): outside of a map is wall."""
    return np.pad(occupied, 1, constant_values=True)


def clearance_m(occupied: np.ndarray, resolution_m: float) -> np.ndarray:
    """Return (H, W) float32: the distance of every cell's centre from the nearest edge of an occupied cell, m.

    Negative in occupied cells, where it is the distance from the nearest edge of a free one. Of the occupied cell whose
    centre is the nearest (Euclidean distance transform), the distance to its square is taken, so along straight walls
    the field, interpolated between centres, is zero exactly at the wall's face.
    """
    free = _to_squares(~occupied)
    inside = _to_squares(occupied)
    return (np.where(occupied, -inside, free) * resolution_m).astype(np.float32)


def room_m(occupied: np.ndarray, resolution_m: float) -> np.ndarray:
    """Return (H, W) float32 as ``clearance_m`` does, where outside of the map is wall too."""
    return clearance_m(closed(occupied), resolution_m)[1:-1, 1:-1]


def _to_squares(where: np.ndarray) -> np.ndarray:
    """Return (H, W) float64, in cells: from every centre in ``where`` to the square of the nearest cell outside it."""
    if where.all():
        return np.full(where.shape, float(sum(where.shape)))
    nearest: Any = ndimage.distance_transform_edt(where, return_distances=False, return_indices=True)
    offset = np.abs(np.indices(where.shape) - nearest) - 0.5
    return np.sqrt(np.square(np.maximum(offset, 0.0)).sum(axis=0))


def free_rings(occupied: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8: 0 in occupied cells, else 1 + the rings of cells around that are all free, at most 255.

    A ray may leave the square of so many rings in one step, and misses nothing: empty-space skipping by the chessboard
    distance (Cohen and Sheffer 1994, "Proximity clouds").
    """
    rings: Any = ndimage.distance_transform_cdt(~occupied, metric="chessboard")
    return np.minimum(rings, 255).astype(np.uint8)
