"""Routes through one map: from everywhere to each of its goals, any-angle, made once and looked up ever after.

For every goal a Lazy Theta* (Nash, Koenig and Tovey 2010) runs over the whole map, once. Kept is, for each cell, at
which *bend* the straight line from there ends; a bend knows its length to the goal, and the next one. So the length of
a route, the way ahead, and a potential that follows the way round a wall are two lookups.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from robonav_ray.config.worlds import WorldConfig
from robonav_ray.worlds.maps.distance_field import closed, free_rings
from robonav_ray.worlds.maps.route_search import spread

MARGIN_M = 0.1
"""What routes keep from walls beyond the robot's outer radius, unless the config says how much."""
FINEST_M, MOST_CELLS = 0.1, 250_000
"""Cells of routes are at least this large, and so large that there are at most so many."""
_UNREACHED = np.float32(3.0e38)
_CANDIDATES = 12


@dataclass(frozen=True, eq=False)
class Routes:
    """Routes of one map; G goals, cells in a grid of (ny, nx) with a ring of walls around it, B bends in all."""

    reach: np.ndarray
    """(ny, nx) bool: cells from which the goals can be reached, and which can be reached from them."""
    mark: np.ndarray
    """(G, 2) float32: the goals, in the world frame."""
    turn: np.ndarray
    """(G, ny * nx) uint16: the goal's bend that each cell looks at; of cells that are not reached, as of the nearest
    one that is."""
    bend: np.ndarray
    """(B, 3) float32: x, y, length of the way from there to the goal (m); bend 0 of a goal is the goal."""
    bend_next: np.ndarray
    """(B,) int32: the goal's bend that follows."""
    bends_at: np.ndarray
    """(G + 1,) int64: where the bends of each goal begin."""

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def route_clearance_m(world: WorldConfig) -> float:
    """Return how far routes keep a robot's centre from walls."""
    given = None if world.map is None else world.map.clearance_m
    return given if given is not None else world.robot.radius_m + MARGIN_M


