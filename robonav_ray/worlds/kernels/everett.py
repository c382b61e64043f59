"""Cases of robots whose straight ways meet (Everett, Chen, How: GA3C-CADRL, IROS 2018): drawn, or taken from a file.

Of the drawn ones .15 are swaps (two robots change places, the others cross a circle beside them), .15 circles (all
cross one) and .70 random: each robot's straight way at its own speed meets that of one before it, so that not all can
drive straight. Starts keep clear of each other, and so do goals. The square, of side 8 m for 2 to 4 robots, 10 m for 5
to 8 and 12 m for 10, grows by 2 % with every try.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.draws import between, uniform
from robonav_ray.worlds.kernels.geometry import point_segment_distance, swept_distance
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel
from robonav_ray.worlds.kernels.layout import (
    CASE_GOAL_X,
    CASE_GOAL_Y,
    CASE_RADIUS,
    CASE_SPEED,
    CASE_X,
    CASE_Y,
    G_X,
    G_Y,
    LAYOUT_STREAM,
    OWN_RADIUS,
    OWN_SPEED,
    START_CLEARANCE,
    YAW,
    X,
    Y,
)

_TRIES = 1000
"""The square has grown past any need long before."""
_SWAPS, _CIRCLES = np.float32(0.15), np.float32(0.3)
"""Below the first a draw makes a swap, below the second a circle."""
_GROWTH, _TWO, _PI = np.float32(1.01), np.float32(2.0), np.float32(np.pi)
_LEAST_SWAP = np.float32(1.5)
_PER_ROBOT = np.float32(0.3)


@kernel
def half_side(num):
    """Return half the side of the square that cases of ``num`` robots are drawn in, m."""
    if num < 5:
        return np.float32(4.0)
    if num < 9:
        return np.float32(5.0)
    return np.float32(6.0) + _PER_ROBOT * np.float32(max(num - 10, 0))


@kernel
def straight_ways_meet(ax, ay, bx, by, speed, cx, cy, dx, dy, other, reach):
    """Return whether two discs that drive straight from a to b, and from c to d, each at its own speed, come nearer
    than ``reach``; the one that arrives first stays there.
    """
    first = np.sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay)) / speed
    second = np.sqrt((dx - cx) * (dx - cx) + (dy - cy) * (dy - cy)) / other
    both = min(first, second)
    p, q = both / first, both / second
    px, py, qx, qy = ax + p * (bx - ax), ay + p * (by - ay), cx + q * (dx - cx), cy + q * (dy - cy)
    near = swept_distance(ax - cx, ay - cy, px - qx, py - qy)
    rest = (
        point_segment_distance(bx, by, qx, qy, dx, dy)
        if first < second
        else point_segment_distance(dx, dy, px, py, bx, by)
    )
    return min(near, rest) < reach


@kernel
def is_clear(robot, goal, const, w, r):
    """Return whether start and goal of robot ``r`` keep clear of those of the robots before it."""
    clear = True
    for q in range(r):
        reach = robot[w, r, OWN_RADIUS] + robot[w, q, OWN_RADIUS] + const[START_CLEARANCE]
        ax, ay = robot[w, r, X] - robot[w, q, X], robot[w, r, Y] - robot[w, q, Y]
        bx, by = goal[w, r, 0, G_X] - goal[w, q, 0, G_X], goal[w, r, 0, G_Y] - goal[w, q, 0, G_Y]
        clear &= min(ax * ax + ay * ay, bx * bx + by * by) >= reach * reach
    return clear


@kernel
def meets_one(robot, goal, const, w, r):
    """Return whether the straight way of robot ``r`` meets that of a robot before it."""
    met = False
    for q in range(r):
        met |= straight_ways_meet(
            robot[w, r, X], robot[w, r, Y], goal[w, r, 0, G_X], goal[w, r, 0, G_Y], robot[w, r, OWN_SPEED],
            robot[w, q, X], robot[w, q, Y], goal[w, q, 0, G_X], goal[w, q, 0, G_Y], robot[w, q, OWN_SPEED],
            robot[w, r, OWN_RADIUS] + robot[w, q, OWN_RADIUS] + const[START_CLEARANCE],
        )  # fmt: skip
    return met


@kernel
def set_way(robot, goal, w, r, x, y, goal_x, goal_y):
    """Set start and goal of robot ``r``."""
    robot[w, r, X], robot[w, r, Y] = x, y
    goal[w, r, 0, G_X], goal[w, r, 0, G_Y] = goal_x, goal_y


@kernel
def draw_random(robot, goal, stream, const, w, there):
    """Draw a random case."""
    half = half_side(there)
    for r in range(there):
        for _ in range(_TRIES):
            half *= _GROWTH
            x, y = between(stream, w, LAYOUT_STREAM, -half, half), between(stream, w, LAYOUT_STREAM, -half, half)
            gx, gy = between(stream, w, LAYOUT_STREAM, -half, half), between(stream, w, LAYOUT_STREAM, -half, half)
            set_way(robot, goal, w, r, x, y, gx, gy)
            far = (gx - x) * (gx - x) + (gy - y) * (gy - y) > HALF * HALF * half * half
            if far and is_clear(robot, goal, const, w, r) and (r == 0 or meets_one(robot, goal, const, w, r)):
                break


@kernel
def draw_crossing(robot, goal, stream, const, w, first, there, offset):
    """Let the robots from ``first`` on cross a circle about (0, ``offset``), each to the other side of it."""
    radius = HALF * np.float32(there) + between(stream, w, LAYOUT_STREAM, F0, _TWO)
    for r in range(first, there):
        for attempt in range(_TRIES):
            radius *= _GROWTH if attempt > 10 else F1
            angle = between(stream, w, LAYOUT_STREAM, -_PI, _PI)
            x, y = radius * np.cos(angle), radius * np.sin(angle)
            set_way(robot, goal, w, r, x, offset + y, -x, offset - y)
            if is_clear(robot, goal, const, w, r):
                break


@kernel
def some_meet(robot, goal, const, w, there):
    """Return whether the straight ways of two robots meet."""
    met = there < 2
    for r in range(1, there):
        met |= meets_one(robot, goal, const, w, r)
    return met


@kernel
def draw_case(robot, goal, stream, const, w, there):
    """Draw starts and goals of the first ``there`` robots, whose bodies are known, of any kind."""
    kind = uniform(stream, w, LAYOUT_STREAM)
    if kind >= _CIRCLES:
        draw_random(robot, goal, stream, const, w, there)
    elif kind >= _SWAPS or there < 2:
        draw_crossing(robot, goal, stream, const, w, 0, there, F0)
    else:
        apart = _LEAST_SWAP + between(stream, w, LAYOUT_STREAM, F0, _TWO)
        aside = F1 + HALF * np.float32(there) + between(stream, w, LAYOUT_STREAM, F0, _TWO)
        set_way(robot, goal, w, 0, -apart, F0, apart, F0)
        set_way(robot, goal, w, 1, apart, F0, -apart, F0)
        side = F1 if uniform(stream, w, LAYOUT_STREAM) < HALF else -F1
        draw_crossing(robot, goal, stream, const, w, 2, there, side * aside)


@kernel
def take_case(robot, goal, case, w, row, there):
    """Set bodies, starts and goals of the first ``there`` robots to those of case ``row``."""
    for r in range(there):
        robot[w, r, OWN_RADIUS], robot[w, r, OWN_SPEED] = case[row, r, CASE_RADIUS], case[row, r, CASE_SPEED]
        x, y = case[row, r, CASE_X], case[row, r, CASE_Y]
        set_way(robot, goal, w, r, x, y, case[row, r, CASE_GOAL_X], case[row, r, CASE_GOAL_Y])


@kernel
def place_everett(robot, goal, stream, const, case, w, row, there):
    """Place the first ``there`` robots by case ``row``, or (-1) by a case that is drawn; each looks to its goal."""
    if row >= 0:
        take_case(robot, goal, case, w, row, there)
    else:
        for _ in range(_TRIES):
            draw_case(robot, goal, stream, const, w, there)
            if some_meet(robot, goal, const, w, there):
                break
    for r in range(there):
        dx, dy = goal[w, r, 0, G_X] - robot[w, r, X], goal[w, r, 0, G_Y] - robot[w, r, Y]
        robot[w, r, YAW] = np.arctan2(dy, dx)
