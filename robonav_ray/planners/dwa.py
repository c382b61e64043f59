"""The dynamic window approach (Fox et al. 1997) on what the lidar shows, scored by the critics of Nav2's DWB.

It chooses among the robot's actions. The critics, with the scales of ``nav2_params.yaml`` as defaults; DWB counts cells
and takes half the resolution times the scale, which is half the scale per metre:

=============  =====  ================================================================================
BaseObstacle   .02    252 exp(-3 d), d the clearance at the plan's end, within .55 m: the costmap's inflation; a
                      plan that touches anything is illegal
GoalDist       24     from the plan's end to the goal
GoalAlign      24     the same from a point .1 m ahead of the robot
PathDist       32     from the plan's end to the path that is observed, or else to the straight way to the goal
PathAlign      32     the same from the point ahead
Oscillation           a turn back is illegal until the robot has moved .05 m or turned .2 rad
RotateToGoal          does not apply: a goal here has no heading, and the way ends where it is reached
=============  =====  ================================================================================

Off by default is what DWB has not: obstacles go on as they were tracked (``predicts``; Seder and Petrovic 2007), what
is unknown of them grows with time (``growth_m_per_s``), nearness below ``margin_m`` costs all along the plan
(``nearness``), so does the way still to go (``way``), and a second command takes over after ``first_s`` or
``second_s``.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.planners import foresight as sees
from robonav_ray.planners.commands import Driver, PlannerError
from robonav_ray.planners.foresight import PLAN_COLS, begin_plan, foresee, price, roll
from robonav_ray.planners.sight import ScanSight
from robonav_ray.planners.tracking import Tracker
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels.kernel import F0, F1, kernel

_DEAREST = np.float32(1.0e9)
_SIGN, _ONLY, _FLIP_X, _FLIP_Y, _FLIP_COS, _FLIP_SIN = 0, 1, 2, 3, 4, 5
_TREND_COLS = 6
_RESET_M, _RESET_COS = np.float32(0.05), np.float32(np.cos(0.2))


@kernel
def _reset_trend(trend, pose, i):
    """Allow turns to either side again when lane ``i`` has moved or turned enough since it turned back."""
    dx, dy = pose[i, 0] - trend[i, _FLIP_X], pose[i, 1] - trend[i, _FLIP_Y]
    turned = pose[i, 2] * trend[i, _FLIP_COS] + pose[i, 3] * trend[i, _FLIP_SIN]
    if dx * dx + dy * dy > _RESET_M * _RESET_M or turned < _RESET_COS:
        trend[i, _ONLY] = F0


@kernel
def _note_trend(trend, pose, turn, i):
    """Note the turn that lane ``i`` chose; after one back, only that side is allowed."""
    sign = F1 if turn > F0 else -F1 if turn < F0 else F0
    if sign != F0:
        if sign * trend[i, _SIGN] < F0:
            trend[i, _ONLY] = sign
            for n in range(4):
                trend[i, _FLIP_X + n] = pose[i, n]
        trend[i, _SIGN] = sign


@kernel
def _choose(state, goals, way, twist, command, begins, drives, setting, branch, ahead, fixed, plan, trend, choice):
    """Write the choice (L,) that begins the cheapest plan of each lane that ``drives``; ``branch``: when a second
    command may begin.
    """
    steps, first, end = ahead.shape[0], plan[0], plan[1]
    for i in range(choice.shape[0]):
        if not drives[i]:
            continue
        goal, path, row, best = goals[i], way[i], i if command.shape[0] > 1 else 0, _DEAREST
        leg = np.sqrt((goal[1, 0] - goal[0, 0]) ** 2 + (goal[1, 1] - goal[0, 1]) ** 2)
        num, num_fixed = foresee(state, i, setting, ahead, fixed)
        if begins[i]:
            trend[i, :] = F0
        _reset_trend(trend, state.pose, i)
        choice[i] = 0
        for a in range(command.shape[1]):
            v, o, begun = command[row, a, 0], command[row, a, 1], 0
            if o * trend[i, _ONLY] < F0:
                continue
            begin_plan(first, twist, i)
            for p in range(branch.shape[0]):
                how = roll(first, v, o, ahead, num, fixed, num_fixed, goal, leg, path, setting, best, begun, branch[p])
                begun = branch[p]
                if how != sees.ALIVE or begun == steps:
                    cost = price(first, goal, leg, path, setting, steps, how) if how != sees.WORSE else _DEAREST
                    if cost < best:
                        best, choice[i] = cost, a
                    break
                for b in range(command.shape[1]):
                    for n in range(PLAN_COLS):
                        end[n] = first[n]
                    w, q = command[row, b, 0], command[row, b, 1]
                    how = roll(end, w, q, ahead, num, fixed, num_fixed, goal, leg, path, setting, best, begun, steps)
                    cost = price(end, goal, leg, path, setting, steps, how) if how != sees.WORSE else _DEAREST
                    if cost < best:
                        best, choice[i] = cost, a
        _note_trend(trend, state.pose, command[row, choice[i], 1], i)


class DwaPlanner:
    """Drives robots by what their lidar shows; see the module for the critics.

    Scales are costs per m, ``nearness`` per second at contact. ``noise_m`` and ``acceleration`` are the tracker's.
    """

    knows = "scan and path"

    def __init__(
        self,
        worlds: BatchedWorlds,
        sim_time_s: float = 1.7,
        step_s: float = 0.1,
        first_s: float = 0.0,
        second_s: float = 0.0,
        base_obstacle: float = 0.02,
        goal_dist: float = 24.0,
        goal_align: float = 24.0,
        path_dist: float = 32.0,
        path_align: float = 32.0,
        forward_point_distance_m: float = 0.1,
        inflation_radius_m: float = 0.55,
        cost_scaling_per_m: float = 3.0,
        predicts: bool = False,
        growth_m_per_s: float = 0.0,
        margin_m: float = 0.0,
        nearness: float = 0.0,
        way: float = 0.0,
        noise_m: float = 0.03,
        acceleration: float = 1.0,
    ) -> None:
        """Plan for ``worlds``; PlannerError for observations without a scan, or a setting that is out of range."""
        given = {name: value for name, value in locals().items() if name not in ("self", "worlds")}
        if min(sim_time_s, step_s, noise_m) <= 0.0 or min(given.values()) < 0.0:
            raise PlannerError("planner dwa: sim_time_s, step_s and noise_m must be above 0, and no setting below it")
        self._driver, self._sight = Driver(worlds), ScanSight(worlds, "dwa")
        self._tracker = Tracker(worlds, self._sight, noise_m, acceleration)
        dt = max(round(step_s / worlds.config.dt_s), 1) * worlds.config.dt_s
        steps = max(round(sim_time_s / dt), 1)
        branches = {round(time / dt) for time in (first_s, second_s)}
        self._branch = np.array([*sorted(b for b in branches if 0 < b < steps), steps], np.int64)
        settings = {
            sees.OBSTACLE: base_obstacle,
            sees.GOAL_DIST: goal_dist / 2,
            sees.GOAL_ALIGN: goal_align / 2,
            sees.PATH_DIST: path_dist / 2,
            sees.PATH_ALIGN: path_align / 2,
            sees.FORWARD: forward_point_distance_m,
            sees.INFLATION: inflation_radius_m,
            sees.DECAY: cost_scaling_per_m,
            sees.PREDICTS: float(predicts),
            sees.GROWTH: growth_m_per_s,
            sees.MARGIN: margin_m,
            sees.NEARNESS: nearness,
            sees.WAY: way,
        }
        self._setting = sees.settings_row(worlds, dt, settings)
        self._ahead, self._fixed = sees.scratch(steps, self._tracker)
        self._plan = np.zeros((2, PLAN_COLS), np.float32)
        self._trend = np.zeros((worlds.num_lanes, _TREND_COLS), np.float32)
        self._choice = np.zeros(worlds.num_lanes, np.int64)

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return actions for ``obs`` (L, D)."""
        sight, driver = self._sight, self._driver
        state = self._tracker.see(obs)
        command = np.ascontiguousarray(driver.choices(sight.last_command(obs)) * driver.scale, np.float32)
        twist = np.ascontiguousarray(sight.twist(obs), np.float32)
        _choose(
            state, sight.goals(obs), sight.way(obs), twist, command, self._tracker.begins, self._tracker.drives,
            self._setting, self._branch, self._ahead, self._fixed, self._plan, self._trend, self._choice,
        )  # fmt: skip
        return driver.chosen(self._choice.copy())
