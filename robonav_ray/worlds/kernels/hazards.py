"""What a robot may run into: swept collisions, clearance and time to collision."""

from __future__ import annotations

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.kernels.geometry import (
    near_circles,
    point_segment_distance,
    segment_segment_distance,
    swept_distance,
    time_to_collision,
)
from robonav_ray.worlds.kernels.kernel import F0, FAR, hot_kernel, kernel
from robonav_ray.worlds.kernels.layout import (
    AT_END,
    C_OLD_X,
    C_OLD_Y,
    C_RADIUS,
    C_VX,
    C_VY,
    C_X,
    C_Y,
    CLEARANCE,
    DT,
    GONE,
    HALF_SIDE,
    KIND,
    NUM_CIRCLES,
    OLD_X,
    OLD_Y,
    OWN_BODIES,
    OWN_RADIUS,
    OWN_SPEED,
    STATIC,
    T_TTC,
    VX,
    VY,
    WALLS,
    X,
    Y,
)
from robonav_ray.worlds.kernels.site.body import disc_gap, edge_gap, segment_gap
from robonav_ray.worlds.kernels.site.walking import map_hazard

_HIT_STATIC, _HIT_DYNAMIC = np.int32(Outcome.COLLISION_STATIC), np.int32(Outcome.COLLISION_DYNAMIC)
_HIT_WALL, _HIT_ROBOT = np.int32(Outcome.COLLISION_WALL), np.int32(Outcome.COLLISION_ROBOT)
_NOTHING = np.int32(Outcome.NONE)
SIGHT_M = np.float32(1.0)
"""Space (m) between edges up to which clearance and time to collision are looked at."""
_FASTER = np.float32(1.5)
"""Actuator gain and slip make a robot faster than its greatest speed by less than this."""


@kernel
def clearance_at_end(robot, lane, circle, circle_kind, world, wall, const, w, r):
    """Return the clearance of robot (w, r) where it is now, and what it would hit were it below 0 (``Outcome``)."""
    x, y, radius, near, hit = robot[w, r, X], robot[w, r, Y], robot[w, r, OWN_RADIUS], SIGHT_M, _NOTHING
    for i in range(world[w, NUM_CIRCLES]):
        dx, dy = circle[w, C_X, i] - x, circle[w, C_Y, i] - y
        gap = np.sqrt(dx * dx + dy * dy) - circle[w, C_RADIUS, i] - radius
        if gap < near:
            near, hit = gap, (_HIT_STATIC if circle_kind[w, KIND, i] == STATIC else _HIT_DYNAMIC)
    for q in range(robot.shape[1]):
        dx, dy = robot[w, q, X] - x, robot[w, q, Y] - y
        gap = np.sqrt(dx * dx + dy * dy) - robot[w, q, OWN_RADIUS] - radius
        if q != r and lane[w, q, GONE] == 0 and gap < near:
            near, hit = gap, _HIT_ROBOT
    edge = const[HALF_SIDE] - max(abs(x), abs(y)) - radius
    if const[WALLS] > F0 and edge < near:
        near, hit = edge, _HIT_WALL
    for i in range(wall.shape[0]):
        gap = point_segment_distance(x, y, wall[i, 0], wall[i, 1], wall[i, 2], wall[i, 3]) - radius
        if gap < near:
            near, hit = gap, _HIT_WALL
    return near, hit


@kernel
def nearest_robot(robot, lane, w, r):
    """Return the least clearance of robot (w, r) from others during the step, and the least time to a collision with
    one, where bodies differ.
    """
    near, soon = FAR, FAR
    for q in range(robot.shape[1]):
        if q != r and lane[w, q, GONE] == 0:
            ax, ay = robot[w, q, OLD_X] - robot[w, r, OLD_X], robot[w, q, OLD_Y] - robot[w, r, OLD_Y]
            bx, by = robot[w, q, X] - robot[w, r, X], robot[w, q, Y] - robot[w, r, Y]
            ux, uy = robot[w, q, VX] - robot[w, r, VX], robot[w, q, VY] - robot[w, r, VY]
            reach = robot[w, r, OWN_RADIUS] + robot[w, q, OWN_RADIUS]
            near = min(near, swept_distance(ax, ay, bx, by) - reach)
            soon = min(soon, time_to_collision(bx, by, ux, uy, reach))
    return near, soon


