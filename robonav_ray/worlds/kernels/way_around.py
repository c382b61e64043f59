"""The shortest way between two points among inner walls (a visibility graph: Lozano-Perez and Wesley 1979).

A way must not cross a wall, nor pass within a robot's radius of a free end of one. So walls count as that much longer
at both ends, and ways bend 2 cm behind those ends, where the robot has room; boxes are four walls.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.geometry import inner_wall_clearance
from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, hot_kernel, kernel
from robonav_ray.worlds.kernels.layout import (
    CORNER_X,
    CORNER_Y,
    FIRST_WAY,
    G_X,
    G_Y,
    LONG_X0,
    LONG_X1,
    LONG_Y0,
    LONG_Y1,
    X,
    Y,
)
from robonav_ray.worlds.kernels.site.lookup import has_map
from robonav_ray.worlds.kernels.site.walking import way_to_goal

_TINY = np.float32(1e-9)
_BEHIND_M = np.float32(0.02)


@kernel
def crosses(wall, ax, ay, bx, by):
    """Return True when the line from a to b crosses one of the lengthened walls (S, WALL_COLS)."""
    vx, vy = bx - ax, by - ay
    for i in range(wall.shape[0]):
        x0, y0 = wall[i, LONG_X0], wall[i, LONG_Y0]
        ux, uy = wall[i, LONG_X1] - x0, wall[i, LONG_Y1] - y0
        det = ux * vy - uy * vx
        if abs(det) < _TINY:
            continue
        px, py, inverse = ax - x0, ay - y0, F1 / det
        s, t = (px * uy - py * ux) * inverse, (px * vy - py * vx) * inverse
        if F0 <= s <= F1 and F0 < t < F1:
            return True
    return False


@kernel
def way_around(wall, corner, ax, ay, bx, by):
    """Return the length of the shortest way from a to b; of the straight line where there is none."""
    straight = np.sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay))
    if not crosses(wall, ax, ay, bx, by):
        return straight
    best = FAR
    for q in range(corner.shape[0]):
        qx, qy = corner[q, CORNER_X], corner[q, CORNER_Y]
        behind = np.sqrt((bx - qx) * (bx - qx) + (by - qy) * (by - qy))
        if behind >= best or crosses(wall, bx, by, qx, qy):
            continue
        for p in range(corner.shape[0]):
            px, py = corner[p, CORNER_X], corner[p, CORNER_Y]
            length = np.sqrt((px - ax) * (px - ax) + (py - ay) * (py - ay)) + corner[p, FIRST_WAY + q] + behind
            if length < best and not crosses(wall, ax, ay, px, py):
                best = length
    return best if best < FAR else straight


@hot_kernel
def way_left(site, robot, goal, wall, corner, w, r, g):
    """Return how far robot (w, r) has to go to its goal ``g``: along the route of a map, elsewhere around walls."""
    if wall.shape[0] == 0 or has_map(site):
        return way_to_goal(site, robot, goal, w, r, g)
    return way_around(wall, corner, robot[w, r, X], robot[w, r, Y], goal[w, r, g, G_X], goal[w, r, g, G_Y])


@kernel
def lengthen(wall, radius):
    """Write each wall (S, WALL_COLS) as one that is ``radius`` m longer at both ends behind it."""
    for i in range(wall.shape[0]):
        dx, dy = wall[i, 2] - wall[i, 0], wall[i, 3] - wall[i, 1]
        part = radius / max(np.sqrt(dx * dx + dy * dy), _TINY)
        wall[i, LONG_X0], wall[i, LONG_Y0] = wall[i, 0] - part * dx, wall[i, 1] - part * dy
        wall[i, LONG_X1], wall[i, LONG_Y1] = wall[i, 2] + part * dx, wall[i, 3] + part * dy


@kernel
def find_corners(wall, box, radius, half, corner):
    """Write the places where ways bend into the first rows of ``corner`` (2 S, FIRST_WAY + 2 S), and the length of the
    shortest way from each to each; return how many there are.

    ``half`` (m): nothing beyond it, from the arena's centre, is in the arena.
    """
    num, room = 0, radius - _BEHIND_M
    for i in range(wall.shape[0]):
        dx, dy = wall[i, 2] - wall[i, 0], wall[i, 3] - wall[i, 1]
        part = _BEHIND_M / max(np.sqrt(dx * dx + dy * dy), _TINY)
        for end in range(2):
            sign = F1 if end == 1 else -F1
            x = wall[i, LONG_X1 if end == 1 else LONG_X0] + sign * part * dx
            y = wall[i, LONG_Y1 if end == 1 else LONG_Y0] + sign * part * dy
            inside = abs(x) <= half - room and abs(y) <= half - room
            if inside and inner_wall_clearance(wall, box, x, y) >= room:
                corner[num, CORNER_X], corner[num, CORNER_Y] = x, y
                num += 1
    for p in range(num):
        for q in range(num):
            px, py, qx, qy = corner[p, CORNER_X], corner[p, CORNER_Y], corner[q, CORNER_X], corner[q, CORNER_Y]
            length = np.sqrt((px - qx) * (px - qx) + (py - qy) * (py - qy))
            corner[p, FIRST_WAY + q] = FAR if crosses(wall, px, py, qx, qy) else length
    for m in range(num):
        for p in range(num):
            for q in range(num):
                through = corner[p, FIRST_WAY + m] + corner[m, FIRST_WAY + q]
                corner[p, FIRST_WAY + q] = min(corner[p, FIRST_WAY + q], through)
    return num
