"""Where the tables of floor plans and of bodies lie, that worlds with a map or an own body look up.

``Params.site`` is None for all other worlds: kernels compiled for None have nothing of this in them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# grid (K, GRID_COLS) int64, one row per map: where its cells begin, and how many columns and rows there are; the same
# for the coarser cells of its routes; where its goals begin in ``mark`` and how many there are; the same for the places
# that obstacles walk to.
CELL_AT, CELL_NX, CELL_NY, ROUTE_AT, ROUTE_NX, ROUTE_NY, MARK_AT, NUM_MARKS, WALK_AT, NUM_WALKS = range(10)
FREE_AT, FREE_NX, FREE_SHIFT = 10, 11, 12  # where blocks of ``free`` begin, how many in a row, log2 of their cells
GRID_COLS = 13

SECTORS = 64
"""Directions that ``free`` tells apart."""

# frame (K, FRAME_COLS) float32: lower left corner of the cells in the world frame, their side and its inverse; the same
# for the cells of the routes; half of the map's width and height.
CELL_X, CELL_Y, CELL_M, PER_M, ROUTE_X, ROUTE_Y, ROUTES_PER_M, HALF_WIDTH, HALF_HEIGHT = range(9)
FRAME_COLS = 9

# mark (G, MARK_COLS) float32: places that routes lead to; mark_at (G, 2) int64: where its table of turns begins, and
# where its bends do.
MARK_X, MARK_Y = 0, 1
MARK_COLS = 2
TURNS_AT, BENDS_AT = 0, 1

# bend (B, BEND_COLS) float32: where a route turns, and how long it is from there to its end.
BEND_X, BEND_Y, BEND_LENGTH = 0, 1, 2
BEND_COLS = 3

# rig (RIG_COLS,) float32: steps of ``near`` in m, the clearance that 0 stands for; how the path is shown;
# whether episodes lead from a map's first mark to its second, and maps take turns.
NEAR_STEP, NEAR_LEAST, PATH_POINTS, PATH_SPACING, PATH_REPLAN, ENDS = range(6)
RIG_COLS = 6

# own (OWN_COLS,) float32: where the lidar stands on the robot and looks to, the least that it sees, its scans per step;
# inverse of the least radius of turns (0: none); distance of the nearest side from the centre (0: the body is a disc);
# the range at which the proximity is 1 (0: the robot's radius).
LIDAR_X, LIDAR_Y, LIDAR_YAW, RANGE_MIN, SCANS_PER_STEP, CURVATURE, INNER_RADIUS, CONTACT = range(8)
OWN_COLS = 8

# plan (N, R, PLAN_COLS) float32
PLAN_X, PLAN_Y, PLAN_GOAL = 0, 1, 2
PLAN_COLS = 3

ROBOTS_REACH, WALKERS_REACH = 1, 2
"""Bits of ``reach``."""


class Site(NamedTuple):
    """What floor plans are to kernels; K maps (0: only the body is special), all in flat arrays, one after another.

    N worlds, R robots, G goals, M obstacles.
    """

    grid: np.ndarray
    """(K, GRID_COLS) int64."""
    frame: np.ndarray
    """(K, FRAME_COLS) float32."""
    rings: np.ndarray
    """uint8 per cell: 0 occupied, else 1 + free rings around."""
    free: np.ndarray
    """(blocks, SECTORS) uint8: cells that every ray from a block of cells surely goes without meeting a wall, by its
    direction."""
    near: np.ndarray
    """uint8 per cell: clearance of its centre, in steps of ``rig[NEAR_STEP]`` above ``rig[NEAR_LEAST]``, rounded
    down."""
    reach: np.ndarray
    """uint8 per cell of the routes: who reaches it from the goals."""
    mark: np.ndarray
    """(G, MARK_COLS) float32."""
    mark_at: np.ndarray
    """(G, 2) int64."""
    turn: np.ndarray
    """uint16 per goal and cell of the routes: which of the goal's bends the route from there goes to in a straight
    line."""
    bend: np.ndarray
    """(B, BEND_COLS) float32."""
    bend_next: np.ndarray
    """(B,) int32: which of the goal's bends comes then; the goal, its bend 0, is followed by itself."""
    rig: np.ndarray
    """(RIG_COLS,) float32."""
    own: np.ndarray
    """(OWN_COLS,) float32."""
    side: np.ndarray
    """(E, 4) float32: both ends of every side of the body, in its frame, counter-clockwise; none of a disc."""
    map_of: np.ndarray
    """(N,) int32: the map of each world's episode. This and the rest are the state's own arrays."""
    goal_mark: np.ndarray
    """(N, R, G) int32: row of ``mark`` of every goal."""
    circle_mark: np.ndarray
    """(N, M) int32: row of ``mark`` that each moving obstacle walks to."""
    march: np.ndarray
    """(5, B) int32: scratch of the lidar: column, row, free rings and number of the cell that each beam is in, and its
    sector."""
    march_at: np.ndarray
    """(3, B) float32: scratch of the lidar: inverse direction of each beam, and how far it is."""
    plan: np.ndarray
    """(N, R, PLAN_COLS) float32: where the route begins that each robot follows, and to which of its goals."""
