"""A global planner: the shortest way over the cells of a map that are far enough from walls, pulled tight.

::

    plan_route(map, start, goal, clearance_m)
      wide_enough    cells (H, W) whose centre is clearance_m or more from every wall
      search_grid    A* over these (Hart, Nilsson, Raphael 1968): 8 neighbours, octile distance, no corner is cut
      pulled_tight   corners that are not needed are left out: what sees what goes straight
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from robonav_ray.errors import UserError
from robonav_ray.worlds.kernels.kernel import kernel
from robonav_ray.worlds.maps.distance_field import clearance_m as field_of
from robonav_ray.worlds.maps.distance_field import closed
from robonav_ray.worlds.maps.grid_map import GridMap

_UNSEEN, _CLOSED = -1, -2
_DIAGONAL = np.sqrt(2.0)
_SNAP_M = 0.5
"""A start that is nearer to a wall than it should be begins at the next place that is not, at most this far."""


class RouteError(UserError):
    """No way leads there; the message names the nearest place that can be reached."""


def plan_route(
    grid: GridMap, start: Sequence[float] | np.ndarray, goal: Sequence[float] | np.ndarray, clearance_m: float
) -> np.ndarray:
    """Return (P, 2) float64 points in the world frame, from ``start`` to ``goal``, both (x, y) in m in that frame.

    Everywhere between them the way is ``clearance_m`` from walls, up to the diagonal of a cell; at its begin it may
    be less, where the start is. A start and a goal in one place give two points.

    Raises:
        RouteError: Where no such way is, naming the nearest place that can be reached, or, of a start in a wall, the
            nearest where one can be.
    """
    ends = np.array([start, goal], np.float64)
    if ends.shape != (2, 2) or not np.isfinite(ends).all():
        raise RouteError(f"start and goal must be two finite numbers each, got {start} and {goal}")
    wide = wide_enough(grid, clearance_m)
    if not wide.any():
        raise RouteError(f"map {grid.name} has no place that is {clearance_m:g} m from walls: give less clearance")
    first = _begin(grid, wide, ends[0], clearance_m)
    last = grid.cell_of(ends[1])
    cells, _ = search_grid(wide, first, last) if _in(wide, last) else (None, 0.0)
    if cells is None:
        labels: np.ndarray = ndimage.label(wide)[0]  # pyright: ignore[reportIndexIssue]
        x, y = grid.centre_of(_nearest(labels == labels[tuple(first)], grid, ends[1]))
        raise RouteError(
            f"goal ({ends[1, 0]:g}, {ends[1, 1]:g}) cannot be reached in map {grid.name}: "
            f"{_why_not(grid, wide, last, clearance_m)}; the nearest place that can is ({x:.2f}, {y:.2f})"
        )
    points = grid.centre_of(cells)
    points[-1] = ends[1]
    if not _in(wide, grid.cell_of(ends[0])):
        return np.concatenate([ends[:1], pulled_tight(grid, wide, points)])
    points[0] = ends[0]
    return pulled_tight(grid, wide, points) if len(points) > 1 else ends


def wide_enough(grid: GridMap, clearance_m: float) -> np.ndarray:
    """Return (H, W) bool: the cells whose centre is ``clearance_m`` or more from every wall; outside is wall."""
    if not 0.0 <= clearance_m < np.inf:
        raise RouteError(f"clearance_m must be at least 0 and finite, got {clearance_m:g}")
    return field_of(closed(grid.occupied), grid.resolution_m)[1:-1, 1:-1] >= max(clearance_m, 1e-9)


def search_grid(
    passable: np.ndarray, start: np.ndarray, goal: np.ndarray
) -> tuple[np.ndarray, float] | tuple[None, float]:
    """Return the cheapest way over ``passable`` (H, W) cells, (P, 2) int64 rows and columns, and its length in cells.

    A step goes to one of 8 neighbours; a diagonal one only where both cells beside it are passable. (None, inf) where
    there is no way.
    """
    rows, columns = passable.shape
    size = rows * columns
    cost, key = np.full(size, np.inf), np.zeros(size)
    parent, heap, place = (np.full(size, _UNSEEN, np.int64) for _ in range(3))
    first, last = (int(cell[0]) * columns + int(cell[1]) for cell in (start, goal))
    grid = np.ascontiguousarray(passable).ravel()
    if not (grid[first] and grid[last]) or not _search(grid, columns, first, last, cost, key, parent, heap, place):
        return None, np.inf
    way = [last]
    while way[-1] != first:
        way.append(int(parent[way[-1]]))
    return np.stack(np.divmod(np.array(way[::-1]), columns), axis=1), float(cost[last])


def pulled_tight(grid: GridMap, wide: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return those of ``points`` (P, 2) that are needed: each sees the next over ``wide`` cells (H, W)."""
    low = -0.5 * np.array(grid.size_m)
    for step in (1, -1):  # from either end: what one pass keeps the other may see past
        cells = np.ascontiguousarray((points[::step] - low) / grid.resolution_m)
        kept = np.zeros(len(points), np.bool_)
        _pull(wide, cells, kept)
        points = points[kept[::step]]
    return points


