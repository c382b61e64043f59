"""Standard output and error of a command whose reader may go away, whose disk may fill up, whose terminal may be
closed.

``robonav train | head -1`` must not lose a training. So what is printed goes through a file that drops what it cannot
write, remembers why, and tells who listens: a training or a search then ends as after a signal. Rich, typer, logging,
warnings and the interpreter's own flush at its exit all write through it; none of them sees an error.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from robonav_ray.errors import EXIT_FAILED, EXIT_RESUME

PATIENCE_S = 1.0
"""How long a reader that takes nothing is waited for once the command is to end."""
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN, errno.ENOTCONN)
_TERMINAL_GONE = (errno.EIO, errno.ENXIO, errno.ENODEV)
_CHUNK = select.PIPE_BUF
_WAIT_MS = 100


@dataclass(frozen=True)
class Loss:
    """Why nothing more can be printed."""

    why: str
    """Completes "it stopped because ..."."""
    exit_code: int
    """Of a run that stops for it: 75 when the reader went away, 1 when what was to be kept could not be written."""

    @property
    def is_gone(self) -> bool:
        """Whether the reader went away, who has read what it wanted."""
        return self.exit_code == EXIT_RESUME


class Streams:
    """What has become of standard output and error."""

    def __init__(self) -> None:
        self.losses: dict[str, Loss] = {}
        """By name of the stream."""
        self.listener: Callable[[Loss], None] | None = None
        """Told of the first loss, or of one that there was already; called from whichever thread prints."""
        self.ending: Callable[[], bool] = lambda: False
        """Whether the command is to end, so that nothing may wait for a reader any more."""

    @property
    def loss(self) -> Loss | None:
        """The worst there was."""
        return max(self.losses.values(), key=lambda loss: loss.exit_code == EXIT_FAILED, default=None)

    def note(self, name: str, loss: Loss) -> None:
        """Remember a loss and tell of it."""
        self.losses[name] = loss
        if self.listener is not None:
            self.listener(loss)


class _Guarded(io.FileIO):
    """One of the two; never raises for what cannot be written."""

    def __init__(self, descriptor: int, name: str, streams: Streams) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._label, self._streams = name, streams
        self._is_terminal = os.isatty(descriptor)

    def write(self, data: Any, /) -> int:
        """Write ``data``, or drop it once something could not be written."""
        left = memoryview(data).cast("B")
        size = left.nbytes
        while left.nbytes and self._label not in self._streams.losses:
            try:
                if not self._wait():
                    self._streams.note(self._label, Loss(f"{self._label} has no reader", EXIT_RESUME))
                    break
                left = left[os.write(self.fileno(), left[:_CHUNK]) :]
            except BlockingIOError:  # another process that shares it has made it so
                time.sleep(_WAIT_MS / 1000)
            except OSError as error:
                self._streams.note(self._label, self._loss(error))
        return size

    def _wait(self) -> bool:
        """Wait until something can be written, for as long as it takes unless the command is to end; False when it took
        too long.
        """
        poll, ending_since = select.poll(), None
        poll.register(self.fileno(), select.POLLOUT)
        while not poll.poll(_WAIT_MS):
            ending_since = ending_since or (time.monotonic() if self._streams.ending() else None)
            if ending_since is not None and time.monotonic() - ending_since > PATIENCE_S:
                return False
        return True

    def _loss(self, error: OSError) -> Loss:
        if self._is_terminal and error.errno in _TERMINAL_GONE:
            return Loss("its terminal was closed", EXIT_RESUME)
        if error.errno in _GONE:
            return Loss(f"the reader of {self._label} went away", EXIT_RESUME)
        return Loss(f"{self._label} cannot be written ({error.strerror})", EXIT_FAILED)


_current: Streams | None = None


def current_streams() -> Streams | None:
    """Return the streams of this command; None in a program that is not ours."""
    return _current


@contextlib.contextmanager
def guarded_streams() -> Iterator[Streams]:
    """Have standard output and error guarded while the block runs; those that were replaced (by a test, a notebook) are
    left alone.

    A descriptor that is closed (``>&-``) leads nowhere from now on: else the next file that is opened would get its
    number, and the output.
    """
    global _current
    _open_all_three()
    streams, before = Streams(), (sys.stdout, sys.stderr, _current)
    for name, descriptor, own in (("stdout", 1, sys.__stdout__), ("stderr", 2, sys.__stderr__)):
        stream: IO[str] | None = getattr(sys, name)
        if stream is own and (stream is None or _descriptor_of(stream) == descriptor):
            setattr(sys, name, _guard(stream, descriptor, name, streams))
    _current = streams
    try:
        yield streams
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        sys.stdout, sys.stderr, _current = before


class _StaysOpen(io.TextIOWrapper):
    """Not closed by what shares the process (an environment): the command has something to say yet."""

    def close(self) -> None:
        """Flush."""
        with contextlib.suppress(ValueError):  # what it writes to is gone, as it is when Python ends
            self.flush()


def _guard(stream: IO[str] | None, descriptor: int, name: str, streams: Streams) -> io.TextIOWrapper:
    if stream is not None:
        with contextlib.suppress(OSError):  # what cannot be written now will be noticed at once
            stream.flush()
    buffer = io.BufferedWriter(_Guarded(descriptor, name, streams))
    return _StaysOpen(
        buffer,
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors=getattr(stream, "errors", None) or "backslashreplace",
        line_buffering=True,
        write_through=name == "stderr",
    )


def _descriptor_of(stream: IO[str]) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _open_all_three() -> None:
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
