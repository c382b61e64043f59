"""A planner with foresight: a dynamic-window search over two-piece commands among moving circles.

The dynamic window approach (Fox et al. 1997) with obstacles that move (Seder and Petrovic 2007): every plan is one
command for a while and another one up to the horizon, rolled out against circles that keep their velocity until they
reach their target. It knows the true state, the targets of the circles among it, so its success says how many worlds
can be won at all.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.commands import PlannerError
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, HALF, kernel
from robonav_ray.worlds.kernels.randomization import NUM_GOALS

_STRIDE = 2
"""Env steps per step of a plan."""
_PIECES = (2, 4, 8)
"""Lengths that the first command may have, in steps of a plan."""
_CRASH = np.float32(1.0e3)
_TINY = np.float32(1e-6)


@kernel
def _predict(circle, circle_kind, world, const, dt, w, ahead):
    """Write the centres of all circles of world ``w`` into ``ahead`` (T, M, 2), step 0 being the end of the first
    step.
    """
    for j in range(world[w, lay.NUM_CIRCLES]):
        x, y = circle[w, lay.C_X, j], circle[w, lay.C_Y, j]
        vx, vy = circle[w, lay.C_VX, j], circle[w, lay.C_VY, j]
        room = const[lay.HALF_SIDE] - circle[w, lay.C_RADIUS, j] if const[lay.WALLS] > F0 else FAR
        left = FAR
        if circle_kind[w, lay.KIND, j] == lay.WAYPOINT:
            dx, dy = circle[w, lay.C_TX, j] - x, circle[w, lay.C_TY, j] - y
            left = np.sqrt(dx * dx + dy * dy) / max(circle[w, lay.C_SPEED, j], _TINY)
        for t in range(ahead.shape[0]):
            step = min(dt, max(left, F0))
            left -= dt
            x, y = x + vx * step, y + vy * step
            if circle_kind[w, lay.KIND, j] == lay.BOUNCE:
                vx, vy = -vx if abs(x) > room else vx, -vy if abs(y) > room else vy
            x, y = min(max(x, -room), room), min(max(y, -room), room)
            ahead[t, j, 0], ahead[t, j, 1] = x, y


@kernel
def _clearance(circle, num_circles, ahead, half, radius, x, y, w, t):
    """Return the free space around a robot at (x, y) after step ``t`` of a plan, at most 10 m."""
    nearest = min(half - abs(x), half - abs(y)) - radius
    for j in range(num_circles):
        dx, dy = ahead[t, j, 0] - x, ahead[t, j, 1] - y
        nearest = min(nearest, np.sqrt(dx * dx + dy * dy) - circle[w, lay.C_RADIUS, j] - radius)
    return nearest


@kernel
def _advance(pose, goal, circle, num_circles, num_goals, ahead, const, margin, v, omega, dt, w, r, first, last):
    """Roll ``pose`` (9,) on under (v, omega) over steps ``first`` to ``last``; False when it hits something.

    Columns of ``pose``: x, y, cos, sin, goal index, price of nearness (s), seconds to the last goal, step of the crash,
    integral of the way still to go (m s), which keeps a plan from putting off what it can do now.
    """
    half = const[lay.HALF_SIDE] if const[lay.WALLS] > F0 else FAR
    radius, turn = const[lay.RADIUS], omega * dt
    c_half, s_half, c_turn, s_turn = np.cos(HALF * turn), np.sin(HALF * turn), np.cos(turn), np.sin(turn)
    for t in range(first, last):
        c, s = pose[2], pose[3]
        pose[0] += v * dt * (c * c_half - s * s_half)
        pose[1] += v * dt * (s * c_half + c * s_half)
        pose[2], pose[3] = c * c_turn - s * s_turn, s * c_turn + c * s_turn
        free = _clearance(circle, num_circles, ahead, half, radius, pose[0], pose[1], w, t)
        if free <= F0:
            pose[7] = np.float32(t)
            return False
        if free < margin:
            pose[5] += (F1 - free / margin) * dt
        g = np.int64(pose[4])
        if g < num_goals:
            dx, dy = goal[w, r, g, lay.G_X] - pose[0], goal[w, r, g, lay.G_Y] - pose[1]
            distance = np.sqrt(dx * dx + dy * dy)
            pose[8] += (distance + goal[w, r, g, lay.LEGS_AFTER]) * dt
            if distance < const[lay.GOAL_TOLERANCE]:
                pose[4] += F1
                if g + 1 == num_goals:
                    pose[6] = np.float32(t) * dt
    return True


@kernel
def _price(pose, goal, const, nearness, num_goals, survived, horizon_s, w, r):
    """Return what a plan that ends at ``pose`` costs, in metres of way still to go; a crash costs more the sooner it
    comes.
    """
    if pose[4] >= np.float32(num_goals):
        return const[lay.MAX_SPEED] * (pose[6] - horizon_s) + nearness * pose[5] + pose[8] / horizon_s
    g = np.int64(pose[4])
    dx, dy = goal[w, r, g, lay.G_X] - pose[0], goal[w, r, g, lay.G_Y] - pose[1]
    distance = np.sqrt(dx * dx + dy * dy)
    price = distance + goal[w, r, g, lay.LEGS_AFTER] + nearness * pose[5] + pose[8] / horizon_s
    off = F1 - (pose[2] * dx + pose[3] * dy) / max(distance, _TINY)
    price += HALF * min(distance, F1) * off
    if not survived:
        price += _CRASH - np.float32(10.0) * pose[7]
    return price


@kernel
def _lookahead(state, consts, level, table, piece, dt, margin, nearness, ahead, pose, action):
    """Write the action (N, R) int64 that begins the cheapest plan of every robot."""
    robot, lane, circle, goal = state.robot, state.lane, state.circle, state.goal
    steps = ahead.shape[0]
    horizon_s = np.float32(steps) * dt
    first_pose, end_pose = pose[0], pose[1]
    for w in range(robot.shape[0]):
        num_circles = state.world[w, lay.NUM_CIRCLES]
        k = state.world[w, lay.LEVEL]
        num_goals, const = np.int64(level[k, NUM_GOALS]), consts[k]
        if lane[w, 0, lay.ENDED] != 0:
            continue
        _predict(circle, state.circle_kind, state.world, const, dt, w, ahead)
        for r in range(robot.shape[1]):
            best, action[w, r] = np.float32(1.0e9), 0
            for a in range(table.shape[0]):
                first_pose[0], first_pose[1] = robot[w, r, lay.X], robot[w, r, lay.Y]
                first_pose[2], first_pose[3] = robot[w, r, lay.COS], robot[w, r, lay.SIN]
                first_pose[4] = np.float32(lane[w, r, lay.GOAL_INDEX])
                first_pose[5], first_pose[6], first_pose[7], first_pose[8] = F0, F0, F0, F0
                begun = 0
                for p in range(piece.shape[0]):
                    alive = _advance(
                        first_pose, goal, circle, num_circles, num_goals, ahead, const, margin,
                        table[a, 0], table[a, 1], dt, w, r, begun, piece[p],
                    )  # fmt: skip
                    begun = piece[p]
                    if not alive:
                        price = _price(first_pose, goal, const, nearness, num_goals, False, horizon_s, w, r)
                        if price < best:
                            best, action[w, r] = price, a
                        break
                    for b in range(table.shape[0]):
                        for i in range(9):
                            end_pose[i] = first_pose[i]
                        survived = _advance(
                            end_pose, goal, circle, num_circles, num_goals, ahead, const, margin,
                            table[b, 0], table[b, 1], dt, w, r, begun, steps,
                        )  # fmt: skip
                        price = _price(end_pose, goal, const, nearness, num_goals, survived, horizon_s, w, r)
                        if price < best:
                            best, action[w, r] = price, a


class LookaheadPlanner:
    """Drives the robot of each of ``worlds``, a unicycle with discrete actions, in an arena without inner walls.

    Nearness below ``margin_m`` costs up to ``nearness_m_per_s`` metres of way per second.
    """

    knows = "true state"

    def __init__(
        self, worlds: BatchedWorlds, horizon_s: float = 3.0, margin_m: float = 0.25, nearness_m_per_s: float = 2.0
    ) -> None:
        """Plan for ``worlds``, whose state is read at every call; PlannerError for another drive or other actions."""
        if (
            worlds.action_table is None
            or worlds.config.robot.drive != "unicycle"
            or worlds.config.robot.actions != "discrete15"
        ):
            raise PlannerError("the lookahead planner drives unicycles: set env.world.robot.actions=discrete15")
        walled = any(world.segments or world.boxes for world in worlds.worlds_of_levels)
        if walled or worlds.config.map is not None or worlds.num_robots != 1:
            raise PlannerError("the lookahead planner knows no inner walls and no other robots")
        if horizon_s <= 0.0 or margin_m <= 0.0 or nearness_m_per_s < 0.0:
            raise PlannerError("planner lookahead: horizon_s, margin_m must be above 0, nearness_m_per_s at least 0")
        self.worlds = worlds
        self._dt = np.float32(worlds.config.dt_s * _STRIDE)
        steps = max(round(horizon_s / float(self._dt)), _PIECES[-1] + 1)
        self._table = np.ascontiguousarray(worlds.action_table, np.float32)
        self._piece = np.array(_PIECES, np.int64)
        self._args = (np.float32(margin_m), np.float32(nearness_m_per_s))
        self._ahead = np.zeros((steps, max(worlds.max_circles, 1), 2), np.float32)
        self._pose = np.zeros((2, 9), np.float32)
        self._action = np.zeros((worlds.num_worlds, worlds.num_robots), np.int64)

    def act(self, obs: np.ndarray | None = None) -> np.ndarray:
        """Return (L,) int64 actions; ``obs`` is not looked at (the true state is)."""
        del obs
        params = self.worlds.params
        _lookahead(
            self.worlds.state, params.const, params.level, self._table, self._piece, self._dt, *self._args,
            self._ahead, self._pose, self._action,
        )  # fmt: skip
        return self._action.reshape(-1).copy()
