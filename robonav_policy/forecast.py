"""How soon a robot would touch what its last scans show: the twin of the kernels in ``sight/forecast.py``.

Neighbouring beams that end near each other show one thing. One no longer than ``_LONG_M`` is taken for a disc; two
older scans, shown from where the robot is now, say how it moved. What is longer stands still. What the newest scan
hides, or has lost, goes on as the older ones had it. The robot is thought to take each of 15 courses: three speeds from
0 to its greatest, five turn rates from the greatest to the right to the greatest to the left.

It follows these kernels step by step, in float32, because both have to decide alike: what hangs together, which disc of
an older scan is the nearest, at which step of a course something is touched.
"""

from __future__ import annotations

import numpy as np

from robonav_policy.alignment import bearing
from robonav_policy.spec import FORECAST_SPEEDS, FORECAST_TURNS, Spec

_STEP_S, _STEPS = np.float32(0.25), 8
"""Courses are looked along in steps of this, so many of them."""
_JOIN_M, _JOIN_BEAMS, _LONG_M = np.float32(0.35), np.float32(1.6), np.float32(1.2)
_LEAST_RADIUS_M, _MOST_RADIUS_M = np.float32(0.1), np.float32(0.6)
_SIGHT_M = np.float32(1.0)
"""Clearances are told up to this."""
_FASTEST, _SLACK_M = np.float32(1.6), np.float32(0.15)
_FAR2, _MOST_SINE = np.float32(1.0e6), np.float32(0.7)
_TURN = np.float32(2 * np.pi)
_TINY, _HALF, _ONE, _ZERO = np.float32(1e-6), np.float32(0.5), np.float32(1.0), np.float32(0.0)


