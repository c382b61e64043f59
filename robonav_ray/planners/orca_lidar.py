"""ORCA (van den Berg et al. 2011) among circles that were clustered from the scan and tracked, and points of walls."""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.commands import Driver, PlannerError
from robonav_ray.planners.orca import tracked, tracking_s
from robonav_ray.planners.sight import ScanSight
from robonav_ray.planners.tracking import Tracker
from robonav_ray.planners.tracks import MAX_TRACKS
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels.kernel import F0, F1, kernel
from robonav_ray.worlds.kernels.obstacles import ORCA_MARGIN
from robonav_ray.worlds.kernels.orca import NEIGHBOR_COLS, insert_neighbor, least_violation, neighbor_line, solve

_MOST_POINTS = 24
_WALL_HORIZON_S = np.float32(1.0)


@kernel
def _gather_points(state, i, reach, neighbor):
    """Write the points of walls within ``reach`` m into ``neighbor``, the nearest _MOST_POINTS; return how many."""
    num = 0
    for j in range(state.num_fixed[i]):
        x, y = state.fixed[i, j, 0], state.fixed[i, j, 1]
        d2 = x * x + y * y
        if d2 < reach * reach and (num < _MOST_POINTS or d2 < neighbor[num - 1, 0]):
            num = insert_neighbor(neighbor, min(num, _MOST_POINTS - 1), d2, x, y, F0, F0, F0, F1)
    return num


@kernel
def _gather_circles(state, i, margin, share, neighbor):
    """Write the circles of lane ``i`` into ``neighbor``, nearest first; return how many."""
    num = 0
    for k in range(state.num_circles[i]):
        c = state.circle[i, k]
        num = insert_neighbor(neighbor, num, c[0] * c[0] + c[1] * c[1], c[0], c[1], c[2], c[3], c[4] + margin, share)
    return num


@kernel
def _commands(
    state, goal, twist, drives, radius, top, dt, holonomic, margin, share, horizon, gain, time, turn, neighbor, line,
    command,
):  # fmt: skip
    """Write the command (L, 2) of every lane that ``drives``: the ORCA velocity in the body frame, tracked by a
    unicycle, see ``orca.py``; ``goal`` (L, 2).
    """
    for i in range(command.shape[0]):
        if not drives[i]:
            continue
        vx, vy = twist[i, 0], twist[i, 1] if holonomic else F0
        dx, dy = goal[i, 0], goal[i, 1]
        scale = top / max(np.sqrt(dx * dx + dy * dy), F1)
        num_hard = _gather_points(state, i, radius + top * _WALL_HORIZON_S, neighbor)
        for n in range(num_hard):
            neighbor_line(line, n, F0, F0, vx, vy, radius + margin, neighbor, n, F1 / _WALL_HORIZON_S, F1 / dt)
        num = _gather_circles(state, i, margin, share, neighbor)
        for n in range(num):
            neighbor_line(line, num_hard + n, F0, F0, vx, vy, radius + margin, neighbor, n, F1 / horizon, F1 / dt)
        total = num_hard + num
        failed, ux, uy = solve(line, 0, total, top, dx * scale, dy * scale, False)
        if failed < total:
            ux, uy = least_violation(line, 0, failed, total, top, ux, uy)
        if holonomic:
            command[i, 0], command[i, 1] = ux, uy
        else:
            command[i, 0], command[i, 1] = tracked(line, total, F1, F0, ux, uy, top, turn, gain, time)


class OrcaLidarPlanner:
    """Drives robots by ORCA, with what the lidar shows in place of the true state.

    Settings as ``OrcaPlanner``'s; walls are points that are kept away from for 1 s ahead. ``noise_m`` and
    ``acceleration`` are the tracker's.
    """

    knows = "scan and path"

    def __init__(
        self,
        worlds: BatchedWorlds,
        safety_space_m: float = 0.0,
        share: float = 0.5,
        horizon_s: float = 5.0,
        heading_gain: float = 4.0,
        noise_m: float = 0.03,
        acceleration: float = 1.0,
        track_s: float = 0.0,
    ) -> None:
        """Drive ``worlds``; PlannerError for observations without a scan, or a setting that is out of range."""
        if (
            min(horizon_s, heading_gain, noise_m) <= 0.0
            or min(safety_space_m, acceleration, track_s) < 0.0
            or not 0 < share <= 1
        ):
            raise PlannerError(
                "planner orca_lidar: horizon_s, heading_gain and noise_m must be above 0, safety_space_m, acceleration "
                "and track_s at least 0, and share in (0, 1]"
            )
        self._driver, self._sight = Driver(worlds), ScanSight(worlds, "orca_lidar")
        self._tracker = Tracker(worlds, self._sight, noise_m, acceleration)
        robot = worlds.config.robot
        facts = tuple(np.float32(v) for v in (robot.radius_m, robot.max_speed, worlds.config.dt_s))
        numbers = (float(ORCA_MARGIN) + safety_space_m, share, horizon_s, heading_gain)
        numbers = (*numbers, tracking_s(worlds, track_s), robot.max_turn_rate)
        self._args = (*facts, robot.is_holonomic, *(np.float32(v) for v in numbers))
        rows = _MOST_POINTS + MAX_TRACKS + 1
        self._neighbor = np.zeros((rows, NEIGHBOR_COLS), np.float32)
        self._line = np.zeros((2, rows, 4), np.float32)
        self._command = np.zeros((worlds.num_lanes, 2), np.float32)

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return actions for ``obs`` (L, D)."""
        sight = self._sight
        state = self._tracker.see(obs)
        twist = np.ascontiguousarray(sight.twist(obs), np.float32)
        goal = sight.ahead(obs) if sight.has_path else np.ascontiguousarray(sight.goals(obs)[:, 0])
        seen = (state, goal, twist, self._tracker.drives)
        _commands(*seen, *self._args, self._neighbor, self._line, self._command)
        return self._driver.action(self._command, sight.last_command(obs))
