"""``corridors`` and ``maze``: ways along the edges of a lattice, a random spanning tree and some more."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from robonav_ray.worlds.maps.generators.plan import NoRoomError, Plan
from robonav_ray.worlds.maps.generators.rooms import split

_BLOCK_M, _LEAST_BLOCK_M = (2.0, 5.0), 0.6
_LOOP_PROB = {"corridors": 0.5, "maze": 0.08}


def make_corridors(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Return (rows, columns) bool, occupied cells: straight corridors between blocks, with many loops.

    ``fill_frac`` of the junctions have nothing: the longest dead ends are filled up.

    Raises:
        NoRoomError: When no corridor fits.
    """
    sizes = [_corridor_sizes(plan, rng, length) for length in (plan.rows, plan.columns)]
    return _drawn(plan, rng, sizes, _LOOP_PROB["corridors"])


def make_maze(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Return (rows, columns) bool, occupied cells: a maze with thin walls and a few loops.

    ``fill_frac`` of its places are solid: the longest dead ends are filled up.

    Raises:
        NoRoomError: When no corridor fits.
    """
    sizes = [_maze_sizes(plan, rng, length) for length in (plan.rows, plan.columns)]
    return _drawn(plan, rng, sizes, _LOOP_PROB["maze"])


def _maze_sizes(plan: Plan, rng: np.random.Generator, length: int) -> list[int]:
    """Return wall, way, wall, ..., wall along an axis, in cells."""
    num = (length - plan.wall) // (plan.passage + plan.wall)
    if num < 1:
        raise NoRoomError(f"a way between two walls takes {(plan.passage + 2 * plan.wall) * plan.resolution_m:.1f} m")
    ways = split(rng, length - (num + 1) * plan.wall, num, plan.passage)
    return [plan.wall, *(size for way in ways for size in (way, plan.wall))]


def _corridor_sizes(plan: Plan, rng: np.random.Generator, length: int) -> list[int]:
    """Return block, way, block, ..., block along an axis, in cells; the outer blocks are as thin as walls."""
    way, block = int(plan.passage * rng.uniform(1.0, 1.5)), plan.cells(rng.uniform(*_BLOCK_M))
    least, inner = plan.cells(_LEAST_BLOCK_M), length - 2 * plan.wall
    if inner < plan.passage:
        raise NoRoomError(f"a way between two walls takes {(plan.passage + 2 * plan.wall) * plan.resolution_m:.1f} m")
    way = min(way, inner)
    num = max(1, round((inner + block) / (way + block)))
    while num > 1 and inner - num * way < (num - 1) * least:
        num -= 1
    if num == 1:
        return [plan.wall, inner, plan.wall]
    blocks = split(rng, inner - num * way, num - 1, least)
    return [plan.wall, way, *(size for block in blocks for size in (block, way)), plan.wall]


def _drawn(plan: Plan, rng: np.random.Generator, sizes: list[list[int]], loop_prob: float) -> np.ndarray:
    """Return the map whose lattice has these sizes along its axes: walls and ways in turn."""
    high, wide = (len(one) // 2 for one in sizes)
    node = np.arange(high * wide).reshape(high, wide)
    begin = np.concatenate([node[:, :-1].ravel(), node[:-1].ravel()])
    end = np.concatenate([node[:, 1:].ravel(), node[1:].ravel()])
    is_way = _tree(rng, begin, end, node.size)
    is_node = _without_dead_ends(rng, begin, end, is_way, round(plan.fill_frac * node.size), node.size)
    is_way |= rng.random(begin.size) < loop_prob
    is_way &= is_node[begin] & is_node[end]
    lattice = np.ones((2 * high + 1, 2 * wide + 1), np.bool_)
    lattice[1::2, 1::2] = ~is_node.reshape(high, wide)
    num_along = high * (wide - 1)
    lattice[1::2, 2:-1:2] = ~is_way[:num_along].reshape(high, wide - 1)
    lattice[2:-1:2, 1::2] = ~is_way[num_along:].reshape(high - 1, wide)
    return np.repeat(np.repeat(lattice, sizes[0], axis=0), sizes[1], axis=1)


def _tree(rng: np.random.Generator, begin: np.ndarray, end: np.ndarray, num_nodes: int) -> np.ndarray:
    """Return (E,) bool: edges of the least spanning tree under random weights (Kruskal's mazes)."""
    weight = 1.0 - rng.random(begin.size)
    tree = minimum_spanning_tree(coo_array((weight, (begin, end)), shape=(num_nodes, num_nodes)).tocsr()).tocoo()
    kept = np.sort(np.asarray(tree.row, np.int64) * num_nodes + tree.col)
    return np.isin(begin.astype(np.int64) * num_nodes + end, kept)


def _without_dead_ends(
    rng: np.random.Generator, begin: np.ndarray, end: np.ndarray, is_way: np.ndarray, num_filled: int, num_nodes: int
) -> np.ndarray:
    """Return (num_nodes,) bool: what is left when ``num_filled`` nodes are taken from the tree, always at its ends."""
    begin, end = begin[is_way], end[is_way]
    left, is_node = min(num_filled, num_nodes - 2), np.ones(num_nodes, np.bool_)
    while left > 0:
        degree = np.bincount(begin, minlength=num_nodes) + np.bincount(end, minlength=num_nodes)
        taken = rng.permutation(np.flatnonzero(degree == 1))[:left]
        is_node[taken] = False
        left -= taken.size
        stays = is_node[begin] & is_node[end]
        begin, end = begin[stays], end[stays]
    return is_node
