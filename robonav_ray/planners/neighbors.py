"""Whom a robot must avoid, by the true state: circles, other robots, and the nearest point of every inner wall."""

from __future__ import annotations

from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel
from robonav_ray.worlds.kernels.obstacles import NEIGHBOR_DISTANCE_2
from robonav_ray.worlds.kernels.orca import insert_neighbor


@kernel
def _wall_point(wall, n, x, y):
    """Return the point of inner wall ``n`` that is nearest to (x, y)."""
    ux, uy = wall[n, 2] - wall[n, 0], wall[n, 3] - wall[n, 1]
    part = ((x - wall[n, 0]) * ux + (y - wall[n, 1]) * uy) / (ux * ux + uy * uy)
    part = min(max(part, F0), F1)
    return wall[n, 0] + part * ux, wall[n, 1] + part * uy


@kernel
def gather_others(robot, lane, circle, circle_kind, world, wall, radius, margin, share, neighbor, w, r):
    """Write rows of ``neighbor`` (see ``kernels/orca.py``) for robot (w, r), nearest first; return how many.

    The radius of everything grows by ``margin``; ``share`` is the robot's part in avoiding what moves (half with
    another robot, all with what stands).
    """
    num, x, y = 0, robot[w, r, lay.X], robot[w, r, lay.Y]
    for j in range(world[w, lay.NUM_CIRCLES]):
        ox, oy = circle[w, lay.C_X, j], circle[w, lay.C_Y, j]
        d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
        if d2 < NEIGHBOR_DISTANCE_2:
            part = F1 if circle_kind[w, lay.KIND, j] == lay.STATIC else share
            vx, vy = circle[w, lay.C_VX, j], circle[w, lay.C_VY, j]
            num = insert_neighbor(neighbor, num, d2, ox, oy, vx, vy, circle[w, lay.C_RADIUS, j] + margin, part)
    for q in range(robot.shape[1]):
        if q != r and lane[w, q, lay.ENDED] == 0:
            ox, oy, vx, vy = robot[w, q, lay.X], robot[w, q, lay.Y], robot[w, q, lay.VX], robot[w, q, lay.VY]
            d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
            num = insert_neighbor(neighbor, num, d2, ox, oy, vx, vy, radius + margin, HALF)
    for n in range(wall.shape[0]):
        ox, oy = _wall_point(wall, n, x, y)
        d2 = (ox - x) * (ox - x) + (oy - y) * (oy - y)
        if d2 < NEIGHBOR_DISTANCE_2:
            num = insert_neighbor(neighbor, num, d2, ox, oy, F0, F0, margin, F1)
    return num
