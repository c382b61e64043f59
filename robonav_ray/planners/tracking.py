"""From scans to things: straight runs of points are walls, the rest are circles with position, velocity and radius.

One extended Kalman filter per circle, in the frame of the odometry. A point p that belongs to a circle says that
|p - c| - r is 0; the middle of the beams that hit it says where its centre lies across them. So a circle that three
beams hit is known to a centimetre, and one of a single beam still has its bearing. What is hidden behind another one
coasts on for a while.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.config.worlds import LidarConfig
from robonav_ray.planners.sight import ScanSight
from robonav_ray.planners.told import remember, tell
from robonav_ray.planners.tracks import (
    CIRCLE_COLS,
    MAX_TRACKS,
    T_AGE,
    T_COV,
    T_MISSED,
    T_RADIUS,
    T_VX,
    T_VY,
    T_X,
    T_Y,
    TRACK_COLS,
    TrackerState,
)
from robonav_ray.planners.walls import NOTHING, POINT_COLS, RETURNED, TAKEN_BY, find_walls, lay_points
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel

_TINY, _TWO = np.float32(1e-6), np.float32(2.0)
_GATE_M = np.float32(0.35)
"""A point farther than this from the edge of every circle begins a new one."""
_GAP_M = np.float32(0.5)
"""Neighbouring points farther apart belong to different circles."""
_FIRST_RADIUS, _LEAST_RADIUS, _MOST_RADIUS = np.float32(0.35), np.float32(0.12), np.float32(0.9)
_FIRST_POSITION_VAR, _FIRST_VELOCITY_VAR, _FIRST_RADIUS_VAR = np.float32(0.06), np.float32(0.12), np.float32(0.01)
_POSITION_DRIFT, _RADIUS_DRIFT, _TURN_VAR = np.float32(2e-5), np.float32(1e-6), np.float32(0.05)
_SURPRISE = np.float32(9.0)
"""Squared error, in variances, beyond which a circle must have turned."""
_COAST_STEPS, _GONE_STEPS = np.float32(15.0), np.float32(4.0)
"""Steps without a point after which a circle is given up; the second where a beam went through it in each."""
_NUM_PAST, _EDGE_RAD = 64, 0.35
"""A lidar of less than a full circle keeps so many points in mind that it loses sight of, which its outermost beams
met."""
_BEAM_SD = np.float32(0.29)
"""Standard deviation of a value that is uniform over one beam's width."""


@kernel
def _move_on(pose, twist, holonomic, dt, i):
    """Carry the pose of lane ``i`` on by its twist for ``dt`` s, by the midpoint rule."""
    v, o, c, s = twist[i, 0], twist[i, 1], pose[i, 2], pose[i, 3]
    if holonomic:
        pose[i, 0] += dt * v
        pose[i, 1] += dt * o
        return
    hc, hs = np.cos(HALF * o * dt), np.sin(HALF * o * dt)
    c, s = c * hc - s * hs, s * hc + c * hs
    pose[i, 0] += v * dt * c
    pose[i, 1] += v * dt * s
    pose[i, 2], pose[i, 3] = c * hc - s * hs, s * hc + c * hs


@kernel
def _predict(t, dt, jerk2):
    """Carry a track on for ``dt`` s at constant velocity; ``jerk2`` is the variance that either part of it gains."""
    t[T_X] += t[T_VX] * dt
    t[T_Y] += t[T_VY] * dt
    for n in range(5):
        t[T_COV + n] += dt * t[T_COV + 10 + n]
        t[T_COV + 5 + n] += dt * t[T_COV + 15 + n]
    for n in range(5):
        t[T_COV + 5 * n] += dt * t[T_COV + 5 * n + 2]
        t[T_COV + 5 * n + 1] += dt * t[T_COV + 5 * n + 3]
    t[T_COV + 12] += jerk2
    t[T_COV + 18] += jerk2
    t[T_COV] += _POSITION_DRIFT
    t[T_COV + 6] += _POSITION_DRIFT
    t[T_COV + 24] += _RADIUS_DRIFT


