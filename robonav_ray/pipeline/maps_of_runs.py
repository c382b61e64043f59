"""The floor plans that a pipeline's runs take place in: their files by hash, and whether the robot has room."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from robonav_ray.config import RunConfig
from robonav_ray.config.shipped import shipped_root
from robonav_ray.config.worlds import MapConfig
from robonav_ray.pipeline.hashes import file_sha256
from robonav_ray.worlds.maps.check_map import REACHED, check_map, require_room
from robonav_ray.worlds.maps.find_maps import find_maps, map_paths
from robonav_ray.worlds.maps.map_file import read_map_file
from robonav_ray.worlds.maps.read_map import unknown_as_free_frac
from robonav_ray.worlds.maps.routes import route_clearance_m

SPLITS: tuple[Literal["train", "held_out"], ...] = ("train", "held_out")
_MAX_SAID = 12
"""Problems that are told one by one."""


def map_file_hashes(runs: Iterable[RunConfig]) -> dict[str, str]:
    """Return path -> SHA-256 of the map files and images of all runs, those held out included.

    Raises:
        MapError: Naming a file that is missing or no map.
    """
    found: dict[str, str] = {}
    for run in runs:
        for config in _configs(run):
            for path in () if config.generator else map_paths(config):
                image = read_map_file(path).image
                for file in (path, image):
                    name = _name(file)
                    if name not in found:
                        found[name] = file_sha256(file if file == image else file.resolve())
    return found


def check_maps(run: RunConfig, say: Callable[[str], None]) -> None:
    """Read or make all maps of a run, look at each for its robot, and say what is wrong.

    Raises:
        MapError: For a map that cannot be read or made, or in which the robot has no room.
    """
    world, said = run.env.world, 0
    for config in _configs(run):
        paths = None if config.generator else map_paths(config)
        reached_m2 = list[float]()
        for i, grid in enumerate(find_maps(config)):
            grey = 0.0 if paths is None else unknown_as_free_frac(read_map_file(paths[i]))
            report = check_map(grid, world.robot, route_clearance_m(world), grey)
            require_room(report)
            reached_m2.append(report.area_m2(REACHED))
            for problem in report.problems:
                said += 1
                if said <= _MAX_SAID:
                    say(f"map {grid.name}: {problem.text}")
        what = "held out" if config.split == "held_out" else "to train in"
        say(f"{len(reached_m2)} maps {what}: the robot gets to {min(reached_m2):.0f} m² at least of each")
    if said > _MAX_SAID:
        say(f"{said - _MAX_SAID} more problems: robonav map show FILE tells them")


def _name(file: Path) -> str:
    """Return a path as the config has it; of a shipped map from the folder that ``configs`` lies in, wherever that
    is.
    """
    root = shipped_root()
    return str(
        file.relative_to(root) if root is not None and file.is_absolute() and file.is_relative_to(root) else file
    )


def _configs(run: RunConfig) -> list[MapConfig]:
    """Return the config of the maps that a run trains in, and of those held out, where there are any."""
    config = run.env.world.map if run.env.is_native else None
    if config is None:
        return []
    splits = SPLITS if config.generator or config.held_out else SPLITS[:1]
    return [config.model_copy(update={"split": split}) for split in splits]