class Forecaster:
    """Looks along the courses of one robot, with one lidar. What it finds is seen from the lidar, in the robot's
    directions, in m and m/s: a disc is a row (x, y, radius, v_x, v_y) of a (K, 5) float32.
    """

    def __init__(self, spec: Spec) -> None:
        """Take robot and lidar from ``spec``."""
        scan = spec.scan
        self._increment, self._angle_min = np.float32(scan.angle_increment), np.float32(scan.angle_min)
        self._range_max, self._beams = np.float32(scan.range_max), scan.num_beams
        angle = self._angle_min + self._increment * np.arange(scan.num_beams, dtype=np.float32)
        self._beam = np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
        self._wraps = bool(self._increment * np.float32(scan.num_beams) > _TURN - _HALF * self._increment)
        self._apart_s = np.float32(spec.dt_s) * np.float32(scan.stack_interval)
        self._radius = np.float32(spec.radius_m)
        self._reach = np.float32(spec.max_speed) * _STEP_S * np.float32(_STEPS) + self._radius + _SIGHT_M
        mount = np.array(scan.mount, np.float32)
        self._course = _courses(np.float32(spec.max_speed), np.float32(spec.max_turn_rate)) - mount[:, None, None]
        self._time = _STEP_S * np.arange(1, _STEPS + 1, dtype=np.float32)

    def __call__(self, scans: np.ndarray) -> np.ndarray:
        """Return (30,) float32 of the ``scans`` (3, B), parts of the greatest range, newest first, the older ones as
        they lie seen from where the newest was taken.

        For each speed and turn rate: 1 s / (1 s + time until the robot touches something), 0 where it does not within
        the time looked at; and .5 m / (.5 m + least clearance until then).
        """
        discs, stands = self.find_discs(scans[0])
        older, stood = self.find_discs(scans[1])
        oldest, _ = self.find_discs(scans[2])
        if not len(discs) + len(stands):  # a scan of which nothing came back: the one before it
            stands = stood
        return self.look_along(self.keep_near(self.match_discs(discs, older, oldest, scans[0])), stands)

    def find_discs(self, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the discs (K, 5), all without a velocity, that the scan ``row`` (B,) shows, and the points (P, 2) of
        what is no disc, as far as the robot can come near to them.
        """
        point, hit = row * self._range_max * self._beam, row < _ONE
        before = np.roll(np.arange(self._beams), 1)
        dx, dy = point[:, before] - point
        most = np.maximum(_JOIN_M, _JOIN_BEAMS * self._increment * np.minimum(row[before], row) * self._range_max)
        hangs = hit & hit[before] & (dx * dx + dy * dy < most * most)  # together with the beam before it
        hangs[0] &= self._wraps
        around = (np.arange(self._beams) + (self._beams - 1 if hangs.all() else int(np.argmin(hangs)))) % self._beams
        beam = around[hit[around]]
        if not len(beam):
            return np.zeros((0, 5), np.float32), np.zeros((0, 2), np.float32)
        begins = ~hangs[beam]
        begins[0] = True
        begin = np.flatnonzero(begins)
        end = np.append(begin[1:], len(beam))
        first, last, near = beam[begin], beam[end - 1], np.minimum.reduceat(row[beam], begin) * self._range_max
        ax, ay = point[:, last] - point[:, first]
        short = ax * ax + ay * ay <= _LONG_M * _LONG_M
        sine = np.minimum(np.sin(_HALF * self._increment * (end - begin).astype(np.float32)), _MOST_SINE)
        radius = np.clip(near * sine / (_ONE - sine), _LEAST_RADIUS_M, _MOST_RADIUS_M)
        ux, uy = self._beam[:, first] + self._beam[:, last]
        scale = (near + radius) / np.maximum(np.sqrt(ux * ux + uy * uy), _TINY)
        discs = np.zeros((len(begin), 5), np.float32)
        discs[:, 0], discs[:, 1], discs[:, 2] = ux * scale, uy * scale, radius
        long = beam[~np.repeat(short, end - begin)]
        return discs[short], point[:, long[row[long] * self._range_max < self._reach]].T

    def match_discs(self, discs: np.ndarray, older: np.ndarray, oldest: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Return the ``discs`` of the newest scan ``row`` (B,) with the velocity with which they came from those of the
        older ones, and behind them those of the older scan that the newest does not show but may hide, where they would
        be now.
        """
        found, reach = discs.copy(), _FASTEST * self._apart_s + _SLACK_M
        matched = np.zeros(len(older), np.bool_)
        for disc in found:
            j = _nearest(older, disc[:2], reach)
            if j < 0:
                continue
            way, time = disc[:2] - older[j, :2], self._apart_s
            k = _nearest(oldest, older[j, :2] - way, _SLACK_M + _SLACK_M + _SLACK_M)
            if k >= 0:
                way, time = disc[:2] - oldest[k, :2], self._apart_s + self._apart_s
            disc[3:] = way / time
            matched[j] = True
        hidden = []
        for disc in older[~matched]:
            k = _nearest(oldest, disc[:2], reach)
            way = disc[:2] - oldest[k, :2] if k >= 0 else np.zeros(2, np.float32)
            moved = np.concatenate([disc[:2] + way, disc[2:3], way / self._apart_s])
            if self._is_hidden(row, moved):
                hidden.append(moved)
        return np.concatenate([found, *(one[None] for one in hidden[: self._beams - len(found)])])

    def _is_hidden(self, row: np.ndarray, disc: np.ndarray) -> bool:
        """Return whether ``disc`` could be there though the scan ``row`` (B,) does not show it: nothing came back from
        there, or something stands before it.
        """
        x, y, radius = disc[:3]
        per_beam = _ONE / self._increment
        at = (bearing(x, y) - self._angle_min) * per_beam
        around = per_beam * _TURN
        at = at + around if at < -_HALF else at
        at = at - around if at >= around - _HALF else at
        j = int(at + _HALF)
        if j >= self._beams or row[j] >= _ONE:
            return True
        return bool(row[j] * self._range_max < np.sqrt(x * x + y * y) - radius - _SLACK_M - _SLACK_M)

    def keep_near(self, discs: np.ndarray) -> np.ndarray:
        """Return those of the ``discs`` that can come near to where the robot can."""
        x, y, radius, vx, vy = discs.T
        most = self._reach + radius + np.sqrt(vx * vx + vy * vy) * (_STEP_S * np.float32(_STEPS))
        return discs[x * x + y * y < most * most]

    def look_along(self, discs: np.ndarray, stands: np.ndarray) -> np.ndarray:
        """Return the forecast (30,) among ``discs`` that go on as they move and points ``stands`` (P, 2)."""
        cx, cy = self._course
        dx, dy = stands[:, 0, None, None] - cx, stands[:, 1, None, None] - cy
        gap = np.sqrt((dx * dx + dy * dy).min(axis=0, initial=_FAR2))
        for x, y, radius, vx, vy in discs:
            dx, dy = x + self._time * vx - cx, y + self._time * vy - cy
            gap = np.minimum(gap, np.sqrt(dx * dx + dy * dy) - radius)
        gap = gap - self._radius
        touches = gap < _ZERO
        before = self._time[touches.argmax(axis=1)] - _STEP_S
        soon = np.where(touches.any(axis=1), _ONE / (_ONE + before), _ZERO)
        least = gap.min(axis=1).clip(_ZERO, _SIGHT_M)  # a course is left at the first touch, where this is 0
        return np.stack([soon, _HALF / (_HALF + least)], axis=1).ravel().astype(np.float32)


def _nearest(discs: np.ndarray, place: np.ndarray, most: np.float32) -> int:
    """Return which of the ``discs`` is nearest to ``place`` (x, y); -1 where none is nearer than ``most``."""
    if not len(discs):
        return -1
    apart = discs[:, :2] - place
    distance2 = apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1]
    found = int(distance2.argmin())
    return found if distance2[found] < most * most else -1


def _courses(top: np.float32, turn: np.float32) -> np.ndarray:
    """Return (2, 15, STEPS) float32: x and y of the robot's centre, from where it is now, at every step of every
    course; ``top`` and ``turn`` are its greatest speed and turn rate.
    """
    course = np.zeros((2, FORECAST_SPEEDS, FORECAST_TURNS, _STEPS), np.float32)
    part = np.arange(FORECAST_SPEEDS, dtype=np.float32) / np.float32(FORECAST_SPEEDS - 1)
    for b in range(FORECAST_TURNS):
        omega = turn * (np.float32(2 * b) / np.float32(FORECAST_TURNS - 1) - _ONE)
        c, s, x, y = _ONE, _ZERO, _ZERO, _ZERO
        half_c, half_s = np.cos(_HALF * omega * _STEP_S), np.sin(_HALF * omega * _STEP_S)
        for n in range(_STEPS):
            middle_c, middle_s = c * half_c - s * half_s, s * half_c + c * half_s
            x, y = x + top * _STEP_S * middle_c, y + top * _STEP_S * middle_s
            c, s = middle_c * half_c - middle_s * half_s, middle_s * half_c + middle_c * half_s
            course[0, :, b, n], course[1, :, b, n] = part * x, part * y
    return course.reshape(2, FORECAST_SPEEDS * FORECAST_TURNS, _STEPS)