@kernel
def _correct(t, hx, hy, hr, error, variance):
    """Take a scalar measurement in: its gradient by x, y and radius, measured minus expected, its variance."""
    g0 = t[T_COV] * hx + t[T_COV + 1] * hy + t[T_COV + 4] * hr
    g1 = t[T_COV + 5] * hx + t[T_COV + 6] * hy + t[T_COV + 9] * hr
    g2 = t[T_COV + 10] * hx + t[T_COV + 11] * hy + t[T_COV + 14] * hr
    g3 = t[T_COV + 15] * hx + t[T_COV + 16] * hy + t[T_COV + 19] * hr
    g4 = t[T_COV + 20] * hx + t[T_COV + 21] * hy + t[T_COV + 24] * hr
    expected = g0 * hx + g1 * hy + g4 * hr + variance
    if error * error > _SURPRISE * expected:
        t[T_COV + 12] += _TURN_VAR
        t[T_COV + 18] += _TURN_VAR
    inverse = F1 / expected
    gain = error * inverse
    t[T_X] += gain * g0
    t[T_Y] += gain * g1
    t[T_VX] += gain * g2
    t[T_VY] += gain * g3
    t[T_RADIUS] = min(max(t[T_RADIUS] + gain * g4, _LEAST_RADIUS), _MOST_RADIUS)
    for a in range(5):
        ga = (g0 if a == 0 else g1 if a == 1 else g2 if a == 2 else g3 if a == 3 else g4) * inverse
        t[T_COV + 5 * a] -= ga * g0
        t[T_COV + 5 * a + 1] -= ga * g1
        t[T_COV + 5 * a + 2] -= ga * g2
        t[T_COV + 5 * a + 3] -= ga * g3
        t[T_COV + 5 * a + 4] -= ga * g4


@kernel
def _associate(point, tracks):
    """Give every point that is no wall to the circle whose edge is nearest; a point inside a circle is half as far."""
    for j in range(point.shape[0]):
        if point[j, RETURNED] > F0 and point[j, TAKEN_BY] == NOTHING:
            best = _GATE_M
            for k in range(tracks.shape[0]):
                if tracks[k, T_AGE] > F0:
                    dx, dy = point[j, 0] - tracks[k, T_X], point[j, 1] - tracks[k, T_Y]
                    off = np.sqrt(dx * dx + dy * dy) - tracks[k, T_RADIUS]
                    off = max(off, -off * HALF)
                    if off < best:
                        best, point[j, TAKEN_BY] = off, np.float32(k)


@kernel
def _is_hidden(point, ranges, owner, j, wraps):
    """Whether a neighbour of beam ``j`` hits something nearer that is not ``owner``, or there is no neighbour."""
    beams = point.shape[0]
    for side in range(-1, 2, 2):
        q = j + side
        if not wraps and (q < 0 or q >= beams):
            return True
        q = (q + beams) % beams
        if point[q, TAKEN_BY] != owner and point[q, RETURNED] > F0 and ranges[q] < ranges[j]:
            return True
    return False


@kernel
def _update(point, ranges, pose, t, owner, increment, wraps, noise2, i):
    """Take the points of one track in; return how many there are."""
    beams, num, across, hidden = point.shape[0], 0, F0, False
    cx, cy = t[T_X] - pose[i, 0], t[T_Y] - pose[i, 1]
    distance = max(np.sqrt(cx * cx + cy * cy), _TINY)
    ux, uy = cx / distance, cy / distance
    for j in range(beams):
        if point[j, TAKEN_BY] == owner:
            px, py = point[j, 0] - pose[i, 0], point[j, 1] - pose[i, 1]
            across += (ux * py - uy * px) / max(np.sqrt(px * px + py * py), _TINY)
            hidden = hidden or _is_hidden(point, ranges, owner, j, wraps)
            num += 1
    if num == 0:
        return 0
    width = _BEAM_SD * increment * distance
    variance = width * width + noise2
    if hidden:
        variance += HALF * t[T_RADIUS] * t[T_RADIUS]
    _correct(t, -uy, ux, F0, across / np.float32(num) * distance, variance)
    for j in range(beams):
        if point[j, TAKEN_BY] == owner:
            dx, dy = point[j, 0] - t[T_X], point[j, 1] - t[T_Y]
            off = max(np.sqrt(dx * dx + dy * dy), _TINY)
            _correct(t, -dx / off, -dy / off, -F1, t[T_RADIUS] - off, noise2)
    t[T_AGE] += F1
    t[T_MISSED] = F0
    return num


