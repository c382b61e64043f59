"""The scan of any lidar as the one that the policy was trained with: the nearest return of each sector.

A sector is what is nearer, in angle, to one beam of the trained lidar than to its neighbours, seen from where that
stands. Where a lidar has several rays in a sector, the nearest return counts; where it has none, because its rays lie
farther apart, the nearer one of the two rays beside it. A sector without any measured ray shows the greatest range, as
a beam that dropped out does in the training, and is told.

What a value means is as ``sensor_msgs/LaserScan`` and REP 117 define it: +inf, or above range_max: nothing there; -inf:
nearer than range_min; NaN, or below range_min (0 as a rule): not measured. ``Lidar.zeros`` is for drivers that write 0
where nothing is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robonav_policy.errors import ScanError
from robonav_policy.spec import ScanSpec

MAX_RAYS = 100_000
_LIKE = ("angle_min", "angle_increment", "range_min", "range_max")


@dataclass(frozen=True)
class Lidar:
    """A planar lidar: ray i looks to ``angle_min + i * angle_increment`` in its own frame."""

    num_rays: int
    angle_min: float
    """rad."""
    angle_increment: float
    """rad; below 0 where the rays go round clockwise."""
    range_max: float
    """m."""
    range_min: float = 0.0
    """m."""
    mount: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where it stands on the robot: x, y (m) from the robot's centre, and yaw (rad)."""
    upside_down: bool = False
    """Whether it hangs head down, so that its rays go round the other way."""
    zeros: str = "invalid"
    """What 0 means: ``invalid``, as the message has it, or ``nothing``: no return."""

    def __post_init__(self) -> None:
        """Refuse what is no lidar: ScanError that names the field."""
        numbers = {"angle_min": self.angle_min, "angle_increment": self.angle_increment, "range_max": self.range_max}
        numbers |= {"range_min": self.range_min} | {f"mount[{i}]": value for i, value in enumerate(self.mount)}
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise ScanError(f"lidar: {name} is {value}, and must be finite")
        if not 1 <= self.num_rays <= MAX_RAYS:
            raise ScanError(f"lidar: a scan has {self.num_rays} ranges, and must have 1 to {MAX_RAYS} (is it empty?)")
        if self.angle_increment == 0.0 and self.num_rays > 1:
            raise ScanError("lidar: angle_increment is 0, so that all rays look the same way")
        if len(self.mount) != 3:
            raise ScanError(f"lidar: mount has {len(self.mount)} numbers, and must be x, y and yaw")
        if not 0.0 <= self.range_min < self.range_max:
            raise ScanError(f"lidar: range_min ({self.range_min}) must be from 0 to below range_max ({self.range_max})")
        if self.zeros not in ("invalid", "nothing"):
            raise ScanError(f"lidar: zeros is {self.zeros!r}, and must be 'invalid' or 'nothing'")

    @classmethod
    def of(cls, spec: ScanSpec) -> Lidar:
        """Return the lidar that the policy was trained with."""
        own = (spec.num_beams, spec.angle_min - spec.yaw, spec.angle_increment, spec.range_max)
        return cls(*own, range_min=spec.range_min, mount=(*spec.mount, spec.yaw))

    @property
    def angles(self) -> np.ndarray:
        """(num_rays,) float64: where each ray looks, in the robot's frame."""
        own = self.angle_min + self.angle_increment * np.arange(self.num_rays)
        return self.mount[2] + (-own if self.upside_down else own)

    @property
    def is_closed(self) -> bool:
        """Whether the last ray is beside the first."""
        return abs(self.angle_increment) * (self.num_rays + 0.5) >= 2.0 * math.pi


