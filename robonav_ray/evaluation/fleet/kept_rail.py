"""The rail by which a test on a fleet began: its bounds hold over all looks, as long as no later look takes another.

::

    DIR/rail.json    written by the first watch
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robonav_ray.evaluation.fleet.guard import Rail
from robonav_ray.evaluation.fleet.split import FleetError
from robonav_ray.files.plain_files import open_new, read_json

RAIL_JSON = "rail.json"
_MAX_BYTES = 10_000
_OPTIONS = {"collisions": "--rail", "alpha": "--alpha"}


def rail_of(folder: Path, **asked: float | None) -> Rail:
    """Return the rail of the test in ``folder``: what it began with, else what is ``asked`` for, else the defaults.

    Args:
        folder: Of the test; nothing is written.
        asked: ``collisions`` and ``alpha`` of ``Rail``; None takes what there is.

    Raises:
        UserError: For one that cannot be, another one than the test began with, or a file that is damaged.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    wanted, path = Rail(**given), folder / RAIL_JSON
    try:
        began = _read(path)
    except FileNotFoundError:
        return wanted
    if other := {name: vars(began)[name] for name, value in given.items() if vars(began)[name] != value}:
        options = " ".join(f"{_OPTIONS[name]} {value}" for name, value in other.items())
        raise FleetError(
            f"{path}: the test began with another rail, and one that changes it after a look guarantees nothing: go on "
            f"with {options}, or begin another test in a folder of its own (`robonav fleet begin`)"
        )
    return began


def keep_rail(folder: Path, rail: Rail) -> None:
    """Write the rail down before the first look.

    Raises:
        FleetError: When the test began with another one, or the file is damaged.
        OSError: When it cannot be written.
    """
    try:
        with open_new(folder / RAIL_JSON) as file:
            file.write((json.dumps(asdict(rail), indent=1) + "\n").encode())
    except FileExistsError:
        rail_of(folder, **asdict(rail))


def _read(path: Path) -> Rail:
    document: Any = read_json(path, _MAX_BYTES)
    if not isinstance(document, dict) or document.keys() != _OPTIONS.keys():
        raise FleetError(f"{path}: must hold {' and '.join(_OPTIONS)} (damaged); begin another test")
    if not all(type(value) in (int, float) for value in document.values()):
        raise FleetError(f"{path}: must hold numbers (damaged); begin another test")
    try:
        return Rail(**document)
    except ValueError as error:  # a UserError is one
        raise FleetError(f"{path}: {error} (damaged); begin another test") from None
