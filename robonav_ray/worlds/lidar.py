"""A planar lidar against circles, the arena's walls and inner walls, and what can be wrong with it."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.draws import normal, uniform
from robonav_ray.worlds.kernel import F0, F1, HALF, hot_kernel, kernel
from robonav_ray.worlds.layout import (
    BLACKOUT_LEFT,
    BLIND_COS,
    BLIND_SIN,
    C_RADIUS,
    C_X,
    C_Y,
    COS,
    ENDED,
    FREEZE_LEFT,
    HALF_SIDE,
    NUM_CIRCLES,
    RADIUS,
    RANGE_MAX,
    SENSOR_STREAM,
    SIN,
    WALLS,
    X,
    Y,
)
from robonav_ray.worlds.randomization import BEAM_DROPOUT, BLACKOUT, BLIND_SECTOR, FAULT_STEPS, FROZEN_SCAN, RANGE_NOISE

_TINY = np.float32(1e-12)


@hot_kernel
def scan_arena(dirs, x, y, half, range_max, out):
    """Write the distance to the four walls along ``dirs`` (2, B), at most ``range_max``, into ``out`` (B,)."""
    for j in range(out.shape[0]):
        c, s = dirs[0, j], dirs[1, j]
        tx = (np.copysign(half, c) - x) / c
        ty = (np.copysign(half, s) - y) / s
        out[j] = min(min(tx, ty), range_max)


@hot_kernel
def scan_circle(dirs, x, y, radius, out):
    """Shorten ``out`` (B,) to the first hit with a circle at (x, y) relative to the sensor."""
    r2 = radius * radius
    for j in range(out.shape[0]):
        c, s = dirs[0, j], dirs[1, j]
        ahead = x * c + y * s
        aside = x * s - y * c
        disc = r2 - aside * aside
        t = ahead - np.sqrt(max(disc, F0))
        hit = (disc > F0) & (ahead > F0) & (t < out[j])
        out[j] = t if hit else out[j]


@kernel
def scan_wall(dirs, x0, y0, x1, y1, out):
    """Shorten ``out`` (B,) to the first hit with a segment whose ends are relative to the sensor."""
    ux, uy = x1 - x0, y1 - y0
    cross = x0 * uy - y0 * ux
    for j in range(out.shape[0]):
        c, s = dirs[0, j], dirs[1, j]
        det = c * uy - s * ux
        det = det if abs(det) > _TINY else _TINY
        t = cross / det
        k = (x0 * s - y0 * c) / det
        hit = (t > F0) & (k >= F0) & (k <= F1) & (t < out[j])
        out[j] = t if hit else out[j]


@hot_kernel
def scan(robot, lane, circle, world, wall, const, beam, dirs, w, r, out, out_slot):
    """Write the true ranges of robot (w, r), as parts of range_max, into ``out[w, r, out_slot]``; ``dirs`` (2, B) is scratch.

    Circles in the outer loop, beams inside; what lies beyond the range is skipped; the beam table is turned by the heading.
    """
    x, y, c, s = robot[w, r, X], robot[w, r, Y], robot[w, r, COS], robot[w, r, SIN]
    range_max = const[RANGE_MAX]
    for j in range(dirs.shape[1]):
        bc, bs = beam[0, j], beam[1, j]
        dirs[0, j] = c * bc - s * bs
        dirs[1, j] = s * bc + c * bs
    row = out[w, r, out_slot]
    if const[WALLS] > F0:
        scan_arena(dirs, x, y, const[HALF_SIDE], range_max, row)
    else:
        row[:] = range_max
    for i in range(world[w, NUM_CIRCLES]):
        dx, dy, radius = circle[w, C_X, i] - x, circle[w, C_Y, i] - y, circle[w, C_RADIUS, i]
        reach = range_max + radius
        if dx * dx + dy * dy < reach * reach:
            scan_circle(dirs, dx, dy, radius, row)
    for q in range(robot.shape[1]):
        if q != r and lane[w, q, ENDED] == 0:
            scan_circle(dirs, robot[w, q, X] - x, robot[w, q, Y] - y, const[RADIUS], row)
    for i in range(wall.shape[0]):
        scan_wall(dirs, wall[i, 0] - x, wall[i, 1] - y, wall[i, 2] - x, wall[i, 3] - y, row)
    scale = F1 / range_max
    for j in range(row.shape[0]):
        row[j] = min(max(row[j] * scale, F0), F1)


@kernel
def sensor_faults(robot, lane, stream, level, const, beam, scan, w, r, k, slot, previous):
    """Spoil the scan in ring position ``slot`` as level ``k`` says; ``previous`` holds the last one (-1: none yet)."""
    row = scan[w, r, slot]
    draw_episode_fault(lane, stream, level[k, FROZEN_SCAN], FREEZE_LEFT, w, r)
    draw_episode_fault(lane, stream, level[k, BLACKOUT], BLACKOUT_LEFT, w, r)
    if lane[w, r, BLACKOUT_LEFT] > 0:
        lane[w, r, BLACKOUT_LEFT] -= 1
        row[:] = F1
        return
    if lane[w, r, FREEZE_LEFT] > 0 and previous >= 0:
        lane[w, r, FREEZE_LEFT] -= 1
        for j in range(row.shape[0]):
            row[j] = scan[w, r, previous, j]
        return
    noise, dropout = level[k, RANGE_NOISE] / const[RANGE_MAX], level[k, BEAM_DROPOUT]
    edge = np.cos(HALF * level[k, BLIND_SECTOR])
    for j in range(row.shape[0]):
        if noise > F0 and row[j] < F1:
            row[j] = min(max(row[j] + noise * normal(stream, w, SENSOR_STREAM), F0), F1)
        if dropout > F0 and uniform(stream, w, SENSOR_STREAM) < dropout:
            row[j] = F1
        if edge < F1 and beam[0, j] * robot[w, r, BLIND_COS] + beam[1, j] * robot[w, r, BLIND_SIN] >= edge:
            row[j] = F1


@kernel
def draw_episode_fault(lane, stream, prob, column, w, r):
    """With probability ``prob`` begin FAULT_STEPS faulty steps, counted in ``column`` of ``lane``."""
    if prob > F0 and lane[w, r, column] == 0 and uniform(stream, w, SENSOR_STREAM) < prob:
        lane[w, r, column] = FAULT_STEPS
