"""An artificial potential field (Khatib 1986) on the scan: the goal pulls, and every beam's return pushes."""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.commands import Driver, PlannerError
from robonav_ray.planners.sight import ScanSight
from robonav_ray.worlds.batched import BatchedWorlds

_PARTS = (np.cos, np.sin)


class ApfPlanner:
    """Drives along the force: one unit towards the goal, and away from every return within ``influence_m`` of its edge.

    A return at a clearance d pushes by ``repulsion`` (1/d - 1/influence) / d^2, Khatib's force, per radian of its beam
    (d in m, at least .05), and less within a metre of the goal, which may lie beside a wall (Ge and Cui 2000).
    ``swirl`` turns that part of the push sideways, to the side on which the goal is: a push straight against the way
    holds the robot. The force's length, at most 1, is the part of the greatest speed.
    """

    knows = "scan and path"

    def __init__(
        self,
        worlds: BatchedWorlds,
        repulsion: float = 0.05,
        influence_m: float = 1.0,
        swirl: float = 0.0,
        heading_gain: float = 4.0,
    ) -> None:
        """Drive ``worlds``; PlannerError for observations without a scan, or a setting that is out of range."""
        if repulsion < 0.0 or influence_m <= 0.0 or not 0.0 <= swirl <= 1.0 or heading_gain <= 0.0:
            raise PlannerError(
                "planner apf: influence_m and heading_gain must be above 0, repulsion at least 0, and swirl in [0, 1]"
            )
        self._driver, self._sight, self._gain = Driver(worlds), ScanSight(worlds, "apf"), heading_gain
        self._radius, self._influence, self._swirl = worlds.config.robot.radius_m, influence_m, swirl
        angle = self._sight.beam_angle
        self._weight = repulsion * (float(angle[1] - angle[0]) if len(angle) > 1 else 1.0)
        self._away = -np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return actions for ``obs`` (L, D)."""
        ranges, at = self._sight.from_centre(obs)
        distance, bearing = self._sight.goal(obs)[0], self._sight.target(obs)[1]
        clearance = np.maximum(ranges - self._radius, 0.05)
        felt = (ranges < self._sight.range_max) & (clearance < self._influence)
        size = np.where(felt, self._weight * (1.0 / clearance - 1.0 / self._influence) / np.square(clearance), 0.0)
        push = size @ self._away if at.ndim == 1 else -np.stack([(size * f(at)).sum(axis=1) for f in _PARTS], axis=1)
        push = push * np.minimum(distance, 1.0)[:, None]
        pull = np.stack([np.cos(bearing), np.sin(bearing)], axis=1)
        side = np.where(pull[:, 1] * push[:, 0] - pull[:, 0] * push[:, 1] >= 0.0, 1.0, -1.0)
        across = np.stack([-push[:, 1], push[:, 0]], axis=1) * side[:, None]
        force = pull + (1.0 - self._swirl) * push + self._swirl * across
        speed = self._driver.max_speed * np.minimum(np.hypot(force[:, 0], force[:, 1]), 1.0)
        command = self._driver.towards(np.arctan2(force[:, 1], force[:, 0]), speed, self._gain)
        return self._driver.action(command, self._sight.last_command(obs))
