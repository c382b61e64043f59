"""Cases from a file: where robots start, where they go, how fast and how large they are."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.config.worlds import WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.files import plain_files
from robonav_ray.worlds.kernels.layout import (
    CASE_COLS,
    CASE_RADIUS,
    CASE_SPEED,
    CASE_Y,
)

MAX_RADIUS_M, MAX_SPEED, MAX_PLACE_M = 2.0, 10.0, 1000.0
"""The most that a robot's radius, its speed and a coordinate may be."""
_ROWS = "rows (start x, y, goal x, y, preferred speed, radius)"
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


class CasesError(UserError):
    """A file of cases cannot be read, or holds a case that worlds cannot run; the message names file and case."""


def case_stride(num_cases: int) -> int:
    """Return by how many cases a world moves on from episode to episode: so that it comes through all of them, and
    neighbouring worlds do not follow each other.
    """
    stride = max(int(num_cases * _GOLDEN), 1)
    while math.gcd(stride, max(num_cases, 1)) != 1:
        stride += 1
    return stride


def load_cases(world: WorldConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the cases of ``world``, (C, R, CASE_COLS) float32, and how many robots each has, (C,) int64; none where it
    draws its own.

    World i runs case ``(i + e * case_stride(C)) % C`` in its episode e.

    Raises:
        CasesError: For a file that cannot be read, or a case of too many robots, robots that overlap at the start, or
            numbers out of their range.
    """
    if world.cases is None:
        return np.zeros((0, world.num_robots, CASE_COLS), np.float32), np.zeros(0, np.int64)
    cases = _read(Path(world.cases).expanduser())
    where = f"env.world.cases: {world.cases}"
    if not cases:
        raise CasesError(f"{where} holds no case: each is {_ROWS}")
    taken = [i for i, case in enumerate(cases) if world.cases_of in (None, len(case))]
    if not taken:
        raise CasesError(f"{where} holds no case of {world.cases_of} robots: change env.world.cases_of")
    for i in taken:
        _check(f"{where}: case {i}", cases[i], world.num_robots)
    cases = [cases[i] for i in taken]
    table = np.zeros((len(cases), world.num_robots, CASE_COLS), np.float32)
    for row, case in zip(table, cases, strict=True):
        row[: len(case)] = case
    return table, np.array([len(case) for case in cases], np.int64)


def _read(path: Path) -> list[np.ndarray]:
    """Return the cases in a file, each (robots, 6) float64."""
    try:
        content = plain_files.read_bytes(path, follow=True)
    except OSError as error:
        raise CasesError(f"env.world.cases: {plain_files.sentence(error)}") from None
    arrays = _from_npz(path, content) if path.suffix == ".npz" else _from_json(path, content)
    cases = list[np.ndarray]()
    for name, array in arrays:
        if array.dtype.kind not in "fiu" or array.ndim not in (2, 3) or array.shape[-1] != CASE_COLS:
            raise CasesError(
                f"env.world.cases: {path}{name}: expected numbers, (cases, robots, {CASE_COLS}) or (robots, "
                f"{CASE_COLS}), got {array.dtype} {array.shape}; each case is {_ROWS}"
            )
        cases += list(np.asarray(array, np.float64).reshape(-1, *array.shape[-2:]))
    return cases


def _from_npz(path: Path, content: bytes) -> list[tuple[str, np.ndarray]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > plain_files.MAX_DOCUMENT_BYTES:
                raise CasesError(f"env.world.cases: {path} unpacks to more than 64 MB")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return [(f": {name}", file[name]) for name in file.files]
    except CasesError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise CasesError(f"env.world.cases: {path} is no .npz of numbers ({error})") from None


def _from_json(path: Path, content: bytes) -> list[tuple[str, np.ndarray]]:
    try:
        listed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CasesError(f"env.world.cases: {path} is neither .npz nor JSON ({error})") from None
    if not isinstance(listed, list):
        raise CasesError(f"env.world.cases: {path}: expected a list of cases, each a list of {_ROWS}")
    return [(f": case {i}", _rows(path, i, case)) for i, case in enumerate(listed)]


def _rows(path: Path, i: int, case: Any) -> np.ndarray:
    try:
        array = np.asarray(case)
    except (ValueError, OverflowError):
        array = np.zeros(0)
    if array.ndim != 2:
        raise CasesError(f"env.world.cases: {path}: case {i} must be a list of {_ROWS}")
    return array


def _check(where: str, case: np.ndarray, num_robots: int) -> None:
    """CasesError unless worlds of ``num_robots`` can run ``case``."""
    if not 1 <= len(case) <= num_robots:
        raise CasesError(
            f"{where} has {len(case)} robots, and worlds have room for {num_robots}: set "
            f"env.world.num_robots={max(len(case), 1)}, or leave the case out"
        )
    low = np.full(CASE_COLS, -MAX_PLACE_M)
    high = np.full(CASE_COLS, MAX_PLACE_M)
    low[[CASE_SPEED, CASE_RADIUS]], high[CASE_SPEED], high[CASE_RADIUS] = 1e-3, MAX_SPEED, MAX_RADIUS_M
    inside = (case >= low) & (case <= high)
    if not inside.all():
        r, column = (int(i) for i in np.argwhere(~inside)[0])
        raise CasesError(
            f"{where}, robot {r}: number {column} is {case[r, column]:g} and must be from {low[column]:g} to "
            f"{high[column]:g}; a case is {_ROWS}"
        )
    start, radius = case[:, : CASE_Y + 1], case[:, CASE_RADIUS]
    space = np.linalg.norm(start[:, None] - start[None], axis=2) - radius[:, None] - radius[None]
    np.fill_diagonal(space, np.inf)
    if (space < 0.0).any():
        r, q = (int(i) for i in np.argwhere(space < 0.0)[0])
        raise CasesError(f"{where}: robots {r} and {q} overlap at the start; move them apart, or leave the case out")
