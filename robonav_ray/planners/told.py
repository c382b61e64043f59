"""What a tracker tells: circles that move, points of what stands, and those that were lost sight of."""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.tracks import T_AGE, T_COV, T_RADIUS, T_VX, T_VY, T_X, T_Y
from robonav_ray.planners.walls import RETURNED, TAKEN_BY, WALL
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel

_MOVES_2, _MOVES_MOST_2, _MOVES_AGE, _CERTAIN = np.float32(0.04), np.float32(4.0), np.float32(8.0), np.float32(9.0)
"""Where walls may have any shape, a circle moves that is so fast, at least and at most, (m/s)^2, is seen so often, and
is so many times as fast, squared, as is uncertain of it; others are points of what stands."""
_PAST_M, _APART_M = np.float32(1.2), np.float32(0.05)
"""Points that were lost sight of are kept in mind as long as they are so near to the robot, and each so far from the
others."""


@kernel
def _moves(t):
    """Whether what is tracked surely moves."""
    speed2 = t[T_VX] * t[T_VX] + t[T_VY] * t[T_VY]
    least2 = max(_MOVES_2, _CERTAIN * (t[T_COV + 12] + t[T_COV + 18]))
    return t[T_AGE] >= _MOVES_AGE and speed2 > least2 and speed2 < _MOVES_MOST_2


@kernel
def _stands(point, tracks, j, gap):
    """Whether point ``j`` is one of what stands; see ``tell``."""
    owner = point[j, TAKEN_BY]
    return point[j, RETURNED] > F0 and (owner < F0 or (gap > F0 and not _moves(tracks[np.int64(owner)])))


@kernel
def tell(state, range_m, wraps, gap, i):
    """Write circles and fixed points of lane ``i`` in the body frame.

    Where walls may have any shape ``gap`` is above 0: only what moves is a circle, and half-way between points of what
    stands that are no farther apart than that is another.
    """
    pose, point, beam, num = state.pose, state.point, state.beam, 0
    mx, my = state.mount[0], state.mount[1]
    c, s = pose[i, 2], pose[i, 3]
    for k in range(state.track.shape[1]):
        t, out = state.track[i, k], state.circle[i, num]
        if t[T_AGE] > F0 and (gap == F0 or _moves(t)):
            dx, dy = t[T_X] - pose[i, 0], t[T_Y] - pose[i, 1]
            out[0], out[1] = c * dx + s * dy, c * dy - s * dx
            out[2], out[3] = c * t[T_VX] + s * t[T_VY], c * t[T_VY] - s * t[T_VX]
            out[4] = t[T_RADIUS]
            num += 1
    state.num_circles[i] = num
    num, beams, fixed = 0, point.shape[0], state.fixed
    for j in range(beams):
        if not _stands(point, state.track[i], j, gap):
            continue
        x, y = range_m[i, j] * beam[0, j] + mx, range_m[i, j] * beam[1, j] + my
        fixed[i, num, 0], fixed[i, num, 1] = x, y
        num += 1
        q = (j + 1) % beams
        both = point[j, TAKEN_BY] == WALL and point[q, TAKEN_BY] == WALL
        if (both if gap == F0 else _stands(point, state.track[i], q, gap)) and (wraps or q > 0):
            ex, ey = range_m[i, q] * beam[0, q] + mx, range_m[i, q] * beam[1, q] + my
            if (ex - x) * (ex - x) + (ey - y) * (ey - y) < (F1 if gap == F0 else gap * gap):
                fixed[i, num, 0], fixed[i, num, 1] = HALF * (x + ex), HALF * (y + ey)
                num += 1
    state.num_fixed[i] = num


@kernel
def remember(state, edge, gap, i):
    """Keep the points of the ``edge`` outermost beams on either side in mind, and add those out of sight that are near
    to the fixed points of lane ``i``.
    """
    pose, point, past, mount = state.pose, state.point, state.past, state.mount
    beams, room, num, fixed = point.shape[0], past.shape[1], state.num_fixed[i], state.fixed
    for n in range(min(state.num_past[i], room)):
        dx, dy = past[i, n, 0] - pose[i, 0], past[i, n, 1] - pose[i, 1]
        x, y = pose[i, 2] * dx + pose[i, 3] * dy, pose[i, 2] * dy - pose[i, 3] * dx
        px, py = x - mount[0], y - mount[1]
        hidden = mount[2] * px + mount[3] * py < mount[4] * np.sqrt(px * px + py * py)
        if hidden and dx * dx + dy * dy < _PAST_M * _PAST_M:
            fixed[i, num, 0], fixed[i, num, 1] = x, y
            num += 1
    state.num_fixed[i] = num
    for side in range(2):
        for k in range(edge):
            j = k if side == 0 else beams - 1 - k
            if not _stands(point, state.track[i], j, gap):
                continue
            dx, dy = point[j, 0] - pose[i, 0], point[j, 1] - pose[i, 1]
            known = dx * dx + dy * dy > _PAST_M * _PAST_M
            for n in range(min(state.num_past[i], room)):
                ex, ey = past[i, n, 0] - point[j, 0], past[i, n, 1] - point[j, 1]
                known = known or ex * ex + ey * ey < _APART_M * _APART_M
            if not known:
                at = state.num_past[i] % room
                past[i, at, 0], past[i, at, 1] = point[j, 0], point[j, 1]
                state.num_past[i] += 1
