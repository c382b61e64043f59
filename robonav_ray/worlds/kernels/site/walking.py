"""Robots and obstacles in a floor plan: what they run into, and how obstacles walk through it."""

from __future__ import annotations

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.kernels.draws import uniform
from robonav_ray.worlds.kernels.kernel import F0, kernel
from robonav_ray.worlds.kernels.layout import (
    BOUNCE,
    C_OLD_X,
    C_OLD_Y,
    C_RADIUS,
    C_SPEED,
    C_TX,
    C_TY,
    C_VX,
    C_VY,
    C_X,
    C_Y,
    DT,
    G_X,
    G_Y,
    INTERCEPT,
    KIND,
    MOTION_STREAM,
    NUM_CIRCLES,
    OLD_X,
    OLD_Y,
    OWN_RADIUS,
    STATIC,
    WAYPOINT,
    X,
    Y,
)
from robonav_ray.worlds.kernels.site.body import swept_clearance
from robonav_ray.worlds.kernels.site.lookup import bend_after, next_bend, route_length, wall_clearance, wall_normal
from robonav_ray.worlds.kernels.site.tables import (
    BEND_X,
    BEND_Y,
    MARK_X,
    MARK_Y,
    NUM_WALKS,
    PER_M,
    WALK_AT,
)

_HIT_WALL = np.int32(Outcome.COLLISION_WALL)
_TINY = np.float32(1e-6)


@kernel
def map_hazard(site, robot, const, w, r, near, hit):
    """Return the least of ``near`` and the clearance from the map's walls during the step, and what was hit then.

    The clearance is looked up at points of the step that are at most a cell apart.
    """
    if site is None or site.grid.shape[0] == 0:
        return near, hit
    m, radius = np.int64(site.map_of[w]), robot[w, r, OWN_RADIUS]
    if site.side.shape[0] > 0:
        gap = swept_clearance(site, robot, const, m, near, w, r)
        return gap, (_HIT_WALL if gap < near else hit)
    x, y = robot[w, r, X], robot[w, r, Y]
    dx, dy = x - robot[w, r, OLD_X], y - robot[w, r, OLD_Y]
    length = np.sqrt(dx * dx + dy * dy)
    gap = wall_clearance(site, m, x, y) - radius
    if gap < near + length:
        num = np.int64(length * site.frame[m, PER_M])
        for n in range(1, num + 1):
            part = np.float32(n) / np.float32(num + 1)
            gap = min(gap, wall_clearance(site, m, x - part * dx, y - part * dy) - radius)
    if gap < near:
        return gap, _HIT_WALL
    return near, hit


@kernel
def way_to_goal(site, robot, goal, w, r, g):
    """Return how far robot (w, r) has to go to its goal ``g``: along the route in a map, straight elsewhere."""
    x, y = robot[w, r, X], robot[w, r, Y]
    if site is not None and site.grid.shape[0] > 0:
        return route_length(site, np.int64(site.map_of[w]), np.int64(site.goal_mark[w, r, g]), x, y)
    dx, dy = goal[w, r, g, G_X] - x, goal[w, r, g, G_Y] - y
    return np.sqrt(dx * dx + dy * dy)


@kernel
def way_to_mark(site, w, mark, x, y, gx, gy):
    """Return the length of the way from (x, y) to a place: to ``mark`` in a map, straight to (gx, gy) elsewhere."""
    if site is not None and site.grid.shape[0] > 0:
        return route_length(site, np.int64(site.map_of[w]), mark, x, y)
    dx, dy = gx - x, gy - y
    return np.sqrt(dx * dx + dy * dy)


@kernel
def leg_length(site, goal, w, r, g, x, y):
    """Return the length of the way from (x, y) to the goal ``g`` of robot (w, r)."""
    mark = np.int64(-1)
    if site is not None:
        mark = np.int64(site.goal_mark[w, r, g])
    return way_to_mark(site, w, mark, x, y, goal[w, r, g, G_X], goal[w, r, g, G_Y])


@kernel
def send_circle(site, circle, stream, const, w, i):
    """Let circle ``i`` of world ``w`` walk on: to the next bend of its route, or, where that has ended, to another
    place.
    """
    m, x, y = np.int64(site.map_of[w]), circle[w, C_X, i], circle[w, C_Y, i]
    at, num, mark = site.grid[m, WALK_AT], site.grid[m, NUM_WALKS], np.int64(site.circle_mark[w, i])
    reach = circle[w, C_SPEED, i] * const[DT] + _TINY
    if mark >= 0:
        dx, dy = site.mark[mark, MARK_X] - x, site.mark[mark, MARK_Y] - y
        if dx * dx + dy * dy <= reach * reach:
            mark = -1
    if mark < 0:
        mark = at + min(np.int64(uniform(stream, w, MOTION_STREAM) * np.float32(num)), num - 1)
        site.circle_mark[w, i] = np.int32(mark)
    b = next_bend(site, m, mark, x, y)
    dx, dy = site.bend[b, BEND_X] - x, site.bend[b, BEND_Y] - y
    if dx * dx + dy * dy <= reach * reach:
        b = bend_after(site, mark, b)
    circle[w, C_TX, i], circle[w, C_TY, i] = site.bend[b, BEND_X], site.bend[b, BEND_Y]
    dx, dy = circle[w, C_TX, i] - x, circle[w, C_TY, i] - y
    scale = circle[w, C_SPEED, i] / max(np.sqrt(dx * dx + dy * dy), _TINY)
    circle[w, C_VX, i], circle[w, C_VY, i] = dx * scale, dy * scale


@kernel
def keep_off_walls(site, circle, circle_kind, world, stream, const, w):
    """Undo the step of every circle that would touch a wall of the map, and turn it back.

    Those that walk along routes never do: routes have room for them.
    """
    if site is None or site.grid.shape[0] == 0:
        return
    m = np.int64(site.map_of[w])
    for i in range(world[w, NUM_CIRCLES]):
        kind = circle_kind[w, KIND, i]
        if kind in (STATIC, WAYPOINT):
            continue
        x, y = circle[w, C_X, i], circle[w, C_Y, i]
        if wall_clearance(site, m, x, y) >= circle[w, C_RADIUS, i]:
            continue
        nx, ny = wall_normal(site, m, x, y)
        circle[w, C_X, i], circle[w, C_Y, i] = circle[w, C_OLD_X, i], circle[w, C_OLD_Y, i]
        vx, vy = circle[w, C_VX, i], circle[w, C_VY, i]
        into = min(vx * nx + vy * ny, F0)
        if kind == BOUNCE:
            circle[w, C_VX, i], circle[w, C_VY, i] = vx - (into + into) * nx, vy - (into + into) * ny
        elif kind != INTERCEPT:
            send_circle(site, circle, stream, const, w, i)
            circle[w, C_VX, i], circle[w, C_VY, i] = vx - into * nx, vy - into * ny
