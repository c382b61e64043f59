"""What is wrong with a map for a body."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.shipped import shipped_configs
from robonav_ray.config.worlds.maps import MapConfig
from robonav_ray.config.worlds.robot import RobotConfig
from robonav_ray.worlds.maps.check_map import INFLATED, ISLAND, REACHED, UNKNOWN, WALL, check_map, require_room
from robonav_ray.worlds.maps.errors import MapError
from robonav_ray.worlds.maps.find_maps import find_maps
from robonav_ray.worlds.maps.grid_map import GridMap

ROBOTS = [robot.name for robot in shipped_configs("robot")]


def two_rooms(door_cells: int, origin: tuple[float, float, float] = (0, 0, 0)) -> GridMap:
    """Return rooms of 4 x 4 and 2 x 4 m with a door in the wall between them."""
    occupied = np.zeros((40, 61), np.bool_)
    occupied[:, 40] = True
    occupied[20 : 20 + door_cells, 40] = False
    return GridMap("two", occupied, np.zeros_like(occupied), 0.1, origin)


def test_a_door_that_is_wide_enough_leaves_nothing_wrong() -> None:
    report = check_map(two_rooms(10), RobotConfig(), 0.35)
    assert report.problems == ()
    assert report.islands == ()
    assert report.area_m2(REACHED) > 14.0
    require_room(report)


@pytest.mark.parametrize("door", [0, 5])
def test_a_room_out_of_reach_is_told_with_the_way_to_it(door: int) -> None:
    origin = (10.0, 20.0, np.pi / 2)
    report = check_map(two_rooms(door, origin), RobotConfig(), 0.35)
    (island,) = report.islands
    assert island.area_m2 == pytest.approx(1.4 * 3.4, abs=0.3)
    assert 10.0 - 4.0 < island.x_m < 10.0  # the map is turned to the left
    assert 24.1 < island.y_m < 26.1
    (problem,) = report.problems
    assert problem.kind == "island"
    if door:
        assert island.way_m == pytest.approx(0.5, abs=0.1)
        assert "the widest way there has 0.5" in problem.text
    else:
        assert island.way_m is None
        assert "walls close them off" in problem.text
    assert report.state[5, 50] == ISLAND
    assert report.state[20, 20] == REACHED
    assert report.state[0, 0] == INFLATED
    assert report.state[0, 40] == WALL
    require_room(report)  # episodes take place in the larger room


def test_unknown_cells_are_told_from_walls() -> None:
    cells = np.zeros((30, 30), np.bool_)
    cells[:, :5] = True
    report = check_map(GridMap("m", cells, cells, 0.1), RobotConfig(), 0.35)
    assert report.state[3, 3] == UNKNOWN
    assert report.to_dict()["unknown_m2"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("occupied", "told"),
    [
        (np.ones((20, 20), np.bool_), "env.world.map: m: no cell is free"),
        (np.zeros((5, 40), np.bool_), "it takes 0.70 m, and the widest place has 0.50 m"),
    ],
)
def test_a_map_without_room_is_refused(occupied: np.ndarray, told: str) -> None:
    report = check_map(GridMap("m", occupied, np.zeros_like(occupied), 0.1), RobotConfig(), 0.35)
    with pytest.raises(MapError) as caught:
        require_room(report)
    assert told in str(caught.value)


def test_cells_too_coarse_for_the_body_are_told() -> None:
    free = np.zeros((20, 20), np.bool_)
    kinds = [
        [p.kind for p in check_map(GridMap("m", free, free, side_m), RobotConfig(radius_m=0.1), 0.2).problems]
        for side_m in (0.1, 0.11)
    ]
    assert kinds == [[], ["coarse"]]


@pytest.mark.parametrize("name", ["office", "warehouse", "flat"])
def test_shipped_maps_are_whole_for_shipped_robots(name: str) -> None:
    (grid,) = find_maps(MapConfig(files=(name,)))
    for model in ROBOTS:
        robot = RobotConfig.model_validate({"model": model})
        report = check_map(grid, robot, robot.radius_m + 0.1)
        if (name, model) == ("flat", "mir100"):  # wider than a door
            continue
        assert report.problems == (), model
        assert report.area_m2(REACHED) > 0.3 * report.area_m2(REACHED, INFLATED), model
