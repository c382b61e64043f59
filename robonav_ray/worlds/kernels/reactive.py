"""The velocity that a robot wants if it reacts to what is around it, by the true state: ORCA and social force."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel
from robonav_ray.worlds.kernels.layout import (
    C_RADIUS,
    C_VX,
    C_VY,
    C_X,
    C_Y,
    DT,
    G_X,
    G_Y,
    GOAL_INDEX,
    GONE,
    HALF_SIDE,
    KIND,
    NUM_CIRCLES,
    OWN_RADIUS,
    OWN_SPEED,
    STATIC,
    VX,
    VY,
    WALLS,
    X,
    Y,
)
from robonav_ray.worlds.kernels.obstacles import NEIGHBOR_DISTANCE_2
from robonav_ray.worlds.kernels.orca import insert_neighbor, orca_velocity
from robonav_ray.worlds.kernels.site.lookup import bend_after, next_bend, wall_clearance, wall_normal
from robonav_ray.worlds.kernels.site.tables import BEND_X, BEND_Y

_TINY = np.float32(1e-6)
_WALL_FALL_OFF_M = np.float32(0.1)
"""Walls push less far than others: a goal may lie beside one."""


@kernel
def wall_point(wall, n, x, y):
    """Return the point of inner wall ``n`` that is nearest to (x, y)."""
    ux, uy = wall[n, 2] - wall[n, 0], wall[n, 3] - wall[n, 1]
    part = ((x - wall[n, 0]) * ux + (y - wall[n, 1]) * uy) / (ux * ux + uy * uy)
    part = min(max(part, F0), F1)
    return wall[n, 0] + part * ux, wall[n, 1] + part * uy


@kernel
def gather_others(robot, lane, circle, circle_kind, world, wall, factor, margin, share, neighbor, w, r):
    """Write rows of ``neighbor`` (see ``orca.py``) for robot (w, r): circles, other robots and the nearest point of
    every inner wall, nearest first; return how many.

    Every radius grows by ``factor`` and ``margin``; ``share`` is the robot's part in avoiding what moves (half with
    another robot, all with what stands).
    """
    num, x, y = 0, robot[w, r, X], robot[w, r, Y]
    for j in range(world[w, NUM_CIRCLES]):
        ox, oy = circle[w, C_X, j], circle[w, C_Y, j]
        d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
        if d2 < NEIGHBOR_DISTANCE_2:
            part = F1 if circle_kind[w, KIND, j] == STATIC else share
            vx, vy, radius = circle[w, C_VX, j], circle[w, C_VY, j], factor * circle[w, C_RADIUS, j] + margin
            num = insert_neighbor(neighbor, num, d2, ox, oy, vx, vy, radius, part)
    for q in range(robot.shape[1]):
        if q != r and lane[w, q, GONE] == 0:
            ox, oy, vx, vy = robot[w, q, X], robot[w, q, Y], robot[w, q, VX], robot[w, q, VY]
            d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
            radius = factor * robot[w, q, OWN_RADIUS] + margin
            num = insert_neighbor(neighbor, num, d2, ox, oy, vx, vy, radius, HALF)
    for n in range(wall.shape[0]):
        ox, oy = wall_point(wall, n, x, y)
        d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
        if d2 < NEIGHBOR_DISTANCE_2:
            num = insert_neighbor(neighbor, num, d2, ox, oy, F0, F0, margin, F1)
    return num


@kernel
def add_map_wall(site, robot, neighbor, num, margin, w, r):
    """Add the nearest point of the map's walls to the ``neighbor`` rows of robot (w, r); return how many there are."""
    if site is None or site.grid.shape[0] == 0:
        return num
    m, x, y = np.int64(site.map_of[w]), robot[w, r, X], robot[w, r, Y]
    gap = wall_clearance(site, m, x, y)
    nx, ny = wall_normal(site, m, x, y)
    return insert_neighbor(neighbor, num, gap * gap, x - gap * nx, y - gap * ny, F0, F0, margin, F1)


@kernel
def way_to_goal(robot, lane, goal, num_goals, w, r):
    """Return (dx, dy) from robot (w, r) to its goal, or to the last one when all are reached."""
    g = min(np.int64(lane[w, r, GOAL_INDEX]), num_goals - 1)
    return goal[w, r, g, G_X] - robot[w, r, X], goal[w, r, g, G_Y] - robot[w, r, Y]


