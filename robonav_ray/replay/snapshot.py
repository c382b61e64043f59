"""A shard as it was at a mark, written while the shard goes on.

::

    shard:   mark() --> ShardSnapshot: small arrays copied, rows only remembered by their sequence numbers
             insert --> before_overwrite: rows that are about to go and are not written yet are copied first
    writer:  oldest row -------> newest row, a chunk at a time: copied under the lock, hashed and written outside of it

The ring overwrites its oldest rows first, and the writer begins with just those, so it is ahead of the inserts where
the disk is faster than they are, and nothing is copied. Where it is not, what is copied is bounded by what is inserted
meanwhile, and by the rows of the shard.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import Any

import numpy as np

from robonav_ray.files.hashed_file import HashedFile
from robonav_ray.files.manifest import FileEntry
from robonav_ray.files.storage import Folder
from robonav_ray.replay.shard_files import SHARD_JSON

CHUNK_BYTES = 1 << 20
"""Copied at a time while an insert may have to wait for the lock: some 0.1 ms."""


class SnapshotAbandonedError(Exception):
    """The snapshot is no longer wanted; what was written of it is to be thrown away."""


class ShardSnapshot:
    """One shard's state at the time of construction. ``before_overwrite`` and ``write`` may be called by two
    threads.
    """

    def __init__(
        self,
        ring: np.ndarray,
        next_sequence: int,
        arrays: dict[str, np.ndarray],
        document: dict[str, Any],
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        """Set the mark.

        Args:
            ring: (capacity,) packed rows; row of sequence s in slot s % capacity. Read until the snapshot is written.
            next_sequence: Of the row to come; the rows of the mark are the last ``capacity`` before it.
            arrays: The other arrays of the state; no other code may write to them.
            document: The rest of it, as JSON takes it.
            chunk_bytes: Rows copied under the lock at a time.
        """
        self._ring, self._arrays, self._document = ring, arrays, document
        self._end = next_sequence
        self._written = max(0, next_sequence - len(ring))
        self._overwritten = self._written
        self._chunk_rows = max(1, chunk_bytes // ring.dtype.itemsize)
        self._saved: deque[np.ndarray] = deque()
        self._lock = threading.Lock()
        self._abandoned = False
        self.num_copied = 0
        """Rows that had to be copied because an insert overtook the writer."""

    def before_overwrite(self, next_sequence: int, num: int) -> None:
        """Keep what the ``num`` rows from sequence ``next_sequence`` are about to overwrite, as far as it is still
        needed.
        """
        capacity = len(self._ring)
        with self._lock:
            first, end = max(self._overwritten, self._written), min(next_sequence + num - capacity, self._end)
            if first < end:
                for begin, stop in _runs(first, end, capacity):
                    self._saved.append(self._ring[begin:stop].copy())
                self.num_copied += end - first
            self._overwritten = max(self._overwritten, end)

    def abandon(self) -> None:
        """Have ``write`` give up at its next chunk."""
        self._abandoned = True

    def write(self, folder: Folder) -> list[FileEntry]:
        """Write rows, arrays and document into ``folder`` and return the files' entries.

        Raises:
            SnapshotAbandonedError: After ``abandon``.
            OSError: When there is no room.
        """
        entries = []
        with folder.create("rows.npy") as file:
            _write_header(file, self._ring.dtype, self._end - self._written)
            while (rows := self._next_chunk()) is not None:
                file.write(_memory(rows))
        entries.append(file.entry)
        for name, array in self._arrays.items():
            with folder.create(f"{name}.npy") as file:
                _write_header(file, array.dtype, len(array))
                file.write(_memory(array))
            entries.append(file.entry)
        with folder.create(SHARD_JSON) as file:
            file.write(json.dumps(self._document).encode())
        return [*entries, file.entry]

    def _next_chunk(self) -> np.ndarray | None:
        """Return the next rows by age, a copy; None behind the newest."""
        with self._lock:
            if self._abandoned:
                raise SnapshotAbandonedError
            if self._written == self._end:
                self._saved.clear()
                return None
            if self._saved:
                rows = self._saved.popleft()
            else:
                begin = self._written % len(self._ring)
                rows = self._ring[begin : begin + min(self._chunk_rows, self._end - self._written)].copy()
            self._written += len(rows)
            return rows


def _runs(first: int, end: int, capacity: int) -> list[tuple[int, int]]:
    """Return the one or two runs of slots that sequences ``first`` .. ``end`` - 1 lie in; at most ``capacity`` of
    them.
    """
    begin, num = first % capacity, end - first
    head = min(num, capacity - begin)
    return [(begin, begin + head)] + ([(0, num - head)] if num > head else [])


def _memory(array: np.ndarray) -> memoryview:
    flat: Any = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    return memoryview(flat)


def _write_header(file: HashedFile, dtype: np.dtype, num: int) -> None:
    """Write the .npy header of a flat array."""
    document = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (num,)}
    np.lib.format.write_array_header_1_0(file, document)  # pyright: ignore[reportArgumentType]  (all it does is write)
