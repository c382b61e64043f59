"""How soon a robot would touch what its last scans show, were it to take each of several courses.

Whatever of a scan hangs together and is no longer than ``_LONG_M`` is taken for a disc, as most of what moves is; two
older scans, shown from where the robot is now, say how it moved. What is longer stands still. So a network need not
find out how things move by itself.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel
from robonav_ray.worlds.kernels.layout import (
    ANGLE_INCREMENT,
    DT,
    FORECAST_SPEEDS,
    FORECAST_TURNS,
    MAX_TURN,
    OWN_RADIUS,
    OWN_SPEED,
    RANGE_MAX,
    STACK_INTERVAL,
)

SEEN_X, SEEN_Y, SEEN_RADIUS, SEEN_VX, SEEN_VY = 0, 1, 2, 3, 4
SEEN_COLS = 5
SEEN_STANDS = 3
"""Row of ``seen`` that holds the points of what stands; 0 to 2 hold the discs of the newest scan and two older ones."""
STEP_S, STEPS = np.float32(0.25), 8
"""Courses are looked along in steps of this, so many of them."""
_JOIN_M, _JOIN_BEAMS, _LONG_M = np.float32(0.35), np.float32(1.6), np.float32(1.2)
_LEAST_RADIUS_M, _MOST_RADIUS_M = np.float32(0.1), np.float32(0.6)
_SIGHT_M = np.float32(1.0)
"""Clearances are told up to this."""
_FASTEST, _SLACK_M = np.float32(1.6), np.float32(0.15)
_FAR2, _MOST_SINE = np.float32(1.0e6), np.float32(0.7)
_TURN = np.float32(2 * np.pi)
_TINY = np.float32(1e-6)


@kernel
def _joined(row, beam, range_max, increment, i, j):
    """Return whether what beams ``i`` and ``j``, its neighbour, have met hangs together."""
    if row[i] >= F1 or row[j] >= F1:
        return False
    a, b = row[i] * range_max, row[j] * range_max
    dx, dy = a * beam[0, i] - b * beam[0, j], a * beam[1, i] - b * beam[1, j]
    most = max(_JOIN_M, _JOIN_BEAMS * increment * min(a, b))
    return dx * dx + dy * dy < most * most


@kernel
def find_discs(row, beam, const, seen, h, reach):
    """Write the discs that the scan ``row`` (B,) shows into ``seen[h]``, and the points of what is no disc, up to
    ``reach``, into ``seen[SEEN_STANDS]``; return how many of either. All seen from the lidar, in the body's directions.
    """
    beams, range_max, increment = row.shape[0], const[RANGE_MAX], const[ANGLE_INCREMENT]
    wraps = increment * np.float32(beams) > _TURN - HALF * increment
    begin = 0
    if wraps:
        while begin < beams - 1 and _joined(
            row, beam, range_max, increment, beams - 1 if begin == 0 else begin - 1, begin
        ):
            begin += 1
    num, stands, n = 0, 0, 0
    while n < beams:
        first = (begin + n) % beams
        if row[first] >= F1:
            n += 1
            continue
        last, size, near = first, 1, row[first]
        while n + size < beams:
            after = (begin + n + size) % beams
            if (after == 0 and not wraps) or not _joined(row, beam, range_max, increment, last, after):
                break
            last, size, near = after, size + 1, min(near, row[after])
        ax, ay = row[first] * range_max * beam[0, first], row[first] * range_max * beam[1, first]
        bx, by = row[last] * range_max * beam[0, last], row[last] * range_max * beam[1, last]
        if (bx - ax) * (bx - ax) + (by - ay) * (by - ay) <= _LONG_M * _LONG_M:
            sine = min(np.sin(HALF * increment * np.float32(size)), _MOST_SINE)
            radius = min(max(near * range_max * sine / (F1 - sine), _LEAST_RADIUS_M), _MOST_RADIUS_M)
            ux, uy = beam[0, first] + beam[0, last], beam[1, first] + beam[1, last]
            scale = (near * range_max + radius) / max(np.sqrt(ux * ux + uy * uy), _TINY)
            seen[h, num, SEEN_X], seen[h, num, SEEN_Y], seen[h, num, SEEN_RADIUS] = ux * scale, uy * scale, radius
            seen[h, num, SEEN_VX], seen[h, num, SEEN_VY] = F0, F0
            num += 1
        else:
            for i in range(size):
                j = (begin + n + i) % beams
                if row[j] * range_max > reach:
                    continue
                seen[SEEN_STANDS, stands, SEEN_X] = row[j] * range_max * beam[0, j]
                seen[SEEN_STANDS, stands, SEEN_Y] = row[j] * range_max * beam[1, j]
                stands += 1
        n += size
    return num, stands


@kernel
def _nearest(seen, h, num, x, y, most):
    """Return which of the ``num`` discs of scan ``h`` is nearest to (x, y); -1 where none is nearer than ``most``."""
    found, best = -1, most * most
    for i in range(num):
        dx, dy = seen[h, i, SEEN_X] - x, seen[h, i, SEEN_Y] - y
        d2 = dx * dx + dy * dy
        if d2 < best:
            found, best = i, d2
    return found


@kernel
def match_discs(seen, num, older, oldest, const):
    """Give the ``num`` discs of the newest scan the velocity with which they came from those of the older ones."""
    apart_s = const[DT] * const[STACK_INTERVAL]
    for i in range(num):
        x, y = seen[0, i, SEEN_X], seen[0, i, SEEN_Y]
        j = _nearest(seen, 1, older, x, y, _FASTEST * apart_s + _SLACK_M)
        if j < 0:
            continue
        dx, dy, time = x - seen[1, j, SEEN_X], y - seen[1, j, SEEN_Y], apart_s
        k = _nearest(seen, 2, oldest, seen[1, j, SEEN_X] - dx, seen[1, j, SEEN_Y] - dy, _SLACK_M + _SLACK_M + _SLACK_M)
        if k >= 0:
            dx, dy, time = x - seen[2, k, SEEN_X], y - seen[2, k, SEEN_Y], apart_s + apart_s
        seen[0, i, SEEN_VX], seen[0, i, SEEN_VY] = dx / time, dy / time


@kernel
def reach_of(robot, w, r):
    """Return how far what robot (w, r) can come near to is from it, where that stands."""
    return robot[w, r, OWN_SPEED] * STEP_S * np.float32(STEPS) + robot[w, r, OWN_RADIUS] + _SIGHT_M


@kernel
def keep_near(seen, num, reach):
    """Keep those of the ``num`` discs in ``seen[0]`` that can come within ``reach``; return how many."""
    kept, time = 0, STEP_S * np.float32(STEPS)
    for i in range(num):
        x, y, vx, vy = seen[0, i, SEEN_X], seen[0, i, SEEN_Y], seen[0, i, SEEN_VX], seen[0, i, SEEN_VY]
        most = reach + seen[0, i, SEEN_RADIUS] + np.sqrt(vx * vx + vy * vy) * time
        if x * x + y * y < most * most:
            for j in range(SEEN_COLS):
                seen[0, kept, j] = seen[0, i, j]
            kept += 1
    return kept


@kernel
def write_forecast(robot, const, seen, num, stands, mx, my, w, r, out, i, at):
    """Write into ``out[i, at:]``, for each speed and turn rate, 1 s / (1 s + time until robot (w, r) touches something)
    (0: not within the time looked at), and .5 m / (.5 m + least clearance). The lidar stands at (mx, my) on the robot.
    """
    radius, top = robot[w, r, OWN_RADIUS], robot[w, r, OWN_SPEED]
    num = keep_near(seen, num, reach_of(robot, w, r))
    for a in range(FORECAST_SPEEDS):
        v = top * np.float32(a) / np.float32(FORECAST_SPEEDS - 1)
        for b in range(FORECAST_TURNS):
            o = const[MAX_TURN] * (np.float32(2 * b) / np.float32(FORECAST_TURNS - 1) - F1)
            c, s = F1, F0
            hc, hs = np.cos(HALF * o * STEP_S), np.sin(HALF * o * STEP_S)
            x, y, least, soon = -mx, -my, _SIGHT_M, F0
            for n in range(1, STEPS + 1):
                mc, ms = c * hc - s * hs, s * hc + c * hs
                x, y = x + v * STEP_S * mc, y + v * STEP_S * ms
                c, s = mc * hc - ms * hs, ms * hc + mc * hs
                time = np.float32(n) * STEP_S
                gap = _FAR2
                for k in range(num):
                    dx = seen[0, k, SEEN_X] + time * seen[0, k, SEEN_VX] - x
                    dy = seen[0, k, SEEN_Y] + time * seen[0, k, SEEN_VY] - y
                    gap = min(gap, np.sqrt(dx * dx + dy * dy) - seen[0, k, SEEN_RADIUS])
                near2 = _FAR2
                for k in range(stands):
                    dx, dy = seen[SEEN_STANDS, k, SEEN_X] - x, seen[SEEN_STANDS, k, SEEN_Y] - y
                    near2 = min(near2, dx * dx + dy * dy)
                gap = min(gap, np.sqrt(near2)) - radius
                least = min(least, gap)
                if gap < F0:
                    soon = F1 / (F1 + time - STEP_S)
                    break
            out[i, at], out[i, at + 1] = soon, HALF / (HALF + max(least, F0))
            at += 2
