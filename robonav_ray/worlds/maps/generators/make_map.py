"""One map of a generator, by its number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robonav_ray.config.worlds.maps import Generator, MapConfig
from robonav_ray.counter_rng import ROLE_WORLD, seed_for
from robonav_ray.worlds.maps.errors import MapError
from robonav_ray.worlds.maps.generators.cellular import make_cellular
from robonav_ray.worlds.maps.generators.forest import make_forest
from robonav_ray.worlds.maps.generators.lattice import make_corridors, make_maze
from robonav_ray.worlds.maps.generators.plan import NoRoomError, Plan, plan_of
from robonav_ray.worlds.maps.generators.rooms import make_rooms
from robonav_ray.worlds.maps.grid_map import GridMap

MAKERS: dict[Generator, Callable[[Plan, np.random.Generator], np.ndarray]] = {
    "rooms": make_rooms,
    "corridors": make_corridors,
    "maze": make_maze,
    "cellular": make_cellular,
    "forest": make_forest,
}
"""Each takes measures and random numbers, and gives (rows, columns) bool, the occupied cells."""


def map_seed(config: MapConfig, index: int) -> int:
    """Return the seed of map number ``index``: even for training and odd for maps held out, so the two never share
    one, under any config.
    """
    return seed_for(config.seed, ROLE_WORLD, index) & ~1 | (config.split == "held_out")


def make_map(config: MapConfig, index: int) -> GridMap:
    """Return map number ``index`` of a config's generator; its frame is the world frame.

    Raises:
        MapError: When passages of this width do not fit into a map of this size.
    """
    if config.generator is None:
        raise ValueError("the config names files, not a generator")
    plan = plan_of(config, index)
    try:
        occupied = MAKERS[config.generator](plan, np.random.default_rng(map_seed(config, index)))
    except NoRoomError as error:
        raise MapError(
            f"env.world.map: generator={config.generator} with passage_m={config.passage_m:g} does not fit into "
            f"{config.width_m:g} x {config.height_m:g} m: {error}"
        ) from None
    occupied.setflags(write=False)
    held_out = " held out" if config.split == "held_out" else ""
    half = 0.5 * plan.resolution_m
    return GridMap(
        name=f"{config.generator}{held_out} {index}",
        occupied=occupied,
        unknown=np.broadcast_to(np.False_, occupied.shape),
        resolution_m=config.resolution_m,
        origin=(-half * plan.columns, -half * plan.rows, 0.0),
    )
