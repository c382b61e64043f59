"""Velocity selection by optimal reciprocal collision avoidance (van den Berg et al. 2011), as the RVO2 library computes
it.

A half-plane is a row (point x, point y, direction x, direction y); velocities to the left of the direction are allowed.
Neighbours are rows (distance^2, x, y, vx, vy, radius, share), nearest first; ``share`` is the part of the avoidance
that is ours: .5 for a neighbour that avoids us too.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, HALF, kernel

NEIGHBOR_COLS = 7
_EPS = np.float32(1e-5)
_ONE = np.float32(1.0)


@kernel
def insert_neighbor(neighbor, num, distance2, x, y, vx, vy, radius, share):
    """Insert a row into ``neighbor`` (its first ``num`` rows are sorted by distance); return the new number of rows."""
    i = num
    while i > 0 and neighbor[i - 1, 0] > distance2:
        for j in range(NEIGHBOR_COLS):
            neighbor[i, j] = neighbor[i - 1, j]
        i -= 1
    neighbor[i, 0], neighbor[i, 1], neighbor[i, 2] = distance2, x, y
    neighbor[i, 3], neighbor[i, 4], neighbor[i, 5], neighbor[i, 6] = vx, vy, radius, share
    return num + 1


@kernel
def set_line(line, side, i, px, py, dx, dy):
    """Write one half-plane."""
    line[side, i, 0], line[side, i, 1], line[side, i, 2], line[side, i, 3] = px, py, dx, dy


@kernel
def wall_lines(line, x, y, radius, half, horizon):
    """Write four half-planes that keep a disc inside the square +-half for ``horizon`` seconds; return their number."""
    room = half - radius
    set_line(line, 0, 0, (room - x) / horizon, F0, F0, _ONE)
    set_line(line, 0, 1, -(room + x) / horizon, F0, F0, -_ONE)
    set_line(line, 0, 2, F0, (room - y) / horizon, -_ONE, F0)
    set_line(line, 0, 3, F0, -(room + y) / horizon, _ONE, F0)
    return 4


@kernel
def neighbor_line(line, i, x, y, vx, vy, radius, neighbor, n, inv_horizon, inv_dt):
    """Write the half-plane that neighbour ``n`` induces (van den Berg et al. 2011, eq. 5)."""
    px, py = neighbor[n, 1] - x, neighbor[n, 2] - y
    rvx, rvy = vx - neighbor[n, 3], vy - neighbor[n, 4]
    dist2 = px * px + py * py
    both = radius + neighbor[n, 5]
    inv_tau = inv_horizon if dist2 > both * both else inv_dt
    wx, wy = rvx - inv_tau * px, rvy - inv_tau * py
    w2 = wx * wx + wy * wy
    dot = wx * px + wy * py
    if dist2 <= both * both or (dot < F0 and dot * dot > both * both * w2):  # on the cut-off circle
        w_len = max(np.sqrt(w2), _EPS)
        nx, ny = wx / w_len, wy / w_len
        dx, dy = ny, -nx
        push = both * inv_tau - w_len
        ux, uy = push * nx, push * ny
    else:  # on a leg of the cone
        leg = np.sqrt(dist2 - both * both)
        if px * wy - py * wx > F0:
            dx, dy = (px * leg - py * both) / dist2, (px * both + py * leg) / dist2
        else:
            dx, dy = -(px * leg + py * both) / dist2, (px * both - py * leg) / dist2
        along = rvx * dx + rvy * dy
        ux, uy = along * dx - rvx, along * dy - rvy
    share = neighbor[n, 6]
    set_line(line, 0, i, vx + share * ux, vy + share * uy, dx, dy)


@kernel
def violation(line, side, i, vx, vy):
    """Return how far (vx, vy) lies on the forbidden side of a half-plane; negative when allowed."""
    return line[side, i, 2] * (line[side, i, 1] - vy) - line[side, i, 3] * (line[side, i, 0] - vx)


@kernel
def best_on_line(line, side, k, top, ox, oy, direction_only):
    """Return (ok, vx, vy): the best velocity on the edge of half-plane ``k`` under the ones before it (RVO2
    linearProgram1).
    """
    px, py, dx, dy = line[side, k, 0], line[side, k, 1], line[side, k, 2], line[side, k, 3]
    dot = px * dx + py * dy
    disc = dot * dot + top * top - px * px - py * py
    if disc < F0:
        return False, F0, F0
    root = np.sqrt(disc)
    left, right = -dot - root, -dot + root
    for i in range(k):
        qx, qy, ex, ey = line[side, i, 0], line[side, i, 1], line[side, i, 2], line[side, i, 3]
        denominator = dx * ey - dy * ex
        numerator = ex * (py - qy) - ey * (px - qx)
        if abs(denominator) <= _EPS:
            if numerator < F0:
                return False, F0, F0
            continue
        t = numerator / denominator
        if denominator >= F0:
            right = min(right, t)
        else:
            left = max(left, t)
        if left > right:
            return False, F0, F0
    t = min(max(dx * (ox - px) + dy * (oy - py), left), right)
    if direction_only:
        t = right if ox * dx + oy * dy > F0 else left
    return True, px + t * dx, py + t * dy


@kernel
def solve(line, side, num, top, ox, oy, direction_only):
    """Return (failed_at, vx, vy): the velocity nearest to the wanted one, or farthest along it (RVO2
    linearProgram2).
    """
    vx, vy = ox, oy
    speed = np.sqrt(ox * ox + oy * oy)
    if direction_only:
        vx, vy = ox * top, oy * top
    elif speed > top:
        vx, vy = ox / speed * top, oy / speed * top
    for i in range(num):
        if violation(line, side, i, vx, vy) > F0:
            ok, nx, ny = best_on_line(line, side, i, top, ox, oy, direction_only)
            if not ok:
                return i, vx, vy
            vx, vy = nx, ny
    return num, vx, vy


@kernel
def least_violation(line, num_hard, begin, num, top, vx, vy):
    """Return the velocity that violates the soft half-planes least, when none obeys all (RVO2 linearProgram3)."""
    distance = F0
    for i in range(begin, num):
        if violation(line, 0, i, vx, vy) <= distance:
            continue
        px, py, dx, dy = line[0, i, 0], line[0, i, 1], line[0, i, 2], line[0, i, 3]
        for j in range(num_hard):
            set_line(line, 1, j, line[0, j, 0], line[0, j, 1], line[0, j, 2], line[0, j, 3])
        count = num_hard
        for j in range(num_hard, i):
            qx, qy, ex, ey = line[0, j, 0], line[0, j, 1], line[0, j, 2], line[0, j, 3]
            det = dx * ey - dy * ex
            if abs(det) <= _EPS:
                if dx * ex + dy * ey > F0:
                    continue
                cx, cy = HALF * (px + qx), HALF * (py + qy)
            else:
                t = (ex * (py - qy) - ey * (px - qx)) / det
                cx, cy = px + t * dx, py + t * dy
            fx, fy = ex - dx, ey - dy
            length = np.sqrt(fx * fx + fy * fy)
            set_line(line, 1, count, cx, cy, fx / length, fy / length)
            count += 1
        failed, nx, ny = solve(line, 1, count, top, -dy, dx, True)
        if failed >= count:
            vx, vy = nx, ny
        distance = violation(line, 0, i, vx, vy)
    return vx, vy


@kernel
def orca_velocity(x, y, vx, vy, radius, want_x, want_y, top, neighbor, num, half, horizon, dt, line):
    """Return the new velocity (vx, vy) of a disc that wants (want_x, want_y) and may drive ``top`` m/s.

    ``neighbor`` (num rows used); ``half``: half the side of a walled arena, 0 without walls; ``line`` (2, num + 4, 4)
    is scratch.
    """
    num_hard = 0
    if half > F0:
        num_hard = wall_lines(line, x, y, radius, half, _ONE)
    for n in range(num):
        neighbor_line(line, num_hard + n, x, y, vx, vy, radius, neighbor, n, _ONE / horizon, _ONE / dt)
    total = num_hard + num
    failed, nx, ny = solve(line, 0, total, top, want_x, want_y, False)
    if failed < total:
        nx, ny = least_violation(line, num_hard, failed, total, top, nx, ny)
    return nx, ny
