"""Slow twins of what kernels look up in maps: a ray caster that visits every cell, and shortest paths by visibility."""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

_HAIR = 1.0e-4


def ray_length(occupied: np.ndarray, x: float, y: float, angle: float, most: float) -> float:
    """Return how far a ray from (x, y), in cells from the lower left corner, goes until it enters an occupied cell, at
    most ``most``; outside of the grid is occupied (Amanatides and Woo 1987, in float64).
    """
    c, s = math.cos(angle), math.sin(angle)
    i, j = math.floor(x), math.floor(y)
    next_x = ((i + (c > 0)) - x) / c if c else math.inf
    next_y = ((j + (s > 0)) - y) / s if s else math.inf
    t = 0.0
    while t < most:
        if not (0 <= i < occupied.shape[1] and 0 <= j < occupied.shape[0]) or occupied[j, i]:
            return t
        if next_x < next_y:
            t, i = next_x, i + (1 if c > 0 else -1)
            next_x += abs(1 / c)
        else:
            t, j = next_y, j + (1 if s > 0 else -1)
            next_y += abs(1 / s)
    return most


def in_sight(is_open: np.ndarray, a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether the straight line between two points, in cells, keeps to open cells."""
    length = float(np.hypot(*(b - a)))
    if length == 0.0:
        return True
    return ray_length(~is_open, *a, math.atan2(b[1] - a[1], b[0] - a[0]), length) >= length - 1e-9


def shortest_lengths(is_open: np.ndarray, points: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return (P,) the lengths of the shortest ways from ``points`` (P, 2) to ``goal`` (2,), in cells.

    A shortest way bends at corners of occupied cells only (Lozano-Perez and Wesley 1979): by Dijkstra over the graph of
    all corners that stick out and see each other. They are moved out by a hair, so that lines may touch them.
    """
    rows, columns = is_open.shape
    corners = [
        (j + 0.5 + dj * (0.5 + _HAIR), i + 0.5 + di * (0.5 + _HAIR))
        for i in range(1, rows - 1)
        for j in range(1, columns - 1)
        if not is_open[i, j]
        for di in (-1, 1)
        for dj in (-1, 1)
        if is_open[i + di, j + dj] and is_open[i + di, j] and is_open[i, j + dj]
    ]
    nodes = np.array([*points, goal, *corners], np.float64).reshape(-1, 2)
    num = len(points)
    row, column, weight = [], [], []
    for a in range(len(nodes)):
        for b in range(max(a + 1, num), len(nodes)):
            if in_sight(is_open, nodes[a], nodes[b]):
                row.append(a)
                column.append(b)
                weight.append(float(np.hypot(*(nodes[b] - nodes[a]))))
    graph = csr_array((weight, (row, column)), shape=(len(nodes), len(nodes)))
    return dijkstra(graph, directed=False, indices=num)[:num]


def occupancy_twin(
    grey: np.ndarray, alpha: np.ndarray | None, mode: str, negate: bool, occupied_thresh: float, free_thresh: float
) -> np.ndarray:
    """Return (H, W) int8 occupancy, row 0 the lowest, of grey values and alpha (H, W) uint8: what nav2_map_server's
    ``loadMapFromFile`` does, pixel by pixel.
    """
    height, width = grey.shape
    out = np.zeros((height, width), np.int8)
    for y in range(height):
        for x in range(width):
            value = int(grey[y, x])
            likely = np.float32(value) / np.float32(255)
            likely = float(likely if negate else np.float32(1) - likely)
            if mode == "raw":
                cell = value if value <= 100 else -1
            elif alpha is not None and alpha[y, x] < 255:
                cell = -1
            elif likely <= free_thresh:
                cell = 0
            elif likely >= occupied_thresh:
                cell = 100
            elif mode == "scale":
                cell = math.floor((likely - free_thresh) / (occupied_thresh - free_thresh) * 100 + 0.5)
            else:
                cell = -1
            out[height - 1 - y, x] = cell
    return out
