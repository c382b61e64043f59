"""Looking up a floor plan: how far the walls are, who reaches a place, the way from there to a goal."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, HALF, hot_kernel, kernel
from robonav_ray.worlds.kernels.site.tables import (
    BEND_LENGTH,
    BEND_X,
    BEND_Y,
    BENDS_AT,
    CELL_AT,
    CELL_NX,
    CELL_NY,
    CELL_X,
    CELL_Y,
    NEAR_LEAST,
    NEAR_STEP,
    PER_M,
    ROUTE_AT,
    ROUTE_NX,
    ROUTE_NY,
    ROUTE_X,
    ROUTE_Y,
    ROUTES_PER_M,
    TURNS_AT,
)


@kernel
def has_map(site):
    """Return whether worlds have maps."""
    return site is not None and site.grid.shape[0] > 0


@hot_kernel
def wall_clearance(site, m, x, y):
    """Return the distance of (x, y) from the nearest wall of map ``m``, interpolated between the centres of cells;
    negative inside.
    """
    at, nx, ny = site.grid[m, CELL_AT], site.grid[m, CELL_NX], site.grid[m, CELL_NY]
    per_m = site.frame[m, PER_M]
    u = min(max((x - site.frame[m, CELL_X]) * per_m - HALF, F0), np.float32(nx - 2))
    v = min(max((y - site.frame[m, CELL_Y]) * per_m - HALF, F0), np.float32(ny - 2))
    i, j = np.int64(u), np.int64(v)
    u, v, at = u - np.float32(i), v - np.float32(j), at + j * nx + i
    low = np.float32(site.near[at]) * (F1 - u) + np.float32(site.near[at + 1]) * u
    high = np.float32(site.near[at + nx]) * (F1 - u) + np.float32(site.near[at + nx + 1]) * u
    return (low * (F1 - v) + high * v) * site.rig[NEAR_STEP] + site.rig[NEAR_LEAST]


@hot_kernel
def route_cell(site, m, x, y):
    """Return the number of the routes' cell of map ``m`` that holds (x, y); of the nearest one outside of it."""
    nx, ny, per_m = site.grid[m, ROUTE_NX], site.grid[m, ROUTE_NY], site.frame[m, ROUTES_PER_M]
    i = np.int64(max((x - site.frame[m, ROUTE_X]) * per_m, F0))
    j = np.int64(max((y - site.frame[m, ROUTE_Y]) * per_m, F0))
    return min(j, ny - 1) * nx + min(i, nx - 1)


@hot_kernel
def is_reached(site, m, x, y, who):
    """Return whether ``who``, a bit of ``reach``, gets to (x, y) of map ``m``."""
    return site.reach[site.grid[m, ROUTE_AT] + route_cell(site, m, x, y)] & who != 0


@hot_kernel
def next_bend(site, m, mark, x, y):
    """Return which row of ``bend`` the route from (x, y) in map ``m`` to ``mark`` goes to first."""
    turns, bends = site.mark_at[mark, TURNS_AT], site.mark_at[mark, BENDS_AT]
    return bends + np.int64(site.turn[turns + route_cell(site, m, x, y)])


@hot_kernel
def route_length(site, m, mark, x, y):
    """Return the length of the route from (x, y) in map ``m`` to ``mark``."""
    b = next_bend(site, m, mark, x, y)
    dx, dy = site.bend[b, BEND_X] - x, site.bend[b, BEND_Y] - y
    return np.sqrt(dx * dx + dy * dy) + site.bend[b, BEND_LENGTH]


@hot_kernel
def bend_after(site, mark, b):
    """Return the row of ``bend`` that follows ``b`` on the way to ``mark``."""
    return site.mark_at[mark, BENDS_AT] + np.int64(site.bend_next[b])


@kernel
def wall_normal(site, m, x, y):
    """Return the unit vector away from the nearest wall of map ``m`` at (x, y); zeros where the field is flat."""
    step = F1 / site.frame[m, PER_M]
    gx = wall_clearance(site, m, x + step, y) - wall_clearance(site, m, x - step, y)
    gy = wall_clearance(site, m, x, y + step) - wall_clearance(site, m, x, y - step)
    size = np.sqrt(gx * gx + gy * gy)
    scale = F1 / size if size > F1 / FAR else F0
    return gx * scale, gy * scale
