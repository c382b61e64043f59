"""A body that is no disc, and a lidar that stands somewhere on it: what they run into, and what they see."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.geometry import segment_segment_distance
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel
from robonav_ray.worlds.kernels.layout import (
    ANGLE_MIN,
    COS,
    DT,
    HALF_SIDE,
    HOLONOMIC,
    OLD_X,
    OLD_Y,
    OWN_RADIUS,
    RANGE_MAX,
    SIN,
    W,
    X,
    Y,
)
from robonav_ray.worlds.kernels.site.lookup import wall_clearance
from robonav_ray.worlds.kernels.site.tables import (
    CONTACT,
    CURVATURE,
    INNER_RADIUS,
    LIDAR_X,
    LIDAR_Y,
    LIDAR_YAW,
    PER_M,
    RANGE_MIN,
    SCANS_PER_STEP,
)

_TINY, _HUGE, _INSIDE = np.float32(1e-9), np.float32(1e30), np.float32(1e-3)
_LEAST_PART, _MOST_PART, _ALONG = np.float32(1.0 / 16.0), np.float32(0.25), np.float32(0.4)
_TURN = np.float32(2 * np.pi)


@kernel
def has_body(site):
    """Return whether the robots' bodies are no discs."""
    return site is not None and site.side.shape[0] > 0


@kernel
def outline_distance(side, x, y):
    """Return how far (x, y), in the body frame, is from the outline of ``side`` (E, 4); negative within."""
    near2, inside = _HUGE, False
    for e in range(side.shape[0]):
        ax, ay = side[e, 0], side[e, 1]
        ux, uy = side[e, 2] - ax, side[e, 3] - ay
        part = min(max(((x - ax) * ux + (y - ay) * uy) / max(ux * ux + uy * uy, _TINY), F0), F1)
        px, py = ax + part * ux - x, ay + part * uy - y
        near2 = min(near2, px * px + py * py)
        if (ay > y) != (side[e, 3] > y) and x < ax + (y - ay) * ux / uy:
            inside = not inside
    distance = np.sqrt(near2)
    return -distance if inside else distance


@kernel
def turn_of_step(robot, const, w, r):
    """Return by how much robot (w, r) has turned in the step, in rad."""
    return F0 if const[HOLONOMIC] > F0 else robot[w, r, W] * const[DT]


@kernel
def heading_at(robot, turn, part, w, r):
    """Return cos and sin of the heading of robot (w, r) when ``part`` of the step was over, in which it turned by
    ``turn``.
    """
    c, s, back = robot[w, r, COS], robot[w, r, SIN], (F1 - part) * turn
    cb, sb = np.cos(back), np.sin(back)
    return c * cb + s * sb, s * cb - c * sb


@kernel
def next_part(part, gap, most):
    """Return until when of a step to go on from ``part``, at a distance of ``gap`` that changes by at most ``most`` in
    the whole step: conservative advancement (Mirtich 1996), by a quarter of the step at most and a sixteenth at least.
    """
    return min(part + min(max(HALF * gap / max(most, _TINY), _LEAST_PART), _MOST_PART), F1)


@kernel
def disc_gap(site, robot, const, ax, ay, bx, by, radius, gap, near, w, r):
    """Return the least space during the step between the body of robot (w, r) and a disc of ``radius`` whose place
    relative to the robot's goes from a to b; ``gap``, that of the outer circle, where that is at least ``near``.
    """
    if site is None or site.side.shape[0] == 0 or gap >= near:
        return gap
    turn, dx, dy = turn_of_step(robot, const, w, r), bx - ax, by - ay
    most = np.sqrt(dx * dx + dy * dy) + abs(turn) * np.sqrt(max(ax * ax + ay * ay, bx * bx + by * by))
    least, part = _HUGE, F0
    while True:
        c, s = heading_at(robot, turn, part, w, r)
        x, y = ax + part * dx, ay + part * dy
        now = outline_distance(site.side, c * x + s * y, c * y - s * x) - radius
        least = min(least, now)
        if now < F0 or part >= F1:
            return least
        part = next_part(part, now, most)


@kernel
def edge_gap(site, robot, const, gap, near, w, r):
    """Return the space between the body of robot (w, r) and the arena's walls at the end of the step; ``gap`` as for
    ``disc_gap``.
    """
    if site is None or site.side.shape[0] == 0 or gap >= near:
        return gap
    far, c, s = F0, robot[w, r, COS], robot[w, r, SIN]
    for e in range(site.side.shape[0]):
        x, y = site.side[e, 0], site.side[e, 1]
        far = max(far, abs(robot[w, r, X] + c * x - s * y), abs(robot[w, r, Y] + s * x + c * y))
    return const[HALF_SIDE] - far


@kernel
def segment_gap(site, robot, const, wall, i, gap, near, w, r):
    """Return the least space during the step between the body of robot (w, r) and row ``i`` of ``wall``; ``gap`` as
    for ``disc_gap``.
    """
    if site is None or site.side.shape[0] == 0 or gap >= near:
        return gap
    turn, ox, oy = turn_of_step(robot, const, w, r), robot[w, r, OLD_X], robot[w, r, OLD_Y]
    dx, dy = robot[w, r, X] - ox, robot[w, r, Y] - oy
    most = np.sqrt(dx * dx + dy * dy) + abs(turn) * robot[w, r, OWN_RADIUS]
    least, part = _HUGE, F0
    while True:
        c, s = heading_at(robot, turn, part, w, r)
        x, y = ox + part * dx, oy + part * dy
        now = outline_segment(site.side, wall[i, 0] - x, wall[i, 1] - y, wall[i, 2] - x, wall[i, 3] - y, c, s)
        least = min(least, now)
        if now < F0 or part >= F1:
            return least
        part = next_part(part, now, most)


