"""What a robot may run into: swept collisions, clearance and time to collision."""

from __future__ import annotations

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.geometry import segment_segment_distance, swept_distance, time_to_collision
from robonav_ray.worlds.kernel import F0, FAR, kernel
from robonav_ray.worlds.layout import (
    C_OLD_X,
    C_OLD_Y,
    C_RADIUS,
    C_VX,
    C_VY,
    C_X,
    C_Y,
    CLEARANCE,
    DISCOMFORT_DISTANCE,
    ENDED,
    HALF_SIDE,
    KIND,
    NUM_CIRCLES,
    OLD_X,
    OLD_Y,
    RADIUS,
    STATIC,
    T_TTC,
    VX,
    VY,
    WALLS,
    X,
    Y,
)

_HIT_STATIC, _HIT_DYNAMIC = np.int32(Outcome.COLLISION_STATIC), np.int32(Outcome.COLLISION_DYNAMIC)
_HIT_WALL, _HIT_ROBOT = np.int32(Outcome.COLLISION_WALL), np.int32(Outcome.COLLISION_ROBOT)
_NOTHING = np.int32(Outcome.NONE)


@kernel
def free_space(x, y, old_x, old_y, other_x, other_y, other_old_x, other_old_y, reach, comfort):
    """Return the space between two discs at the end of the step, or the least during it when they come close."""
    bx, by = other_x - x, other_y - y
    ax, ay = other_old_x - old_x, other_old_y - old_y
    near = reach + comfort + abs(bx - ax) + abs(by - ay)
    d2 = bx * bx + by * by
    if d2 < near * near:
        return swept_distance(ax, ay, bx, by) - reach
    return np.sqrt(d2) - reach


@kernel
def hazards(robot, lane, circle, circle_kind, world, tally, wall, const, w, r):
    """Write the clearance of robot (w, r) and its least time to collision; return what it hit in this step (``Outcome``).

    Of several hits the deepest counts. All motion within a step is straight (the midpoint rule's chord).
    """
    x, y, ox, oy = robot[w, r, X], robot[w, r, Y], robot[w, r, OLD_X], robot[w, r, OLD_Y]
    vx, vy, radius, comfort = robot[w, r, VX], robot[w, r, VY], const[RADIUS], const[DISCOMFORT_DISTANCE]
    near, hit, ttc = FAR, _NOTHING, tally[w, r, T_TTC]
    for i in range(world[w, NUM_CIRCLES]):
        cx, cy, reach = circle[w, i, C_X], circle[w, i, C_Y], circle[w, i, C_RADIUS] + radius
        space = free_space(x, y, ox, oy, cx, cy, circle[w, i, C_OLD_X], circle[w, i, C_OLD_Y], reach, comfort)
        ttc = min(ttc, time_to_collision(cx - x, cy - y, circle[w, i, C_VX] - vx, circle[w, i, C_VY] - vy, reach))
        if space < near:
            near, hit = space, (_HIT_STATIC if circle_kind[w, i, KIND] == STATIC else _HIT_DYNAMIC)
    for q in range(robot.shape[1]):
        if q != r and lane[w, q, ENDED] == 0:
            qx, qy, reach = robot[w, q, X], robot[w, q, Y], radius + radius
            space = free_space(x, y, ox, oy, qx, qy, robot[w, q, OLD_X], robot[w, q, OLD_Y], reach, comfort)
            ttc = min(ttc, time_to_collision(qx - x, qy - y, robot[w, q, VX] - vx, robot[w, q, VY] - vy, reach))
            if space < near:
                near, hit = space, _HIT_ROBOT
    if const[WALLS] > F0:
        space = const[HALF_SIDE] - max(abs(x), abs(y)) - radius  # the arena is convex: the end of the step decides
        if space < near:
            near, hit = space, _HIT_WALL
    for i in range(wall.shape[0]):
        space = segment_segment_distance(ox, oy, x, y, wall[i, 0], wall[i, 1], wall[i, 2], wall[i, 3]) - radius
        if space < near:
            near, hit = space, _HIT_WALL
    robot[w, r, CLEARANCE] = near
    tally[w, r, T_TTC] = ttc
    return hit if near < F0 else _NOTHING
