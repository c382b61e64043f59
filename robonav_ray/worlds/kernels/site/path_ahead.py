"""The way ahead as a robot is shown it: the next points of its route through a map."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, hot_kernel, kernel
from robonav_ray.worlds.kernels.layout import GOAL_SCALE_M, STEP, X, Y
from robonav_ray.worlds.kernels.site.lookup import bend_after, next_bend
from robonav_ray.worlds.kernels.site.tables import (
    BEND_X,
    BEND_Y,
    BENDS_AT,
    PATH_POINTS,
    PATH_REPLAN,
    PATH_SPACING,
    PLAN_GOAL,
    PLAN_X,
    PLAN_Y,
)

_GOAL_UNIT, _MOST, _TINY = np.float32(1.0 / GOAL_SCALE_M), np.float32(10.0), np.float32(1e-9)
_MOST_BENDS = 1000


@hot_kernel
def _begin_plan(plan, x, y, w, r, g):
    plan[w, r, PLAN_X], plan[w, r, PLAN_Y], plan[w, r, PLAN_GOAL] = x, y, np.float32(g)


@kernel
def _nearest_on_plan(site, m, mark, x, y, w, r):
    """Return the squared distance of (x, y) from the plan of robot (w, r), the plan's nearest point, and the bend that
    comes after it.
    """
    ax, ay = site.plan[w, r, PLAN_X], site.plan[w, r, PLAN_Y]
    b = next_bend(site, m, mark, ax, ay)
    end, best, near_x, near_y, after = site.mark_at[mark, BENDS_AT], np.float32(1e30), ax, ay, b
    for _ in range(_MOST_BENDS):
        dx, dy = site.bend[b, BEND_X] - ax, site.bend[b, BEND_Y] - ay
        part = min(max(((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, _TINY), F0), F1)
        px, py = ax + part * dx, ay + part * dy
        d2 = (x - px) * (x - px) + (y - py) * (y - py)
        if d2 < best:
            best, near_x, near_y, after = d2, px, py, b
        if b == end:
            break
        ax, ay, b = site.bend[b, BEND_X], site.bend[b, BEND_Y], bend_after(site, mark, b)
    return best, near_x, near_y, after


@kernel
def write_path(site, robot, lane, w, r, g, x, y, c, s, out, i, at):
    """Write the next points of the route of robot (w, r) to its goal ``g`` into ``out[i, at:]``, in the frame of the
    pose (x, y, heading c, s) that it believes to have; past the end the goal repeats.

    The route is kept until the robot is off it by more than the config says, or has another goal; then it begins anew
    where the robot is.
    """
    if site is None or site.grid.shape[0] == 0:
        return
    num = np.int64(site.rig[PATH_POINTS])
    if num == 0:
        return
    m, mark, plan = np.int64(site.map_of[w]), np.int64(site.goal_mark[w, r, g]), site.plan
    true_x, true_y, most = robot[w, r, X], robot[w, r, Y], site.rig[PATH_REPLAN]
    if lane[w, r, STEP] == 0 or plan[w, r, PLAN_GOAL] != np.float32(g):
        _begin_plan(plan, true_x, true_y, w, r, g)
    off, px, py, b = _nearest_on_plan(site, m, mark, true_x, true_y, w, r)
    if off > most * most:
        _begin_plan(plan, true_x, true_y, w, r, g)
        px, py, b = true_x, true_y, next_bend(site, m, mark, true_x, true_y)
    end = site.mark_at[mark, BENDS_AT]
    for n in range(num):
        left = site.rig[PATH_SPACING]
        while True:
            dx, dy = site.bend[b, BEND_X] - px, site.bend[b, BEND_Y] - py
            length = np.sqrt(dx * dx + dy * dy)
            if length > left:
                part = left / length
                px, py = px + part * dx, py + part * dy
                break
            px, py = site.bend[b, BEND_X], site.bend[b, BEND_Y]
            if b == end:
                break
            left, b = left - length, bend_after(site, mark, b)
        dx, dy = px - x, py - y
        out[i, at + 2 * n] = min(max((c * dx + s * dy) * _GOAL_UNIT, -_MOST), _MOST)
        out[i, at + 2 * n + 1] = min(max((c * dy - s * dx) * _GOAL_UNIT, -_MOST), _MOST)
