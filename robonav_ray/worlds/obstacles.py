"""What moving circles do: choose a velocity from the state before the step, then move."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.draws import between
from robonav_ray.worlds.geometry import inner_wall_clearance
from robonav_ray.worlds.kernel import F0, F1, FAR, HALF, kernel
from robonav_ray.worlds.layout import (
    BOUNCE,
    C_NEXT_VX,
    C_NEXT_VY,
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
    CIRCLE_CROSSING,
    DT,
    ENDED,
    HALF_SIDE,
    INTERCEPT,
    KIND,
    MOTION_STREAM,
    NUM_CIRCLES,
    ORCA,
    ORCA_HORIZON,
    RADIUS,
    REACTS,
    SOCIAL_FORCE,
    STATIC,
    VX,
    VY,
    WALLS,
    WAYPOINT,
    X,
    Y,
)
from robonav_ray.worlds.orca import insert_neighbor, orca_velocity

ORCA_MARGIN = np.float32(0.01)
"""Metres that CrowdNav adds to every radius in ORCA."""
NEIGHBOR_DISTANCE_2 = np.float32(100.0)
"""Squared distance (m^2) beyond which ORCA looks at nobody."""
_FORCE, _FALL_OFF, _RELAX = np.float32(3.0), np.float32(0.3), np.float32(0.5)
_LEAD_S = np.float32(2.0)
_TINY = np.float32(1e-6)


@kernel
def draw_waypoint(circle, stream, const, w, i):
    """Draw where circle ``i`` goes next and set its velocity towards it."""
    room = max(const[HALF_SIDE] - circle[w, i, C_RADIUS], F0)
    circle[w, i, C_TX] = between(stream, w, MOTION_STREAM, -room, room)
    circle[w, i, C_TY] = between(stream, w, MOTION_STREAM, -room, room)
    dx, dy = circle[w, i, C_TX] - circle[w, i, C_X], circle[w, i, C_TY] - circle[w, i, C_Y]
    scale = circle[w, i, C_SPEED] / max(np.sqrt(dx * dx + dy * dy), _TINY)
    circle[w, i, C_VX], circle[w, i, C_VY] = dx * scale, dy * scale


@kernel
def wanted_velocity(circle, w, i):
    """Return the velocity towards the target, slower within its last metre (as CrowdNav's humans)."""
    dx, dy = circle[w, i, C_TX] - circle[w, i, C_X], circle[w, i, C_TY] - circle[w, i, C_Y]
    scale = circle[w, i, C_SPEED] / max(np.sqrt(dx * dx + dy * dy), F1)
    return dx * scale, dy * scale


@kernel
def gather_neighbors(robot, lane, circle, circle_kind, world, const, neighbor, w, i):
    """Collect whom circle ``i`` avoids into ``neighbor``, nearest first; return how many."""
    num = 0
    x, y = circle[w, i, C_X], circle[w, i, C_Y]
    for j in range(world[w, NUM_CIRCLES]):
        if j != i:
            ox, oy = circle[w, j, C_X], circle[w, j, C_Y]
            d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
            if d2 < NEIGHBOR_DISTANCE_2:
                share = F1 if circle_kind[w, j, KIND] == STATIC else HALF
                radius = circle[w, j, C_RADIUS] + ORCA_MARGIN
                num = insert_neighbor(neighbor, num, d2, ox, oy, circle[w, j, C_VX], circle[w, j, C_VY], radius, share)
    if circle_kind[w, i, REACTS] > 0:
        for r in range(robot.shape[1]):
            if lane[w, r, ENDED] == 0:
                ox, oy = robot[w, r, X], robot[w, r, Y]
                d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
                if d2 < NEIGHBOR_DISTANCE_2:
                    radius = const[RADIUS] + ORCA_MARGIN
                    num = insert_neighbor(neighbor, num, d2, ox, oy, robot[w, r, VX], robot[w, r, VY], radius, HALF)
    return num


@kernel
def social_force(circle, const, neighbor, num, w, i):
    """Return the next velocity under the social force model (Helbing and Molnar 1995), without its view angle."""
    x, y, radius, speed = circle[w, i, C_X], circle[w, i, C_Y], circle[w, i, C_RADIUS], circle[w, i, C_SPEED]
    vx, vy = circle[w, i, C_VX], circle[w, i, C_VY]
    wx, wy = wanted_velocity(circle, w, i)
    ax, ay = (wx - vx) / _RELAX, (wy - vy) / _RELAX
    for n in range(num):
        dx, dy = x - neighbor[n, 1], y - neighbor[n, 2]
        d = max(np.sqrt(neighbor[n, 0]), _TINY)
        push = _FORCE * np.exp((radius + neighbor[n, 5] - d) / _FALL_OFF) / d
        ax, ay = ax + push * dx, ay + push * dy
    if const[WALLS] > F0:
        room = const[HALF_SIDE] - radius
        ax += _FORCE * (np.exp(-(room + x) / _FALL_OFF) - np.exp(-(room - x) / _FALL_OFF))
        ay += _FORCE * (np.exp(-(room + y) / _FALL_OFF) - np.exp(-(room - y) / _FALL_OFF))
    vx, vy = vx + ax * const[DT], vy + ay * const[DT]
    scale = speed / max(np.sqrt(vx * vx + vy * vy), speed)
    return vx * scale, vy * scale


@kernel
def intercept(robot, lane, circle, w, i):
    """Return the velocity towards where the nearest robot will be when the circle gets there (at most 2 s ahead)."""
    x, y, speed = circle[w, i, C_X], circle[w, i, C_Y], circle[w, i, C_SPEED]
    near, target = FAR, -1
    for r in range(robot.shape[1]):
        if lane[w, r, ENDED] == 0:
            d = np.sqrt((robot[w, r, X] - x) ** 2 + (robot[w, r, Y] - y) ** 2)
            if d < near:
                near, target = np.float32(d), r
    if target < 0:
        return F0, F0
    lead = min(near / max(speed, _TINY), _LEAD_S)
    dx = robot[w, target, X] + robot[w, target, VX] * lead - x
    dy = robot[w, target, Y] + robot[w, target, VY] * lead - y
    scale = speed / max(np.sqrt(dx * dx + dy * dy), _TINY)
    return dx * scale, dy * scale


@kernel
def steer_circles(robot, lane, circle, circle_kind, world, stream, const, neighbor, line, w):
    """Choose the velocity of every moving circle from the state before the step."""
    dt = const[DT]
    for i in range(world[w, NUM_CIRCLES]):
        kind = circle_kind[w, i, KIND]
        if kind == STATIC:
            continue
        if kind != BOUNCE and kind != INTERCEPT and const[CIRCLE_CROSSING] <= F0:
            dx, dy = circle[w, i, C_TX] - circle[w, i, C_X], circle[w, i, C_TY] - circle[w, i, C_Y]
            near = circle[w, i, C_SPEED] * dt if kind == WAYPOINT else HALF
            if dx * dx + dy * dy <= near * near:
                vx, vy = circle[w, i, C_VX], circle[w, i, C_VY]
                draw_waypoint(circle, stream, const, w, i)
                if kind != WAYPOINT:
                    circle[w, i, C_VX], circle[w, i, C_VY] = vx, vy
        nx, ny = circle[w, i, C_VX], circle[w, i, C_VY]
        if kind == INTERCEPT:
            nx, ny = intercept(robot, lane, circle, w, i)
        elif kind >= ORCA:  # or SOCIAL_FORCE
            num = gather_neighbors(robot, lane, circle, circle_kind, world, const, neighbor, w, i)
            if kind == SOCIAL_FORCE:
                nx, ny = social_force(circle, const, neighbor, num, w, i)
            else:
                wx, wy = wanted_velocity(circle, w, i)
                half = const[HALF_SIDE] if const[WALLS] > F0 else F0
                radius, top = circle[w, i, C_RADIUS] + ORCA_MARGIN, circle[w, i, C_SPEED]
                nx, ny = orca_velocity(
                    circle[w, i, C_X],
                    circle[w, i, C_Y],
                    circle[w, i, C_VX],
                    circle[w, i, C_VY],
                    radius,
                    wx,
                    wy,
                    top,
                    neighbor,
                    num,
                    half,
                    const[ORCA_HORIZON],
                    dt,
                    line,
                )
        circle[w, i, C_NEXT_VX], circle[w, i, C_NEXT_VY] = nx, ny


@kernel
def move_circles(circle, circle_kind, world, stream, const, wall, box, w):
    """Move every circle for one step; all of them stay wholly inside the arena and out of inner walls."""
    dt = const[DT]
    for i in range(world[w, NUM_CIRCLES]):
        kind = circle_kind[w, i, KIND]
        x, y = circle[w, i, C_X], circle[w, i, C_Y]
        circle[w, i, C_OLD_X], circle[w, i, C_OLD_Y] = x, y
        if kind == STATIC:
            continue
        radius = circle[w, i, C_RADIUS]
        room = const[HALF_SIDE] - radius
        vx, vy = circle[w, i, C_NEXT_VX], circle[w, i, C_NEXT_VY]
        nx, ny = min(max(x + vx * dt, -room), room), min(max(y + vy * dt, -room), room)
        if kind == BOUNCE:
            if abs(x + vx * dt) > room:
                vx = -vx
            if abs(y + vy * dt) > room:
                vy = -vy
        if wall.shape[0] > 0 and inner_wall_clearance(wall, box, nx, ny) < radius:
            nx, ny, vx, vy = x, y, -vx, -vy
            if kind == WAYPOINT:
                draw_waypoint(circle, stream, const, w, i)
                vx, vy = circle[w, i, C_VX], circle[w, i, C_VY]
            elif kind != BOUNCE:
                draw_waypoint(circle, stream, const, w, i)
                vx, vy = F0, F0
        circle[w, i, C_X], circle[w, i, C_Y] = nx, ny
        circle[w, i, C_VX], circle[w, i, C_VY] = vx, vy
