"""A planar lidar against circles, the arena's walls and inner walls, and what can be wrong with it."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.draws import normal, uniform
from robonav_ray.worlds.kernels.geometry import near_circles
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, hot_kernel, kernel
from robonav_ray.worlds.kernels.layout import (
    BLACKOUT_LEFT,
    BLIND_COS,
    BLIND_SIN,
    C_RADIUS,
    C_X,
    C_Y,
    COS,
    FREEZE_LEFT,
    GONE,
    HALF_SIDE,
    OWN_RADIUS,
    RANGE_MAX,
    SENSOR_STREAM,
    SIN,
    WALLS,
    X,
    Y,
)
from robonav_ray.worlds.kernels.randomization import (
    BEAM_DROPOUT,
    BLACKOUT,
    BLIND_SECTOR,
    FAULT_STEPS,
    FROZEN_SCAN,
    RANGE_NOISE,
)
from robonav_ray.worlds.kernels.site.body import hide_near, sensor_place
from robonav_ray.worlds.kernels.site.map_lidar import look_at_map

_TINY = np.float32(1e-12)


@hot_kernel
def scan_arena(rays, x, y, half, range_max):
    """Write the distance to the four walls, at most ``range_max``, into the third row of ``rays`` (4, B)."""
    for j in range(rays.shape[1]):
        c, s = rays[0, j], rays[1, j]
        tx = (np.copysign(half, c) - x) / c
        ty = (np.copysign(half, s) - y) / s
        rays[2, j] = min(min(tx, ty), range_max)


@hot_kernel
def scan_circle(rays, x, y, radius):
    """Shorten the distances in ``rays`` (4, B) to the first hit with a circle at (x, y) relative to the sensor."""
    r2 = radius * radius
    for j in range(rays.shape[1]):
        c, s, old = rays[0, j], rays[1, j], rays[2, j]
        ahead = x * c + y * s
        aside = x * s - y * c
        disc = r2 - aside * aside
        t = ahead - np.sqrt(max(disc, F0))
        hit = (disc > F0) & (ahead > F0) & (t < old)
        rays[2, j] = t if hit else old


@kernel
def scan_wall(rays, x0, y0, x1, y1):
    """Shorten the distances in ``rays`` (4, B) to the first hit with a segment whose ends are relative to the
    sensor.
    """
    ux, uy = x1 - x0, y1 - y0
    cross = x0 * uy - y0 * ux
    for j in range(rays.shape[1]):
        c, s, old = rays[0, j], rays[1, j], rays[2, j]
        det = c * uy - s * ux
        det = det if abs(det) > _TINY else _TINY
        t = cross / det
        k = (x0 * s - y0 * c) / det
        hit = (t > F0) & (k >= F0) & (k <= F1) & (t < old)
        rays[2, j] = t if hit else old


@hot_kernel
def scan(robot, lane, circle, world, wall, const, site, beam, rays, near, w, r, out, out_slot):
    """Write the true ranges of robot (w, r), as parts of range_max, into ``out[w, r, out_slot]``.

    Circles in the outer loop, beams inside; what lies beyond the range is skipped; the beam table is turned by the
    heading. ``rays`` (4, B) and ``near`` are scratch. Directions and distances lie in one array: of two, a compiler has
    to expect overlap.
    """
    x, y, c, s = robot[w, r, X], robot[w, r, Y], robot[w, r, COS], robot[w, r, SIN]
    range_max = const[RANGE_MAX]
    x, y = sensor_place(site, x, y, c, s)
    for j in range(rays.shape[1]):
        bc, bs = beam[0, j], beam[1, j]
        rays[0, j] = c * bc - s * bs
        rays[1, j] = s * bc + c * bs
    if const[WALLS] > F0:
        scan_arena(rays, x, y, const[HALF_SIDE], range_max)
    else:
        rays[2, :] = range_max
    look_at_map(site, robot, const, rays, x, y, w, r)
    for n in range(near_circles(circle, world, x, y, range_max, F0, near, w)):
        i = near[n]
        scan_circle(rays, circle[w, C_X, i] - x, circle[w, C_Y, i] - y, circle[w, C_RADIUS, i])
    for q in range(robot.shape[1]):
        if q != r and lane[w, q, GONE] == 0:
            scan_circle(rays, robot[w, q, X] - x, robot[w, q, Y] - y, robot[w, q, OWN_RADIUS])
    for i in range(wall.shape[0]):
        scan_wall(rays, wall[i, 0] - x, wall[i, 1] - y, wall[i, 2] - x, wall[i, 3] - y)
    scale, row = F1 / range_max, out[w, r, out_slot]
    for j in range(rays.shape[1]):
        far = rays[2, j]  # r * (1 / r) may be a hair below 1
        row[j] = F1 if far >= range_max else min(max(far * scale, F0), F1)
    hide_near(site, const, row)


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
