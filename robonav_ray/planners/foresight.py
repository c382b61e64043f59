"""Plans rolled out among tracked circles and walls, and what they cost: what ``dwa`` and ``mppi`` have in common.

Everything is in the body frame of now: the robot begins at (0, 0), looking along x. Circles keep their velocities.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.config.worlds import RobotConfig
from robonav_ray.planners.tracking import Tracker
from robonav_ray.planners.tracks import MAX_TRACKS
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
    THIN,
    TURN_RADIUS,
    MIDDLE,
    HALF_LENGTH,
    HALF_WIDTH,
) = range(25)
"""Columns of the settings (25,) float32 that kernels read; see ``settings_row``."""
P_X, P_Y, P_COS, P_SIN, P_V, P_W, P_NEAR, P_WAY, P_FREE, P_REACHED, P_CRASHED = range(11)
"""Columns of a plan under way: pose, twist, nearness so far (s), way to go summed over time (m s), clearance (m),
and the steps after which a goal was last reached, and after which it ended in a collision; 0 where it did not."""
PLAN_COLS = 11
WORSE, CRASHED, ALIVE, DONE = -1, 0, 1, 2
"""How a roll-out ended: given up as worse than the best one, in a collision, not at all, at the last known goal."""
_NO_LIMIT = 1.0e6
_THIN_M = 0.04
"""On a map, of points of walls that follow each other, those nearer than this to the last one are left out."""
_TINY, _TWO, _INSCRIBED = np.float32(1e-6), np.float32(2.0), np.float32(252.0)
_CRASH_PRICE, _LATER = np.float32(1.0e4), np.float32(100.0)


def footprint(robot: RobotConfig) -> tuple[float, float, float, float]:
    """Return the body as a rectangle around it: (radius, how far ahead its middle is, half its length, half its width),
    m; of a disc the radius alone, and of others no radius.
    """
    corners = np.array(robot.body.corners)
    if not len(corners):
        return robot.radius_m, 0.0, 0.0, 0.0
    low, high = corners.min(axis=0), corners.max(axis=0)
    half_width = max(abs(low[1]), abs(high[1]))
    return 0.0, 0.5 * (low[0] + high[0]), 0.5 * (high[0] - low[0]), half_width


def settings_row(worlds: BatchedWorlds, dt_s: float, settings: dict[int, float]) -> np.ndarray:
    """Return the (25,) float32 row of the robot's facts and ``settings`` by column; a plan's step takes ``dt_s``."""
    world, robot = worlds.config, worlds.config.robot
    row = np.zeros(25, np.float32)
    facts = {
        DT: dt_s,
        **dict(zip((RADIUS, MIDDLE, HALF_LENGTH, HALF_WIDTH), footprint(robot), strict=True)),
        THIN: _THIN_M if world.map is not None else 0.0,
        HOLONOMIC: robot.is_holonomic,
        TURN_RADIUS: robot.min_turn_radius_m or 0.0,
        TOLERANCE: world.goal_tolerance_m,
        TOP_SPEED: robot.max_speed,
        ACCELERATION: robot.max_acceleration or _NO_LIMIT,
        TURN_ACCELERATION: robot.max_turn_acceleration or _NO_LIMIT,
    }
    if robot.is_holonomic:
        facts[TURN_ACCELERATION] = facts[ACCELERATION]
    for column, value in {**facts, **settings}.items():
        row[column] = value
    return row


@kernel
def foresee(state, i, setting, ahead, fixed):
    """Write what lane ``i`` could meet; return (number of circles, number of fixed points).

    ``ahead`` (T, 3, MAX_TRACKS): x, y and least distance of centres at every step, of circles that could come near;
    ``fixed`` (2, F): the points of walls that the robot could come near to.
    """
    steps, num, num_fixed, thin2 = ahead.shape[0], 0, 0, setting[THIN] * setting[THIN]
    horizon = setting[DT] * np.float32(steps)
    reach = setting[TOP_SPEED] * horizon + setting[RADIUS] + max(setting[INFLATION], setting[MARGIN])
    if setting[HALF_LENGTH] > F0:
        reach += abs(setting[MIDDLE]) + setting[HALF_LENGTH] + setting[HALF_WIDTH]
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
            if thin2 > F0 and num_fixed > 0:
                dx, dy = x - fixed[0, num_fixed - 1], y - fixed[1, num_fixed - 1]
                if dx * dx + dy * dy < thin2:
                    continue
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
def _beside(setting, dx, dy, c, s):
    """Return how far a point (dx, dy) from the robot's centre is from the rectangle of a body with heading (c, s)."""
    x = max(abs(c * dx + s * dy - setting[MIDDLE]) - setting[HALF_LENGTH], F0)
    y = max(abs(c * dy - s * dx) - setting[HALF_WIDTH], F0)
    return np.sqrt(x * x + y * y)


