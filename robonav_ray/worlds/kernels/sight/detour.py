"""Where a robot turns off to get around what its newest scan shows between it and its goal.

Where the lane to the goal is blocked, the ends of what blocks it are the places where neighbouring beams end far from
each other; of those that can be reached straight, the one with the shortest way past it is taken (TangentBug: Kamon,
Rivlin and Rimon 1996). Nothing is remembered from step to step.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, HALF, kernel
from robonav_ray.worlds.kernels.layout import ANGLE_INCREMENT, DETOUR_SCALE_M, RANGE_MAX

_ROOM_M = np.float32(0.1)
"""Between a robot and the end that it drives past."""
_STRAIGHT = np.float32(0.1)
"""Square of the tangent of the greatest angle between two parts of one line."""
_UNIT, _TINY, _TURN = np.float32(1.0 / DETOUR_SCALE_M), np.float32(1e-6), np.float32(2 * np.pi)


@kernel
def _is_blocked(rays, row, half, x, y):
    """Return True when the scan ``row`` (B,) shows a point in the lane of half width ``half`` from the robot to (x, y);
    ``rays`` (4, B) holds where its beams end.
    """
    length = np.sqrt(x * x + y * y)
    inverse, num = F1 / max(length, _TINY), 0
    ux, uy = x * inverse, y * inverse
    for j in range(row.shape[0]):
        along, aside = rays[0, j] * ux + rays[1, j] * uy, rays[0, j] * uy - rays[1, j] * ux
        num += np.int64((row[j] < F1) & (along > F0) & (along < length) & (abs(aside) < half))
    return num > 0


@kernel
def _goes_on(rays, row, before, near, far):
    """Return True when the ends of three neighbouring beams lie on a line: a wall that is seen along it, which does not
    end between the last two however far they are apart.
    """
    if row[before] >= F1 or row[far] >= F1:
        return False
    ux, uy = rays[0, near] - rays[0, before], rays[1, near] - rays[1, before]
    vx, vy = rays[0, far] - rays[0, near], rays[1, far] - rays[1, near]
    across, along = ux * vy - uy * vx, ux * vx + uy * vy
    return along > F0 and across * across < _STRAIGHT * along * along


@kernel
def _past(x, y, side):
    """Return the place from which the straight line back to the robot passes (x, y) at the distance of ``side``, with
    the point to its right where that is positive.
    """
    far = max(np.sqrt(x * x + y * y), _TINY)
    sine = min(max(side / far, -F1), F1)
    cosine = np.sqrt(F1 - sine * sine)
    scale = max(far * cosine, abs(side)) / far
    return scale * (cosine * x - sine * y), scale * (cosine * y + sine * x)


@kernel
def write_detour(row, beam, const, rays, radius, mx, my, gx, gy, out, i, at):
    """Write cos and sin of the bearing to drive to, and how much longer that way is than the straight one, in units of
    DETOUR_SCALE_M and at most 1, into ``out[i, at:]``. Where nothing blocks the lane that is the goal's bearing and 0,
    where no way past is seen the goal's bearing and 1.

    ``row`` (B,) is the newest scan of a lidar that stands at (mx, my) in the robot's frame, (gx, gy) the goal there.
    The first two rows of ``rays`` (4, B) are scratch.
    """
    beams, range_max = row.shape[0], const[RANGE_MAX]
    wide = radius + _ROOM_M
    for j in range(beams):
        length = row[j] * range_max
        rays[0, j], rays[1, j] = mx + length * beam[0, j], my + length * beam[1, j]
    straight, longer, x, y = np.sqrt(gx * gx + gy * gy), F0, gx, gy
    if _is_blocked(rays, row, radius, gx, gy):
        best = FAR
        wraps = const[ANGLE_INCREMENT] * np.float32(beams) > _TURN - HALF * const[ANGLE_INCREMENT]
        for j in range(beams if wraps else beams - 1):
            k = j + 1 if j + 1 < beams else 0
            gap = (row[k] - row[j]) * range_max
            if abs(gap) < wide + wide:
                continue
            near, far, side, step = (j, k, wide, beams - 1) if gap > F0 else (k, j, -wide, 1)
            if _goes_on(rays, row, (near + step) % beams, near, far):
                continue
            px, py = _past(rays[0, near], rays[1, near], side)
            qx, qy = gx - px, gy - py
            length = np.sqrt(px * px + py * py) + np.sqrt(qx * qx + qy * qy)
            if length < best and not _is_blocked(rays, row, radius, px, py):
                best, x, y = length, px, py
        longer = min(max((best - straight) * _UNIT, F0), F1)
    inverse = F1 / max(np.sqrt(x * x + y * y), _TINY)
    out[i, at] = min(max(x * inverse, -F1), F1)
    out[i, at + 1] = min(max(y * inverse, -F1), F1)
    out[i, at + 2] = longer
