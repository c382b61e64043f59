"""The maps of a batch of worlds as kernels look them up: all in flat arrays, one map after another."""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from robonav_ray.config.worlds import LevelConfig, MapConfig, WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.worlds.kernels.randomization import FACTOR
from robonav_ray.worlds.kernels.site import tables as at
from robonav_ray.worlds.kernels.site.map_lidar import surely_free
from robonav_ray.worlds.maps.distance_field import clearance_m, closed, free_rings, room_m
from robonav_ray.worlds.maps.find_maps import find_maps
from robonav_ray.worlds.maps.generators.cellular import ends
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.kept import kept_routes
from robonav_ray.worlds.maps.routes import (
    MARGIN_M,
    Routes,
    corner,
    open_cells,
    parts_of,
    route_cells,
    route_clearance_m,
    route_factor,
)

logger = logging.getLogger(__name__)
_WALKER_PLACES, _LOOKED_AT = 16, 32
_GOALS_IN_ALL, _LEAST_GOALS = 2048, 8
_SIGHT_M = 1.7
"""Clearances are told apart up to this and the robot's radius."""
_STEPS = 250.0
_BLOCK_M = 0.2
"""Side of a block of cells that share what rays surely go."""


class Atlas(NamedTuple):
    """Maps, and what kernels look up of them."""

    maps: tuple[GridMap, ...]
    tables: dict[str, np.ndarray]
    """Arrays of ``Site`` by name: those that hang on maps."""


class _Needs(NamedTuple):
    """What of worlds and levels the tables of maps hang on."""

    route_m: float
    walker_m: float
    """0: nothing moves."""
    radius_m: float
    path: tuple[int, float, float]
    ends: bool
    """Whether the only places are a map's two ends."""


def atlas_of(world: WorldConfig, levels: tuple[LevelConfig, ...]) -> Atlas | None:
    """Return the maps of ``world``, whose obstacles are those of ``levels``; None where it has none.

    Raises:
        UserError: When a map cannot be read, has no room for the robot, or all take more memory than they may.
    """
    if world.map is None:
        return None
    needs = _needs_of(world, levels)
    if world.map.generator is None:  # files may change
        return _made(world.map, needs)
    return _made_once(world.map, needs)  # pyright: ignore[reportArgumentType]  # a frozen model has a hash


def check_maps(world: WorldConfig, levels: tuple[LevelConfig, ...]) -> None:
    """Refuse what ``atlas_of`` refuses, before a search for routes; also maps that are held out.

    Of a generator's maps the first few are looked at for room.

    Raises:
        UserError: As ``atlas_of`` does.
    """
    if world.map is None:
        return
    needs = _needs_of(world, levels)
    configs = [world.map]
    if world.map.held_out and world.map.split == "train":
        configs.append(world.map.model_copy(update={"split": "held_out", "goals": ()}))
    for config in configs:
        maps = find_maps(config)
        goals = _given_goals(config, maps, needs)
        num = len(goals) if goals is not None else _num_goals(config.num_goals, len(maps))
        _check_memory(maps, needs, num, config.memory_mb)
        for grid in maps[: _LOOKED_AT if config.generator else len(maps)]:
            field = room_m(grid.occupied, grid.resolution_m)
            for need_m in (needs.route_m, needs.walker_m):
                if not open_cells(field, grid.resolution_m, need_m).any():
                    raise _no_room(grid, f"there is no place that is {need_m:g} m from all walls")


def _needs_of(world: WorldConfig, levels: tuple[LevelConfig, ...]) -> _Needs:
    largest = max(FACTOR["obstacle_size"][level.randomization.obstacle_size][1] for level in levels)
    moves = any(level.num_dynamic for level in levels)
    walker = float(np.float32(world.obstacles.radius_max_m * largest + MARGIN_M)) if moves else 0.0
    path = (world.path.num_points, world.path.spacing_m, world.path.replan_m)
    from_end = world.map is not None and world.map.course == "ends"
    if from_end and (world.num_robots > 1 or any(level.num_goals > 1 for level in levels)):
        raise UserError(
            "env.world.map.course=ends has one robot and one goal, the other end: set env.world.num_robots=1 and every "
            "stage's num_goals=1, or leave it out"
        )
    return _Needs(route_clearance_m(world), walker, world.robot.radius_m, path, from_end)


