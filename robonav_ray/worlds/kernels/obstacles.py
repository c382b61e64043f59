"""What moving circles do: choose a velocity from the state before the step, then move."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.draws import between
from robonav_ray.worlds.kernels.geometry import inner_wall_clearance
from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, HALF, hot_kernel, kernel
from robonav_ray.worlds.kernels.layout import (
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
    GONE,
    HALF_SIDE,
    INTERCEPT,
    KIND,
    MOTION_STREAM,
    NUM_CIRCLES,
    ORCA_HORIZON,
    OWN_RADIUS,
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
from robonav_ray.worlds.kernels.orca import insert_neighbor, orca_velocity
from robonav_ray.worlds.kernels.site.walking import keep_off_walls, send_circle

ORCA_MARGIN = np.float32(0.01)
"""Metres that CrowdNav adds to every radius in ORCA."""
NEIGHBOR_DISTANCE_2 = np.float32(100.0)
"""Squared distance (m^2) beyond which ORCA looks at nobody."""
_FORCE, _FALL_OFF, _RELAX = np.float32(3.0), np.float32(0.3), np.float32(0.5)
_LEAD_S = np.float32(2.0)
_TINY = np.float32(1e-6)


@kernel
def draw_waypoint(circle, stream, const, site, w, i):
    """Draw where circle ``i`` goes next and set its velocity towards it."""
    if site is not None and site.grid.shape[0] > 0:
        send_circle(site, circle, stream, const, w, i)
        return
    room = max(const[HALF_SIDE] - circle[w, C_RADIUS, i], F0)
    circle[w, C_TX, i] = between(stream, w, MOTION_STREAM, -room, room)
    circle[w, C_TY, i] = between(stream, w, MOTION_STREAM, -room, room)
    dx, dy = circle[w, C_TX, i] - circle[w, C_X, i], circle[w, C_TY, i] - circle[w, C_Y, i]
    scale = circle[w, C_SPEED, i] / max(np.sqrt(dx * dx + dy * dy), _TINY)
    circle[w, C_VX, i], circle[w, C_VY, i] = dx * scale, dy * scale


@kernel
def wanted_velocity(circle, w, i):
    """Return the velocity towards the target, slower within its last metre (as CrowdNav's humans)."""
    dx, dy = circle[w, C_TX, i] - circle[w, C_X, i], circle[w, C_TY, i] - circle[w, C_Y, i]
    scale = circle[w, C_SPEED, i] / max(np.sqrt(dx * dx + dy * dy), F1)
    return dx * scale, dy * scale


@kernel
def gather_neighbors(robot, lane, circle, circle_kind, world, neighbor, w, i):
    """Collect whom circle ``i`` avoids into ``neighbor``, nearest first; return how many."""
    num = 0
    x, y = circle[w, C_X, i], circle[w, C_Y, i]
    for j in range(world[w, NUM_CIRCLES]):
        if j != i:
            ox, oy = circle[w, C_X, j], circle[w, C_Y, j]
            d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
            if d2 < NEIGHBOR_DISTANCE_2:
                share = F1 if circle_kind[w, KIND, j] == STATIC else HALF
                radius = circle[w, C_RADIUS, j] + ORCA_MARGIN
                num = insert_neighbor(neighbor, num, d2, ox, oy, circle[w, C_VX, j], circle[w, C_VY, j], radius, share)
    if circle_kind[w, REACTS, i] > 0:
        for r in range(robot.shape[1]):
            if lane[w, r, GONE] == 0:
                ox, oy = robot[w, r, X], robot[w, r, Y]
                d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
                if d2 < NEIGHBOR_DISTANCE_2:
                    radius = robot[w, r, OWN_RADIUS] + ORCA_MARGIN
                    num = insert_neighbor(neighbor, num, d2, ox, oy, robot[w, r, VX], robot[w, r, VY], radius, HALF)
    return num


@kernel
def social_force(circle, const, neighbor, num, w, i):
    """Return the next velocity under the social force model (Helbing and Molnar 1995), without its view angle."""
    x, y, radius, speed = circle[w, C_X, i], circle[w, C_Y, i], circle[w, C_RADIUS, i], circle[w, C_SPEED, i]
    vx, vy = circle[w, C_VX, i], circle[w, C_VY, i]
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
    x, y, speed = circle[w, C_X, i], circle[w, C_Y, i], circle[w, C_SPEED, i]
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
def choose_velocity(robot, lane, circle, circle_kind, world, const, neighbor, line, w, i):
    """Return the next velocity of one circle that looks at others."""
    kind = circle_kind[w, KIND, i]
    if kind == INTERCEPT:
        return intercept(robot, lane, circle, w, i)
    num = gather_neighbors(robot, lane, circle, circle_kind, world, neighbor, w, i)
    if kind == SOCIAL_FORCE:
        return social_force(circle, const, neighbor, num, w, i)
    wx, wy = wanted_velocity(circle, w, i)
    half = const[HALF_SIDE] if const[WALLS] > F0 else F0
    radius, top = circle[w, C_RADIUS, i] + ORCA_MARGIN, circle[w, C_SPEED, i]
    x, y, vx, vy = circle[w, C_X, i], circle[w, C_Y, i], circle[w, C_VX, i], circle[w, C_VY, i]
    horizon, dt = const[ORCA_HORIZON], const[DT]
    return orca_velocity(x, y, vx, vy, radius, wx, wy, top, neighbor, num, half, horizon, dt, line)


@kernel
def steer_circles(robot, lane, circle, circle_kind, world, const, neighbor, line, w):
    """Choose the velocity of every circle that looks at others, all from the state before the step."""
    for i in range(world[w, NUM_CIRCLES]):
        if circle_kind[w, KIND, i] >= INTERCEPT:
            vx, vy = choose_velocity(robot, lane, circle, circle_kind, world, const, neighbor, line, w, i)
            circle[w, C_NEXT_VX, i], circle[w, C_NEXT_VY, i] = vx, vy
    for i in range(world[w, NUM_CIRCLES]):
        if circle_kind[w, KIND, i] >= INTERCEPT:
            circle[w, C_VX, i], circle[w, C_VY, i] = circle[w, C_NEXT_VX, i], circle[w, C_NEXT_VY, i]


@kernel
def redirect_circles(circle, circle_kind, world, stream, const, site, w):
    """Give a new target to every circle that is at its own."""
    for i in range(world[w, NUM_CIRCLES]):
        dx, dy = circle[w, C_TX, i] - circle[w, C_X, i], circle[w, C_TY, i] - circle[w, C_Y, i]
        reach = circle[w, C_SPEED, i] * const[DT]
        if dx * dx + dy * dy <= reach * reach and circle_kind[w, KIND, i] != STATIC:
            vx, vy = circle[w, C_VX, i], circle[w, C_VY, i]
            draw_waypoint(circle, stream, const, site, w, i)
            if circle_kind[w, KIND, i] != WAYPOINT:
                circle[w, C_VX, i], circle[w, C_VY, i] = vx, vy


@hot_kernel
def move_circles(circle, circle_kind, world, stream, const, wall, box, site, w):
    """Move every circle for one step; all of them stay wholly inside the arena. One that arrives gets a new target."""
    dt, half, arrived = const[DT], const[HALF_SIDE], F0
    for i in range(world[w, NUM_CIRCLES]):
        x, y, vx, vy = circle[w, C_X, i], circle[w, C_Y, i], circle[w, C_VX, i], circle[w, C_VY, i]
        circle[w, C_OLD_X, i], circle[w, C_OLD_Y, i] = x, y
        room = half - circle[w, C_RADIUS, i]
        nx, ny = x + vx * dt, y + vy * dt
        bounce = circle_kind[w, KIND, i] == BOUNCE
        circle[w, C_VX, i] = -vx if bounce & (abs(nx) > room) else vx
        circle[w, C_VY, i] = -vy if bounce & (abs(ny) > room) else vy
        nx, ny = min(max(nx, -room), room), min(max(ny, -room), room)
        circle[w, C_X, i], circle[w, C_Y, i] = nx, ny
        dx, dy, reach = circle[w, C_TX, i] - nx, circle[w, C_TY, i] - ny, circle[w, C_SPEED, i] * dt
        arrived = max(arrived, reach * reach - dx * dx - dy * dy)
    if arrived > F0 and const[CIRCLE_CROSSING] <= F0:
        redirect_circles(circle, circle_kind, world, stream, const, site, w)
    if wall.shape[0] > 0:
        turn_at_walls(circle, circle_kind, world, stream, const, wall, box, site, w)
    keep_off_walls(site, circle, circle_kind, world, stream, const, w)


@kernel
def turn_at_walls(circle, circle_kind, world, stream, const, wall, box, site, w):
    """Undo the step of every circle that would touch an inner wall and send it elsewhere."""
    for i in range(world[w, NUM_CIRCLES]):
        kind = circle_kind[w, KIND, i]
        if (
            kind == STATIC
            or inner_wall_clearance(wall, box, circle[w, C_X, i], circle[w, C_Y, i]) >= circle[w, C_RADIUS, i]
        ):
            continue
        circle[w, C_X, i], circle[w, C_Y, i] = circle[w, C_OLD_X, i], circle[w, C_OLD_Y, i]
        vx, vy = -circle[w, C_VX, i], -circle[w, C_VY, i]
        if kind != BOUNCE and kind != INTERCEPT:
            draw_waypoint(circle, stream, const, site, w, i)
        if kind != WAYPOINT:
            circle[w, C_VX, i], circle[w, C_VY, i] = vx, vy
