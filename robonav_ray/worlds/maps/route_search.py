"""The way from every cell to one goal: Lazy Theta* (Nash, Koenig and Tovey 2010), run once over the whole map."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import HALF, kernel
from robonav_ray.worlds.kernels.site.map_lidar import sees

_NONE = np.float32(3.0e38)


@kernel
def _sift_up(key, item, at):
    while at > 0:
        above = (at - 1) >> 1
        if key[above] <= key[at]:
            break
        key[above], key[at] = key[at], key[above]
        item[above], item[at] = item[at], item[above]
        at = above


@kernel
def _sift_down(key, item, num):
    at = 0
    while True:
        below = 2 * at + 1
        if below >= num:
            break
        if below + 1 < num and key[below + 1] < key[below]:
            below += 1
        if key[at] <= key[below]:
            break
        key[below], key[at] = key[at], key[below]
        item[below], item[at] = item[at], item[below]
        at = below


@kernel
def _between(a, b, nx):
    """Return the distance between two cells, in cells."""
    dx, dy = np.float32(a % nx - b % nx), np.float32(a // nx - b // nx)
    return np.sqrt(dx * dx + dy * dy)


@kernel
def _in_sight(rings, nx, a, b):
    """Return whether the straight line between the centres of two cells keeps to free cells."""
    i, j, p, q = np.float32(a % nx), np.float32(a // nx), np.float32(b % nx), np.float32(b // nx)
    return sees(rings, nx, i + HALF, j + HALF, p + HALF, q + HALF)


@kernel
def _settle(rings, nx, cell, cost, parent, done):
    """Keep the parent of ``cell`` if it is in sight; take the best finished neighbour, or that one's parent,
    otherwise.
    """
    if _in_sight(rings, nx, parent[cell], cell):
        return
    best = _NONE
    for dj in range(-1, 2):
        for di in range(-1, 2):
            n = cell + dj * nx + di
            if n == cell or not done[n]:
                continue
            if di != 0 and dj != 0 and (rings[cell + di] == 0 or rings[cell + dj * nx] == 0):
                continue
            p = np.int64(parent[n])
            along = cost[p] + _between(cell, p, nx)
            if along < best and _in_sight(rings, nx, p, cell):
                best, cost[cell], parent[cell] = along, along, p
            along = cost[n] + _between(cell, n, nx)
            if along < best:
                best, cost[cell], parent[cell] = along, along, n


@kernel
def spread(rings, nx, goal, cost, parent, done, key, item):
    """Write for every cell of ``rings`` (cells,) uint8 (as ``free_rings``, its outer cells occupied) that reaches the
    cell ``goal`` the length of the way there, in cells, and the cell that the way goes to in a straight line; return
    how many cells were reached.

    ``cost`` (cells,) float32 begins at 3e38, ``parent`` (cells,) int32 anyhow, ``done`` (cells,) bool at False; ``key``
    and ``item`` (8 * cells,) are the heap.
    """
    cost[goal], parent[goal], key[0], item[0] = np.float32(0.0), goal, np.float32(0.0), goal
    num, reached = 1, 0
    while num > 0:
        cell = np.int64(item[0])
        num -= 1
        key[0], item[0] = key[num], item[num]
        _sift_down(key, item, num)
        if done[cell]:
            continue
        if cell != goal:
            _settle(rings, nx, cell, cost, parent, done)
        done[cell] = True
        reached += 1
        p = np.int64(parent[cell])
        for dj in range(-1, 2):
            for di in range(-1, 2):
                n = cell + dj * nx + di
                if n == cell or rings[n] == 0 or done[n]:
                    continue
                if di != 0 and dj != 0 and (rings[cell + di] == 0 or rings[cell + dj * nx] == 0):
                    continue
                along = cost[p] + _between(p, n, nx)
                if along < cost[n]:
                    cost[n], parent[n] = along, p
                    if num < key.shape[0]:
                        key[num], item[num] = along, n
                        _sift_up(key, item, num)
                        num += 1
    return reached
