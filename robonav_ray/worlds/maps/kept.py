"""Routes that were made are kept by content, below the user's cache: a map's are searched for once on a machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from robonav_ray.compiled import fingerprint, own_cache
from robonav_ray.worlds.maps.distance_field import room_m
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.routes import Routes, make_routes, open_cells

MOST_BYTES = 1 << 30
"""Of the oldest, so much is thrown away that the rest is no more than this."""


def kept_routes(grid: GridMap, need_m: float, num: int, goals: np.ndarray | None) -> Routes:
    """Return the routes of a map, as ``make_routes`` does: those kept on this machine, or new ones, which are kept
    then.
    """
    folder = own_cache("maps")
    given = b"" if goals is None else np.asarray(goals, np.float64).tobytes()
    told = f"{fingerprint()} walled {grid.content} {need_m!r} {num}\n".encode() + given
    path = None if folder is None else folder / f"{hashlib.sha256(told).hexdigest()}.npz"
    if path is not None and path.exists() and (routes := _read(path, grid, need_m)) is not None:
        return routes
    field = room_m(grid.occupied, grid.resolution_m)
    routes = make_routes(field, grid.resolution_m, need_m, num, goals)
    if path is not None:
        _write(path, routes)
    return routes


def _read(path: Path, grid: GridMap, need_m: float) -> Routes | None:
    """Return what was kept; None where it is no such thing, or its numbers are none that kernels can take on trust."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            routes = Routes(**{name: kept[name] for name in kept.files})
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return routes if _is_sound(routes, grid, need_m) else None


def _is_sound(routes: Routes, grid: GridMap, need_m: float) -> bool:
    shape = open_cells(np.zeros(grid.occupied.shape, np.float32), grid.resolution_m, need_m).shape
    num, bends = len(routes.mark), len(routes.bend)
    wanted = {
        "reach": ("bool", shape),
        "mark": ("float32", (num, 2)),
        "turn": ("uint16", (num, shape[0] * shape[1])),
        "bend": ("float32", (bends, 3)),
        "bend_next": ("int32", (bends,)),
        "bends_at": ("int64", (num + 1,)),
    }
    arrays = routes.as_arrays()
    if any((arrays[name].dtype, arrays[name].shape) != (np.dtype(kind), size) for name, (kind, size) in wanted.items()):
        return False
    sizes = np.diff(routes.bends_at)
    if not num or routes.bends_at[0] != 0 or routes.bends_at[-1] != bends or (sizes < 1).any():
        return False
    of = np.repeat(sizes, sizes)
    return bool(
        np.isfinite(routes.bend).all()
        and np.isfinite(routes.mark).all()
        and ((routes.bend_next >= 0) & (routes.bend_next < of)).all()
        and (routes.turn < sizes[:, None]).all()
    )


def _write(path: Path, routes: Routes) -> None:
    """Keep routes under their final name at once; a disk that is full is no reason not to go on."""
    with contextlib.suppress(OSError):
        handle, made = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, **routes.as_arrays())  # type: ignore[arg-type]  # arrays, by name
            os.replace(made, path)
        finally:
            Path(made).unlink(missing_ok=True)
        _throw_away_the_oldest(path.parent)


def _throw_away_the_oldest(folder: Path) -> None:
    found = sorted(((path.stat().st_mtime, path.stat().st_size, path) for path in folder.glob("*.npz")), reverse=True)
    total = 0
    for _, size, path in found:
        total += size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)
