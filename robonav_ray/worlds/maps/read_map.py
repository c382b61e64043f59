"""A map as map_server and Nav2 read it: the YAML file and its image, turned into cells."""

from __future__ import annotations

import contextlib
import os
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from robonav_ray.files.plain_files import PlainFileError, open_reading, sentence
from robonav_ray.text import one_line
from robonav_ray.worlds.maps.errors import MapError
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.map_file import MapFile, read_map_file

MAX_PIXELS = 1 << 26
"""The most pixels of an image: 8,192 x 8,192, a map of 400 x 400 m at 5 cm."""
UNKNOWN, FREE, OCCUPIED = -1, 0, 100
"""Values of an occupancy grid (nav_msgs/OccupancyGrid)."""
SAVED_UNKNOWN = 205
"""The grey value as which map_saver writes unknown cells (trinary)."""
_FORMATS = ("PNG", "PPM")
"""Pillow's names; PPM includes PGM."""


def read_map(path: Path, unknown: Literal["occupied", "free"] = "occupied") -> GridMap:
    """Return the map of a YAML file; ``unknown`` says what cells are that it says nothing of.

    Unknown are also cells between ``free_thresh`` and ``occupied_thresh``, in every mode.

    Raises:
        MapError: When the file or its image is missing, is none, or does not hold what it says; when it has more than
            MAX_PIXELS pixels, before one is decoded; when no cell is known. The message names file and key.
        ConfigError: When the file is no YAML.
    """
    about = read_map_file(path)
    with _opened(about) as image:
        values = occupancy(about, image)
    if about.mode == "raw":
        occupied, free = values >= 100.0 * about.occupied_thresh, (values >= 0) & (values <= 100.0 * about.free_thresh)
    else:
        occupied, free = values == OCCUPIED, values == FREE
    is_unknown = ~(occupied | free)
    if is_unknown.all():
        raise image_error(about, "every cell is unknown: see mode, negate, occupied_thresh and free_thresh")
    if unknown == "occupied":
        occupied |= is_unknown
    for cells in (occupied, is_unknown):
        cells.setflags(write=False)
    return GridMap(path.stem, occupied, is_unknown, about.resolution_m, about.origin)


def occupancy(about: MapFile, image: Image.Image) -> np.ndarray:
    """Return (H, W) int8, row 0 the lowest, as ``loadMapFromFile`` of nav2_map_server's ``map_io.cpp`` does: 0 free,
    100 occupied, -1 unknown, and between them how likely (%).

    ``trinary`` knows the first three. ``scale`` spreads what lies between the thresholds over 0 to 100. In both a pixel
    that is not opaque is unknown. ``raw`` takes grey values for what they are, and above 100 for unknown; ``negate``
    has no part in it.
    """
    grey, alpha = _channels(image)
    if about.mode == "raw":
        values = np.where(grey > OCCUPIED, UNKNOWN, grey.astype(np.int16)).astype(np.int8)
        return np.ascontiguousarray(values[::-1])
    shade = grey.astype(np.float32) / np.float32(255.0)
    likely = shade if about.negate else np.float32(1.0) - shade
    values = np.full(grey.shape, UNKNOWN, np.int8)
    values[likely >= about.occupied_thresh] = OCCUPIED
    values[likely <= about.free_thresh] = FREE
    if about.mode == "scale":
        between = (likely > about.free_thresh) & (likely < about.occupied_thresh)
        part = (likely[between] - about.free_thresh) / (about.occupied_thresh - about.free_thresh)
        values[between] = np.floor(100.0 * part + 0.5).astype(np.int8)
    if alpha is not None:
        values[alpha < 255] = UNKNOWN
    return np.ascontiguousarray(values[::-1])


def unknown_as_free_frac(about: MapFile) -> float:
    """Return the part of a map's image that has the grey as which map_saver writes unknown cells, where the file's
    thresholds make it free: with ``free_thresh: 0.25``, which Nav2's map_saver writes, they do. Raises as ``read_map``.
    """
    with _opened(about) as image:
        grey, _ = _channels(image)
    likely = np.float32(SAVED_UNKNOWN) / np.float32(255.0)
    likely = likely if about.negate else np.float32(1.0) - likely
    is_free = about.mode != "raw" and likely <= about.free_thresh
    return float((grey == SAVED_UNKNOWN).mean()) if is_free else 0.0


def image_size(about: MapFile) -> tuple[int, int]:
    """Return width and height of a map's image as its header says; raises as ``read_map`` does."""
    with _opened(about) as image:
        return image.size


def image_error(about: MapFile, what: str) -> MapError:
    """Return the error that names the map, the key and the image."""
    return MapError(f"{one_line(about.path)}: image ({one_line(about.image.name)}): {what}")


@contextlib.contextmanager
def _opened(about: MapFile) -> Iterator[Image.Image]:
    """Give an image of which nothing but the header is read yet; what fails to be decoded later is refused, too."""
    try:
        with open_reading(about.image) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is below Pillow's
            image = Image.open(file, formats=_FORMATS)
            _check_size(about, image, os.fstat(file.fileno()).st_size)
            yield image
    except FileNotFoundError:
        raise image_error(about, f"no such file in {one_line(about.image.parent)}") from None
    except Image.DecompressionBombError:
        raise image_error(about, f"is too large: {MAX_PIXELS:,} pixels are the most that is read") from None
    except UnidentifiedImageError:
        raise image_error(about, "is no PGM and no PNG") from None
    except PlainFileError as error:
        raise image_error(about, one_line(sentence(error))) from None
    except MapError:
        raise
    except (ValueError, OSError, SyntaxError, EOFError, struct.error) as error:  # what Pillow raises for damaged files
        raise image_error(about, f"does not hold the pixels that its header says ({one_line(error)})") from None


def _check_size(about: MapFile, image: Image.Image, held_bytes: int) -> None:
    """MapError for an image of too many pixels, or of another size than its header says."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise image_error(about, f"{width:,} x {height:,} pixels are too many: {MAX_PIXELS:,} is the most that is read")
    tiles: Any = image.tile  # pyright: ignore[reportAttributeAccessIssue] (of an ImageFile)
    if image.format != "PPM" or tiles[0][0] not in ("raw", "ppm"):
        return
    begin, args = tiles[0][2:]
    is_deep = image.mode.startswith("I") or (tiles[0][0] == "ppm" and args[-1] > 255)
    need = height * ((width + 7) // 8 if image.mode == "1" else width * len(image.getbands()) * (1 + is_deep))
    if not 0 <= held_bytes - begin - need <= 2:  # an editor may have put a line end behind them
        raise image_error(
            about,
            f"is of another size than its header says: {width} x {height} pixels are {need} bytes, and it holds "
            f"{held_bytes - begin}",
        )


def _channels(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return grey values (H, W) uint8 and, where there is one, the alpha channel; of 16 bits the upper 8."""
    if image.mode.startswith(("I", "F")):
        return np.clip(np.rint(np.asarray(image, np.float64) / 257.0), 0, 255).astype(np.uint8), None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return np.asarray(image.convert("RGB").convert("L")), np.asarray(image.getchannel("A"))
    return np.asarray(image.convert("L")), None
