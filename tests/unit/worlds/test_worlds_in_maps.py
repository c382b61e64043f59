"""Worlds in maps: ranges, collisions, places and routes, against slow twins and by what must always hold."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from oracles_maps import ray_length, shortest_lengths

from robonav_ray.config.worlds import LevelConfig, MapConfig, WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.maps.distance_field import room_m
from robonav_ray.worlds.maps.find_maps import find_maps, map_paths
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.read_map import read_map
from robonav_ray.worlds.maps.routes import corner, make_routes, open_cells

MAPS = {"generator": "rooms", "num_maps": 4, "width_m": 12.0, "height_m": 9.0, "num_goals": 12}


@functools.lru_cache(maxsize=8)
def worlds_in(generator: str = "rooms", num_worlds: int = 48, **level: int) -> BatchedWorlds:
    world = WorldConfig.model_validate({"map": {**MAPS, "generator": generator}, "path": {"num_points": 4}})
    given = {"num_dynamic": 5, "num_static": 3, "num_goals": 2, "behaviours": ("waypoint", "bounce", "orca")} | level
    worlds = BatchedWorlds(world, (LevelConfig.model_validate(given),), num_worlds, seed=5, gamma=0.99)
    worlds.reset()
    return worlds


@functools.lru_cache(maxsize=32)
def field_of(grid: GridMap) -> np.ndarray:
    return np.pad(room_m(grid.occupied, grid.resolution_m), 1, constant_values=-1.0)


def gaps(worlds: BatchedWorlds, points: np.ndarray) -> np.ndarray:
    """Return (N, P): how far ``points`` (N, P, 2) are from the nearest wall of each world's map, to half a cell."""
    found = np.zeros(points.shape[:2])
    for which, grid in enumerate(worlds.maps):
        there, field = worlds.map_index == which, field_of(grid)
        cells = np.clip(grid.cell_of(points[there]), -1, np.array(grid.occupied.shape))
        found[there] = field[cells[..., 0] + 1, cells[..., 1] + 1]
    return found


@pytest.mark.parametrize("generator", ["rooms", "forest"])
def test_ranges_are_those_of_a_ray_caster_that_visits_every_cell(generator: str) -> None:
    worlds = worlds_in(generator)
    ranges, robot = worlds.state.scan[:, 0, 0] * worlds.config.lidar.range_max_m, worlds.state.robot[:, 0]
    exact = np.full_like(ranges, np.inf)
    for w, which in enumerate(worlds.map_index.tolist()):
        grid = worlds.maps[which]
        at = (robot[w, :2] + 0.5 * np.array(grid.size_m)) / grid.resolution_m
        for b, angle in enumerate(worlds.beam_angle.tolist()):
            most = worlds.config.lidar.range_max_m / grid.resolution_m
            exact[w, b] = grid.resolution_m * ray_length(grid.occupied, *at, robot[w, lay.YAW] + angle, most)
    nearer = ranges < exact - 0.05  # a circle stands before the wall
    assert np.mean(nearer) < 0.35
    assert np.mean(np.abs(ranges - exact)[~nearer] < 0.05) >= 0.999
    assert np.median(np.abs(ranges - exact)[~nearer]) < 1e-3
    assert (ranges <= exact + 0.05).all()


@pytest.mark.parametrize("generator", ["rooms", "forest"])
def test_nothing_begins_in_a_wall_and_obstacles_stay_out_of_them(generator: str) -> None:
    worlds = worlds_in(generator)  # a forest's edge is the map's
    for step in range(300):
        there = np.arange(worlds.state.circle.shape[2]) < worlds.state.world[:, lay.NUM_CIRCLES, None]
        circles = np.where(there, gaps(worlds, np.moveaxis(worlds.state.circle[:, :2], 1, 2)), np.inf)
        assert (circles >= worlds.state.circle[:, lay.C_RADIUS] - 0.06).all()
        begun = worlds.state.lane[:, 0, lay.STEP] == 0
        robots = gaps(worlds, worlds.state.robot[:, :, :2])
        assert (robots[begun] >= worlds.config.robot.radius_m).all()
        assert (gaps(worlds, worlds.state.goal[:, 0, :, :2]) >= worlds.config.robot.radius_m).all()
        worlds.step((worlds.state.lane[:, 0, lay.STEP] + step + np.arange(48)) % 15)


def test_a_robot_that_drives_on_collides_with_the_wall_when_it_touches_it() -> None:
    worlds = worlds_in(num_dynamic=0, num_static=0, num_goals=1)
    worlds.reset(seed=3)
    hit = np.zeros(worlds.num_worlds, np.bool_)
    for _ in range(200):
        near = gaps(worlds, worlds.state.robot[:, :, :2])[:, 0]
        worlds.step(np.full(worlds.num_worlds, 12))  # full speed ahead
        ended = worlds.out.terminated & (worlds.out.final_lane[:, 0] == Outcome.COLLISION_WALL)
        assert (near[ended] < worlds.config.robot.radius_m + 0.1 + 0.06).all()
        hit |= ended
    assert hit.mean() > 0.9