@kernel
def _miss(ranges, beam, pose, mount, t, range_max, blind, i):
    """Count a step in which no point was a track's, and end it after enough; sooner when a beam went through it.

    Where the lidar is ``blind``, not a single beam having returned, that says nothing.
    """
    c, s = pose[i, 2], pose[i, 3]
    gx, gy = t[T_X] - pose[i, 0], t[T_Y] - pose[i, 1]
    x, y, gone = c * gx + s * gy - mount[0], c * gy - s * gx - mount[1], False
    for j in range(ranges.shape[0]):
        ahead, aside = x * beam[0, j] + y * beam[1, j], x * beam[1, j] - y * beam[0, j]
        if ahead > F0 and abs(aside) < HALF * t[T_RADIUS] and ranges[j] > ahead + HALF * t[T_RADIUS]:
            gone = True
    t[T_MISSED] += _COAST_STEPS / _GONE_STEPS if gone and not blind else F1
    most = range_max + F1
    if t[T_MISSED] >= _COAST_STEPS or t[T_AGE] < np.float32(3.0) or gx * gx + gy * gy > most * most:
        t[T_AGE] = F0


@kernel
def _begin(tracks, x, y):
    """Begin a track at (x, y) that stands still as far as is known; return its number, or -1 when there is no room."""
    for k in range(tracks.shape[0]):
        if tracks[k, T_AGE] == F0:
            t = tracks[k]
            t[:] = F0
            t[T_X], t[T_Y], t[T_RADIUS], t[T_AGE] = x, y, _FIRST_RADIUS, F1
            t[T_COV], t[T_COV + 6] = _FIRST_POSITION_VAR, _FIRST_POSITION_VAR
            t[T_COV + 12], t[T_COV + 18] = _FIRST_VELOCITY_VAR, _FIRST_VELOCITY_VAR
            t[T_COV + 24] = _FIRST_RADIUS_VAR
            return k
    return -1


@kernel
def _begin_tracks(point, pose, tracks, i):
    """Begin a track for every cluster of points that belong to nothing yet."""
    beams, j = point.shape[0], 0
    while j < beams:
        if point[j, RETURNED] == F0 or point[j, TAKEN_BY] != NOTHING:
            j += 1
            continue
        x, y, q = point[j, 0], point[j, 1], j + 1
        while q < beams and point[q, RETURNED] > F0 and point[q, TAKEN_BY] == NOTHING:
            dx, dy = point[q, 0] - point[q - 1, 0], point[q, 1] - point[q - 1, 1]
            if dx * dx + dy * dy > _GAP_M * _GAP_M:
                break
            x, y, q = x + point[q, 0], y + point[q, 1], q + 1
        x, y = x / np.float32(q - j), y / np.float32(q - j)
        dx, dy = x - pose[i, 0], y - pose[i, 1]
        depth = np.float32(0.9) * _FIRST_RADIUS / max(np.sqrt(dx * dx + dy * dy), _TINY)
        k = _begin(tracks, x + dx * depth, y + dy * depth)
        if k >= 0:
            for n in range(j, q):
                point[n, TAKEN_BY] = np.float32(k)
        j = q


@kernel
def _drop_doubles(tracks):
    """Of two circles that lie in each other, end the younger one."""
    for a in range(tracks.shape[0]):
        for b in range(a + 1, tracks.shape[0]):
            if tracks[a, T_AGE] > F0 and tracks[b, T_AGE] > F0:
                dx, dy = tracks[a, T_X] - tracks[b, T_X], tracks[a, T_Y] - tracks[b, T_Y]
                radii = tracks[a, T_RADIUS] + tracks[b, T_RADIUS]
                if np.float32(8.0) * (dx * dx + dy * dy) < radii * radii:
                    tracks[a if tracks[a, T_AGE] < tracks[b, T_AGE] else b, T_AGE] = F0


