"""SIGINT and SIGTERM ask for a checkpoint and an orderly end within a grace; a second SIGINT ends at once.

What is not over within the grace (a storage that hangs, a part that does not end) is ended by force: the last committed checkpoint is
intact, and whoever started the command is told by the exit code to start it again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

EXIT_RESUME = 75


class StopRequest:
    """Whether somebody asked the run to stop, and by when it must be over."""

    def __init__(self, end: Callable[[int], None] | None = None) -> None:
        """``end(exit_code)`` ends the process at once; None never does, for those that share a process with others."""
        self._end = end
        self._timer: threading.Timer | None = None
        self.signal_name: str | None = None
        self.exit_code = EXIT_RESUME
        """What the process is ended with when it has to be by force."""

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def end_within(self, seconds: float, why: str) -> None:
        """From now on the process has ``seconds`` left; the first call counts. ``why`` completes "... after WHY"."""
        if self._end is None or self._timer is not None:
            return
        self._timer = threading.Timer(seconds, self._end_by_force, (seconds, why))
        self._timer.daemon = True
        self._timer.start()

    def over(self) -> None:
        """Nothing is left that could hang."""
        if self._timer is not None:
            self._timer.cancel()

    def _end_by_force(self, seconds: float, why: str) -> None:
        assert self._end is not None
        line = f"not over {seconds:g} s after {why}: ended by force with exit code {self.exit_code}; what was committed before is intact"
        with contextlib.suppress(OSError):  # whoever read the output may be gone
            os.write(2, f"robonav: {line}\n".encode())
        self._end(self.exit_code)


@contextlib.contextmanager
def stop_on_signals(grace_s: float | None = None) -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a StopRequest while the block runs; must be entered in the main thread.

    With ``grace_s`` the process is ended by force when the block is not left within that many seconds of the first signal.
    """
    request = StopRequest(None if grace_s is None else os._exit)

    def note(number: int, frame: FrameType | None) -> None:
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal_name = signal.Signals(number).name
        if grace_s is not None:
            request.end_within(grace_s, request.signal_name)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        request.over()
        for number, handler in before.items():
            signal.signal(number, handler)