@pytest.mark.parametrize(("generator", "seed"), [("rooms", 1), ("cellular", 2), ("maze", 3)])
def test_routes_are_within_three_percent_of_the_shortest_ways(generator: str, seed: int) -> None:
    given = {"generator": generator, "num_maps": 1, "seed": seed, "width_m": 8.0, "height_m": 8.0}
    check_routes(find_maps(MapConfig.model_validate(given))[0], need_m=0.3)


def check_routes(grid: GridMap, need_m: float) -> None:
    field = room_m(grid.occupied, grid.resolution_m)
    is_open = open_cells(field, grid.resolution_m, need_m)
    routes = make_routes(field, grid.resolution_m, need_m, 3, None)
    rng = np.random.default_rng(0)
    cells = rng.choice(np.flatnonzero(routes.reach), 40)
    nx = is_open.shape[1]
    points = np.stack([cells % nx, cells // nx], axis=1) + 0.5
    for g in range(len(routes.mark)):
        at = routes.bends_at[g]
        bend = routes.bend[at + routes.turn[g][cells].astype(np.int64)]
        goal = routes.bend[at, :2]
        begin = corner(field.shape, grid.resolution_m)
        lengths = np.hypot(*(bend[:, :2] - (points * 0.1 + begin)).T) + bend[:, 2]
        exact = 0.1 * shortest_lengths(routes.reach, points, (goal - begin) / 0.1)
        assert (lengths >= 0.99 * exact - 0.02).all()
        assert (lengths <= 1.03 * exact + 0.02).all()


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("generator", ["rooms", "corridors", "maze", "forest"])
def test_nothing_is_ever_inside_a_wall_over_a_hundred_thousand_episodes(generator: str) -> None:
    """25,000 episodes of each generator; circles are looked at after every step, starts and goals at every begin."""
    given = {"generator": generator, "num_maps": 16, "num_goals": 32}
    world = WorldConfig.model_validate({"map": given, "obstacles": {"radius_min_m": 0.2, "radius_max_m": 0.4}})
    level = {"num_dynamic": 5, "num_static": 3, "num_goals": 2, "max_steps": 600}
    levels = (LevelConfig.model_validate({**level, "behaviours": ("waypoint", "bounce", "orca", "social_force")}),)
    worlds, begun = BatchedWorlds(world, levels, 1024, seed=1, gamma=0.99), 0
    worlds.reset()
    rng = np.random.default_rng(0)
    action = rng.integers(0, 15, 1024)
    step = 0
    while begun < 25_000:
        fresh = worlds.state.lane[:, 0, lay.STEP] == 0
        begun += int(fresh.sum())
        robots, goals = gaps(worlds, worlds.state.robot[:, :, :2]), gaps(worlds, worlds.state.goal[:, 0, :, :2])
        assert (robots[fresh] >= world.robot.radius_m).all()
        assert (goals >= world.robot.radius_m).all()
        if step % 10 == 0:
            there = np.arange(worlds.state.circle.shape[2]) < worlds.state.world[:, lay.NUM_CIRCLES, None]
            circles = np.where(there, gaps(worlds, np.moveaxis(worlds.state.circle[:, :2], 1, 2)), np.inf)
            assert (circles >= worlds.state.circle[:, lay.C_RADIUS] - 0.06).all()
        action = np.where(rng.random(1024) < 0.1, rng.integers(10, 15, 1024), action)
        worlds.step(action)
        step += 1
    assert begun >= 25_000


def test_a_goal_by_hand_is_where_it_was_given_or_refused_with_the_nearest_that_can_be_reached() -> None:
    level = (LevelConfig(num_static=0, num_dynamic=0, num_goals=1),)

    def worlds_with(x: float, y: float) -> BatchedWorlds:
        world = WorldConfig.model_validate({"map": {"files": ["flat"], "goals": [{"x_m": x, "y_m": y}]}})
        return BatchedWorlds(world, level, 4, seed=0, gamma=0.99)

    corner = read_map(map_paths(MapConfig(files=("flat",)))[0], "occupied").origin
    with pytest.raises(UserError, match=r"goals\[0\]: the robot cannot reach \(.*the nearest place .* is \(") as told:
        worlds_with(corner[0] + 0.1, corner[1] + 0.1)
    x, y = (float(number) for number in str(told.value).rpartition("(")[2].rstrip(")").split(","))
    worlds = worlds_with(x, y)
    worlds.reset()
    np.testing.assert_allclose(worlds.maps[0].to_map(worlds.state.goal[:, 0, 0, :2]), [(x, y)] * 4, atol=1e-4)
