"""A disk that stops, fails or kills the process before its n-th operation."""

import os
from collections.abc import Callable
from typing import Any

COUNTED = ("mkdir", "fsync", "rename", "replace", "unlink", "rmdir")


class Stopped(BaseException):
    """What a kill is to the code that it meets: nothing there catches it."""


class DiskOperations:
    """Counts the operations that change a disk (writes of unbuffered files twice a file at least); the ``at``-th does
    ``fault``."""

    def __init__(self, set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
        self.count, self.at = 0, -1
        self.error: BaseException = Stopped()
        self.fault: Callable[[], None] = self._raise
        for name in COUNTED:
            set_attribute(os, name, self._counted(getattr(os, name)))
        opened, wrapped = os.open, os.fdopen

        def open_counted(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags & os.O_CREAT:
                self.step()
            return opened(path, flags, *args, **kwargs)

        def wrap_counted(descriptor: int, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
            file = wrapped(descriptor, mode, buffering, *args, **kwargs)
            return _CountedFile(file, self.step, 2 if buffering == 0 else 1) if mode == "wb" else file

        set_attribute(os, "open", open_counted)
        set_attribute(os, "fdopen", wrap_counted)

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
    """A file of which an unbuffered one takes half of what is left at a time, so that a write can be stopped in the
    middle."""

    def __init__(self, file: Any, step: Callable[[], None], parts: int) -> None:
        self._file, self._step, self._parts = file, step, parts
        self.fileno, self.close, self.flush, self.truncate = file.fileno, file.close, file.flush, file.truncate

    def write(self, data: Any) -> int:
        self._step()
        written: int = self._file.write(data[: max(1, -(-len(data) // self._parts))])
        return written

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
