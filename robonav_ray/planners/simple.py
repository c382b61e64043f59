"""Yardsticks from below: by chance, straight to the goal, and straight to the goal unless something is in the way."""

from __future__ import annotations

import numpy as np

from robonav_ray.compiled import njit
from robonav_ray.counter_rng import ROLE_EVALUATION, derive_key, seed_for, uniform01
from robonav_ray.planners.commands import Driver, PlannerError
from robonav_ray.planners.sight import GoalSight, ScanSight
from robonav_ray.worlds.batched import BatchedWorlds


@njit()
def _draw(key: np.uint64, first_lane: int, count: int, num_choices: int, choice: np.ndarray) -> None:
    """Write draw number ``count`` of every lane into ``choice`` (L,) int64."""
    for i in range(choice.shape[0]):
        choice[i] = min(np.int64(uniform01(derive_key(key, first_lane + i), count) * num_choices), num_choices - 1)


class RandomPlanner:
    """Draws every action by chance, the same ones for a world wherever it is played."""

    knows = "nothing"

    def __init__(self, worlds: BatchedWorlds, seed: int = 0) -> None:
        """Draw for ``worlds``; the draws hang on ``seed`` too."""
        self._driver = Driver(worlds)
        self._key = np.uint64(seed_for(seed, ROLE_EVALUATION))
        self._first_lane = worlds.first_world * worlds.num_robots
        self._count = 0

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return actions for ``obs`` (L, D), which is not looked at."""
        choice = np.zeros(len(obs), np.int64)
        _draw(self._key, self._first_lane, self._count, self._driver.num_choices, choice)
        self._count += 1
        return self._driver.chosen(choice)


class GoToGoalPlanner:
    """Drives straight to the goal, or along the path where one is observed, through everything."""

    knows = "goal"

    def __init__(self, worlds: BatchedWorlds, heading_gain: float = 4.0) -> None:
        """Drive ``worlds``; a unicycle turns with ``heading_gain`` (1/s)."""
        if heading_gain <= 0.0:
            raise PlannerError(f"planner go_to_goal: heading_gain must be above 0, got {heading_gain:g}")
        self._driver, self._sight, self._gain = Driver(worlds), GoalSight(worlds), heading_gain

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return actions for ``obs`` (L, D)."""
        _, bearing = self._sight.target(obs)
        command = self._driver.towards(bearing, np.full(len(obs), self._driver.max_speed, np.float32), self._gain)
        return self._driver.action(command, self._sight.last_command(obs))


class StopAndGoPlanner:
    """Drives straight to the goal, or along the path, and stands while the lidar sees something in the way.

    In the way is what lies within ``stop_m`` of the robot's edge, in a corridor towards the goal that is ``side_m``
    wider than the robot on either side; what is farther than the goal does not count.
    """

    knows = "scan and path"

    def __init__(
        self, worlds: BatchedWorlds, stop_m: float = 0.8, side_m: float = 0.15, heading_gain: float = 4.0
    ) -> None:
        """Drive ``worlds``; PlannerError for observations without a scan."""
        if stop_m <= 0.0 or side_m < 0.0 or heading_gain <= 0.0:
            raise PlannerError(
                "planner stop_and_go: stop_m and heading_gain must be above 0, and side_m must not be negative"
            )
        self._driver, self._sight, self._gain = Driver(worlds), ScanSight(worlds, "stop_and_go"), heading_gain
        radius = worlds.config.robot.radius_m
        self._reach, self._side = radius + stop_m, radius + side_m

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return actions for ``obs`` (L, D)."""
        ranges, angle = self._sight.from_centre(obs)
        distance, bearing = self._sight.target(obs)
        off = angle - bearing[:, None]
        ahead, aside = ranges * np.cos(off), ranges * np.abs(np.sin(off))
        near = (ranges < self._sight.range_max) & (ahead > 0.0) & (aside < self._side)
        blocked = (near & (ahead < np.minimum(self._reach, distance[:, None]))).any(axis=1)
        speed = np.where(blocked, 0.0, self._driver.max_speed).astype(np.float32)
        return self._driver.action(self._driver.towards(bearing, speed, self._gain), self._sight.last_command(obs))
