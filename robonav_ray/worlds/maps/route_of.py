"""The route of a robot as a line for people to see."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.site import tables as at
from robonav_ray.worlds.kernels.site.lookup import bend_after, next_bend


def route_of(state: lay.State, params: lay.Params, world: int, robot: int, goal: np.ndarray) -> np.ndarray:
    """Return (P, 2) float64: the route of a robot from where its plan began, or, where it is shown none, from where it
    is, to its ``goal`` (2,).
    """
    begin, site = state.robot[world, robot, :2].astype(np.float64), params.site
    if site is None or not len(site.grid):
        return np.stack([begin, goal.astype(np.float64)])
    g = int(state.lane[world, robot, lay.GOAL_INDEX])
    mark = int(state.goal_mark[world, robot, min(g, state.goal_mark.shape[2] - 1)])
    if site.rig[at.PATH_POINTS] > 0:
        begin = state.plan[world, robot, :2].astype(np.float64)
    points, m, end = [begin], int(state.map_of[world]), int(site.mark_at[mark, at.BENDS_AT])
    b = int(next_bend(site, m, mark, np.float32(begin[0]), np.float32(begin[1])))
    while True:
        points.append(site.bend[b, :2].astype(np.float64))
        if b == end:
            return np.stack(points)
        b = int(bend_after(site, mark, b))
