"""Plans rolled out among tracked circles and walls, and what they cost: what ``dwa`` and ``mppi`` have in common.

Everything is in the body frame of now: the robot begins at (0, 0), looking along x. Circles keep their velocities.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.planners.tracking import MAX_TRACKS
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, HALF, kernel

(
    DT,
    HOLONOMIC,
    RADIUS,
    TOLERANCE,
    TOP_SPEED,
    ACCELERATION,
    TURN_ACCELERATION,
    PREDICTS,
    GROWTH,
    MARGIN,
    NEARNESS,
    WAY,
    GOAL_DIST,
    GOAL_ALIGN,
    PATH_DIST,
    PATH_ALIGN,
    FORWARD,
    OBSTACLE,
    INFLATION,
    DECAY,
) = range(20)
"""Columns of the settings (20,) float32 that kernels read; see ``settings_row``."""
P_X, P_Y, P_COS, P_SIN, P_V, P_W, P_NEAR, P_WAY, P_FREE, P_REACHED, P_CRASHED = range(11)
"""Columns of a plan under way: pose, twist, nearness so far (s), way to go summed over time (m s), clearance (m),
and the steps after which a goal was last reached, and after which it ended in a collision; 0 where it did not."""
PLAN_COLS = 11
WORSE, CRASHED, ALIVE, DONE = -1, 0, 1, 2
"""How a roll-out ended: given up as worse than the best one, in a collision, not at all, at the last known goal."""
_NO_LIMIT = 1.0e6
_TINY, _TWO, _INSCRIBED = np.float32(1e-6), np.float32(2.0), np.float32(252.0)
_CRASH_PRICE, _LATER = np.float32(1.0e4), np.float32(100.0)


def settings_row(worlds: BatchedWorlds, dt_s: float, settings: dict[int, float]) -> np.ndarray:
    """Return the (20,) float32 row of the robot's facts and ``settings`` by column; a plan's step takes ``dt_s``."""
    world, robot = worlds.config, worlds.config.robot
    row = np.zeros(20, np.float32)
    facts = {
        DT: dt_s,
        HOLONOMIC: robot.drive == "holonomic",
        RADIUS: robot.radius_m,
        TOLERANCE: world.goal_tolerance_m,
        TOP_SPEED: robot.max_speed,
        ACCELERATION: robot.max_acceleration or _NO_LIMIT,
        TURN_ACCELERATION: robot.max_turn_acceleration or _NO_LIMIT,
    }
    if robot.drive == "holonomic":
        facts[TURN_ACCELERATION] = facts[ACCELERATION]
    for column, value in {**facts, **settings}.items():
        row[column] = value
    return row


@kernel
def foresee(state, i, setting, ahead, fixed):
    """Write what lane ``i`` could meet; return (number of circles, number of fixed points).

    ``ahead`` (T, 3, MAX_TRACKS): x, y and least distance of centres at every step, of circles that could come near;
    ``fixed`` (2, 2 B): the points of walls that the robot could come near to.
    """
    steps, num, num_fixed = ahead.shape[0], 0, 0
    horizon = setting[DT] * np.float32(steps)
    reach = setting[TOP_SPEED] * horizon + setting[RADIUS] + max(setting[INFLATION], setting[MARGIN])
    for k in range(state.num_circles[i]):
        x, y, vx, vy = state.circle[i, k, 0], state.circle[i, k, 1], state.circle[i, k, 2], state.circle[i, k, 3]
        comes = (np.sqrt(vx * vx + vy * vy) + setting[GROWTH]) * horizon * setting[PREDICTS]
        if np.sqrt(x * x + y * y) > reach + state.circle[i, k, 4] + comes:
            continue
        for t in range(steps):
            time = setting[DT] * np.float32(t + 1) * setting[PREDICTS]
            ahead[t, 0, num], ahead[t, 1, num] = x + vx * time, y + vy * time
            ahead[t, 2, num] = state.circle[i, k, 4] + setting[RADIUS] + setting[GROWTH] * time
        num += 1
    for j in range(state.num_fixed[i]):
        x, y = state.fixed[i, j, 0], state.fixed[i, j, 1]
        if x * x + y * y < reach * reach:
            fixed[0, num_fixed], fixed[1, num_fixed] = x, y
            num_fixed += 1
    return num, num_fixed


@kernel
def _free_space(ahead, num, fixed, num_fixed, radius, x, y, t):
    """Return the clearance of a robot at (x, y) after step ``t`` of a plan."""
    least, near = FAR, FAR * FAR
    for k in range(num):
        dx, dy = ahead[t, 0, k] - x, ahead[t, 1, k] - y
        least = min(least, np.sqrt(dx * dx + dy * dy) - ahead[t, 2, k])
    for j in range(num_fixed):
        dx, dy = fixed[0, j] - x, fixed[1, j] - y
        near = min(near, dx * dx + dy * dy)
    return min(least, np.sqrt(near) - radius)


@kernel
def begin_plan(plan, twist, i):
    """Set ``plan`` (PLAN_COLS,) to where lane ``i`` is now."""
    plan[:] = F0
    plan[P_COS], plan[P_FREE], plan[P_V], plan[P_W] = F1, FAR, twist[i, 0], twist[i, 1]


@kernel
def _limited(wanted, now, most):
    return min(max(wanted, now - most), now + most)


@kernel
def roll(plan, v, o, ahead, num, fixed, num_fixed, goal, leg, setting, best, first, last):
    """Roll ``plan`` on under the command (v, o) over the steps ``first`` to ``last``; return how that ended.

    ``goal`` (2, 2): the goal and the next one, ``leg`` m apart (0: the same). A plan is given up when even the straight
    way at full speed would make it dearer than ``best``.
    """
    dt, steps, holonomic = setting[DT], ahead.shape[0], setting[HOLONOMIC] > F0
    way_price = setting[WAY] / (np.float32(steps) * dt)
    mc, ms, tc, ts = F1, F0, F1, F0
    for t in range(first, last):
        plan[P_V] = _limited(v, plan[P_V], setting[ACCELERATION] * dt)
        before, plan[P_W] = plan[P_W], _limited(o, plan[P_W], setting[TURN_ACCELERATION] * dt)
        ahead_v, left = plan[P_V], plan[P_W] if holonomic else F0
        if not holonomic and (t == first or before != plan[P_W]):
            turn = plan[P_W] * dt
            mc, ms, tc, ts = np.cos(HALF * turn), np.sin(HALF * turn), np.cos(turn), np.sin(turn)
        c, s = plan[P_COS], plan[P_SIN]
        hc, hs = c * mc - s * ms, s * mc + c * ms
        plan[P_X] += dt * (ahead_v * hc - left * hs)
        plan[P_Y] += dt * (ahead_v * hs + left * hc)
        plan[P_COS], plan[P_SIN] = c * tc - s * ts, s * tc + c * ts
        free = _free_space(ahead, num, fixed, num_fixed, setting[RADIUS], plan[P_X], plan[P_Y], t)
        plan[P_FREE] = free
        if free <= F0:
            plan[P_CRASHED] = np.float32(t + 1)
            return CRASHED
        plan[P_NEAR] += max(F1 - free / max(setting[MARGIN], _TINY), F0) * dt
        g = 1 if plan[P_REACHED] > F0 else 0
        dx, dy = goal[g, 0] - plan[P_X], goal[g, 1] - plan[P_Y]
        distance = np.sqrt(dx * dx + dy * dy)
        rest = distance if g else distance + leg
        plan[P_WAY] += rest * dt
        if distance < setting[TOLERANCE]:
            plan[P_REACHED] = np.float32(t + 1)
            if g == 1 or leg == F0:
                return DONE
        could = rest - setting[TOP_SPEED] * dt * np.float32(steps - 1 - t) - setting[FORWARD] - setting[TOLERANCE]
        least = (setting[GOAL_DIST] + setting[GOAL_ALIGN]) * could
        if least + setting[NEARNESS] * plan[P_NEAR] + way_price * plan[P_WAY] > best:
            return WORSE
    return ALIVE


@kernel
def _off_path(x, y, gx, gy):
    """Return how far (x, y) is from the straight way from (0, 0) to (gx, gy)."""
    part = min(max((x * gx + y * gy) / max(gx * gx + gy * gy, _TINY), F0), F1)
    dx, dy = x - part * gx, y - part * gy
    return np.sqrt(dx * dx + dy * dy)


@kernel
def price(plan, goal, leg, setting, steps, end):
    """Return what a plan that ended as ``end`` costs; a collision more than any other, and less the later it comes."""
    horizon = np.float32(steps) * setting[DT]
    cost = setting[NEARNESS] * plan[P_NEAR] + setting[WAY] * plan[P_WAY] / horizon
    if end == DONE:
        left = horizon - plan[P_REACHED] * setting[DT]
        return cost - (setting[GOAL_DIST] + setting[GOAL_ALIGN]) * setting[TOP_SPEED] * left
    x, y, g = plan[P_X], plan[P_Y], 1 if plan[P_REACHED] > F0 else 0
    fx, fy = x + setting[FORWARD] * plan[P_COS], y + setting[FORWARD] * plan[P_SIN]
    dx, dy, ex, ey = goal[g, 0] - x, goal[g, 1] - y, goal[g, 0] - fx, goal[g, 1] - fy
    cost += setting[GOAL_DIST] * np.sqrt(dx * dx + dy * dy) + setting[GOAL_ALIGN] * np.sqrt(ex * ex + ey * ey)
    if g == 0:
        cost += (setting[GOAL_DIST] + setting[GOAL_ALIGN]) * leg + _TWO * setting[FORWARD] * setting[GOAL_ALIGN]
        cost += setting[PATH_DIST] * _off_path(x, y, goal[0, 0], goal[0, 1])
        cost += setting[PATH_ALIGN] * _off_path(fx, fy, goal[0, 0], goal[0, 1])
    if plan[P_FREE] < setting[INFLATION]:
        cost += setting[OBSTACLE] * _INSCRIBED * np.exp(-setting[DECAY] * max(plan[P_FREE], F0))
    if end == CRASHED:
        cost += _CRASH_PRICE - _LATER * plan[P_CRASHED]
    return cost


def scratch(steps: int, beams: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the arrays ``ahead`` and ``fixed`` that ``foresee`` fills, for plans of so many steps."""
    return np.zeros((steps, 3, MAX_TRACKS), np.float32), np.zeros((2, 2 * beams), np.float32)
