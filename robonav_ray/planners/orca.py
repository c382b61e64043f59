"""ORCA as the robot (van den Berg et al. 2011): a planner that knows the true state of everything around it."""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.commands import Driver, PlannerError, last_command
from robonav_ray.planners.sight import GoalSight
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.ground import walls_of
from robonav_ray.worlds.kernels.kernel import F0, F1, kernel
from robonav_ray.worlds.kernels.obstacles import ORCA_MARGIN
from robonav_ray.worlds.kernels.orca import NEIGHBOR_COLS, violation
from robonav_ray.worlds.kernels.randomization import NUM_GOALS
from robonav_ray.worlds.kernels.reactive import add_map_wall, gather_others, orca_wish, way_to_goal

_STILL = np.float32(1e-6)
_SLOW_TURN_RATE, _TRACK_S = 1.0, 0.5
"""A body that turns slower, rad/s, tracks velocities as it can within the second, s. At .5 rad/s this wins .507 of 300
worlds of standard stage 4 with ``orca`` and .440 with ``orca_lidar``; driving the forward part meanwhile .397 and .400,
turning first where it stands (beyond .8 rad) .480 and .350, and .2 m more room .243 and .240."""
_SPEEDS, _TURNS = 5, 9
_DEAREST, _FORBIDDEN, _HEADING, _HALF = np.float32(1e9), np.float32(5.0), np.float32(0.3), np.float32(0.5)
"""Prices of a track: of m/s into what is forbidden, and of a rad between heading and the velocity wanted, where one m/s
beside that costs 1."""


def tracking_s(worlds: BatchedWorlds, asked: float) -> float:
    """Return ``tracked``'s time for the robots of ``worlds``: ``asked``, and where that is 0 the default."""
    slow = worlds.config.robot.max_turn_rate < _SLOW_TURN_RATE
    return asked if asked > 0.0 or not slow else _TRACK_S


@kernel
def _tracked_soon(line, num, c, s, ux, uy, top, turn, time):
    """Return the command (v, omega) that tracks (ux, uy) best within ``time``, under ORCA's half-planes.

    What a unicycle can track is not every velocity (Alonso-Mora et al. 2010): each of a grid of commands stands for the
    mean velocity of its arc, and the cheapest by how far that is from (ux, uy), how far it reaches into what the
    ``num`` half-planes forbid, and how far the heading is off in the end. (c, s) turns the body frame into that of
    ``line``.
    """
    best, best_v, best_omega = _DEAREST, F0, F0
    course = np.arctan2(uy, ux) if ux * ux + uy * uy > _STILL else F0
    for i in range(_SPEEDS):
        v = top * np.float32(i) / np.float32(_SPEEDS - 1)
        for j in range(_TURNS):
            omega = turn * (np.float32(2 * j) / np.float32(_TURNS - 1) - F1)
            half = _HALF * omega * time
            mean = v * (np.sin(half) / half if abs(half) > _STILL else F1)
            x, y = mean * np.cos(half), mean * np.sin(half)
            wx, wy, forbidden = c * x - s * y, s * x + c * y, F0
            for n in range(num):
                forbidden = max(forbidden, violation(line, 0, n, wx, wy))
            cost = np.sqrt((x - ux) * (x - ux) + (y - uy) * (y - uy)) + _FORBIDDEN * forbidden
            cost += _HEADING * abs(course - half - half)
            if cost < best:
                best, best_v, best_omega = cost, v, omega
    return best_v, best_omega


@kernel
def tracked(line, num, c, s, ux, uy, top, turn, gain, time):
    """Return the command (v, omega) with which a unicycle tracks the velocity (ux, uy) in its body frame.

    It turns with ``gain`` (1/s) and drives the forward part meanwhile; a slow one, for which ``time`` is above 0, does
    what ``_tracked_soon`` says.
    """
    if time > F0:
        return _tracked_soon(line, num, c, s, ux, uy, top, turn, time)
    omega = gain * np.arctan2(uy, ux) if ux * ux + uy * uy > _STILL else F0
    return max(ux, F0), omega


@kernel
def target_of(state, goal, num_goals, target, w, r):
    """Return (dx, dy) from robot (w, r) to its goal in the world frame, or where ``target`` (L, 2), in the body frame,
    has rows, to that.
    """
    robot = state.robot
    if target.shape[0] == 0:
        return way_to_goal(robot, state.lane, goal, num_goals, w, r)
    i, c, s = w * robot.shape[1] + r, robot[w, r, lay.COS], robot[w, r, lay.SIN]
    return c * target[i, 0] - s * target[i, 1], s * target[i, 0] + c * target[i, 1]


