"""Where a checkpoint's files lie, and how one is written: hashed while it is written, and on the disk before its entry
is returned.

::

    with folder.create("rows.npy") as file:      several parts of a run, each on its own node,
        file.write(header); file.write(rows)     write into folders of the same checkpoint;
    entry = file.entry                           their entries go into the manifest, which is written last
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import random
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from robonav_ray.files import plain_files
from robonav_ray.files.hashed_file import HashedFile
from robonav_ray.files.locations import arrow_told, as_folder, is_uri, resolve
from robonav_ray.files.manifest import MANIFEST, FileEntry, check_manifest, leads_outside, manifest_entries
from robonav_ray.files.plain_files import MAX_DOCUMENT_BYTES, PlainFileError, open_writing

Result = TypeVar("Result")
logger = logging.getLogger(__name__)
TRIES = 3
PROBE_S = 12.0
"""How long a storage may take to show that it can be written."""


class DamagedError(OSError):
    """A file is not as its checkpoint's manifest says, or is missing there; asking again does not help."""


class Folder(Protocol):
    """A folder to write files into."""

    location: str
    """A path, or a URI."""

    def create(self, name: str) -> HashedFile:
        """Begin a file; OSError when that cannot be."""
        ...


class LocalFolder:
    """A directory, made if missing."""

    def __init__(self, path: Path) -> None:
        self.path, self.location = path, str(path)
        path.mkdir(parents=True, exist_ok=True)

    def create(self, name: str) -> HashedFile:
        """Begin a file, unbuffered; it is flushed to the disk when it is whole."""
        path = self.path / name
        plain_files.check_way(self.path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _LocalFile(path)
        return HashedFile(name, file, file.sync)


class _LocalFile:
    """An unbuffered file whose ``write`` writes all of it (the system may take less at a time); errors name the
    file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._raw = path, open_writing(path, buffering=0)
        self.close = self._raw.close

    def write(self, data: bytes | memoryview) -> None:
        left = memoryview(data).cast("B")
        try:
            while left.nbytes:
                left = left[self._raw.write(left) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    def sync(self) -> None:
        try:
            os.fsync(self._raw.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None


def open_folder(location: str) -> Folder:
    """Return the folder at ``location``, a path or a URI."""
    return BucketFolder(location) if is_uri(location) else LocalFolder(Path(location))


def write_file(folder: Folder, name: str, data: bytes) -> FileEntry:
    """Write one whole file."""
    with folder.create(name) as file:
        file.write(data)
    return file.entry


class BucketFolder:
    """A prefix of a bucket. What is written appears when it is whole; a write that fails is not tried again, the save
    is.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    def create(self, name: str) -> HashedFile:
        """Begin an object; it is uploaded while it is written."""
        location = inside(self.location, name)

        def opened() -> Any:
            if (here := as_folder(location)) is not None:
                here.parent.mkdir(parents=True, exist_ok=True)
                return open_writing(here)
            files, path = resolve(location)
            files.create_dir(path.rpartition("/")[0], recursive=True)
            return files.open_output_stream(path)

        return HashedFile(name, _tried(opened, location))


def join(location: str, *names: str) -> str:
    """Return the location of something below ``location``; options of a URI stay where they belong, and names are
    quoted in it.
    """
    if not is_uri(location):
        return "/".join([location.rstrip("/"), *names])
    base, mark, options = location.partition("?")
    return "/".join([base.rstrip("/"), *map(quote, names)]) + mark + options


def inside(location: str, name: str) -> str:
    """Return the location of ``name`` (with slashes) below a run or a checkpoint; PlainFileError when a link is on the
    way from there.
    """
    if (here := as_folder(location)) is not None:
        plain_files.check_way(here, name)
    return join(location, *name.split("/"))


def exists(location: str) -> bool:
    """Whether there is a file at ``location``."""

    def look() -> bool:
        files, path = resolve(location)
        return bool(files.get_file_info(path).is_file)

    return _tried(look, location)


def read_bytes(location: str, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return a file's content; FileNotFoundError when there is none, PlainFileError when it is larger than ``limit`` or
    no plain file.
    """

    def read() -> bytes:
        if (here := as_folder(location)) is not None:
            return plain_files.read_bytes(here, limit)
        data = bytearray()
        _read_once(location, data.extend, None, limit)
        return bytes(data)

    return _tried(read, location)


def write_bytes(location: str, data: bytes) -> None:
    """Write a whole file: a reader finds the old one or the new one."""
    if (here := as_folder(location)) is not None:
        here.parent.mkdir(parents=True, exist_ok=True)
        return plain_files.replace(here, data)

    def write() -> None:  # an object of a bucket shows only when it is whole
        files, path = resolve(location)
        files.create_dir(path.rpartition("/")[0], recursive=True)
        with files.open_output_stream(path) as stream:
            stream.write(data)

    return _tried(write, location)


def list_folder(location: str, *, follow: bool = False) -> list[tuple[str, bool, float]]:
    """Return (name, whether it is a folder, when it was changed) of all that lies directly in a folder; nothing when it
    does not exist.

    Links are left out, or with ``follow`` taken for what they lead to.
    """

    def look() -> list[tuple[str, bool, float]]:
        from pyarrow import fs

        if not follow and (here := as_folder(location)) is not None:
            return _list_here(here)
        files, path = resolve(location)
        found = files.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted((i.base_name, i.type == fs.FileType.Directory, (i.mtime_ns or 0) / 1e9) for i in found)

    return _tried(look, location)


def _list_here(folder: Path) -> list[tuple[str, bool, float]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        found = [(e.name, e.stat(follow_symlinks=False)) for e in entries if not e.is_symlink()]
        return sorted((name, stat.S_ISDIR(status.st_mode), status.st_mtime) for name, status in found)
    return []


def list_tree(location: str, most: int) -> list[str]:
    """Return the names of all files below a folder, with slashes, in order; nothing when it does not exist. Links are
    left out.

    Raises:
        PlainFileError: When there are more than ``most``; on this machine no more than that are looked at.
    """

    def look() -> list[str]:
        from pyarrow import fs

        if (here := as_folder(location)) is not None:
            return plain_files.list_plain(here, most)
        files, path = resolve(location)
        found = files.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
        names = sorted(i.path[len(path.rstrip("/")) + 1 :] for i in found if i.is_file)
        if len(names) > most:
            raise PlainFileError(f"{location.partition('?')[0]}: holds more than {most} files")
        return names

    return _tried(look, location)


def remove(location: str, *, folder: bool) -> None:
    """Remove a file, or a folder with all that is in it; nothing happens when it does not exist."""

    def away() -> None:
        files, path = resolve(location)
        with contextlib.suppress(FileNotFoundError):
            (files.delete_dir if folder else files.delete_file)(path)

    _tried(away, location)


def probe(location: str) -> None:
    """Write a file into the folder, read it back and remove it; OSError when one of these does not work within
    PROBE_S.
    """
    name, failed = f".robonav-probe-{uuid.uuid4().hex}", []

    def ask() -> None:
        try:
            write_bytes(join(location, name), name.encode())
            if read_bytes(join(location, name)) != name.encode():
                raise OSError("what was written there is not what is read back")
            remove(join(location, name), folder=False)
        except Exception as error:  # noqa: BLE001  pyarrow raises several kinds; the caller names the key
            failed.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_S)
    if thread.is_alive():
        raise OSError(f"no answer within {PROBE_S:.0f} s")
    if failed:
        raise OSError((str(failed[0]).splitlines() or [type(failed[0]).__name__])[0])


@contextlib.contextmanager
def local_folder(location: str) -> Iterator[Path]:
    """Give a folder as a directory of this machine: itself, or a copy that goes at the end.

    Files that the checkpoint's manifest (one or two folders up) names are held against their hashes first; DamagedError
    or FileNotFoundError when one differs or is missing.
    """
    expected = _named_above(location)
    if not is_uri(location):
        check(location, expected)
        yield Path(location)
        return
    with tempfile.TemporaryDirectory(prefix="robonav-part-") as directory:
        if not expected:
            expected = {name: None for name, is_folder, _ in list_folder(location) if not is_folder}
        for name, entry in expected.items():
            fetch(inside(location, name), Path(directory) / name, entry)
        yield Path(directory)


def _named_above(location: str) -> Mapping[str, FileEntry | None]:
    """Return the files below a folder that the manifest of its checkpoint names; none without a manifest."""
    base = location.partition("?")[0]
    for up in (1, 2):
        parts = base.rsplit("/", up)
        above = location.replace(base, parts[0], 1)
        prefix, place = "/".join(parts[1:]) + "/", join(above, MANIFEST)
        with contextlib.suppress(FileNotFoundError):
            data = read_bytes(place)
            try:
                check_manifest(data)
                named = {
                    e.name.removeprefix(prefix): e
                    for e in manifest_entries(json.loads(data))
                    if e.name.startswith(prefix)
                }
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DamagedError(f"{place.partition('?')[0]}: {error}") from None
            if outside := next(filter(leads_outside, named), None):
                raise DamagedError(
                    f"{place.partition('?')[0]}: names the file {outside[:60]!r} outside of the checkpoint"
                )
            return named
    return {}


def check(location: str, expected: Mapping[str, FileEntry | None]) -> None:
    """Hold files below ``location`` against what they should be, several at a time.

    Raises:
        DamagedError, FileNotFoundError: naming one that differs or is missing; another OSError when the storage does
        not answer.
    """
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        list(
            pool.map(
                lambda item: _tried(partial(_read_once, inside(location, item[0]), len, item[1]), location),
                expected.items(),
            )
        )


def fetch(location: str, target: Path, expected: FileEntry | None = None, limit: int | None = None) -> None:
    """Copy a file to this machine; OSError when it is not what ``expected`` says, or larger than ``limit``."""
    target.parent.mkdir(parents=True, exist_ok=True)

    def copy() -> None:
        with plain_files.replacing(target) as file:
            _read_once(location, file.write, expected, limit)

    _tried(copy, location)


def _read_once(
    location: str, take: Callable[[bytes], Any], expected: FileEntry | None, limit: int | None = None
) -> None:
    """Hand a file's bytes to ``take``; OSError when they are not what ``expected`` says, PlainFileError when more than
    ``limit``.
    """
    digest, num_bytes = hashlib.sha256(), 0
    limit = limit if expected is None else expected.num_bytes
    with _opened(location) as stream:
        while (limit is None or num_bytes <= limit) and (block := stream.read(1 << 22)):
            digest.update(block)
            num_bytes += len(block)
            take(block)
    if expected is None and limit is not None and num_bytes > limit:
        raise PlainFileError(
            f"{location.partition('?')[0]}: is larger than {limit} bytes, the most that is read of such a file"
        )
    if expected is not None and (num_bytes, digest.hexdigest()) != (expected.num_bytes, expected.sha256):
        raise DamagedError(f"{location.partition('?')[0]}: does not match its hash in {MANIFEST} (damaged)")


def _opened(location: str) -> Any:
    """Return a file that can be read, of this machine or of a bucket."""
    if (here := as_folder(location)) is not None:
        return plain_files.open_reading(here)
    files, path = resolve(location)
    return files.open_input_stream(path)


def _tried(call: Callable[[], Result], location: str) -> Result:
    """Return what ``call`` returns; a storage that fails for a moment is asked again, TRIES times in all."""
    for left in reversed(range(TRIES)):
        try:
            with arrow_told(location):
                return call()
        except (FileNotFoundError, DamagedError, PlainFileError):
            raise
        except OSError as error:
            if not left or not is_uri(location):
                raise
            logger.info("%s: %s; asking again", location.partition("?")[0], error)
            time.sleep(random.uniform(0.5, 1.0) * 2.0 ** (TRIES - 1 - left))
    raise AssertionError
