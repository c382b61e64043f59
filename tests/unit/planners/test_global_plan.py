"""The global planner's ways are as cheap as a plain Dijkstra's, keep their distance, and its refusals name a place."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from oracles_planners import dijkstra_costs

from robonav_ray.planners.global_plan import RouteError, plan_route, search_grid, wide_enough
from robonav_ray.worlds.maps.grid_map import GridMap


def grid_map(occupied: np.ndarray, resolution_m: float = 0.1) -> GridMap:
    return GridMap("drawn", occupied, np.zeros_like(occupied), resolution_m)


def walled(rows: int = 40, columns: int = 60) -> np.ndarray:
    """A wall across the middle with a door of 10 cells at its upper end."""
    occupied = np.zeros((rows, columns), bool)
    occupied[: rows - 10, columns // 2] = True
    return occupied


@pytest.mark.parametrize("seed", range(6))
def test_it_is_as_cheap_as_a_plain_dijkstra(seed: int) -> None:
    rng = np.random.default_rng(seed)
    passable = rng.random((23, 31)) > (0.15, 0.3, 0.4)[seed % 3]
    cells = np.argwhere(passable)
    start = cells[rng.integers(len(cells))]
    costs = dijkstra_costs(passable, (int(start[0]), int(start[1])))
    for goal in cells[rng.permutation(len(cells))[:40]]:
        way, cost = search_grid(passable, start, goal)
        assert cost == pytest.approx(costs.get((int(goal[0]), int(goal[1])), math.inf), abs=1e-9)
        if way is None:
            continue
        assert (way[0] == start).all()
        assert (way[-1] == goal).all()
        steps = np.abs(np.diff(way, axis=0))
        assert steps.max(initial=0) <= 1
        assert np.hypot(*steps.T).sum() == pytest.approx(cost)


def test_the_way_goes_round_the_wall_and_is_pulled_tight() -> None:
    grid = grid_map(walled())
    start, goal = (-2.0, -1.5), (2.0, -1.5)
    route = plan_route(grid, start, goal, 0.3)
    assert route[0].tolist() == list(start)
    assert route[-1].tolist() == list(goal)
    _, cost = search_grid(wide_enough(grid, 0.3), grid.cell_of(np.array(start)), grid.cell_of(np.array(goal)))
    length = np.hypot(*np.diff(route, axis=0).T).sum()
    assert length <= 0.1 * cost + 1e-9
    corner = np.array([0.05, 1.0])  # of the wall
    round_it = np.hypot(*(corner - start)) + np.hypot(*(corner - goal))
    assert round_it < length < 1.06 * round_it + 0.6
    assert len(route) < 8
    wide = wide_enough(grid, 0.3)
    for a, b in itertools.pairwise(route):
        points = a + np.linspace(0.0, 1.0, 200)[:, None] * (b - a)
        assert wide[tuple(grid.cell_of(points).T)].all()


def test_a_start_too_near_a_wall_leaves_it_first() -> None:
    grid = grid_map(walled())
    route = plan_route(grid, (-0.1, -1.0), (-2.0, -1.0), 0.3)
    assert route[0].tolist() == [-0.1, -1.0]
    assert wide_enough(grid, 0.3)[tuple(grid.cell_of(route[1]))]
    assert plan_route(grid, (1.0, 0.0), (1.01, 0.01), 0.3).tolist() == [[1.0, 0.0], [1.01, 0.01]]


@pytest.mark.parametrize(
    ("start", "goal", "clearance", "message"),
    [
        ((-2.0, 0.0), (9.0, 0.0), 0.3, r"outside of the map; the nearest place that can is \(2\.\d\d, -?0\.0\d\)"),
        ((-2.0, 0.0), (0.05, 0.0), 0.3, r"it lies in a wall; the nearest place"),
        ((-2.0, 0.0), (0.2, 0.0), 0.3, r"less than 0\.3 m from a wall; the nearest place that can is \(0\.4"),
        ((-2.0, 0.0), (2.0, 0.0), 0.6, r"no way leads there that is 0\.6 m from walls; .*is \(-0\.\d\d, "),
        ((0.05, 0.0), (2.0, 0.0), 0.3, r"start .* it lies in a wall; the nearest place that can is"),
        ((-2.0, 0.0), (2.0, 0.0), 9.0, "no place that is 9 m from walls"),
        ((-2.0, 0.0), (float("nan"), 0.0), 0.3, "two finite numbers"),
        ((-2.0, 0.0), (2.0, 0.0), -1.0, "clearance_m must be at least 0"),
    ],
)
def test_a_way_that_is_none_names_a_place(start, goal, clearance: float, message: str) -> None:
    with pytest.raises(RouteError, match=message):
        plan_route(grid_map(walled()), start, goal, clearance)


def test_what_is_unknown_is_said_to_be() -> None:
    occupied = walled()
    unknown = np.zeros_like(occupied)
    occupied[:, :10] = unknown[:, :10] = True
    with pytest.raises(RouteError, match="the map says nothing of it"):
        plan_route(GridMap("half", occupied, unknown, 0.1), (0.5, 0.5), (-2.8, 0.0), 0.2)