@hot_kernel
def hazards(robot, lane, circle, circle_kind, world, tally, wall, const, site, close, w, r):
    """Write the clearance of robot (w, r) and its least time to collision; return what it hit in this step
    (``Outcome``).

    The clearance is the least one during the step, or, where the worlds say so, the one at its end. Of several hits the
    deepest counts. All motion within a step is straight (the midpoint rule's chord). Discs that stay farther away than
    ``SIGHT_M`` are not looked at.
    """
    x, y, ox, oy = robot[w, r, X], robot[w, r, Y], robot[w, r, OLD_X], robot[w, r, OLD_Y]
    vx, vy, radius = robot[w, r, VX], robot[w, r, VY], robot[w, r, OWN_RADIUS]
    near, hit, ttc, dt = SIGHT_M, _NOTHING, tally[w, r, T_TTC], const[DT]
    sight = SIGHT_M + radius + _FASTER * robot[w, r, OWN_SPEED] * dt
    for n in range(near_circles(circle, world, x, y, sight, dt, close, w)):
        i = close[n]
        bx, by = circle[w, C_X, i] - x, circle[w, C_Y, i] - y
        reach = circle[w, C_RADIUS, i] + radius
        ax, ay = circle[w, C_OLD_X, i] - ox, circle[w, C_OLD_Y, i] - oy
        gap = swept_distance(ax, ay, bx, by) - reach
        gap = disc_gap(site, robot, const, ax, ay, bx, by, circle[w, C_RADIUS, i], gap, near, w, r)
        ttc = min(ttc, time_to_collision(bx, by, circle[w, C_VX, i] - vx, circle[w, C_VY, i] - vy, reach))
        if gap < near:
            near, hit = gap, (_HIT_STATIC if circle_kind[w, KIND, i] == STATIC else _HIT_DYNAMIC)
    if const[OWN_BODIES] > F0:
        gap, soon = nearest_robot(robot, lane, w, r)
        ttc = min(ttc, soon)
        if gap < near:
            near, hit = gap, _HIT_ROBOT
    else:
        for q in range(robot.shape[1]):
            if q != r and lane[w, q, GONE] == 0:
                bx, by, reach = robot[w, q, X] - x, robot[w, q, Y] - y, radius + radius
                ax, ay = robot[w, q, OLD_X] - ox, robot[w, q, OLD_Y] - oy
                gap = swept_distance(ax, ay, bx, by) - reach
                gap = disc_gap(site, robot, const, ax, ay, bx, by, radius, gap, near, w, r)
                ttc = min(ttc, time_to_collision(bx, by, robot[w, q, VX] - vx, robot[w, q, VY] - vy, reach))
                if gap < near:
                    near, hit = gap, _HIT_ROBOT
    if const[WALLS] > F0:
        gap = const[HALF_SIDE] - max(abs(x), abs(y)) - radius  # the arena is convex: the end of the step decides
        gap = edge_gap(site, robot, const, gap, near, w, r)
        if gap < near:
            near, hit = gap, _HIT_WALL
    for i in range(wall.shape[0]):
        gap = segment_segment_distance(ox, oy, x, y, wall[i, 0], wall[i, 1], wall[i, 2], wall[i, 3]) - radius
        gap = segment_gap(site, robot, const, wall, i, gap, near, w, r)
        if gap < near:
            near, hit = gap, _HIT_WALL
    near, hit = map_hazard(site, robot, const, w, r, near, hit)
    if const[AT_END] > F0:
        near, hit = clearance_at_end(robot, lane, circle, circle_kind, world, wall, const, w, r)
    robot[w, r, CLEARANCE] = near
    tally[w, r, T_TTC] = ttc
    return hit if near < F0 else _NOTHING
