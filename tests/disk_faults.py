"""A disk that stops, fails or kills the process before its n-th operation."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNTED = ("mkdir", "fsync", "rename", "replace", "unlink", "rmdir")


class Stopped(BaseException):
    """What a kill is to the code that it meets: nothing there catches it."""


class DiskOperations:
    """Counts the operations that change a disk (writes through ``Path.open`` twice a file at least); the ``at``-th does ``fault``."""

    def __init__(self, set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
        self.count, self.at = 0, -1
        self.error: BaseException = Stopped()
        self.fault: Callable[[], None] = self._raise
        for name in COUNTED:
            set_attribute(os, name, self._counted(getattr(os, name)))
        opened = Path.open

        def open_counted(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if "w" not in mode:
                return opened(path, mode, *args, **kwargs)
            self.step()
            return _CountedFile(opened(path, mode, *args, **kwargs), self.step, 2 if kwargs.get("buffering") == 0 else 1)

        set_attribute(Path, "open", open_counted)

    def step(self) -> None:
        """Count one operation that is about to be made."""
        self.count += 1
        if self.count == self.at:
            self.fault()

    def _raise(self) -> None:
        raise self.error

    def _counted(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step()
            return operation(*args, **kwargs)

        return counted


class _CountedFile:
    """A file of which an unbuffered one takes half of what is left at a time, so that a write can be stopped in the middle."""

    def __init__(self, file: Any, step: Callable[[], None], parts: int) -> None:
        self._file, self._step, self._parts = file, step, parts
        self.fileno, self.close, self.flush = file.fileno, file.close, file.flush

    def write(self, data: Any) -> int:
        self._step()
        written: int = self._file.write(data[: max(1, -(-len(data) // self._parts))])
        return written

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
