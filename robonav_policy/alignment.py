"""An older scan as its points lie seen from where the robot is now: the twin of the worlds' kernel ``align_scan``.

It follows that kernel step by step, in float32 and with its approximation of atan2, because both have to show the same:
a point that lies halfway between two beams must fall to the same one.
"""

from __future__ import annotations

import numpy as np

_A0, _A1, _A2, _A3, _A4 = (np.float32(a) for a in (0.9998660, -0.3302995, 0.1801410, -0.0851330, 0.0208351))
_TURN, _HALF_TURN, _QUARTER_TURN = np.float32(2 * np.pi), np.float32(np.pi), np.float32(np.pi / 2)
_TINY, _HALF, _ONE, _ZERO = np.float32(1e-6), np.float32(0.5), np.float32(1.0), np.float32(0.0)


def bearing(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return atan2(y, x) with an error below 2e-5 rad (Abramowitz and Stegun 1964, 4.4.49)."""
    ax, ay = np.abs(x), np.abs(y)
    z = np.minimum(ax, ay) / np.maximum(np.maximum(ax, ay), _TINY)
    z2 = z * z
    a = z * (_A0 + z2 * (_A1 + z2 * (_A2 + z2 * (_A3 + z2 * _A4))))
    a = np.where(ay > ax, _QUARTER_TURN - a, a)
    a = np.where(x < _ZERO, _HALF_TURN - a, a)
    return np.where(y < _ZERO, -a, a)


class Aligner:
    """Moves scans of one lidar from the pose at which they were taken to another."""

    def __init__(
        self,
        num_beams: int,
        angle_min: float,
        angle_increment: float,
        range_max: float,
        join_m: float,
        yaw: float = 0.0,
    ) -> None:
        """Beam j looks to ``angle_min + j * angle_increment``, and the middle one to ``yaw``; points of neighbouring
        beams nearer to each other than ``join_m`` belong to one thing.
        """
        self._beams, self._angle_min, self._yaw = num_beams, np.float32(angle_min), np.float32(yaw)
        self._range_max, self._inverse = np.float32(range_max), _ONE / np.float32(range_max)
        self._join2 = np.float32(join_m) * np.float32(join_m)
        increment = np.float32(angle_increment)
        angle = self._angle_min + increment * np.arange(num_beams, dtype=np.float32)
        self.cos, self.sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        self._per_beam = _ONE / increment
        self._around = self._per_beam * _TURN
        self._wraps = bool(self._around < np.float32(num_beams) + _HALF)
        self._next = np.roll(np.arange(num_beams), -1)

    def __call__(self, old: np.ndarray, taken: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Return the scans ``old`` (K, B), parts of the greatest range, each taken at its row of ``taken`` (K, 4: x, y,
        cos, sin), as they lie seen from ``now`` (4,): (K, B) float32, 1 where a ray meets nothing.
        """
        x, y, c, s = now
        dx, dy = taken[:, 0:1] - x, taken[:, 1:2] - y
        tx, ty = c * dx + s * dy, c * dy - s * dx
        tc, ts = taken[:, 2:3] * c + taken[:, 3:4] * s, taken[:, 3:4] * c - taken[:, 2:3] * s
        far = old * self._range_max
        px = tx + far * (tc * self.cos - ts * self.sin)
        py = ty + far * (ts * self.cos + tc * self.sin)
        at = self._beam_at(bearing(px, py))
        shown, hit = np.ones(old.size, np.float32), old < _ONE
        self._show_points(px, py, at, hit, shown)
        self._show_lines(px, py, at, hit, shown)
        return shown.reshape(old.shape)

    def _beam_at(self, angle: np.ndarray) -> np.ndarray:
        """Return how many beams each bearing lies from the first one, the seam opposite to the middle of the view."""
        at = (angle - self._angle_min) * self._per_beam
        if self._yaw == _ZERO:
            return at
        low = (self._yaw - self._angle_min) * self._per_beam - _HALF * self._around
        at = np.where(at < low, at + self._around, at)
        return np.where(at > low + self._around, at - self._around, at)

    def _show_points(self, px: np.ndarray, py: np.ndarray, at: np.ndarray, hit: np.ndarray, shown: np.ndarray) -> None:
        seen = hit if self._wraps else hit & (at > -_HALF) & (at < np.float32(self._beams - 1) + _HALF)
        near = (at[seen] + _HALF).astype(np.int64)
        near[near >= self._beams] -= self._beams
        near += np.nonzero(seen)[0] * self._beams
        distance = np.sqrt(px[seen] * px[seen] + py[seen] * py[seen]) * self._inverse
        np.minimum.at(shown, near, distance)

    def _show_lines(self, px: np.ndarray, py: np.ndarray, at: np.ndarray, hit: np.ndarray, shown: np.ndarray) -> None:
        """Let the rays between two points of one thing meet the line between them."""
        after = self._next
        ux, uy, q_at = px[:, after] - px, py[:, after] - py, at[:, after]
        joined = hit & hit[:, after] & (ux * ux + uy * uy < self._join2)
        low, high = np.minimum(at, q_at), np.maximum(at, q_at)
        seam = high - low > _HALF * self._around  # across the seam behind the robot
        if self._wraps:
            low, high = np.where(seam, high - self._around, low), np.where(seam, low, high)
        else:
            joined &= ~seam
            joined[:, -1] = False
            low, high = np.maximum(low, _ZERO), np.minimum(high, np.float32(self._beams - 1))
        first = np.ceil(low).astype(np.int64).ravel()
        count = np.where(joined.ravel(), np.floor(high).astype(np.int64).ravel() - first + 1, 0).clip(min=0)
        line = np.repeat(np.arange(len(count)), count)
        beam = first[line] + np.arange(len(line)) - (np.cumsum(count) - count)[line]
        beam = np.where(beam < 0, beam + self._beams, beam)
        beam = np.where(beam >= self._beams, beam - self._beams, beam)
        det = self.cos[beam] * uy.ravel()[line] - self.sin[beam] * ux.ravel()[line]
        t = (px * uy - py * ux).ravel()[line] / np.where(np.abs(det) > _TINY, det, _TINY)
        ahead = t > _ZERO
        np.minimum.at(shown, (beam + line // self._beams * self._beams)[ahead], t[ahead] * self._inverse)