@kernel
def outline_segment(side, x0, y0, x1, y1, c, s):
    """Return how far the segment whose ends are relative to the robot is from the outline, turned by (c, s); negative
    where they meet.
    """
    x0, y0, x1, y1 = c * x0 + s * y0, c * y0 - s * x0, c * x1 + s * y1, c * y1 - s * x1
    least = min(outline_distance(side, x0, y0), outline_distance(side, x1, y1))
    if least < F0:
        return least
    for e in range(side.shape[0]):
        least = min(least, segment_segment_distance(x0, y0, x1, y1, side[e, 0], side[e, 1], side[e, 2], side[e, 3]))
    return least if least > F0 else -_INSIDE


@kernel
def outline_clearance(site, m, x, y, c, s, outer, near):
    """Return the space between a body at (x, y) with heading (c, s) and the walls of map ``m``; at most ``near``.

    Along a side, points lie as far apart as their clearances allow: nothing is missed, and the least one is told to a
    fifth of itself.
    """
    centre = wall_clearance(site, m, x, y)
    if centre - outer >= near:
        return near
    if centre < site.own[INNER_RADIUS]:
        return centre - site.own[INNER_RADIUS]
    least, half_cell = near, HALF / site.frame[m, PER_M]
    for e in range(site.side.shape[0]):
        ax, ay = site.side[e, 0], site.side[e, 1]
        ux, uy = site.side[e, 2] - ax, site.side[e, 3] - ay
        length, along = np.sqrt(ux * ux + uy * uy), F0
        while along < length:
            px, py = ax + along / length * ux, ay + along / length * uy
            free = wall_clearance(site, m, x + c * px - s * py, y + s * px + c * py)
            least = min(least, free)
            along += max(_ALONG * free, half_cell)
    return least


@kernel
def swept_clearance(site, robot, const, m, near, w, r):
    """Return the least space during the step between the body of robot (w, r) and the walls of map ``m``; at most
    ``near``. It is looked up at poses between which no point of the body moves farther than a cell.
    """
    turn, outer = turn_of_step(robot, const, w, r), robot[w, r, OWN_RADIUS]
    x, y = robot[w, r, X], robot[w, r, Y]
    dx, dy = x - robot[w, r, OLD_X], y - robot[w, r, OLD_Y]
    length = np.sqrt(dx * dx + dy * dy) + abs(turn) * outer
    if wall_clearance(site, m, x, y) - outer >= near + length:
        return near
    num = np.int64(length * site.frame[m, PER_M]) + 1
    for n in range(num):
        part = F1 - np.float32(n) / np.float32(num)
        c, s = heading_at(robot, turn, part, w, r)
        back = F1 - part
        near = min(near, outline_clearance(site, m, x - back * dx, y - back * dy, c, s, outer, near))
    return near


@kernel
def sensor_place(site, x, y, c, s):
    """Return where the lidar of a robot at (x, y) with heading (c, s) stands."""
    if site is None:
        return x, y
    ahead, left = site.own[LIDAR_X], site.own[LIDAR_Y]
    return np.float32(x + c * ahead - s * left), np.float32(y + s * ahead + c * left)


@kernel
def lidar_on_body(site):
    """Return where the lidar stands on the robot, ahead of and to the left of its centre."""
    if site is None:
        return F0, F0
    return site.own[LIDAR_X], site.own[LIDAR_Y]


@kernel
def contact_range(site, radius):
    """Return the range at which the proximity of a robot of ``radius`` is 1."""
    if site is None or site.own[CONTACT] <= F0:
        return radius
    return site.own[CONTACT]


@kernel
def hide_near(site, const, row):
    """Show the greatest range in ``row`` (B,) where a beam has met something nearer than the lidar sees."""
    if site is None or site.own[RANGE_MIN] <= F0:
        return
    least = site.own[RANGE_MIN] / const[RANGE_MAX]
    for j in range(row.shape[0]):
        row[j] = F1 if row[j] < least else row[j]


@kernel
def scan_stands(site, step):
    """Return whether the lidar has no new scan in ``step``, because it turns more slowly than steps go by."""
    if site is None:
        return False
    per_step = site.own[SCANS_PER_STEP]
    return per_step < F1 and np.int64(np.float32(step) * per_step) == np.int64(np.float32(step - 1) * per_step)


@kernel
def steerable(site, v, o):
    """Return the turn rate ``o`` as a robot drives it at ``v`` that turns about circles of a least radius."""
    if site is None or site.own[CURVATURE] <= F0:
        return o
    most = abs(v) * site.own[CURVATURE]
    return min(max(o, -most), most)


@kernel
def seam_behind(site, const, rays, per_beam):
    """Count the beams in the third row of ``rays`` (4, B), from the first one on, so that the seam lies opposite to the
    middle of the field of view: bearings have theirs behind the robot.
    """
    if site is None or site.own[LIDAR_YAW] == F0:
        return
    around = per_beam * _TURN
    low = (site.own[LIDAR_YAW] - const[ANGLE_MIN]) * per_beam - HALF * around
    for j in range(rays.shape[1]):
        at = rays[2, j]
        at = at + around if at < low else at
        rays[2, j] = at - around if at > low + around else at