@kernel
def _orca_commands(state, params, target, margin, share, horizon, gain, time, neighbor, line, command):
    """Write the command (N, R, 2) of every robot: the ORCA velocity, tracked by a unicycle."""
    robot, lane, goal, level = state.robot, state.lane, state.goal, params.level
    for w in range(robot.shape[0]):
        k = state.world[w, lay.LEVEL]
        num_goals, const, wall = np.int64(level[k, NUM_GOALS]), params.const[k], walls_of(params.wall, params.ground, k)
        for r in range(robot.shape[1]):
            dx, dy = target_of(state, goal, num_goals, target, w, r)
            num = gather_others(
                robot, lane, state.circle, state.circle_kind, state.world, wall, F1, margin, share, neighbor, w, r,
            )  # fmt: skip
            num = add_map_wall(params.site, robot, neighbor, num, margin, w, r)
            ux, uy = orca_wish(robot, const, neighbor, num, line, dx, dy, F1, margin, F1, horizon, w, r)
            c, s = robot[w, r, lay.COS], robot[w, r, lay.SIN]
            ahead, left = c * ux + s * uy, c * uy - s * ux
            if const[lay.HOLONOMIC] > F0:
                command[w, r, 0], command[w, r, 1] = ahead, left
            else:
                total = num + (4 if const[lay.WALLS] > F0 else 0)
                top, turn = robot[w, r, lay.OWN_SPEED], const[lay.MAX_TURN]
                v, omega = tracked(line, total, c, s, ahead, left, top, turn, gain, time)
                command[w, r, 0], command[w, r, 1] = v, omega


class OrcaPlanner:
    """Drives every robot of ``worlds`` by ORCA; ``act`` returns the nearest action of the worlds' action set.

    The robot's and the others' radii grow by .01 m + ``safety_space_m`` each, as in CrowdNav. ``share`` is the part of
    the avoidance that the robot takes on: .5 as in the paper (and CrowdNav), 1 among those who do not look at it. A
    unicycle turns to the chosen velocity with ``heading_gain`` (1/s) and drives its forward part; one that turns
    slowly, or any where ``track_s`` is given, drives the arc of so many seconds that comes nearest to what ORCA allows.
    Where observations show the path, it drives at a point of that.
    """

    knows = "true state"

    def __init__(
        self,
        worlds: BatchedWorlds,
        safety_space_m: float = 0.0,
        share: float = 0.5,
        horizon_s: float = 5.0,
        heading_gain: float = 4.0,
        track_s: float = 0.0,
    ) -> None:
        """Plan for ``worlds``, whose state is read at every call; PlannerError for a setting that is out of range."""
        if min(safety_space_m, track_s) < 0.0 or not 0.0 < share <= 1.0 or horizon_s <= 0.0:
            raise PlannerError(
                "planner orca: safety_space_m and track_s must be at least 0, share in (0, 1], horizon_s above 0"
            )
        self.worlds = worlds
        self._driver = Driver(worlds)
        self._sight = GoalSight(worlds)
        numbers = (float(ORCA_MARGIN) + safety_space_m, share, horizon_s, heading_gain)
        self._args = tuple(np.float32(v) for v in (*numbers, tracking_s(worlds, track_s)))
        rows = worlds.max_circles + worlds.num_robots + len(worlds.params.wall) + 1
        self._neighbor = np.zeros((rows, NEIGHBOR_COLS), np.float32)
        self._line = np.zeros((2, rows + 4, 4), np.float32)
        self._command = np.zeros((worlds.num_worlds, worlds.num_robots, 2), np.float32)

    def command(self, obs: np.ndarray | None = None) -> np.ndarray:
        """Return (L, 2) float32 commands in SI units for ``step_command``; overwritten by the next call."""
        worlds, target = self.worlds, targets_of(self._sight, obs)
        _orca_commands(worlds.state, worlds.params, target, *self._args, self._neighbor, self._line, self._command)
        return self._command.reshape(-1, 2)

    def act(self, obs: np.ndarray | None = None) -> np.ndarray:
        """Return (L,) int64 actions, or (L, 2) for continuous ones; of ``obs`` nothing but the path is looked at (the
        true state is).
        """
        return self._driver.action(self.command(obs), last_command(self.worlds))


def targets_of(sight: GoalSight, obs: np.ndarray | None) -> np.ndarray:
    """Return (L, 2) float32, m in the body frame, what to drive at by the path; no rows where there is none."""
    if obs is None or not sight.has_path:
        return np.zeros((0, 2), np.float32)
    return sight.ahead(obs)