@kernel
def _free_around(plan, ahead, num, fixed, num_fixed, setting, t):
    """Return the clearance of a rectangular robot where ``plan`` is after step ``t``."""
    x, y, c, s, least = plan[P_X], plan[P_Y], plan[P_COS], plan[P_SIN], FAR
    for k in range(num):
        least = min(least, _beside(setting, ahead[t, 0, k] - x, ahead[t, 1, k] - y, c, s) - ahead[t, 2, k])
    for j in range(num_fixed):
        least = min(least, _beside(setting, fixed[0, j] - x, fixed[1, j] - y, c, s))
    return least


@kernel
def begin_plan(plan, twist, i):
    """Set ``plan`` (PLAN_COLS,) to where lane ``i`` is now."""
    plan[:] = F0
    plan[P_COS], plan[P_FREE], plan[P_V], plan[P_W] = F1, FAR, twist[i, 0], twist[i, 1]


@kernel
def _limited(wanted, now, most):
    return min(max(wanted, now - most), now + most)


@kernel
def _along(path, x, y):
    """Return (how far (x, y) is from the path, how far the goal is from the nearest point of it along the rest).

    The path leads from (0, 0) through the points ``path`` (K, 3), whose last column is the way left from each.
    """
    ax, ay, nearest2, left = F0, F0, FAR * FAR, F0
    for k in range(path.shape[0]):
        ux, uy = path[k, 0] - ax, path[k, 1] - ay
        length2 = ux * ux + uy * uy
        part = min(max(((x - ax) * ux + (y - ay) * uy) / max(length2, _TINY), F0), F1)
        dx, dy = x - ax - part * ux, y - ay - part * uy
        if dx * dx + dy * dy < nearest2:
            nearest2, left = dx * dx + dy * dy, path[k, 2] + (F1 - part) * np.sqrt(length2)
        ax, ay = path[k, 0], path[k, 1]
    return np.sqrt(nearest2), left


@kernel
def _go_round(plan, path, distance, setting, steps_left):
    """Add how much longer the way along the path is than the straight one, ``distance``, to what ``plan`` has of it;
    return how far the goal is at least, which cannot be reached beside the path.
    """
    off, along = _along(path, plan[P_X], plan[P_Y])
    plan[P_WAY] += (off + along - distance) * setting[DT]
    if distance < setting[TOP_SPEED] * setting[DT] * steps_left + setting[TOLERANCE]:
        return distance
    end = path.shape[0] - 1
    dx, dy = path[end, 0] - plan[P_X], path[end, 1] - plan[P_Y]
    return np.sqrt(dx * dx + dy * dy) + path[end, 2]


@kernel
def roll(plan, v, o, ahead, num, fixed, num_fixed, goal, leg, path, setting, best, first, last):
    """Roll ``plan`` on under the command (v, o) over the steps ``first`` to ``last``; return how that ended.

    ``goal`` (2, 2): the goal and the next one, ``leg`` m apart (0: the same); ``path`` (K, 3): the way to the first,
    see ``_along``, straight where K is 0. A plan is given up when even the straight way at full speed would make it
    dearer than ``best``.
    """
    dt, steps, holonomic = setting[DT], ahead.shape[0], setting[HOLONOMIC] > F0
    way_price = setting[WAY] / (np.float32(steps) * dt)
    mc, ms, tc, ts = F1, F0, F1, F0
    for t in range(first, last):
        plan[P_V] = _limited(v, plan[P_V], setting[ACCELERATION] * dt)
        before, plan[P_W] = plan[P_W], _limited(o, plan[P_W], setting[TURN_ACCELERATION] * dt)
        if setting[TURN_RADIUS] > F0:
            plan[P_W] = _limited(plan[P_W], F0, abs(plan[P_V]) / setting[TURN_RADIUS])
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
        if setting[HALF_LENGTH] > F0:
            free = _free_around(plan, ahead, num, fixed, num_fixed, setting, t)
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
        if path.shape[0] > 0 and g == 0:
            rest = _go_round(plan, path, distance, setting, np.float32(steps - 1 - t)) + leg
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
def _detour(path, goal, goal_price, path_price, x, y):
    """Return how much more the way from (x, y) to the path and along it costs than the straight one."""
    off, along = _along(path, x, y)
    dx, dy = goal[0, 0] - x, goal[0, 1] - y
    straight, off_straight = np.sqrt(dx * dx + dy * dy), _off_path(x, y, goal[0, 0], goal[0, 1])
    return goal_price * (off + along - straight) + path_price * (off - off_straight)


@kernel
def price(plan, goal, leg, path, setting, steps, end):
    """Return what a plan that ended as ``end`` costs; a collision more than any other, and less the later it comes.

    With a ``path`` (see ``roll``) the way to the goal goes to the path and along it.
    """
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
    if g == 0 and path.shape[0] > 0:
        cost += _detour(path, goal, setting[GOAL_DIST], setting[PATH_DIST], x, y)
        cost += _detour(path, goal, setting[GOAL_ALIGN], setting[PATH_ALIGN], fx, fy)
    return cost


def scratch(steps: int, tracker: Tracker) -> tuple[np.ndarray, np.ndarray]:
    """Return the arrays ``ahead`` and ``fixed`` that ``foresee`` fills, for plans of so many steps."""
    return np.zeros((steps, 3, MAX_TRACKS), np.float32), np.zeros((2, tracker.state.fixed.shape[1]), np.float32)
