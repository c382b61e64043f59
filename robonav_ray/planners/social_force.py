"""The social force model (Helbing and Molnar 1995) as the robot, by the true state of everything around it."""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.commands import Driver, PlannerError, last_command
from robonav_ray.planners.orca import target_of, targets_of
from robonav_ray.planners.sight import GoalSight
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.ground import walls_of
from robonav_ray.worlds.kernels.kernel import F0, F1, kernel
from robonav_ray.worlds.kernels.orca import NEIGHBOR_COLS
from robonav_ray.worlds.kernels.randomization import NUM_GOALS
from robonav_ray.worlds.kernels.reactive import add_map_wall, gather_others, social_force_wish


@kernel
def _commands(state, params, target, strength, fall_off, relaxation, sight, lead, gain, neighbor, command):
    """Write the command (N, R, 2) of every robot: the velocity at which its forces balance, or towards it."""
    robot, lane, goal, level = state.robot, state.lane, state.goal, params.level
    for w in range(robot.shape[0]):
        k = state.world[w, lay.LEVEL]
        num_goals, const, wall = np.int64(level[k, NUM_GOALS]), params.const[k], walls_of(params.wall, params.ground, k)
        for r in range(robot.shape[1]):
            dx, dy = target_of(state, goal, num_goals, target, w, r)
            num = gather_others(
                robot, lane, state.circle, state.circle_kind, state.world, wall, F1, F0, F1, neighbor, w, r
            )
            num = add_map_wall(params.site, robot, neighbor, num, F0, w, r)
            ux, uy, scale = social_force_wish(
                robot, const, neighbor, num, dx, dy, strength, fall_off, relaxation, sight, lead, w, r
            )
            c, s = robot[w, r, lay.COS], robot[w, r, lay.SIN]
            ahead, left = scale * (c * ux + s * uy), scale * (c * uy - s * ux)
            if const[lay.HOLONOMIC] > F0:
                command[w, r, 0], command[w, r, 1] = ahead, left
            else:
                command[w, r, 0], command[w, r, 1] = max(ahead, F0), gain * np.arctan2(left, ahead)


class SocialForcePlanner:
    """Drives every robot of ``worlds`` as a pedestrian of the social force model.

    It asks for the velocity at which the forces balance, so that a coarse action set does not hold it at a crawl.
    The defaults are Helbing and Molnar's: a push of ``strength`` (m/s^2) at contact that falls off over ``fall_off_m``,
    ``relaxation_s`` to the wanted velocity, and half the weight (``sight``) for what is behind. ``lead_s`` lets the
    push come from where others will be. Where observations show the path, it drives at a point of that.
    """

    knows = "true state"

    def __init__(
        self,
        worlds: BatchedWorlds,
        strength: float = 7.0,
        fall_off_m: float = 0.3,
        relaxation_s: float = 0.5,
        sight: float = 0.5,
        lead_s: float = 0.0,
        heading_gain: float = 4.0,
    ) -> None:
        """Drive ``worlds``, whose state is read at every call; PlannerError for a setting that is out of range."""
        if min(fall_off_m, relaxation_s, heading_gain) <= 0.0 or strength < 0.0 or lead_s < 0.0 or not 0 <= sight <= 1:
            raise PlannerError(
                "planner social_force: fall_off_m, relaxation_s and heading_gain must be above 0, strength and lead_s "
                "at least 0, and sight in [0, 1]"
            )
        self._worlds, self._driver, self._sight = worlds, Driver(worlds), GoalSight(worlds)
        numbers = (strength, fall_off_m, relaxation_s, sight, lead_s, heading_gain)
        self._args = tuple(np.float32(v) for v in numbers)
        rows = worlds.max_circles + worlds.num_robots + len(worlds.params.wall) + 1
        self._neighbor = np.zeros((rows, NEIGHBOR_COLS), np.float32)
        self._command = np.zeros((worlds.num_worlds, worlds.num_robots, 2), np.float32)

    def act(self, obs: np.ndarray | None = None) -> np.ndarray:
        """Return actions; of ``obs`` nothing but the path is looked at (the true state is)."""
        target = targets_of(self._sight, obs)
        _commands(self._worlds.state, self._worlds.params, target, *self._args, self._neighbor, self._command)
        return self._driver.action(self._command.reshape(-1, 2), last_command(self._worlds))
