"""What an observation tells: the newest scan in metres, the goals and the way ahead in the body frame, the twist, an
episode's begin.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.commands import PlannerError
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels.layout import GOAL_SCALE_M

LOOK_AHEAD_M = 0.8
"""How far along the path a planner drives at that takes one point as its goal."""


class GoalSight:
    """Reads the goal from observations of any kind, and nothing else."""

    def __init__(self, worlds: BatchedWorlds) -> None:
        """Read observations of ``worlds``, whose layout is kept, and not its state."""
        self._slices = worlds.layout.slices
        self.has_path = "path" in self._slices
        """Whether observations show the way ahead."""
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

    def path(self, obs: np.ndarray) -> np.ndarray | None:
        """Return (L, K, 2) float32: the next points of the way to the goal in the body frame, m, nearest first, the
        goal repeated where it ends; None where observations show none.
        """
        if not self.has_path:
            return None
        return np.float32(GOAL_SCALE_M) * obs[:, self._slices["path"]].reshape(len(obs), -1, 2)

    def target(self, obs: np.ndarray, look_ahead_m: float = LOOK_AHEAD_M) -> tuple[np.ndarray, np.ndarray]:
        """Return (distance m, bearing rad in the body frame), each (L,), of what to drive at: where the path leaves the
        circle of ``look_ahead_m`` around the robot, or its end within; without a path the goal.
        """
        path = self.path(obs)
        if path is None:
            return self.goal(obs)
        x, y = point_at(path, look_ahead_m).T
        return np.hypot(x, y), np.arctan2(y, x)

    def ahead(self, obs: np.ndarray) -> np.ndarray:
        """Return (L, 2) float32, m in the body frame: as far as the goal is, in the direction of ``target``."""
        distance, bearing = self.goal(obs)[0], self.target(obs)[1]
        return np.stack([distance * np.cos(bearing), distance * np.sin(bearing)], axis=1).astype(np.float32)

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
        self.mount = np.array([lidar.x_m, lidar.y_m], np.float32)
        """(2,) m: where the lidar is in the body frame."""
        self.range_max = lidar.range_max_m
        self.wraps = bool(lidar.field_of_view_rad > 2.0 * np.pi - 1e-6)
        """Whether the last beam and the first one are neighbours."""
        self._newest = slice(self._slices["lidar"].start, self._slices["lidar"].start + lidar.num_beams)
        self._contact = world.contact_m / lidar.range_max_m if lidar.encoding == "proximity" else 0.0
        second = robot.max_speed if robot.is_holonomic else robot.max_turn_rate
        self._scale = np.array([robot.max_speed, second], np.float32)
        self._time_left = np.full(worlds.num_lanes, -1.0, np.float32)

    def ranges(self, obs: np.ndarray) -> np.ndarray:
        """Return (L, B) float32 ranges of the newest scan in m; ``range_max`` where a beam met nothing."""
        shown = obs[:, self._newest]
        if self._contact:
            shown = self._contact / (shown * np.float32(1.0 - self._contact) + np.float32(self._contact))
        return np.ascontiguousarray(np.minimum(shown, np.float32(1.0)) * np.float32(self.range_max), np.float32)

    def from_centre(self, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the newest scan as seen from the robot's centre: ranges (L, B) in m, ``range_max`` where a beam met
        nothing, and the bearings of what they met, (B,) rad, or (L, B) where the lidar is elsewhere.
        """
        ranges = self.ranges(obs)
        if not self.mount.any():
            return ranges, self.beam_angle
        x = self.mount[0] + ranges * np.cos(self.beam_angle)
        y = self.mount[1] + ranges * np.sin(self.beam_angle)
        return np.where(ranges < self.range_max, np.hypot(x, y), self.range_max), np.arctan2(y, x)

    def goals(self, obs: np.ndarray) -> np.ndarray:
        """Return (L, 2, 2) float32: the goal and the next one (the same where there is none) in the body frame, m."""
        goal = np.empty((len(obs), 2, 2), np.float32)
        for i, name in enumerate(("goal", "next_goal")):
            at = self._slices[name].start
            goal[:, i] = obs[:, at : at + 1] * GOAL_SCALE_M * obs[:, at + 1 : at + 3]
        none = (obs[:, self._slices["next_goal"]] == 0.0).all(axis=1)
        goal[none, 1] = goal[none, 0]
        return goal

    def way(self, obs: np.ndarray) -> np.ndarray:
        """Return (L, K, 3) float32: the points of ``path``, each with how far the goal is from there along the rest of
        the path, and straight on where that ends before the goal; K is 0 where observations show no path.
        """
        path = self.path(obs)
        if path is None:
            return np.zeros((len(obs), 0, 3), np.float32)
        corners = np.concatenate([path, self.goals(obs)[:, :1]], axis=1)
        legs = np.linalg.norm(np.diff(corners, axis=1), axis=2)
        left = np.cumsum(legs[:, ::-1], axis=1)[:, ::-1]
        return np.ascontiguousarray(np.concatenate([path, left[..., None]], axis=2), np.float32)

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


def point_at(path: np.ndarray, distance_m: float | np.ndarray) -> np.ndarray:
    """Return (L, 2): where each path (L, K, 2), from the origin on, first leaves the circle of ``distance_m``, or (L,)
    m, around it (Coulter 1992); its end where it stays within.
    """
    radius = np.broadcast_to(np.asarray(distance_m, np.float32), len(path))[:, None]
    out = np.hypot(path[..., 0], path[..., 1]) >= radius
    leaves, k, lane = np.asarray(out.any(axis=1)), out.argmax(axis=1), np.arange(len(path))
    k[~leaves] = path.shape[1] - 1
    end = path[lane, k]
    begin = np.where((k > 0)[:, None], path[lane, np.maximum(k - 1, 0)], 0.0)
    leg = end - begin
    a = np.maximum(np.square(leg).sum(axis=1), 1e-12)
    half_b, c = (begin * leg).sum(axis=1), np.square(begin).sum(axis=1) - radius[:, 0] ** 2
    part = (np.sqrt(np.maximum(half_b * half_b - a * c, 0.0)) - half_b) / a
    return np.where(leaves[:, None], begin + np.clip(part, 0.0, 1.0)[:, None] * leg, end)