def read_scan(scan: Any, lidar: Lidar) -> tuple[np.ndarray, Lidar]:
    """Return (ranges (N,) float64, the lidar that they are of).

    Args:
        scan: Ranges in metres, one for each ray of ``lidar``; or what has the fields of ``sensor_msgs/LaserScan``,
            whose angles and ranges hold then.
        lidar: Its mount, direction and zeros hold in any case.

    Raises:
        ScanError: For an empty scan, another number of ranges than rays, or what are no numbers.
    """
    message = hasattr(scan, "ranges")
    try:
        ranges = np.asarray(scan.ranges if message else scan, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScanError("scan: is neither a list of ranges in metres nor a LaserScan") from None
    if ranges.ndim != 1 or len(ranges) == 0:
        raise ScanError(f"scan: has shape {ranges.shape}, and must be ranges (N,): it is empty, or no scan")
    if message:
        try:
            found = {name: float(getattr(scan, name)) for name in _LIKE}
        except (AttributeError, TypeError, ValueError):
            raise ScanError(f"scan: has ranges, and not all of {', '.join(_LIKE)}") from None
        if len(ranges) != lidar.num_rays or any(getattr(lidar, name) != value for name, value in found.items()):
            lidar = replace(lidar, num_rays=len(ranges), **found)
    elif len(ranges) != lidar.num_rays:
        raise ScanError(
            f"scan: has {len(ranges)} ranges, and the lidar has {lidar.num_rays}; give Policy.load(lidar=Lidar(...)), "
            "or a LaserScan"
        )
    return ranges, lidar


class Resampler:
    """Makes of scans of ``lidar`` those that the policy was trained with."""

    def __init__(self, spec: ScanSpec, lidar: Lidar) -> None:
        """Prepare for one lidar."""
        self.lidar, self._spec = lidar, spec
        self.unseen = np.zeros(spec.num_beams, np.bool_)
        """(B,) bool: sectors of the last scan that no ray has measured."""
        self._last = (np.zeros(0), np.zeros(0), np.zeros(0, np.bool_))
        angle = lidar.angles
        self._cos, self._sin = np.cos(angle), np.sin(angle)
        self._offset = lidar.mount[0] - spec.mount[0], lidar.mount[1] - spec.mount[1]
        self._as_trained = self._offset == (0.0, 0.0) and _same_angles(lidar, spec)

    def __call__(self, ranges: np.ndarray) -> np.ndarray:
        """Return one range per beam of the trained lidar, (B,) float32 in [0, range_max] m, of ``ranges`` (N,).

        Raises:
            ScanError: When no ray is measured at all.
        """
        lidar, spec = self.lidar, self._spec
        nothing = ranges > lidar.range_max
        if lidar.zeros == "nothing":
            nothing |= ranges == 0.0
        measured = nothing | (ranges >= lidar.range_min) | np.isneginf(ranges)
        if not measured.any():
            raise ScanError("scan: holds no measured range (all are NaN or below range_min)")
        far = max(lidar.range_max, spec.range_max)
        distance = np.where(nothing | ~measured, far, np.maximum(ranges, lidar.range_min))
        x, y = distance * self._cos, distance * self._sin
        self._last = lidar.mount[0] + x, lidar.mount[1] + y, measured & ~nothing
        if self._as_trained:
            self.unseen = ~measured
            return np.minimum(distance, spec.range_max).astype(np.float32)
        x, y = self._offset[0] + x, self._offset[1] + y
        seen_from_there = np.where(nothing, spec.range_max, np.minimum(np.hypot(x, y), spec.range_max))
        return self._nearest(seen_from_there, np.arctan2(y, x), measured)

    @property
    def points(self) -> np.ndarray:
        """(P, 2) float64: what returned the last scan, in the robot's frame, in metres."""
        x, y, returned = self._last
        return np.stack([x[returned], y[returned]], axis=1)

    def _nearest(self, distance: np.ndarray, bearing: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Return the nearest of each sector, of rays at ``bearing`` from where the trained lidar stands."""
        spec = self._spec
        at = (bearing - spec.angle_min) / spec.angle_increment  # in beams
        shown = np.full(spec.num_beams, spec.range_max, np.float64)
        seen = np.zeros(spec.num_beams, np.bool_)
        sector = _wrapped(np.floor(at + 0.5).astype(np.int64), spec)
        own = measured & (sector >= 0)
        np.minimum.at(shown, sector[own], distance[own])
        seen[sector[own]] = True
        between, nearer = self._between_rays(distance, at, measured)
        free = between >= 0
        free[free] = ~seen[between[free]]
        np.minimum.at(shown, between[free], nearer[free])
        seen[between[free]] = True
        self.unseen = ~seen
        return shown.astype(np.float32)

    def _between_rays(
        self, distance: np.ndarray, at: np.ndarray, measured: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (sector, distance) for each beam that lies between two rays side by side, with the nearer one's."""
        after = np.roll(np.arange(len(at)), -1)
        both = measured & measured[after]
        if not self.lidar.is_closed:
            both[-1] = False
        around = 2.0 * math.pi / self._spec.angle_increment
        low, high = np.minimum(at, at[after]), np.maximum(at, at[after])
        seam = high - low > 0.5 * around
        low, high = np.where(seam, high - around, low), np.where(seam, low, high)
        first = np.ceil(low).astype(np.int64)
        count = np.where(both, np.floor(high).astype(np.int64) - first + 1, 0).clip(min=0)
        pair = np.repeat(np.arange(len(at)), count)
        beam = first[pair] + np.arange(len(pair)) - (np.cumsum(count) - count)[pair]
        return _wrapped(beam, self._spec), np.minimum(distance, distance[after])[pair]


def sees_less(lidar: Lidar, spec: ScanSpec) -> str | None:
    """Return in how far ``lidar`` sees less than the policy was trained for; None where it sees as much."""
    resampler = Resampler(spec, replace(lidar, mount=(*spec.mount, lidar.mount[2])))
    resampler(np.full(lidar.num_rays, lidar.range_max))
    blind = int(resampler.unseen.sum())
    if blind:
        angle = math.degrees(blind * spec.angle_increment)
        return f"it is blind in {blind} of {spec.num_beams} sectors ({angle:.0f} degrees)"
    if lidar.range_max < spec.range_max - 1e-3:
        return f"it sees {lidar.range_max:g} m far, and the policy was trained with {spec.range_max:g} m"
    return None


def _same_angles(lidar: Lidar, spec: ScanSpec) -> bool:
    if lidar.num_rays != spec.num_beams:
        return False
    wanted = spec.angle_min + spec.angle_increment * np.arange(spec.num_beams)
    return bool(np.abs(lidar.angles - wanted).max() < 1e-5)


def _wrapped(beam: np.ndarray, spec: ScanSpec) -> np.ndarray:
    """Return the numbers of beams within 0 .. B - 1; -1 for what lies beside the field of view."""
    around = round(2.0 * math.pi / spec.angle_increment)
    if spec.is_full_circle:
        return beam % spec.num_beams
    turned = beam % max(around, spec.num_beams)
    return np.where(turned < spec.num_beams, turned, -1)