@kernel
def way_ahead(site, robot, lane, goal, num_goals, reach, w, r):
    """Return (dx, dy) from robot (w, r) to where it drives next: in a map the next bend of its route that is not
    within ``reach`` m, elsewhere its goal.
    """
    if site is None or site.grid.shape[0] == 0:
        return way_to_goal(robot, lane, goal, num_goals, w, r)
    m, x, y = np.int64(site.map_of[w]), robot[w, r, X], robot[w, r, Y]
    mark = np.int64(site.goal_mark[w, r, min(np.int64(lane[w, r, GOAL_INDEX]), num_goals - 1)])
    b = next_bend(site, m, mark, x, y)
    dx, dy = site.bend[b, BEND_X] - x, site.bend[b, BEND_Y] - y
    if dx * dx + dy * dy < reach * reach:
        b = bend_after(site, mark, b)
        dx, dy = site.bend[b, BEND_X] - x, site.bend[b, BEND_Y] - y
    return dx, dy


@kernel
def orca_wish(robot, const, neighbor, num, line, dx, dy, factor, margin, slow, horizon, w, r):
    """Return the velocity (vx, vy) that ORCA chooses for robot (w, r), whose goal lies at (dx, dy) from it, among
    ``num`` neighbours.

    It wants its greatest speed, and less within ``slow`` m of the goal.
    """
    top = robot[w, r, OWN_SPEED]
    half = const[HALF_SIDE] if const[WALLS] > F0 else F0
    scale = top / max(np.sqrt(dx * dx + dy * dy), slow)
    radius = factor * robot[w, r, OWN_RADIUS] + margin
    x, y, vx, vy = robot[w, r, X], robot[w, r, Y], robot[w, r, VX], robot[w, r, VY]
    return orca_velocity(
        x, y, vx, vy, radius, dx * scale, dy * scale, top, neighbor, num, half, horizon, const[DT], line
    )


@kernel
def push(neighbor, num, x, y, wx, wy, radius, strength, fall_off, sight, lead):
    """Return the acceleration away from all ``neighbor`` rows, each where it will be in ``lead`` s.

    What lies behind the wanted direction (wx, wy) counts ``sight`` as much as what lies ahead.
    """
    ax, ay = F0, F0
    for n in range(num):
        dx, dy = x - neighbor[n, 1] - lead * neighbor[n, 3], y - neighbor[n, 2] - lead * neighbor[n, 4]
        distance = max(np.sqrt(dx * dx + dy * dy), _TINY)
        ahead = -(dx * wx + dy * wy) / distance
        seen = sight + (F1 - sight) * HALF * (F1 + ahead)
        size = seen * strength * np.exp((radius + neighbor[n, 5] - distance) / fall_off) / distance
        ax, ay = ax + size * dx, ay + size * dy
    return ax, ay


@kernel
def wall_push(x, y, room, strength, fall_off):
    """Return the acceleration away from the arena's walls; ``room``: how far the centre can go from the middle."""
    ax = strength * (np.exp(-(room + x) / fall_off) - np.exp(-(room - x) / fall_off))
    ay = strength * (np.exp(-(room + y) / fall_off) - np.exp(-(room - y) / fall_off))
    return ax, ay


@kernel
def social_force_wish(robot, const, neighbor, num, dx, dy, strength, fall_off, relaxation, sight, lead, w, r):
    """Return (vx, vy, scale): scale times (vx, vy) is the velocity at which the forces on robot (w, r) balance (Helbing
    and Molnar 1995); its goal lies at (dx, dy) from it.
    """
    x, y, radius, top = robot[w, r, X], robot[w, r, Y], robot[w, r, OWN_RADIUS], robot[w, r, OWN_SPEED]
    distance = max(np.sqrt(dx * dx + dy * dy), _TINY)
    wx, wy = dx / distance, dy / distance
    ax, ay = push(neighbor, num, x, y, wx, wy, radius, strength, fall_off, sight, lead)
    if const[WALLS] > F0:
        bx, by = wall_push(x, y, const[HALF_SIDE] - radius, strength, _WALL_FALL_OFF_M)
        ax, ay = ax + bx, ay + by
    speed = top * min(distance, F1)  # slower within the last metre, as the others
    ux, uy = speed * wx + relaxation * ax, speed * wy + relaxation * ay
    scale = top / max(np.sqrt(ux * ux + uy * uy), top)
    return ux, uy, scale