def route_factor(shape: tuple[int, ...], resolution_m: float) -> int:
    """Return how many cells of a map (H, W) are a cell of its routes along either side."""
    factor = max(1, round(FINEST_M / resolution_m))
    while -(-shape[0] // factor) * -(-shape[1] // factor) > MOST_CELLS:
        factor += 1
    return factor


def open_cells(clearance: np.ndarray, resolution_m: float, need_m: float) -> np.ndarray:
    """Return (ny, nx) bool, the ring of walls included: cells of the routes where the clearance (H, W) is enough."""
    factor = route_factor(clearance.shape, resolution_m)
    rows, columns = (-(-n // factor) * factor - n for n in clearance.shape)
    padded = np.pad(clearance, ((0, rows), (0, columns)), constant_values=-resolution_m)
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
    return ~closed(blocks.mean(axis=(1, 3)) < need_m)


def parts_of(is_open: np.ndarray) -> tuple[np.ndarray, int]:
    """Return (ny, nx) int32, which connected part each open cell belongs to (0: none), and the largest part."""
    labels, num = ndimage.label(is_open)  # type: ignore[misc]  # scipy's stub has no tuple
    sizes = np.bincount(labels.ravel(), minlength=num + 1)
    sizes[0] = 0
    return labels, int(sizes.argmax())


def corner(shape: tuple[int, ...], resolution_m: float) -> np.ndarray:
    """Return (2,) float64: where the grid of routes of a map (H, W) begins in the world frame, its ring included."""
    return -0.5 * resolution_m * np.array(shape[::-1]) - route_factor(shape, resolution_m) * resolution_m


def route_cells(points: np.ndarray, shape: tuple[int, ...], resolution_m: float) -> np.ndarray:
    """Return (P, 2) int64 (column, row) in the grid of routes of a map (H, W), ring included, of points (P, 2) of the
    world frame; outside of the grid where they are.
    """
    side = route_factor(shape, resolution_m) * resolution_m
    return np.floor((points - corner(shape, resolution_m)) / side).astype(np.int64)


def make_routes(
    clearance: np.ndarray, resolution_m: float, need_m: float, num: int, goals: np.ndarray | None
) -> Routes:
    """Return routes to ``num`` places spread over the largest part of a map, or to ``goals`` (G, 2) m.

    Args:
        clearance: (H, W) float32: distance of every cell from the walls, m.
        resolution_m: Side of a cell.
        need_m: Routes keep this clearance.
        num: Places to choose, where no goals are given; fewer where there is no room for so many.
        goals: Places in the world frame, all of them in one part of the map.

    Raises:
        ValueError: When there is no place with such clearance.
    """
    is_open = open_cells(clearance, resolution_m, need_m)
    labels, largest = parts_of(is_open)
    side = route_factor(clearance.shape, resolution_m) * resolution_m
    begin = corner(clearance.shape, resolution_m)
    if not is_open.any():
        raise ValueError(f"there is no place that is {need_m:g} m from all walls")
    if goals is not None:
        column, row = route_cells(goals, clearance.shape, resolution_m).T
        reach = labels == labels[row[0], column[0]]
        cells = row * is_open.shape[1] + column
        places = goals
    else:
        reach = labels == largest
        cells = _spread_out(reach, num)
        places = np.stack([cells % reach.shape[1], cells // reach.shape[1]], axis=1) * side + 0.5 * side + begin
    return _search(reach, cells, places.astype(np.float32), begin, side)


def _spread_out(reach: np.ndarray, num: int) -> np.ndarray:
    """Return the numbers of ``num`` cells, each the farthest of a few random ones from those chosen before it (Mitchell
    1991).
    """
    rng, free = np.random.default_rng(int(reach.sum())), np.flatnonzero(reach)
    nx, chosen = reach.shape[1], list[int]()
    taken = np.zeros((0, 2))
    for _ in range(min(num, len(free))):
        tries = rng.choice(free, _CANDIDATES)
        at = np.stack([tries % nx, tries // nx], axis=1).astype(np.float64)
        far = np.square(at[:, None] - taken[None]).sum(axis=2).min(axis=1) if len(taken) else np.ones(len(tries))
        best = int(far.argmax())
        if far[best] == 0.0:
            continue
        chosen.append(int(tries[best]))
        taken = np.concatenate([taken, at[best : best + 1]])
    return np.array(chosen, np.int64)


def _search(reach: np.ndarray, goals: np.ndarray, places: np.ndarray, begin: np.ndarray, side: float) -> Routes:
    cells, nx = reach.size, reach.shape[1]
    rings = free_rings(~reach).ravel()
    nearest = ndimage.distance_transform_edt(~reach, return_distances=False, return_indices=True)
    assert nearest is not None
    as_cell = (nearest[0] * nx + nearest[1]).ravel()
    parent, key, item = np.zeros(cells, np.int32), np.zeros(8 * cells, np.float32), np.zeros(8 * cells, np.int32)
    turn = np.zeros((len(goals), cells), np.uint16)
    bends: list[np.ndarray] = []
    nexts: list[np.ndarray] = []
    for g, goal in enumerate(goals.tolist()):
        cost, done = np.full(cells, _UNREACHED), np.zeros(cells, np.bool_)
        spread(rings, nx, goal, cost, parent, done, key, item)
        number = np.full(cells, -1, np.int64)
        at = np.unique(parent[done])
        at = np.concatenate([[goal], at[at != goal]])
        number[at] = np.arange(len(at))
        xy = (np.stack([at % nx, at // nx], axis=1) + 0.5 + _to_corners(reach, at)) * side + begin
        xy[0], follows = places[g], number[parent[at]]
        lengths = np.zeros(len(at))
        for b in np.argsort(cost[at], kind="stable")[1:].tolist():
            lengths[b] = lengths[follows[b]] + float(np.hypot(*(xy[follows[b]] - xy[b])))
        bends.append(np.column_stack([xy, lengths]).astype(np.float32))
        nexts.append(follows.astype(np.int32))
        turn[g] = number[parent[as_cell]]
    bends_at = np.concatenate([[0], np.cumsum([len(bend) for bend in bends])]).astype(np.int64)
    return Routes(reach, places, turn, np.concatenate(bends), np.concatenate(nexts), bends_at)


def _to_corners(reach: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return (B, 2), in cells: from the middle of each cell to the corner of the wall that a route turns around there;
    zeros where there is none, or several.

    A shortest way touches the corners that it turns around; through the middles of the cells before them it is longer.
    """
    nx, offset, found = reach.shape[1], np.zeros((len(cells), 2)), np.zeros(len(cells), np.int64)
    is_open = reach.ravel()
    for di in (-1, 1):
        for dj in (-1, 1):
            around = ~is_open[cells + dj * nx + di] & is_open[cells + di] & is_open[cells + dj * nx]
            offset[around] += (0.5 * di, 0.5 * dj)
            found += around
    offset[found != 1] = 0.0
    return offset
