"""Where a checkpoint's files lie, and how one is written: hashed while it is written, and on the disk before its entry is returned.

::

    with folder.create("rows.npy") as file:      several parts of a run, each on its own node,
        file.write(header); file.write(rows)     write into folders of the same checkpoint;
    entry = file.entry                           their entries go into the manifest, which is written last
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self


class FileEntry(NamedTuple):
    """A file of a checkpoint, as its manifest has it."""

    name: str
    """Relative to the folder that the entry came from, with ``/``."""
    num_bytes: int
    sha256: str
    """Of what was handed over to be written, so that what a disk made of it is found out."""

    def below(self, folder: str) -> FileEntry:
        """Return the entry as seen from the folder above ``folder``."""
        return self._replace(name=f"{folder}/{self.name}")


class RawFile(Protocol):
    """What a HashedFile writes to."""

    def write(self, data: Any, /) -> Any:
        """Take bytes, or an array's memory."""
        ...

    def close(self) -> None:
        """End."""
        ...


class HashedFile:
    """A file that is written once, from its first byte to its last. Leaving the block without an error makes it durable."""

    def __init__(self, name: str, raw: RawFile, make_durable: Callable[[], None] | None = None) -> None:
        """``make_durable`` is called when all is written, before ``raw`` is closed."""
        self._name, self._raw, self._make_durable = name, raw, make_durable
        self._digest = hashlib.sha256()
        self._num_bytes = 0
        self._entry: FileEntry | None = None

    @property
    def entry(self) -> FileEntry:
        """The file's entry, once it is whole."""
        if self._entry is None:
            raise ValueError(f"{self._name}: is not written yet")
        return self._entry

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``; OSError when there is no room."""
        self._digest.update(data)
        self._raw.write(data)
        self._num_bytes += memoryview(data).nbytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if kind is None and self._make_durable is not None:
                self._make_durable()
        finally:
            self._raw.close()
        if kind is None:
            self._entry = FileEntry(self._name, self._num_bytes, self._digest.hexdigest())


class Folder(Protocol):
    """A folder to write files into."""

    location: str
    """Absolute path."""

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
        file = _LocalFile(self.path / name)
        return HashedFile(name, file, file.sync)


class _LocalFile:
    """An unbuffered file whose ``write`` writes all of it (the system may take less at a time); errors name the file."""

    def __init__(self, path: Path) -> None:
        self._path, self._raw = path, path.open("wb", buffering=0)
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
    """Return the folder at ``location``, a path."""
    return LocalFolder(Path(location))


def write_file(folder: Folder, name: str, data: bytes) -> FileEntry:
    """Write one whole file."""
    with folder.create(name) as file:
        file.write(data)
    return file.entry


class BackgroundWrite:
    """Runs ``write`` in a thread, so that whoever began it goes on; ``poll`` says what has become of it."""

    def __init__(self, write: Callable[[], Sequence[FileEntry]]) -> None:
        self._entries: list[FileEntry] | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(write,), name="checkpoint-writer", daemon=True)
        self._thread.start()

    def poll(self, timeout_s: float = 0.0) -> list[FileEntry] | None:
        """Return what was written, None while it goes on; raises what ``write`` raised."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return None
        if self._error is not None:
            raise self._error
        return self._entries

    @property
    def is_running(self) -> bool:
        """Whether ``write`` has not returned yet."""
        return self._thread.is_alive()

    def _run(self, write: Callable[[], Sequence[FileEntry]]) -> None:
        try:
            self._entries = list(write())
        except Exception as error:  # noqa: BLE001  a thread's only way to hand on what ended it; ``poll`` raises it
            self._error = error
