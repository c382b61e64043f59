"""Distances in the plane; everything float32 and in metres."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, hot_kernel, kernel
from robonav_ray.worlds.kernels.layout import C_RADIUS, C_SPEED, C_X, C_Y, NUM_CIRCLES

_TINY = np.float32(1e-12)


@kernel
def point_segment_distance(px, py, x0, y0, x1, y1):
    """Return the distance of point p from the segment (x0, y0)-(x1, y1)."""
    dx, dy = x1 - x0, y1 - y0
    length2 = dx * dx + dy * dy
    t = F0
    if length2 > _TINY:
        t = min(max(((px - x0) * dx + (py - y0) * dy) / length2, F0), F1)
    ex, ey = x0 + t * dx - px, y0 + t * dy - py
    return np.sqrt(ex * ex + ey * ey)


@kernel
def swept_distance(ax, ay, bx, by):
    """Return the least length of a vector that moves in a straight line from a to b.

    With a and b the position of one disc relative to another before and after a step, this is their least distance
    during the step, if either moves straight.
    """
    return point_segment_distance(F0, F0, ax, ay, bx, by)


@kernel
def segment_segment_distance(ax, ay, bx, by, cx, cy, dx, dy):
    """Return the distance between the segments a-b and c-d; 0 when they cross."""
    ux, uy, vx, vy = bx - ax, by - ay, dx - cx, dy - cy
    det = ux * vy - uy * vx
    if det * det > _TINY:
        s = ((cx - ax) * vy - (cy - ay) * vx) / det
        t = ((cx - ax) * uy - (cy - ay) * ux) / det
        if F0 <= s <= F1 and F0 <= t <= F1:
            return F0
    near = min(point_segment_distance(ax, ay, cx, cy, dx, dy), point_segment_distance(bx, by, cx, cy, dx, dy))
    near = min(near, point_segment_distance(cx, cy, ax, ay, bx, by))
    return min(near, point_segment_distance(dx, dy, ax, ay, bx, by))


@kernel
def inner_wall_clearance(wall, box, x, y):
    """Return the distance of a point from the nearest inner wall (S, 4); negative inside a box (K, 4); FAR without
    walls.
    """
    near = FAR
    for i in range(wall.shape[0]):
        near = min(near, point_segment_distance(x, y, wall[i, 0], wall[i, 1], wall[i, 2], wall[i, 3]))
    for i in range(box.shape[0]):
        if box[i, 0] < x < box[i, 2] and box[i, 1] < y < box[i, 3]:
            near = -near
    return near


@hot_kernel
def near_circles(circle, world, x, y, sight, ahead, near, w):
    """List in ``near`` the circles of world ``w`` that are, or come within ``ahead`` s, within ``sight`` of (x, y);
    return how many.

    No branch: which circles are near is past guessing, and a wrong guess costs a processor more than the circle does.
    """
    num = 0
    for i in range(world[w, NUM_CIRCLES]):
        dx, dy = circle[w, C_X, i] - x, circle[w, C_Y, i] - y
        reach = sight + circle[w, C_RADIUS, i] + circle[w, C_SPEED, i] * ahead
        near[num] = i
        num += np.int64(dx * dx + dy * dy < reach * reach)
    return num


@kernel
def time_to_collision(x, y, vx, vy, reach):
    """Return when |p + v t| = reach for the relative position p and velocity v; FAR when never."""
    gap = x * x + y * y - reach * reach
    if gap <= F0:
        return F0
    closing = x * vx + y * vy
    if closing >= F0:
        return FAR
    a = vx * vx + vy * vy
    disc = closing * closing - a * gap
    if disc <= F0:
        return FAR
    return (-closing - np.sqrt(disc)) / a
