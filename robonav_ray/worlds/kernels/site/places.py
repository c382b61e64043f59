"""How an episode begins in a floor plan: which map, and places in it that are free and that routes reach."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.draws import between, uniform
from robonav_ray.worlds.kernels.kernel import F0, FAR, kernel
from robonav_ray.worlds.kernels.layout import (
    EPISODE,
    INDEX,
    LAYOUT_STREAM,
    OWN_RADIUS,
    STATIC,
    X,
    Y,
)
from robonav_ray.worlds.kernels.site.lookup import is_reached, wall_clearance
from robonav_ray.worlds.kernels.site.tables import (
    ENDS,
    HALF_HEIGHT,
    HALF_WIDTH,
    MARK_AT,
    MARK_X,
    MARK_Y,
    NUM_MARKS,
    ROBOTS_REACH,
    WALKERS_REACH,
)

_GAP, _PI = np.float32(0.1), np.float32(np.pi)


@kernel
def draw_number(stream, w, num):
    """Return a whole number below ``num``, each as likely as the next, from the stream of layouts."""
    return min(np.int64(uniform(stream, w, LAYOUT_STREAM) * np.float32(num)), num - 1)


@kernel
def draw_map(site, stream, world, w):
    """Choose the map of the next episode of world ``w``, where worlds have maps."""
    if site is None or site.grid.shape[0] == 0:
        return
    if site.rig[ENDS] > F0:
        site.map_of[w] = np.int32((world[w, INDEX] + world[w, EPISODE]) % site.grid.shape[0])
    else:
        site.map_of[w] = np.int32(draw_number(stream, w, site.grid.shape[0]))
    site.plan[w] = F0
    site.circle_mark[w] = -1


@kernel
def draw_place(site, stream, const, room, w):
    """Return a place that is tried next, uniform: within ``room`` m of the arena's middle along either axis, or in the
    map.
    """
    half_x, half_y = room, room
    if site is not None and site.grid.shape[0] > 0:
        m = np.int64(site.map_of[w])
        half_x, half_y = site.frame[m, HALF_WIDTH], site.frame[m, HALF_HEIGHT]
    return between(stream, w, LAYOUT_STREAM, -half_x, half_x), between(stream, w, LAYOUT_STREAM, -half_y, half_y)


@kernel
def draw_start(site, stream, const, room, w):
    """Return a place for a robot that is tried next: the end at which episodes begin, or any."""
    if site is not None and site.grid.shape[0] > 0 and site.rig[ENDS] > F0:
        mark = site.grid[np.int64(site.map_of[w]), MARK_AT]
        return site.mark[mark, MARK_X], site.mark[mark, MARK_Y]
    return draw_place(site, stream, const, room, w)


@kernel
def draw_heading(site, stream, w):
    """Return the heading of a robot as it begins: any, or from one end of the map to the other."""
    if site is not None and site.grid.shape[0] > 0 and site.rig[ENDS] > F0:
        mark = site.grid[np.int64(site.map_of[w]), MARK_AT]
        dx, dy = (
            site.mark[mark + 1, MARK_X] - site.mark[mark, MARK_X],
            site.mark[mark + 1, MARK_Y] - site.mark[mark, MARK_Y],
        )
        return np.arctan2(dy, dx)
    return between(stream, w, LAYOUT_STREAM, -_PI, _PI)


@kernel
def robot_fits(site, w, x, y):
    """Return FAR where routes reach (x, y), or there is no map; -FAR where they do not."""
    if site is None or site.grid.shape[0] == 0:
        return FAR
    return FAR if is_reached(site, np.int64(site.map_of[w]), x, y, ROBOTS_REACH) else -FAR


@kernel
def circle_fits(site, robot, w, x, y, radius, kind):
    """Return how much more room than it needs a circle has at (x, y) of the map; FAR where there is none.

    One that moves begins where its routes reach. One that stands leaves a way around it for the robots.
    """
    if site is None or site.grid.shape[0] == 0:
        return FAR
    m = np.int64(site.map_of[w])
    if kind != STATIC:
        return FAR if is_reached(site, m, x, y, WALKERS_REACH) else -FAR
    widest = F0
    for r in range(robot.shape[1]):
        widest = max(widest, robot[w, r, OWN_RADIUS])
    return wall_clearance(site, m, x, y) - radius - widest - widest - _GAP


@kernel
def fall_back(site, robot, stream, w, r):
    """Put robot (w, r) at one of the map's goals, for want of another place."""
    if site is None or site.grid.shape[0] == 0:
        return
    mark = draw_mark(site, stream, w)
    robot[w, r, X], robot[w, r, Y] = site.mark[mark, MARK_X], site.mark[mark, MARK_Y]


@kernel
def draw_mark(site, stream, w):
    """Return the row of ``mark`` of one of the goals of the map of world ``w``, or of the end where episodes end."""
    m = np.int64(site.map_of[w])
    if site.rig[ENDS] > F0:
        return site.grid[m, MARK_AT] + 1
    return site.grid[m, MARK_AT] + draw_number(stream, w, site.grid[m, NUM_MARKS])


@kernel
def draw_goal(site, stream, const, room, w):
    """Return (mark, x, y) of a goal that is tried next: one of the map's, or, with mark -1, any place in the arena."""
    if site is not None and site.grid.shape[0] > 0:
        mark = draw_mark(site, stream, w)
        return np.int64(mark), site.mark[mark, MARK_X], site.mark[mark, MARK_Y]
    x, y = between(stream, w, LAYOUT_STREAM, -room, room), between(stream, w, LAYOUT_STREAM, -room, room)
    return np.int64(-1), x, y


@kernel
def note_goal(site, w, r, g, mark):
    """Remember which of the map's goals the goal ``g`` of robot (w, r) is."""
    if site is None or site.grid.shape[0] == 0:
        return
    site.goal_mark[w, r, g] = np.int32(mark)
