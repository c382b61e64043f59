"""A file that is hashed while it is written, and on the disk before its entry for the manifest is returned."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from robonav_ray.files.manifest import FileEntry


class RawFile(Protocol):
    """What a HashedFile writes to."""

    def write(self, data: Any, /) -> Any:
        """Take bytes, or an array's memory."""
        ...

    def close(self) -> None:
        """End."""
        ...


class HashedFile:
    """A file that is written once, from its first byte to its last. Leaving the block without an error makes it
    durable.
    """

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._make_durable is not None:
                self._make_durable()
        finally:
            self._raw.close()
        if kind is None:
            self._entry = FileEntry(self._name, self._num_bytes, self._digest.hexdigest())
