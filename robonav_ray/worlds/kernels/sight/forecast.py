"""How soon a robot would touch what its last scans show, were it to take each of several courses.

Neighbouring beams that end near each other show one thing. One no longer than ``_LONG_M`` is taken for a disc; two
older scans, shown from where the robot is now, say how it moved. What is longer stands still. What the newest scan
hides, or has lost, goes on as the older ones had it. So the network is told how things move.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel
from robonav_ray.worlds.kernels.layout import (
    ANGLE_INCREMENT,
    ANGLE_MIN,
    DT,
    FORECAST_SPEEDS,
    FORECAST_TURNS,
    MAX_TURN,
    OWN_RADIUS,
    OWN_SPEED,
    RANGE_MAX,
    STACK_INTERVAL,
)
from robonav_ray.worlds.kernels.sight.bearing import bearing

SEEN_X, SEEN_Y, SEEN_RADIUS, SEEN_VX, SEEN_VY = 0, 1, 2, 3, 4
SEEN_COLS = 5
SEEN_STANDS = 3
"""Row of ``seen`` that holds the points of what stands; 0 to 2 hold the discs of the newest scan and two older ones."""
STEP_S, STEPS = np.float32(0.25), 8
"""Courses are looked along in steps of this, so many of them."""
POINTS = FORECAST_SPEEDS * FORECAST_TURNS * STEPS
_JOIN_M, _JOIN_BEAMS, _LONG_M = np.float32(0.35), np.float32(1.6), np.float32(1.2)
_LEAST_RADIUS_M, _MOST_RADIUS_M = np.float32(0.1), np.float32(0.6)
_SIGHT_M = np.float32(1.0)
"""Clearances are told up to this."""
_FASTEST, _SLACK_M = np.float32(1.6), np.float32(0.15)
_FAR2, _MOST_SINE = np.float32(1.0e6), np.float32(0.7)
_TURN = np.float32(2 * np.pi)
_TINY = np.float32(1e-6)


@kernel
def _join(row, beam, range_max, increment, wraps, rays):
    """Write where the beams of ``row`` (B,) end into the first two rows of ``rays`` (4, B), and into the third whether
    each hangs together with the one before it: -1 where it has met nothing, 0 where it begins something, 1 where not.
    """
    beams = row.shape[0]
    for j in range(beams):
        rays[0, j], rays[1, j] = row[j] * range_max * beam[0, j], row[j] * range_max * beam[1, j]
        rays[2, j] = -F1 if row[j] >= F1 else F0
    for j in range(beams):
        i = j - 1 if j > 0 else beams - 1
        dx, dy = rays[0, j] - rays[0, i], rays[1, j] - rays[1, i]
        most = max(_JOIN_M, _JOIN_BEAMS * increment * min(row[i], row[j]) * range_max)
        hangs = (row[i] < F1) & (row[j] < F1) & (dx * dx + dy * dy < most * most) & ((j > 0) | wraps)
        rays[2, j] = F1 if hangs else rays[2, j]


@kernel
def find_discs(row, beam, const, rays, seen, h, reach):
    """Write the discs that the scan ``row`` (B,) shows into ``seen[h]``, and the points of what is no disc, up to
    ``reach``, into ``seen[SEEN_STANDS]``; return how many of either. All seen from the lidar, in the body's directions.
    The first three rows of ``rays`` (4, B) are scratch.
    """
    beams, range_max, increment = row.shape[0], const[RANGE_MAX], const[ANGLE_INCREMENT]
    wraps = increment * np.float32(beams) > _TURN - HALF * increment
    _join(row, beam, range_max, increment, wraps, rays)
    begin = 0
    while begin < beams - 1 and rays[2, begin] > F0:
        begin += 1
    num, stands, n = 0, 0, 0
    while n < beams:
        first = begin + n
        first = first - beams if first >= beams else first
        if rays[2, first] < F0:
            n += 1
            continue
        last, size, near = first, 1, row[first]
        while n + size < beams:
            after = last + 1 if last + 1 < beams else 0
            if rays[2, after] <= F0:
                break
            last, size, near = after, size + 1, min(near, row[after])
        ax, ay, bx, by = rays[0, first], rays[1, first], rays[0, last], rays[1, last]
        if (bx - ax) * (bx - ax) + (by - ay) * (by - ay) <= _LONG_M * _LONG_M:
            sine = min(np.sin(HALF * increment * np.float32(size)), _MOST_SINE)
            radius = min(max(near * range_max * sine / (F1 - sine), _LEAST_RADIUS_M), _MOST_RADIUS_M)
            ux, uy = beam[0, first] + beam[0, last], beam[1, first] + beam[1, last]
            scale = (near * range_max + radius) / max(np.sqrt(ux * ux + uy * uy), _TINY)
            seen[h, num, SEEN_X], seen[h, num, SEEN_Y], seen[h, num, SEEN_RADIUS] = ux * scale, uy * scale, radius
            seen[h, num, SEEN_VX], seen[h, num, SEEN_VY] = F0, F0
            num += 1
        else:
            j = first
            for _ in range(size):
                if row[j] * range_max < reach:
                    seen[SEEN_STANDS, stands, SEEN_X], seen[SEEN_STANDS, stands, SEEN_Y] = rays[0, j], rays[1, j]
                    stands += 1
                j = j + 1 if j + 1 < beams else 0
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
def match_discs(seen, num, older, oldest, row, const):
    """Give the ``num`` discs of the newest scan ``row`` (B,) the velocity with which they came from those of the older
    ones, and put behind them those of the older scan that the newest does not show but may hide, where they would be
    now; return how many there are.
    """
    apart_s, shown = const[DT] * const[STACK_INTERVAL], num
    reach = _FASTEST * apart_s + _SLACK_M
    for i in range(shown):
        x, y = seen[0, i, SEEN_X], seen[0, i, SEEN_Y]
        j = _nearest(seen, 1, older, x, y, reach)
        if j < 0:
            continue
        dx, dy, time = x - seen[1, j, SEEN_X], y - seen[1, j, SEEN_Y], apart_s
        k = _nearest(seen, 2, oldest, seen[1, j, SEEN_X] - dx, seen[1, j, SEEN_Y] - dy, _SLACK_M + _SLACK_M + _SLACK_M)
        if k >= 0:
            dx, dy, time = x - seen[2, k, SEEN_X], y - seen[2, k, SEEN_Y], apart_s + apart_s
        seen[0, i, SEEN_VX], seen[0, i, SEEN_VY] = dx / time, dy / time
        seen[1, j, SEEN_VX] = F1
    for j in range(older):
        if seen[1, j, SEEN_VX] > F0 or num == seen.shape[1]:
            continue
        x, y, dx, dy = seen[1, j, SEEN_X], seen[1, j, SEEN_Y], F0, F0
        k = _nearest(seen, 2, oldest, x, y, reach)
        if k >= 0:
            dx, dy = x - seen[2, k, SEEN_X], y - seen[2, k, SEEN_Y]
        x, y, radius = x + dx, y + dy, seen[1, j, SEEN_RADIUS]
        if not _is_hidden(row, const, x, y, radius):
            continue
        seen[0, num, SEEN_X], seen[0, num, SEEN_Y], seen[0, num, SEEN_RADIUS] = x, y, radius
        seen[0, num, SEEN_VX], seen[0, num, SEEN_VY] = dx / apart_s, dy / apart_s
        num += 1
    return num


@kernel
def _is_hidden(row, const, x, y, radius):
    """Return whether a disc at (x, y) could be there though the scan ``row`` (B,) does not show it: nothing came back
    from there, or something stands before it.
    """
    beams, per_beam = row.shape[0], F1 / const[ANGLE_INCREMENT]
    at = (bearing(x, y) - const[ANGLE_MIN]) * per_beam
    around = per_beam * _TURN
    at = at + around if at < -HALF else at
    at = at - around if at >= around - HALF else at
    j = np.int64(at + HALF)
    if j >= beams or row[j] >= F1:
        return True
    return row[j] * const[RANGE_MAX] < np.sqrt(x * x + y * y) - radius - _SLACK_M - _SLACK_M


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
def lay_courses(top, turn, mx, my, course):
    """Write where the robot is at every step of every course into the first two rows of ``course`` (5, POINTS), its
    lidar at the origin, and the number of the step into the last; ``top`` and ``turn`` are its greatest speed and turn
    rate.
    """
    for b in range(FORECAST_TURNS):
        o = turn * (np.float32(2 * b) / np.float32(FORECAST_TURNS - 1) - F1)
        c, s, x, y = F1, F0, F0, F0
        hc, hs = np.cos(HALF * o * STEP_S), np.sin(HALF * o * STEP_S)
        for n in range(STEPS):
            mc, ms = c * hc - s * hs, s * hc + c * hs
            x, y = x + top * STEP_S * mc, y + top * STEP_S * ms
            c, s = mc * hc - ms * hs, ms * hc + mc * hs
            for a in range(FORECAST_SPEEDS):
                part = np.float32(a) / np.float32(FORECAST_SPEEDS - 1)
                i = (a * FORECAST_TURNS + b) * STEPS + n
                course[0, i], course[1, i], course[4, i] = part * x - mx, part * y - my, np.float32(n + 1)


@kernel
def look_along(seen, num, stands, course):
    """Write the distance of every point of the courses from the nearest disc's edge, where that is then, into the third
    row of ``course`` (5, POINTS), and the squared distance from what stands into the fourth.
    """
    for i in range(POINTS):
        course[2, i], course[3, i] = _FAR2, _FAR2
    for k in range(num):
        x, y, radius = seen[0, k, SEEN_X], seen[0, k, SEEN_Y], seen[0, k, SEEN_RADIUS]
        vx, vy = seen[0, k, SEEN_VX] * STEP_S, seen[0, k, SEEN_VY] * STEP_S
        for i in range(POINTS):
            dx, dy = x + course[4, i] * vx - course[0, i], y + course[4, i] * vy - course[1, i]
            course[2, i] = min(course[2, i], np.sqrt(dx * dx + dy * dy) - radius)
    for k in range(stands):
        x, y = seen[SEEN_STANDS, k, SEEN_X], seen[SEEN_STANDS, k, SEEN_Y]
        for i in range(POINTS):
            dx, dy = x - course[0, i], y - course[1, i]
            course[3, i] = min(course[3, i], dx * dx + dy * dy)


@kernel
def write_forecast(robot, const, seen, num, stands, course, mx, my, w, r, out, i, at):
    """Write into ``out[i, at:]``, for each speed and turn rate, 1 s / (1 s + time until robot (w, r) touches something)
    (0: not within the time looked at), and .5 m / (.5 m + least clearance until then). The lidar stands at (mx, my) on
    the robot.
    """
    radius = robot[w, r, OWN_RADIUS]
    lay_courses(robot[w, r, OWN_SPEED], const[MAX_TURN], mx, my, course)
    look_along(seen, keep_near(seen, num, reach_of(robot, w, r)), stands, course)
    for begin in range(0, POINTS, STEPS):
        least, soon = _SIGHT_M, F0
        for n in range(STEPS):
            gap = min(course[2, begin + n], np.sqrt(course[3, begin + n])) - radius
            least = min(least, gap)
            if gap < F0:
                soon = F1 / (F1 + np.float32(n) * STEP_S)
                break
        out[i, at], out[i, at + 1] = soon, HALF / (HALF + max(least, F0))
        at += 2