def _no_room(grid: GridMap, what: str) -> UserError:
    """Return the error for a map in which something has no room."""
    return UserError(
        f"env.world.map: {grid.name}: {what}: take a smaller robot (env.world.robot) or smaller obstacles "
        "(env.world.obstacles.radius_max_m), a lower env.world.map.clearance_m, or another map"
    )


@lru_cache(maxsize=4)
def _made_once(config: MapConfig, needs: _Needs) -> Atlas:
    return _made(config, needs)


def _made(config: MapConfig, needs: _Needs) -> Atlas:
    maps = find_maps(config)
    goals = _given_goals(config, maps, needs)
    num = 2 if needs.ends else len(goals) if goals is not None else _num_goals(config.num_goals, len(maps))
    _check_memory(maps, needs, num, config.memory_mb)
    start = time.perf_counter()
    routes, walks = list[Routes](), list[Routes | None]()
    for grid in maps:
        try:
            places = _two_ends(grid, needs) if needs.ends else goals
            routes.append(kept_routes(grid, needs.route_m, num, places))
            walks.append(kept_routes(grid, needs.walker_m, _WALKER_PLACES, None) if needs.walker_m else None)
        except ValueError as error:
            raise _no_room(grid, str(error)) from None
    took = time.perf_counter() - start
    if took > 2.0:
        logger.info("routes of %d maps: made in %.0f s, and kept for the next time", len(maps), took)
    return Atlas(maps, _packed(maps, routes, walks, needs))


