"""Points of a scan, and which of them lie on straight walls."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, kernel

RETURNED, TAKEN_BY = 2, 3
"""Columns of a point besides x and y: whether its beam returned; NOTHING, WALL, or the number of its track."""
POINT_COLS = 4
NOTHING, WALL = np.float32(-1.0), np.float32(-2.0)
_TINY, _TWO = np.float32(1e-6), np.float32(2.0)
_FAR_FRAC = np.float32(0.995)
"""A range above this part of the greatest one is none."""
_SPAN_M, _GAP_M = np.float32(0.7), np.float32(1.2)
"""A wall is at least this long, and three points that make one lie no farther apart than the second."""


@kernel
def lay_points(ranges, beam, pose, mount, range_max, i, point):
    """Write the points of a scan (B,) taken at ``pose[i]`` into ``point`` (B, POINT_COLS); return how many returned.

    ``mount`` (2,): where the lidar is in the body frame.
    """
    c, s, num = pose[i, 2], pose[i, 3], 0
    mx, my = c * mount[0] - s * mount[1], s * mount[0] + c * mount[1]
    for j in range(ranges.shape[0]):
        r = ranges[j]
        point[j, 0] = pose[i, 0] + r * (c * beam[0, j] - s * beam[1, j])
        point[j, 1] = pose[i, 1] + r * (s * beam[0, j] + c * beam[1, j])
        point[j, 0], point[j, 1] = point[j, 0] + mx, point[j, 1] + my
        point[j, RETURNED] = F1 if r < range_max * _FAR_FRAC else F0
        point[j, TAKEN_BY] = NOTHING
        num += 1 if point[j, RETURNED] > F0 else 0
    return num


@kernel
def _is_straight(point, first, count, tolerance):
    """Whether the points between ``first`` and ``first + count`` lie within ``tolerance`` of the line between these."""
    beams = point.shape[0]
    last = (first + count) % beams
    ux, uy = point[last, 0] - point[first, 0], point[last, 1] - point[first, 1]
    length = max(np.sqrt(ux * ux + uy * uy), _TINY)
    for n in range(1, count):
        j = (first + n) % beams
        dx, dy = point[j, 0] - point[first, 0], point[j, 1] - point[first, 1]
        if abs(dx * uy - dy * ux) > tolerance * length:
            return False
    return True


@kernel
def _run_length(point, first, wraps, tolerance):
    """Return how many points after ``first`` are in a straight run with it."""
    beams, count = point.shape[0], 0
    most = beams - 1 if wraps else beams - 1 - first
    if point[first, RETURNED] == F0:
        return 0
    while count < most and point[(first + count + 1) % beams, RETURNED] > F0:
        if count > 0 and not _is_straight(point, first, count + 1, tolerance):
            break
        count += 1
    return count


@kernel
def _widest_gap2(point, first, count):
    """Return the largest squared distance between neighbours of a run."""
    beams, widest = point.shape[0], F0
    for n in range(count):
        a, b = (first + n) % beams, (first + n + 1) % beams
        dx, dy = point[b, 0] - point[a, 0], point[b, 1] - point[a, 1]
        widest = max(widest, dx * dx + dy * dy)
    return widest


@kernel
def find_walls(point, wraps, tolerance, line):
    """Mark what lies on walls, and write their lines (x, y, normal x, normal y); return how many.

    A run of at least three points within ``tolerance`` m of a line is a wall, and so is any other point near one.
    """
    beams, num, first = point.shape[0], 0, 0
    while first < beams:
        count = _run_length(point, first, wraps, tolerance)
        last = (first + count) % beams
        ux, uy = point[last, 0] - point[first, 0], point[last, 1] - point[first, 1]
        span = np.sqrt(ux * ux + uy * uy)
        if count < 2 or span <= _SPAN_M or (count == 2 and _widest_gap2(point, first, count) >= _GAP_M * _GAP_M):
            first += 1
            continue
        for n in range(count + 1):
            point[(first + n) % beams, TAKEN_BY] = WALL
        if num < line.shape[0]:
            line[num, 0], line[num, 1] = point[first, 0], point[first, 1]
            line[num, 2], line[num, 3] = -uy / span, ux / span
            num += 1
        first += count
    for j in range(beams):
        if point[j, RETURNED] > F0 and point[j, TAKEN_BY] == NOTHING:
            for n in range(num):
                off = (point[j, 0] - line[n, 0]) * line[n, 2] + (point[j, 1] - line[n, 1]) * line[n, 3]
                if abs(off) < _TWO * tolerance:
                    point[j, TAKEN_BY] = WALL
                    break
    return num
