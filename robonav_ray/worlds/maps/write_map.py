"""A map as map_saver writes it (nav2_map_server, ``tryWriteMapToFile`` in ``map_io.cpp``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from robonav_ray.files.plain_files import replace, replacing_path
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.map_file import Mode
from robonav_ray.worlds.maps.read_map import SAVED_UNKNOWN

_OCCUPIED, _FREE = 0, 254
"""Grey values of ``trinary``."""


def write_map(grid: GridMap, path: Path, mode: Mode = "trinary", *, about: str = "") -> None:
    """Write a map as ``path``, a YAML file, and an image of the same name beside it: PNG for ``scale``, in which
    unknown cells are transparent, and for ``trinary``; PGM for ``raw``. ``about`` is a comment in the first line.
    """
    free, occupied = ~(grid.occupied | grid.unknown), grid.occupied & ~grid.unknown
    if mode == "trinary":
        cells = np.select([free, occupied], [_FREE, _OCCUPIED], SAVED_UNKNOWN).astype(np.uint8)[::-1]
        image = Image.fromarray(cells)
    elif mode == "scale":
        cells = np.select([free, occupied], [255, 0], 128).astype(np.uint8)[::-1]
        image = Image.merge(
            "LA", [Image.fromarray(cells), Image.fromarray(np.where(grid.unknown, 0, 255).astype(np.uint8)[::-1])]
        )
    else:
        image = Image.fromarray(np.select([free, occupied], [0, 100], 255).astype(np.uint8)[::-1])
    image_path = path.with_suffix(".pgm" if mode == "raw" else ".png")
    with replacing_path(image_path) as aside:
        image.save(aside, optimize=True)
    x, y, yaw = grid.origin
    lines = [
        *([f"# {about}"] if about else []),
        f"image: {image_path.name}",
        f"mode: {mode}",
        f"resolution: {grid.resolution_m!r}",
        f"origin: [{x!r}, {y!r}, {yaw!r}]",
        "negate: 0",
        "occupied_thresh: 0.65",
        "free_thresh: 0.196",
    ]
    replace(path, "\n".join(lines) + "\n")
