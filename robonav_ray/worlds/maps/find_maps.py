"""The maps that a config names or has made."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

from robonav_ray.config.shipped import find_shipped, shipped_configs
from robonav_ray.config.worlds.maps import MapConfig
from robonav_ray.files.plain_files import is_plain, sentence
from robonav_ray.text import one_line
from robonav_ray.worlds.maps.errors import MapError
from robonav_ray.worlds.maps.generators.make_map import make_map
from robonav_ray.worlds.maps.generators.plan import plan_of
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.map_file import read_map_file
from robonav_ray.worlds.maps.read_map import image_size, read_map

BYTES_PER_CELL, BYTES_AT_ONCE = 7, 32
"""What a map takes for every cell, without its routes: occupied and unknown (1 each), clearance (4), free rings (1);
and what one takes besides while these are computed."""
MAX_FILES = 4096
"""The most map files of a config, those in its folders included."""


def find_maps(config: MapConfig) -> tuple[GridMap, ...]:
    """Return the maps of a config: those that it names in ``files``, with ``split=held_out`` those in ``held_out``, or
    those that its generator makes. Arrays are read-only; generated maps are made once in a process.

    Raises:
        MapError: When a map is missing or cannot be read, when the generator cannot make one, or when all together do
            not fit into ``memory_mb``, before any is read.
    """
    if config.generator is not None:
        plan = plan_of(config, 0)
        _check_memory(config, [plan.rows * plan.columns] * config.num_maps)
        return _made(config)  # pyright: ignore[reportArgumentType] (a frozen model has a hash)
    paths = map_paths(config)
    _check_memory(config, [math.prod(image_size(read_map_file(path))) for path in paths])
    return tuple(read_map(path, config.unknown) for path in paths)


def map_paths(config: MapConfig) -> tuple[Path, ...]:
    """Return the map files of a config in their order, of folders all ``*.yaml`` by name.

    Raises:
        MapError: When a folder holds none, or there are too many.
    """
    key = "held_out" if config.split == "held_out" else "files"
    paths = list[Path]()
    for name in config.held_out if config.split == "held_out" else config.files:
        paths += _in_folder(Path(name), key) if os.path.isdir(name) else [_file(name, key)]
        if len(paths) > MAX_FILES:
            raise MapError(f"env.world.map.{key}: more than {MAX_FILES} maps")
    return tuple(paths)


@functools.lru_cache(maxsize=4)
def _made(config: MapConfig) -> tuple[GridMap, ...]:
    return tuple(make_map(config, index) for index in range(config.num_maps))


def _file(name: str, key: str) -> Path:
    path = Path(name)
    if (shipped := find_shipped(path, "map")) is not None:
        return shipped
    if not os.path.lexists(path):
        known = ", ".join(config.name for config in shipped_configs("map"))
        raise MapError(
            f"env.world.map.{key}: {one_line(name)}: no such file, and no shipped map of that name ({known})"
        )
    return path


def _in_folder(folder: Path, key: str) -> list[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    except OSError as error:
        raise MapError(f"env.world.map.{key}: {one_line(sentence(error))}") from None
    if odd := [path for path in paths if not is_plain(path)]:
        raise MapError(
            f"env.world.map.{key}: {one_line(odd[0])} is no plain file: name a map that a link leads to itself"
        )
    if not paths:
        raise MapError(f"env.world.map.{key}: {one_line(folder)} holds no map (*.yaml)")
    return paths


def _check_memory(config: MapConfig, cells: list[int]) -> None:
    """MapError when maps of so many cells take too much."""
    need_mb = (sum(cells) * BYTES_PER_CELL + max(cells) * BYTES_AT_ONCE) / 1e6
    if need_mb > config.memory_mb:
        maps = "one map" if len(cells) == 1 else f"{len(cells)} maps"
        raise MapError(
            f"env.world.map.memory_mb ({config.memory_mb:g}): {maps} of {sum(cells) / 1e6:.3g} million cells take "
            f"{need_mb:.0f} MB without their routes: take fewer or coarser ones, or allow more"
        )