@kernel
def _see(
    state, range_m, twist, begins, drives, increment, range_max, wraps, holonomic, edge, dt, noise, acceleration, gap
):  # fmt: skip
    """Take one scan of every lane that ``drives`` in."""
    pose, point, jerk = state.pose, state.point, acceleration * dt
    for i in range(range_m.shape[0]):
        if not drives[i]:
            continue
        tracks, ranges = state.track[i], range_m[i]
        if begins[i]:
            pose[i, 0], pose[i, 1], pose[i, 2], pose[i, 3] = F0, F0, F1, F0
            tracks[:, T_AGE] = F0
            state.num_past[i] = 0
        else:
            _move_on(pose, twist, holonomic, dt, i)
        blind = lay_points(ranges, state.beam, pose, state.mount, range_max, i, point) == 0
        find_walls(point, wraps, noise, state.line)
        for k in range(tracks.shape[0]):
            if tracks[k, T_AGE] > F0:
                _predict(tracks[k], dt, jerk * jerk)
        _associate(point, tracks)
        for k in range(tracks.shape[0]):
            if tracks[k, T_AGE] > F0:
                t = tracks[k]
                if _update(point, ranges, pose, t, np.float32(k), increment, wraps, noise * noise, i) == 0:
                    _miss(ranges, state.beam, pose, state.mount, t, range_max, blind, i)
        _begin_tracks(point, pose, tracks, i)
        _drop_doubles(tracks)
        tell(state, range_m, wraps, gap, i)
        if state.past.shape[1] > 0:
            remember(state, edge, gap, i)


class Tracker:
    """Keeps circles and walls in mind from observation to observation, for all lanes of a batch of worlds.

    ``noise_m`` is the standard deviation of a range, and how far points of a wall may lie beside a line;
    ``acceleration`` (m/s^2) is how fast circles are taken to change their velocity. On a map, whose walls are of any
    shape, only what moves is a circle.
    """

    def __init__(self, worlds: BatchedWorlds, sight: ScanSight, noise_m: float, acceleration: float) -> None:
        """Track for ``worlds``, of which it is told no state but which episodes are through."""
        world, lanes, beams = worlds.config, worlds.num_lanes, worlds.config.lidar.num_beams
        self._sight, self._ended = sight, worlds.state.lane[:, :, lay.ENDED]
        self.drives = np.zeros(lanes, bool)
        """(L,) bool: lanes whose episode is under way; for the others nothing is seen and planned."""
        self.begins = np.zeros(lanes, bool)
        """(L,) bool: whether what was seen last is the first observation of an episode."""
        increment = sight.beam_angle[1] - sight.beam_angle[0] if beams > 1 else 2.0 * np.pi
        holonomic = world.robot.is_holonomic
        past = 0 if world.map is None or sight.wraps else _NUM_PAST
        gap = 0.0 if world.map is None else 2.0 * world.robot.radius_m
        numbers = (world.dt_s, noise_m, acceleration, gap)
        self._args = (
            np.float32(increment),
            np.float32(sight.range_max),
            sight.wraps,
            holonomic,
            min(max(round(_EDGE_RAD / float(increment)), 1), beams),
            *map(np.float32, numbers),
        )
        self.state = TrackerState(
            pose=np.zeros((lanes, 4), np.float32),
            track=np.zeros((lanes, MAX_TRACKS, TRACK_COLS), np.float32),
            point=np.zeros((beams, POINT_COLS), np.float32),
            line=np.zeros((12, 4), np.float32),
            beam=np.stack([np.cos(sight.beam_angle), np.sin(sight.beam_angle)]).astype(np.float32),
            circle=np.zeros((lanes, MAX_TRACKS, CIRCLE_COLS), np.float32),
            num_circles=np.zeros(lanes, np.int64),
            fixed=np.zeros((lanes, 2 * beams + past, 2), np.float32),
            num_fixed=np.zeros(lanes, np.int64),
            mount=np.array([*sight.mount, *_looks(world.lidar)], np.float32),
            past=np.zeros((lanes, past, 2), np.float32),
            num_past=np.zeros(lanes, np.int64),
        )

    def see(self, obs: np.ndarray) -> TrackerState:
        """Take the observations (L, D) of one step in, and return what is there; overwritten by the next call."""
        sight = self._sight
        twist = np.ascontiguousarray(sight.twist(obs), np.float32)
        self.begins, self.drives = sight.begins(obs), (self._ended == 0).ravel()
        _see(self.state, sight.ranges(obs), twist, self.begins, self.drives, *self._args)
        return self.state


def _looks(lidar: LidarConfig) -> tuple[float, float, float]:
    return np.cos(lidar.yaw_rad), np.sin(lidar.yaw_rad), np.cos(0.5 * lidar.field_of_view_rad)
