"""Writing that others do not wait for: a part of a checkpoint, written in a thread while its owner goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from robonav_ray.files.manifest import FileEntry


class BackgroundWrite:
    """Runs ``write`` in a thread, so that the caller goes on; ``poll`` says what has become of it."""

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
