"""Where the robot turns off to get around what its scan shows: the twin of the kernel ``sight/detour.py``.

Where the lane to the goal is blocked, the ends of what blocks it are the places where neighbouring beams end far from
each other; of those that can be reached straight, the one with the shortest way past it is taken (TangentBug: Kamon,
Rivlin and Rimon 1996). In float32 like the kernel, because both have to decide alike.
"""

from __future__ import annotations

import numpy as np

from robonav_policy.spec import Spec

_SCALE_M, _ROOM_M = np.float32(5.0), np.float32(0.1)
_TINY, _TURN = np.float32(1e-6), np.float32(2 * np.pi)
_STRAIGHT = np.float32(0.1)
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


class DetourFinder:
    """Looks for the way past what one lidar on one robot shows."""

    def __init__(self, spec: Spec) -> None:
        """Take robot and lidar from ``spec``."""
        scan = spec.scan
        increment = np.float32(scan.angle_increment)
        angle = np.float32(scan.angle_min) + increment * np.arange(scan.num_beams, dtype=np.float32)
        self._beam = np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
        self._mount = np.array(scan.mount, np.float32)[:, None]
        self._range_max, radius = np.float32(scan.range_max), np.float32(spec.radius_m)
        self._wide, self._radius = radius + _ROOM_M, radius
        wraps = bool(increment * np.float32(scan.num_beams) > _TURN - _HALF * increment)
        self._first = np.arange(scan.num_beams if wraps else scan.num_beams - 1)

    def __call__(self, row: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Return (3,) float32 for the newest scan ``row`` (B,), parts of the greatest range, and the ``goal`` (2,) in
        the robot's frame: cos and sin of the bearing to drive to, and how much longer that way is than the straight
        one, in 5 m and at most 1; the goal's bearing and 0 where nothing is in the way, and 1 where no way past is
        seen.
        """
        point = self._mount + row * self._range_max * self._beam
        seen = point[:, row < _ONE]
        place, longer = goal.astype(np.float32), _ZERO
        if self._is_blocked(seen, place):
            straight = np.sqrt((place * place).sum())
            found, best = self._best_place(row, point, seen, place)
            place = place if found is None else found
            longer = min(max((best - straight) / _SCALE_M, _ZERO), _ONE)
        bearing = np.clip(place / max(np.sqrt((place * place).sum()), _TINY), -_ONE, _ONE)
        return np.append(bearing, longer).astype(np.float32)

    def _best_place(
        self, row: np.ndarray, point: np.ndarray, seen: np.ndarray, goal: np.ndarray
    ) -> tuple[np.ndarray | None, np.float32]:
        """Return the place (2,) by which the way to ``goal`` is shortest, None where there is none, and its length."""
        second = (self._first + 1) % len(row)
        gap = (row[second] - row[self._first]) * self._range_max
        is_end = np.abs(gap) >= self._wide + self._wide
        near, far = np.where(gap > _ZERO, self._first, second), np.where(gap > _ZERO, second, self._first)
        before = (near + np.where(gap > _ZERO, -1, 1)) % len(row)
        is_end &= ~_goes_on(row, point, before, near, far)
        near = near[is_end]
        side = np.where(gap > _ZERO, self._wide, -self._wide)[is_end]
        places = _places_beside(point[:, near], side)
        rest = goal[:, None] - places
        length = np.sqrt((places * places).sum(axis=0)) + np.sqrt((rest * rest).sum(axis=0))
        for n in np.argsort(length, kind="stable"):
            if not self._is_blocked(seen, places[:, n]):
                return places[:, n], length[n]
        return None, np.float32(1.0e3)

    def _is_blocked(self, seen: np.ndarray, place: np.ndarray) -> bool:
        """Return whether one of the points ``seen`` (2, P) lies in the lane from the robot to ``place`` (2,)."""
        length = np.sqrt((place * place).sum())
        ux, uy = place / max(length, _TINY)
        along, aside = seen[0] * ux + seen[1] * uy, seen[0] * uy - seen[1] * ux
        return bool(((along > _ZERO) & (along < length) & (np.abs(aside) < self._radius)).any())


def _goes_on(row: np.ndarray, point: np.ndarray, before: np.ndarray, near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Return where the ends of three neighbouring beams lie on a line: a wall that is seen along it, which does not end
    between the last two however far they are apart.
    """
    (ux, uy), (vx, vy) = point[:, near] - point[:, before], point[:, far] - point[:, near]
    across, along = ux * vy - uy * vx, ux * vx + uy * vy
    hit = (row[before] < _ONE) & (row[far] < _ONE)
    return hit & (along > _ZERO) & (across * across < _STRAIGHT * along * along)


def _places_beside(end: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return the places (2, K) from which the straight line back to the robot passes the points ``end`` (2, K) at the
    distance of ``side`` (K,), with the point to its right where that is positive.
    """
    x, y = end
    far = np.maximum(np.sqrt(x * x + y * y), _TINY)
    sine = np.clip(side / far, -_ONE, _ONE)
    cosine = np.sqrt(_ONE - sine * sine)
    scale = np.maximum(far * cosine, np.abs(side)) / far
    return scale * np.stack([cosine * x - sine * y, cosine * y + sine * x])
