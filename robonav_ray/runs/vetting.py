"""A checkpoint that may come from a stranger: what is in its files is looked at before any of them is used.

Hashes tell that files are as they were written, not who wrote them. Nothing is unpickled, nothing outside of the
directory is opened, and what a header claims is held against the bytes that are there before memory is taken for it.
"""

from __future__ import annotations

import json
import math
import os
import re
import tokenize
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from robonav_ray.files.manifest import leads_outside
from robonav_ray.files.plain_files import PlainFileError, open_reading, read_bytes

MAX_JSON_BYTES = 64_000_000
MAX_JSON_DEPTH = 64
MAX_HEADER_BYTES = 1_000_000
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


class UntrustedError(ValueError):
    """A file holds what no checkpoint of ours does; the message names it."""


def vet_names(root: Path, names: Iterable[str]) -> None:
    """Return when every file under ``root`` is one of ``names`` (or begins with a dot), and none of them leads out of
    it.

    Raises:
        UntrustedError: naming the first that does not.
    """
    listed = set(names)
    for name in listed:
        if leads_outside(name):
            raise UntrustedError(f"{root}: names the file {name[:60]!r} outside of the checkpoint")
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                raise UntrustedError(f"{path}: is a link, and a checkpoint holds none")
            if name in files and path.relative_to(root).as_posix() not in listed and not name.startswith("."):
                raise UntrustedError(f"{path}: is not in the manifest")


def vet_files(root: Path, names: Iterable[str]) -> None:
    """Return when the files ``names`` hold what their endings say, and are harmless to read.

    Raises:
        UntrustedError: naming the first that is not; OSError when one cannot be read.
    """
    for path in (root / name for name in sorted(names)):
        if path.suffix == ".json":
            read_json(path)
        elif path.suffix == ".npy":
            with open_reading(path) as file:
                _vet_array(file, path.stat().st_size, str(path))
        elif path.suffix == ".npz":
            _vet_archive(path)
        elif path.suffix == ".safetensors":
            _vet_tensors(path)


def read_json(path: Path) -> Any:
    """Return a JSON document of bounded size and depth, whose numbers are finite and whose keys stand once.

    Raises:
        UntrustedError: for anything else; OSError when it cannot be read.
    """
    try:
        data = read_bytes(path, MAX_JSON_BYTES)
    except PlainFileError as error:
        raise UntrustedError(str(error)) from None
    return parse_json(data, str(path))


def parse_json(data: bytes, where: str) -> Any:
    """As ``read_json``, of bytes that were read ``where``."""
    depth = 0
    for bracket in _BRACKET.finditer(_TEXT.sub(b"", data)):  # before the parser, which calls itself for every level
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_JSON_DEPTH:
            raise UntrustedError(f"{where}: is nested deeper than {MAX_JSON_DEPTH} levels")
    try:
        return json.loads(data, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once)
    except ValueError as error:  # a UnicodeDecodeError is one too
        raise UntrustedError(f"{where}: is not the JSON that we write ({error})") from None


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no finite number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _vet_array(file: IO[bytes], size: int, where: str) -> None:
    """Hold an .npy header against the bytes that follow it."""
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(file, max_header_size=10_000)
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError, SyntaxError, tokenize.TokenError) as error:
        raise UntrustedError(f"{where}: is not an array as we write it ({_short(error)})") from None
    if dtype.hasobject:
        raise UntrustedError(f"{where}: holds Python objects, which would have to be unpickled")
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise UntrustedError(f"{where}: claims {shape} of {dtype}, which is not what it holds")


def _vet_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                where = f"{path}: {member.filename}"
                if (
                    member.compress_type != zipfile.ZIP_STORED
                    or "/" in member.filename
                    or not member.filename.endswith(".npy")
                ):
                    raise UntrustedError(f"{where}: is not an array as we write it")
                with archive.open(member) as file:
                    _vet_array(file, member.file_size, where)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise UntrustedError(f"{path}: is no archive of arrays ({_short(error)})") from None


def _vet_tensors(path: Path) -> None:
    """Look at a safetensors header: size, depth, and that no tensor lies beyond the file."""
    size = path.stat().st_size
    with open_reading(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise UntrustedError(f"{path}: claims a header of {length} bytes")
        header = parse_json(file.read(length), str(path))
    held = size - 8 - length
    entries = header.items() if isinstance(header, dict) else [("the header", None)]
    for name, entry in entries:
        if name == "__metadata__":
            continue
        match entry.get("data_offsets") if isinstance(entry, dict) else None:
            case [int(begin), int(end)] if 0 <= begin <= end <= held:
                continue
        raise UntrustedError(f"{path}: {name[:60]!r} lies outside of the file")


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