@kernel
def _octile(cell, goal, columns):
    """Return the length of the way from ``cell`` to ``goal`` were all cells passable."""
    dy, dx = abs(cell // columns - goal // columns), abs(cell % columns - goal % columns)
    return max(dx, dy) + (_DIAGONAL - 1.0) * min(dx, dy)


@kernel
def _rise(heap, place, key, i):
    """Move entry ``i`` of the heap up to where it belongs."""
    cell = heap[i]
    while i > 0 and key[heap[(i - 1) // 2]] > key[cell]:
        heap[i] = heap[(i - 1) // 2]
        place[heap[i]] = i
        i = (i - 1) // 2
    heap[i] = cell
    place[cell] = i


@kernel
def _take_least(heap, place, key, num):
    """Take the cell with the least key out of a heap of ``num``, and return it."""
    least, cell, i = heap[0], heap[num - 1], 0
    while 2 * i + 1 < num - 1:
        child = 2 * i + 1
        if child + 1 < num - 1 and key[heap[child + 1]] < key[heap[child]]:
            child += 1
        if key[heap[child]] >= key[cell]:
            break
        heap[i] = heap[child]
        place[heap[i]] = i
        i = child
    heap[i] = cell
    place[cell] = i
    place[least] = _CLOSED
    return least


@kernel
def _search(passable, columns, start, goal, cost, key, parent, heap, place):
    """Fill ``cost`` and ``parent`` from ``start`` until ``goal`` is reached; return whether it is. All by cell."""
    rows, num = passable.shape[0] // columns, 1
    cost[start], key[start], heap[0], place[start] = 0.0, _octile(start, goal, columns), start, 0
    while num > 0:
        cell = _take_least(heap, place, key, num)
        num -= 1
        if cell == goal:
            return True
        row, column = cell // columns, cell % columns
        for dr in range(-1, 2):
            for dc in range(-1, 2):
                r, c = row + dr, column + dc
                if r < 0 or c < 0 or r >= rows or c >= columns:
                    continue
                to = r * columns + c
                if not passable[to] or place[to] == _CLOSED:
                    continue
                if not (passable[row * columns + c] and passable[r * columns + column]):
                    continue
                found = cost[cell] + (_DIAGONAL if dr * dc != 0 else 1.0)
                if found < cost[to]:
                    cost[to], key[to], parent[to] = found, found + _octile(to, goal, columns), cell
                    if place[to] == _UNSEEN:
                        place[to], heap[num] = num, to
                        num += 1
                    _rise(heap, place, key, place[to])
    return False


@kernel
def _sees(wide, ax, ay, bx, by):
    """Whether every cell that the line between two points, in cells, goes through is wide (Amanatides, Woo 1987)."""
    dx, dy = bx - ax, by - ay
    column, row = np.int64(np.floor(ax)), np.int64(np.floor(ay))
    last_column, last_row = np.int64(np.floor(bx)), np.int64(np.floor(by))
    step_x, step_y = 1 if dx > 0.0 else -1, 1 if dy > 0.0 else -1
    per_x, per_y = 1.0 / max(abs(dx), 1e-12), 1.0 / max(abs(dy), 1e-12)
    next_x = (column + 1 - ax if dx > 0.0 else ax - column) * per_x
    next_y = (row + 1 - ay if dy > 0.0 else ay - row) * per_y
    for _ in range(abs(last_column - column) + abs(last_row - row) + 1):
        if row < 0 or column < 0 or row >= wide.shape[0] or column >= wide.shape[1] or not wide[row, column]:
            return False
        if column == last_column and row == last_row:
            return True
        if (next_x < next_y and column != last_column) or row == last_row:
            column += step_x
            next_x += per_x
        else:
            row += step_y
            next_y += per_y
    return True


@kernel
def _pull(wide, point, kept):
    """Mark the points, in cells, that are needed: from each kept one the last of those seen without a break."""
    kept[0] = kept[-1] = True
    anchor = 0
    for i in range(2, point.shape[0]):
        if not _sees(wide, point[anchor, 0], point[anchor, 1], point[i, 0], point[i, 1]):
            anchor = i - 1
            kept[anchor] = True


def _in(wide: np.ndarray, cell: np.ndarray) -> bool:
    return bool((cell >= 0).all() and (cell < wide.shape).all() and wide[tuple(cell)])


def _nearest(there: np.ndarray, grid: GridMap, point: np.ndarray) -> np.ndarray:
    """Return the (row, column) of the cell of ``there`` (H, W) bool that is nearest to a point."""
    cells = np.argwhere(there)
    return cells[np.square(grid.centre_of(cells) - point).sum(axis=1).argmin()]


def _begin(grid: GridMap, wide: np.ndarray, start: np.ndarray, clearance_m: float) -> np.ndarray:
    """Return the (row, column) in which a way from ``start`` begins."""
    cell = grid.cell_of(start)
    if _in(wide, cell):
        return cell
    nearest = _nearest(wide, grid, start)
    x, y = grid.centre_of(nearest)
    if not _in(~grid.occupied, cell) or np.hypot(x - start[0], y - start[1]) > clearance_m + _SNAP_M:
        raise RouteError(
            f"start ({start[0]:g}, {start[1]:g}) cannot be left in map {grid.name}: "
            f"{_why_not(grid, wide, cell, clearance_m)}; the nearest place that can is ({x:.2f}, {y:.2f})"
        )
    return nearest


def _why_not(grid: GridMap, wide: np.ndarray, cell: np.ndarray, clearance_m: float) -> str:
    if not ((cell >= 0).all() and (cell < wide.shape).all()):
        return "it lies outside of the map"
    if grid.unknown[tuple(cell)] and grid.occupied[tuple(cell)]:
        return "the map says nothing of it"
    if grid.occupied[tuple(cell)]:
        return "it lies in a wall"
    if not wide[tuple(cell)]:
        return f"it is less than {clearance_m:g} m from a wall"
    return f"no way leads there that is {clearance_m:g} m from walls"
