"""A lidar in a floor plan: exact ranges by empty-space skipping."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel
from robonav_ray.worlds.kernels.layout import ANGLE_INCREMENT, ANGLE_MIN, YAW
from robonav_ray.worlds.kernels.site.tables import (
    CELL_AT,
    CELL_M,
    CELL_NX,
    CELL_X,
    CELL_Y,
    FREE_AT,
    FREE_NX,
    FREE_SHIFT,
    PER_M,
    SECTORS,
)

_LEAST = np.float32(1.0e-6)
_ONE, _NONE, _LAST = np.int32(1), np.int32(0), np.int32(SECTORS - 1)
_PER_RAD = np.float32(SECTORS / (2.0 * np.pi))
_ROUND = np.float32(16 * SECTORS)
_OPENS, _SPARE, _MOST = np.float32(np.tan(1.02 * np.pi / SECTORS)), np.float32(0.75), np.float32(255.0)
_ALMOST_TWO = np.float32(2.01)
_WORTH = 6
"""All beams take a step together as long as more than one in so many is still under way; those then go on alone."""
_HALF_DIAGONAL = np.float32(0.7072)


@kernel
def begin_beams(free, rays, u, v, at, nx, sector, step, march, march_at):
    """Put every beam as far along its way as ``free`` (SECTORS,), of the block of cells around, says that it surely
    gets.

    ``sector`` is the first beam's direction in sectors, ``step`` the angle between two beams in the same.
    """
    for b in range(rays.shape[1]):
        march[4, b] = np.int32(sector + np.float32(b) * step) & _LAST
    for b in range(rays.shape[1]):
        march_at[2, b] = np.float32(free[march[4, b]])
    for b in range(rays.shape[1]):
        c, s, t = rays[0, b], rays[1, b], march_at[2, b]
        c = c if abs(c) > _LEAST else _LEAST
        s = s if abs(s) > _LEAST else _LEAST
        rays[0, b], rays[1, b] = c, s
        march_at[0, b], march_at[1, b] = F1 / c, F1 / s
        march[0, b], march[1, b] = np.int32(u + t * c), np.int32(v + t * s)
        march[3, b] = march[1, b] * nx + march[0, b] + at


@kernel
def advance_beams(rays, u, v, at, nx, march, march_at):
    """Let every beam leave the square of free rings around its cell; those in an occupied cell stay.

    No branch, so that eight beams go at once.
    """
    for b in range(rays.shape[1]):
        c, s = rays[0, b], rays[1, b]
        i, j, k = march[0, b], march[1, b], march[2, b]
        edge_i = i + k if c > F0 else i - k + _ONE
        edge_j = j + k if s > F0 else j - k + _ONE
        ti, tj = (np.float32(edge_i) - u) * march_at[0, b], (np.float32(edge_j) - v) * march_at[1, b]
        t = min(ti, tj)
        next_i = edge_i if c > F0 else edge_i - _ONE
        next_j = edge_j if s > F0 else edge_j - _ONE
        along_i = min(max(np.int32(u + t * c), i - k + _ONE), i + k - _ONE)
        along_j = min(max(np.int32(v + t * s), j - k + _ONE), j + k - _ONE)
        next_i = next_i if ti < tj else along_i
        next_j = along_j if ti < tj else next_j
        march_at[2, b] = t if k > _NONE else march_at[2, b]
        march[0, b] = next_i if k > _NONE else i
        march[1, b] = next_j if k > _NONE else j
        march[3, b] = march[1, b] * nx + march[0, b] + at


@kernel
def look_around(rings, rays, per_m, march, march_at):
    """Look up the free rings around the cell of every beam: 0 where it has come to a wall, or as far as it need;
    return how many go on.
    """
    alive = 0
    for b in range(rays.shape[1]):
        k = np.int32(rings[march[3, b]])
        march[2, b] = k if march_at[2, b] < rays[2, b] * per_m else _NONE
        alive += np.int64(march[2, b] > _NONE)
    return alive


@kernel
def scan_map(rings, free, grid, frame, m, rays, x, y, sector, step, march, march_at):
    """Shorten the distances in ``rays`` (4, B) to the first occupied cell of map ``m`` seen from (x, y).

    A ray begins where ``free`` says that it surely gets, leaves the square of free rings around its cell in one step
    (Cohen and Sheffer 1994), and where there are none, the cell (Amanatides and Woo 1987): it misses nothing, and what
    it meets is the cell's very edge. All beams take their steps together.
    """
    at, nx, per_m, side = grid[m, CELL_AT], grid[m, CELL_NX], frame[m, PER_M], frame[m, CELL_M]
    u, v = (x - frame[m, CELL_X]) * per_m, (y - frame[m, CELL_Y]) * per_m
    i, j = np.int64(u), np.int64(v)
    shift = grid[m, FREE_SHIFT]
    block = grid[m, FREE_AT] + (j >> shift) * grid[m, FREE_NX] + (i >> shift)
    at, nx = np.int32(at), np.int32(nx)
    begin_beams(free[block], rays, u, v, at, nx, sector, step, march, march_at)
    while look_around(rings, rays, per_m, march, march_at) * _WORTH > rays.shape[1]:
        advance_beams(rays, u, v, at, nx, march, march_at)
    for b in range(rays.shape[1]):
        if march[2, b] > _NONE:
            go_on(rings, free, grid, m, rays, u, v, per_m, march, march_at, b)
        rays[2, b] = min(march_at[2, b] * side, rays[2, b])


@kernel
def go_on(rings, free, grid, m, rays, u, v, per_m, march, march_at, b):
    """Let beam ``b``, which is still under way, go to its end: as far as ``free`` says of the block that it is in, or
    out of its square of free rings, whichever is farther.
    """
    at, nx, shift, num_x, first = (
        grid[m, CELL_AT], grid[m, CELL_NX], grid[m, FREE_SHIFT], grid[m, FREE_NX], grid[m, FREE_AT]
    )  # fmt: skip
    c, s, per_c, per_s, t = rays[0, b], rays[1, b], march_at[0, b], march_at[1, b], march_at[2, b]
    limit, right, up = rays[2, b] * per_m, np.int64(c > F0), np.int64(s > F0)
    i, j, sector = np.int64(march[0, b]), np.int64(march[1, b]), march[4, b]
    k = np.int64(rings[at + j * nx + i])
    while k > 0 and t < limit:
        far = np.int64(free[first + (j >> shift) * num_x + (i >> shift), sector])
        if far > k:
            t += np.float32(far)
            i, j = np.int64(u + t * c), np.int64(v + t * s)
        else:
            edge_i = i + k if right else i - k + 1
            edge_j = j + k if up else j - k + 1
            ti, tj = (np.float32(edge_i) - u) * per_c, (np.float32(edge_j) - v) * per_s
            if ti < tj:
                t, i = ti, edge_i + right - 1
                j = min(max(np.int64(v + t * s), j - k + 1), j + k - 1)
            else:
                t, j = tj, edge_j + up - 1
                i = min(max(np.int64(u + t * c), i - k + 1), i + k - 1)
        k = np.int64(rings[at + j * nx + i])
    march_at[2, b] = t


@kernel
def look_at_map(site, robot, const, rays, x, y, w, r):
    """Shorten the distances in ``rays`` (4, B) to the walls of the map of world ``w``, where it has one."""
    if site is None or site.grid.shape[0] == 0:
        return
    sector = (robot[w, r, YAW] + const[ANGLE_MIN]) * _PER_RAD + HALF + _ROUND
    scan_map(
        site.rings, site.free, site.grid, site.frame, np.int64(site.map_of[w]), rays, x, y, sector,
        const[ANGLE_INCREMENT] * _PER_RAD, site.march, site.march_at,
    )  # fmt: skip


@kernel
def surely_free(clearance, size, num_x, free):
    """Write into ``free`` (blocks, SECTORS) how many cells every ray from each block of ``size`` x ``size`` cells goes
    without meeting a wall, by its direction; at most 255. ``clearance`` (H, W) float32 is in cells, ``num_x`` the
    blocks in a row.

    A ray of a sector deviates from the sector's middle line through the block's middle by at most half of the block's
    diagonal and t tan(half a sector) after t cells. As long as the clearance is more than that, nothing is met; and a
    step as long as the rest allows keeps to it, since clearance changes by at most what is gone.
    """
    wide = np.float32(size) * _HALF_DIAGONAL + _SPARE
    for block in range(free.shape[0]):
        u0 = (np.float32(block % num_x) + HALF) * np.float32(size)
        v0 = (np.float32(block // num_x) + HALF) * np.float32(size)
        for d in range(SECTORS):
            c, s, t = np.cos(np.float32(d) / _PER_RAD), np.sin(np.float32(d) / _PER_RAD), F0
            while t < _MOST:
                x = min(max(u0 + t * c - HALF, F0), np.float32(clearance.shape[1]) - _ALMOST_TWO)
                y = min(max(v0 + t * s - HALF, F0), np.float32(clearance.shape[0]) - _ALMOST_TWO)
                i, j = np.int64(x), np.int64(y)
                x, y = x - np.float32(i), y - np.float32(j)
                low = clearance[j, i] * (F1 - x) + clearance[j, i + 1] * x
                high = clearance[j + 1, i] * (F1 - x) + clearance[j + 1, i + 1] * x
                rest = low * (F1 - y) + high * y - wide - t * _OPENS
                if rest < HALF:
                    break
                t += rest / (F1 + _OPENS)
            free[block, d] = np.uint8(min(t, _MOST))


@kernel
def sees(rings, nx, u0, v0, u1, v1):
    """Return whether the straight line between two points, in cells, keeps to free cells of ``rings``."""
    c, s = u1 - u0, v1 - v0
    c = c if abs(c) > _LEAST else _LEAST
    s = s if abs(s) > _LEAST else _LEAST
    per_c, per_s = F1 / c, F1 / s
    right, up = np.int64(c > F0), np.int64(s > F0)
    i, j = np.int64(u0), np.int64(v0)
    k = np.int64(rings[j * nx + i])
    while k > 0:
        edge_i = i + k if right else i - k + 1
        edge_j = j + k if up else j - k + 1
        ti, tj = (np.float32(edge_i) - u0) * per_c, (np.float32(edge_j) - v0) * per_s
        if ti < tj:
            t = ti
            j = min(max(np.int64(v0 + t * s), j - k + 1), j + k - 1)
            i = edge_i + right - 1
        else:
            t = tj
            i = min(max(np.int64(u0 + t * c), i - k + 1), i + k - 1)
            j = edge_j + up - 1
        if t >= F1:
            return True
        k = np.int64(rings[j * nx + i])
    return False
