"""ORCA as the robot (van den Berg et al. 2011): a planner that knows the true state of everything around it."""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.commands import Driver, PlannerError, last_command
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.kernel import F0, F1, kernel
from robonav_ray.worlds.kernels.obstacles import ORCA_MARGIN
from robonav_ray.worlds.kernels.orca import NEIGHBOR_COLS
from robonav_ray.worlds.kernels.randomization import NUM_GOALS
from robonav_ray.worlds.kernels.reactive import gather_others, orca_wish, way_to_goal


@kernel
def _orca_commands(state, params, margin, share, horizon, gain, neighbor, line, command):
    """Write the command (N, R, 2) of every robot: the ORCA velocity, steered towards by a unicycle."""
    robot, lane, goal, const, level = state.robot, state.lane, state.goal, params.const, params.level
    for w in range(robot.shape[0]):
        num_goals = np.int64(level[state.world[w, lay.LEVEL], NUM_GOALS])
        for r in range(robot.shape[1]):
            dx, dy = way_to_goal(robot, lane, goal, num_goals, w, r)
            num = gather_others(
                robot, lane, state.circle, state.circle_kind, state.world, params.wall, F1, margin, share, neighbor, w,
                r,
            )  # fmt: skip
            ux, uy = orca_wish(robot, const, neighbor, num, line, dx, dy, F1, margin, F1, horizon, w, r)
            c, s = robot[w, r, lay.COS], robot[w, r, lay.SIN]
            ahead, left = c * ux + s * uy, c * uy - s * ux
            if const[lay.HOLONOMIC] > F0:
                command[w, r, 0], command[w, r, 1] = ahead, left
            else:
                command[w, r, 0] = max(ahead, F0)
                command[w, r, 1] = gain * np.arctan2(left, ahead) if ux * ux + uy * uy > np.float32(1e-6) else F0


class OrcaPlanner:
    """Drives every robot of ``worlds`` by ORCA; ``act`` returns the nearest action of the worlds' action set.

    The robot's and the others' radii grow by .01 m + ``safety_space_m`` each, as in CrowdNav. ``share`` is the part of
    the avoidance that the robot takes on: .5 as in the paper (and CrowdNav), 1 among those who do not look at it. A
    unicycle turns to the chosen velocity with ``heading_gain`` (1/s) and drives its forward part.
    """

    knows = "true state"

    def __init__(
        self,
        worlds: BatchedWorlds,
        safety_space_m: float = 0.0,
        share: float = 0.5,
        horizon_s: float = 5.0,
        heading_gain: float = 4.0,
    ) -> None:
        """Plan for ``worlds``, whose state is read at every call; PlannerError for a setting that is out of range."""
        if safety_space_m < 0.0 or not 0.0 < share <= 1.0 or horizon_s <= 0.0:
            raise PlannerError("planner orca: safety_space_m must be at least 0, share in (0, 1], horizon_s above 0")
        self.worlds = worlds
        self._driver = Driver(worlds)
        self._args = tuple(np.float32(v) for v in (float(ORCA_MARGIN) + safety_space_m, share, horizon_s, heading_gain))
        rows = worlds.max_circles + worlds.num_robots + len(worlds.params.wall) + 1
        self._neighbor = np.zeros((rows, NEIGHBOR_COLS), np.float32)
        self._line = np.zeros((2, rows + 4, 4), np.float32)
        self._command = np.zeros((worlds.num_worlds, worlds.num_robots, 2), np.float32)

    def command(self) -> np.ndarray:
        """Return (L, 2) float32 commands in SI units for ``step_command``; overwritten by the next call."""
        worlds = self.worlds
        _orca_commands(worlds.state, worlds.params, *self._args, self._neighbor, self._line, self._command)
        return self._command.reshape(-1, 2)

    def act(self, obs: np.ndarray | None = None) -> np.ndarray:
        """Return (L,) int64 actions, or (L, 2) for continuous ones; ``obs`` is not looked at (the true state is)."""
        del obs
        return self._driver.action(self.command(), last_command(self.worlds))
