"""Pure pursuit (Coulter 1992), regulated as Nav2's controller of that name (Macenski et al. 2023)."""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.commands import Driver, PlannerError
from robonav_ray.planners.foresight import footprint
from robonav_ray.planners.sight import ScanSight, point_at
from robonav_ray.worlds.batched import BatchedWorlds

_TINY, _NOTHING_M = 1e-6, 1.0e3
_TIMES = 6
"""Moments at which is looked for what stands in the way."""


class PurePursuitPlanner:
    """Follows the path, or the straight way to the goal where observations show none, on arcs through the point of it
    that is ``look_ahead_s`` ahead at the speed driven, and between the two bounds.

    It drives slower where the arc's radius is below ``min_radius_m``, and where anything is nearer to its edge than
    ``proximity_m``, down to ``slowest_frac`` of its speed; it turns where it stands while the point is more than
    ``turn_first_rad`` aside; and it stands while, within ``stop_s`` at the speed chosen, the arc would lead nearer than
    ``side_m`` to what the scan shows.
    """

    knows = "scan and path"

    def __init__(
        self,
        worlds: BatchedWorlds,
        look_ahead_s: float = 1.5,
        min_look_ahead_m: float = 0.3,
        max_look_ahead_m: float = 0.9,
        min_radius_m: float = 0.9,
        proximity_m: float = 0.6,
        slowest_frac: float = 0.3,
        turn_first_rad: float = 0.785,
        stop_s: float = 1.0,
        side_m: float = 0.02,
        heading_gain: float = 4.0,
    ) -> None:
        """Drive ``worlds``; PlannerError for observations without a scan, or a setting that is out of range."""
        given = {name: value for name, value in locals().items() if name not in ("self", "worlds")}
        if min(given.values()) < 0.0 or min(min_look_ahead_m, heading_gain, slowest_frac) <= 0.0 or slowest_frac > 1.0:
            raise PlannerError(
                "planner pure_pursuit: min_look_ahead_m and heading_gain must be above 0, slowest_frac in (0, 1], and "
                "no setting below 0"
            )
        if min_look_ahead_m > max_look_ahead_m:
            raise PlannerError("planner pure_pursuit: min_look_ahead_m must not be above max_look_ahead_m")
        self._driver, self._sight = Driver(worlds), ScanSight(worlds, "pure_pursuit")
        self._radius, self._middle, *self._half = footprint(worlds.config.robot)
        self._look = (look_ahead_s, min_look_ahead_m, max_look_ahead_m)
        self._slow = (min_radius_m, proximity_m, slowest_frac)
        self._turn_first, self._gain, self._stop, self._side = turn_first_rad, heading_gain, stop_s, side_m

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return actions for ``obs`` (L, D)."""
        sight, driver = self._sight, self._driver
        twist, (ranges, angle) = sight.twist(obs), sight.from_centre(obs)
        ranges = np.where(ranges < sight.range_max, ranges, _NOTHING_M)
        x, y = ranges * np.cos(angle), ranges * np.sin(angle)
        speed = np.abs(twist[:, 0]) if driver.is_unicycle else np.hypot(twist[:, 0], twist[:, 1])
        per_s, least, most = self._look
        path = sight.path(obs)
        path = sight.goals(obs)[:, :1] if path is None else path
        point = point_at(path, np.clip(per_s * speed, least, most))
        bearing = np.arctan2(point[:, 1], point[:, 0])
        curvature = 2.0 * point[:, 1] / np.maximum(np.square(point).sum(axis=1), _TINY)
        if not driver.is_unicycle:
            curvature = np.zeros_like(curvature)
        v = driver.max_speed * self._regulated(curvature, x, y)
        course = np.zeros_like(bearing) if driver.is_unicycle else bearing
        far = np.hypot(point[:, 0], point[:, 1])
        v = np.where(self._blocked(v, far, curvature, course, x, y), 0.0, v)
        if not driver.is_unicycle:
            command = np.stack([v * np.cos(bearing), v * np.sin(bearing)], axis=1)
        else:
            turns = (np.abs(bearing) > self._turn_first) & driver.turns_on_the_spot
            omega = np.where(turns, self._gain * bearing, v * curvature)
            command = np.stack([np.where(turns, 0.0, v), omega], axis=1)
        return driver.action(command.astype(np.float32), sight.last_command(obs))

    def _regulated(self, curvature: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return (L,) the part of the greatest speed that curvature and nearness leave, and the drive can turn with."""
        radius, proximity, slowest = self._slow
        bent = 1.0 / np.maximum(np.abs(curvature) * radius, 1.0)
        near = np.clip(self._gap(x, y).min(axis=1) / max(proximity, _TINY), 0.0, 1.0)
        part = np.maximum(np.minimum(bent, near), slowest)
        can_turn = self._driver.max_turn / np.maximum(np.abs(curvature) * self._driver.max_speed, _TINY)
        return np.minimum(part, can_turn)

    def _blocked(
        self,
        v: np.ndarray,
        far: np.ndarray,
        curvature: np.ndarray,
        course: np.ndarray,
        x: np.ndarray,
        y: np.ndarray,
    ) -> np.ndarray:
        """Return (L,) bool: whether a point (x, y), (L, B), of the scan is on the arc, as ``far`` as the path's point
        is, and comes nearer along it.
        """
        blocked, now = np.zeros(len(v), bool), self._gap(x, y)
        for time in np.linspace(0.0, self._stop, _TIMES + 1)[1:]:
            way = np.minimum(v * time, far)[:, None]
            turn = way * curvature[:, None]
            straight = way * np.sinc(turn / (2.0 * np.pi))
            at = 0.5 * turn + course[:, None]
            dx, dy = x - straight * np.cos(at), y - straight * np.sin(at)
            c, s = np.cos(turn), np.sin(turn)
            gap = self._gap(c * dx + s * dy, c * dy - s * dx)
            blocked |= ((gap < self._side) & (gap < now)).any(axis=1)
        return blocked

    def _gap(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return how far points are from the edge of the body in whose frame they are, 0 within a rectangle."""
        if self._radius:
            return np.hypot(x, y) - self._radius
        return np.hypot(
            np.maximum(np.abs(x - self._middle) - self._half[0], 0.0), np.maximum(np.abs(y) - self._half[1], 0.0)
        )
