"""The YAML file of a map, as map_server and Nav2 write and read it (nav2_map_server, ``map_io.cpp``)."""

from __future__ import annotations

import difflib
import math
import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from robonav_ray.config.yaml_document import MAX_BYTES, Document
from robonav_ray.files.plain_files import check_way, read_text, sentence
from robonav_ray.text import one_line
from robonav_ray.worlds.maps.errors import MapError

Mode = Literal["trinary", "scale", "raw"]
MODES: tuple[Mode, ...] = ("trinary", "scale", "raw")
OCCUPIED_THRESH, FREE_THRESH = 0.65, 0.196
"""Taken where a file has none. With this ``free_thresh`` grey 205, as which map_saver writes unknown cells, is
unknown."""
_KEYS = ("image", "mode", "resolution", "origin", "negate", "occupied_thresh", "free_thresh")
_YES, _NO = ("true", "yes", "on", "y"), ("false", "no", "off", "n")
_RESOLUTION_M, _MAX_ORIGIN_M = (1e-3, 10.0), 1e6


@dataclass(frozen=True)
class MapFile:
    """What the YAML file of a map says."""

    path: Path
    image: Path
    resolution_m: float
    origin: tuple[float, float, float]
    """Pose of the lower left corner in the map frame: x (m), y (m), yaw (rad)."""
    mode: Mode
    negate: bool
    """Whether white is occupied."""
    occupied_thresh: float
    free_thresh: float


def read_map_file(path: Path) -> MapFile:
    """Return what the YAML file of a map says. Of its keys ``image``, ``resolution`` and ``origin`` must be there;
    those of other programs are let be, unless they look like a misspelt one of map_server's.

    Raises:
        MapError: Naming the file and the key that is wrong.
        ConfigError: When the file is no YAML.
    """
    try:
        text = read_text(path, MAX_BYTES, follow=True)
    except FileNotFoundError:
        raise MapError(f"{one_line(path)}: no such file, and no shipped map of that name") from None
    except OSError as error:
        hint = "; name the map's YAML file, not its image" if path.suffix.lower() in (".png", ".pgm") else ""
        raise MapError(f"{one_line(sentence(error))}{hint}") from None
    document = Document(text, one_line(path))
    if not isinstance(document.data, Mapping):
        raise MapError(f"{one_line(path)}: is no map: it must hold {', '.join(_KEYS[:4])} and so on, each KEY: VALUE")
    return _Reader(path, document, cast("Mapping[str, Any]", document.data)).map_file()


@dataclass(frozen=True)
class _Reader:
    path: Path
    document: Document
    data: Mapping[str, Any]

    def map_file(self) -> MapFile:
        for key in self.data:
            near = difflib.get_close_matches(key.lower(), _KEYS, n=1, cutoff=0.8)
            if key not in _KEYS and near and near[0] not in self.data:
                raise self.error(key, f"is not a key of map_server; did you mean {near[0]!r}?")
        free, occupied = self.part("free_thresh", FREE_THRESH), self.part("occupied_thresh", OCCUPIED_THRESH)
        if free > occupied:
            raise self.error("free_thresh", f"({free:g}) must not be above occupied_thresh ({occupied:g})")
        return MapFile(
            path=self.path,
            image=self.image(),
            resolution_m=self.resolution(),
            origin=self.origin(),
            mode=self.mode(),
            negate=self.negate(),
            occupied_thresh=occupied,
            free_thresh=free,
        )

    def error(self, key: str, what: str) -> MapError:
        """Return the error that names file, line and key."""
        line = self.document.lines.get((key,))
        return MapError(f"{one_line(self.path)}{f':{line}' if line else ''}: {one_line(key)} {what}")

    def given(self, key: str) -> Any:
        if key not in self.data or self.data[key] is None:
            raise self.error(key, "is missing")
        return self.data[key]

    def number(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"must be a number, not {one_line(repr(value))[:80]}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.error(key, f"must be a finite number, not {number}")
        return number

    def part(self, key: str, default: float) -> float:
        value = self.number(key, self.data.get(key, default))
        if not 0.0 <= value <= 1.0:
            raise self.error(key, f"must be from 0 to 1, not {value:g}")
        return value

    def resolution(self) -> float:
        value = self.number("resolution", self.given("resolution"))
        low, high = _RESOLUTION_M
        if not low <= value <= high:
            raise self.error(
                "resolution", f"is the side of a cell and must be from {low:g} to {high:g} m, not {value:g}"
            )
        return value

    def origin(self) -> tuple[float, float, float]:
        value = self.given("origin")
        if not isinstance(value, list) or len(cast("list[Any]", value)) != 3:
            raise self.error("origin", "must be three numbers, [x, y, yaw] of the map's lower left corner")
        x, y, yaw = (self.number("origin", one) for one in cast("list[Any]", value))
        if max(abs(x), abs(y), abs(yaw)) > _MAX_ORIGIN_M:
            raise self.error("origin", f"must lie within {_MAX_ORIGIN_M:g} m")
        return x, y, yaw

    def mode(self) -> Mode:
        word = str(self.data.get("mode", "trinary")).lower()
        if word not in MODES:
            raise self.error("mode", f"must be one of {', '.join(MODES)}, not {one_line(repr(word))[:80]}")
        return cast("Mode", word)

    def negate(self) -> bool:
        value = self.data.get("negate", 0)
        if isinstance(value, bool | int):
            return bool(value)
        word = str(value).lower()
        if word not in (*_YES, *_NO):
            raise self.error("negate", f"must be 0 or 1, not {one_line(repr(value))[:80]}")
        return word in _YES

    def image(self) -> Path:
        """Return where the image is: in the map's folder or below, and no link on the way."""
        name = self.given("image")
        if not isinstance(name, str) or not name or not name.isprintable():
            raise self.error("image", "must be the name of the image, in the map's folder")
        below = os.path.normpath(name)
        if os.path.isabs(name) or below == ".." or below.startswith(f"..{os.sep}"):
            raise self.error(
                "image", f"({name}) leads out of the map's folder: put the image beside the map, and write its name"
            )
        try:
            check_way(self.path.parent, below)
        except OSError as error:
            raise self.error("image", f"({name}): {one_line(sentence(error))}") from None
        return self.path.parent / below
