"""What an observation tells: the newest scan in metres, the goals in the body frame, the twist, an episode's begin."""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.commands import PlannerError
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels.layout import GOAL_SCALE_M


class GoalSight:
    """Reads the goal from observations of any kind, and nothing else."""

    def __init__(self, worlds: BatchedWorlds) -> None:
        """Read observations of ``worlds``, whose layout is kept, and not its state."""
        self._slices = worlds.layout.slices
        self._has_lidar = "lidar" in self._slices

    def goal(self, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (distance m, bearing rad in the body frame), each (L,), of the goal."""
        if "own" in self._slices:
            own = obs[:, self._slices["own"]]
            return own[:, 0] * GOAL_SCALE_M, -np.arctan2(own[:, 3], own[:, 2])
        if not self._has_lidar:
            robot = obs[:, self._slices["robot"]]
            return robot[:, 0], -robot[:, 2]
        at = self._slices["goal"].start
        return obs[:, at] * GOAL_SCALE_M, np.arctan2(obs[:, at + 2], obs[:, at + 1])

    def last_command(self, obs: np.ndarray) -> np.ndarray:
        """Return (L, 2): the last command as parts of its range; zeros where the observation does not tell it."""
        if not self._has_lidar:
            return np.zeros((len(obs), 2), np.float32)
        return obs[:, self._slices["previous_action"]]


class ScanSight(GoalSight):
    """Reads scan, goals and twist from lidar observations, with their noise and faults."""

    def __init__(self, worlds: BatchedWorlds, planner: str) -> None:
        """Read observations of ``worlds``; PlannerError where they hold no scan."""
        super().__init__(worlds)
        if not self._has_lidar:
            raise PlannerError(
                f"planner {planner} sees only the lidar: env.world.observation={worlds.config.observation!r} has none"
            )
        world = worlds.config
        robot, lidar = world.robot, world.lidar
        self.beam_angle = worlds.beam_angle.astype(np.float32)
        """(B,) rad in the body frame."""
        self.range_max = lidar.range_max_m
        self.wraps = bool(lidar.field_of_view_rad > 2.0 * np.pi - 1e-6)
        """Whether the last beam and the first one are neighbours."""
        self._newest = slice(self._slices["lidar"].start, self._slices["lidar"].start + lidar.num_beams)
        self._contact = robot.radius_m / lidar.range_max_m if lidar.encoding == "proximity" else 0.0
        second = robot.max_speed if robot.is_holonomic else robot.max_turn_rate
        self._scale = np.array([robot.max_speed, second], np.float32)
        self._time_left = np.full(worlds.num_lanes, -1.0, np.float32)

    def ranges(self, obs: np.ndarray) -> np.ndarray:
        """Return (L, B) float32 ranges of the newest scan in m; ``range_max`` where a beam met nothing."""
        shown = obs[:, self._newest]
        if self._contact:
            shown = self._contact / (shown * np.float32(1.0 - self._contact) + np.float32(self._contact))
        return np.ascontiguousarray(np.minimum(shown, np.float32(1.0)) * np.float32(self.range_max), np.float32)

    def goals(self, obs: np.ndarray) -> np.ndarray:
        """Return (L, 2, 2) float32: the goal and the next one (the same where there is none) in the body frame, m."""
        goal = np.empty((len(obs), 2, 2), np.float32)
        for i, name in enumerate(("goal", "next_goal")):
            at = self._slices[name].start
            goal[:, i] = obs[:, at : at + 1] * GOAL_SCALE_M * obs[:, at + 1 : at + 3]
        none = (obs[:, self._slices["next_goal"]] == 0.0).all(axis=1)
        goal[none, 1] = goal[none, 0]
        return goal

    def twist(self, obs: np.ndarray) -> np.ndarray:
        """Return (L, 2): the twist (v, omega), or (v_x, v_y), in SI units, as the robot's odometry has it."""
        return obs[:, self._slices["twist"]] * self._scale

    def begins(self, obs: np.ndarray) -> np.ndarray:
        """Return (L,) bool: lanes that see an episode's first observation, told by the time left, which rises then.

        Call it once per step.
        """
        now = obs[:, self._slices["time_left"].start].copy()
        first = (now > self._time_left) | (now >= 1.0)
        self._time_left = now
        return first