def _num_goals(asked: int, num_maps: int) -> int:
    return min(asked, max(_GOALS_IN_ALL // num_maps, _LEAST_GOALS))


def _two_ends(grid: GridMap, needs: _Needs) -> np.ndarray:
    """Return the ends of a map, (2, 2) m in the world frame; ValueError where no way leads from one to the other."""
    places = np.array(ends(grid))
    field = room_m(grid.occupied, grid.resolution_m)
    labels, _ = parts_of(open_cells(field, grid.resolution_m, needs.route_m))
    column, row = route_cells(places, field.shape, grid.resolution_m).T
    if not 0 != labels[row[0], column[0]] == labels[row[1], column[1]]:
        raise ValueError(f"no way that is {needs.route_m:g} m from all walls leads from one end to the other")
    return places


def _given_goals(config: MapConfig, maps: tuple[GridMap, ...], needs: _Needs) -> np.ndarray | None:
    """Return the goals of the config, (G, 2) m in the world frame; None where it gives none."""
    if not config.goals:
        return None
    if len(maps) != 1:
        raise UserError(f"env.world.map.goals: they are places of one map, and there are {len(maps)}: leave them out")
    grid, points = maps[0], np.array([(p.x_m, p.y_m) for p in config.goals])
    field = room_m(grid.occupied, grid.resolution_m)
    is_open = open_cells(field, grid.resolution_m, needs.route_m)
    labels, part = parts_of(is_open)
    side = route_factor(field.shape, grid.resolution_m) * grid.resolution_m
    begin = corner(field.shape, grid.resolution_m)
    rows, columns = np.nonzero(labels == part)
    places = grid.to_world(points)
    cells = np.clip(route_cells(places, field.shape, grid.resolution_m), 0, np.array(labels.shape[::-1]) - 1)
    for i, (place, given, (column, row)) in enumerate(zip(places, points, cells, strict=True)):
        if part and labels[row, column] != part:
            centres = np.stack([columns, rows], axis=1) * side + 0.5 * side + begin
            near = grid.to_map(centres[np.square(centres - place).sum(axis=1).argmin()])
            raise UserError(
                f"env.world.map.goals[{i}]: the robot cannot reach ({given[0]:g}, {given[1]:g}) in {grid.name}; the "
                f"nearest place that it reaches is ({near[0]:.2f}, {near[1]:.2f})"
            )
    return places


def _check_memory(maps: tuple[GridMap, ...], needs: _Needs, num: int, most_mb: float) -> None:
    total = 0.0
    for grid in maps:
        rows, columns = grid.occupied.shape
        factor = route_factor(grid.occupied.shape, grid.resolution_m)
        cells = (rows / factor + 3) * (columns / factor + 3)
        total += 2 * (rows + 2) * (columns + 2) + cells * (1 + 2 * (num + _WALKER_PLACES * (needs.walker_m > 0)))
    if total > most_mb * 1e6:
        raise UserError(
            f"env.world.map: {len(maps)} maps and routes to {num} goals in each take {total / 1e6:.0f} MB, more than "
            f"env.world.map.memory_mb ({most_mb:g}) allows: name fewer maps, lower env.world.map.num_goals or raise "
            "env.world.map.memory_mb"
        )


def _packed(
    maps: tuple[GridMap, ...], routes: list[Routes], walks: list[Routes | None], needs: _Needs
) -> dict[str, np.ndarray]:
    grid, frame = np.zeros((len(maps), at.GRID_COLS), np.int64), np.zeros((len(maps), at.FRAME_COLS), np.float32)
    rings: list[np.ndarray] = []
    near: list[np.ndarray] = []
    free: list[np.ndarray] = []
    reach: list[np.ndarray] = []
    tables: list[Routes] = []
    sides = max(one.resolution_m for one in maps)
    step, least = (_SIGHT_M + needs.radius_m + 2 * sides) / _STEPS, -2 * sides
    cells = places = coarse = blocks_at = 0
    for k, (one, way, walk) in enumerate(zip(maps, routes, walks, strict=True)):
        occupied, side = closed(one.occupied), one.resolution_m
        rings.append(free_rings(occupied).ravel())
        field = clearance_m(occupied, side)
        counts = np.floor((field - least) / step)
        near.append(np.clip(counts, 0, 255).astype(np.uint8).ravel())
        shift = max(0, round(float(np.log2(_BLOCK_M / side))))
        size = 1 << shift
        blocks = -(-occupied.shape[1] // size), -(-occupied.shape[0] // size)
        free.append(np.zeros((blocks[0] * blocks[1], at.SECTORS), np.uint8))
        surely_free(np.minimum(field / side, 255.0), size, blocks[0], free[-1])
        both = way.reach.astype(np.uint8) * at.ROBOTS_REACH
        num_walks = 0 if walk is None else len(walk.mark)
        if walk is not None:
            both |= walk.reach.astype(np.uint8) * at.WALKERS_REACH
        reach.append(both.ravel())
        marks = places, len(way.mark), places + len(way.mark), num_walks
        grid[k] = (cells, *occupied.shape[::-1], coarse, *both.shape[::-1], *marks, blocks_at, blocks[0], shift)
        blocks_at += len(free[-1])
        factor = route_factor(one.occupied.shape, side)
        low = -0.5 * np.array(one.size_m) - side
        begin = corner(one.occupied.shape, side)
        frame[k] = (*low, side, 1.0 / side, *begin, 1.0 / (factor * side), *(0.5 * np.array(one.size_m)))
        cells, coarse, places = cells + occupied.size, coarse + both.size, places + len(way.mark) + num_walks
        tables += [way] if walk is None else [way, walk]
    mark_at = np.zeros((places, 2), np.int64)
    turns = bends = row = 0
    for table in tables:
        for g in range(len(table.mark)):
            mark_at[row] = turns, bends + table.bends_at[g]
            turns, row = turns + table.turn.shape[1], row + 1
        bends += len(table.bend)
    return {
        "grid": grid,
        "frame": frame,
        "rings": np.concatenate(rings),
        "free": np.concatenate(free),
        "near": np.concatenate(near),
        "reach": np.concatenate(reach),
        "mark": np.concatenate([table.mark for table in tables]),
        "mark_at": mark_at,
        "turn": np.concatenate([table.turn.ravel() for table in tables]),
        "bend": np.concatenate([table.bend for table in tables]),
        "bend_next": np.concatenate([table.bend_next for table in tables]),
        "rig": np.array([step, least, *needs.path, needs.ends], np.float32),
    }
