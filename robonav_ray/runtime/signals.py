"""Signals that would end the process ask for a checkpoint and an orderly end within a grace; a second SIGINT ends at
once.

SIGINT and SIGTERM are a person's and an operator's; SIGHUP comes when the terminal is closed, SIGUSR1, SIGUSR2 and
SIGXCPU from job queues before a limit, SIGQUIT, SIGALRM and the like from other programs. Each of them would lose what
was learned since the last checkpoint.

What is not over within the grace (a storage that hangs, a part that does not end) is ended by force: the last committed
checkpoint is intact, and the exit code tells the caller to start the command again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from datetime import datetime
from types import FrameType

from robonav_ray.errors import EXIT_RESUME, UserError
from robonav_ray.runtime.streams import Loss, current_streams

ONE_S = 0.5
"""Signals within this long of each other are one: a terminal and a wrapper (``timeout``, ``make``, ``uv run``) send one
each."""
_OURS = (signal.SIGINT, signal.SIGTERM)
_MAY_BE_ANOTHERS = (
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
)
ENDING = (*_OURS, *_MAY_BE_ANOTHERS)
"""Signals that would end the process."""
_SHARED: ContextVar[StopRequest | None] = ContextVar("shared stop request", default=None)


STOP_AT = "ROBONAV_STOP_AT"
"""Variable that says when training and searching stop, saved: before a session of Colab or Kaggle is over. What judges
or draws goes on."""


def seconds_to_stop(now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds until the time in ``ROBONAV_STOP_AT``, below 0 when it is over; None where it is not set.

    Raises:
        UserError: When that is neither seconds since 1970 nor a time of ISO 8601.
    """
    text = os.environ.get(STOP_AT, "").strip()
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text).timestamp() if "-" in text else float(text)
        if not 0.0 <= when < 1e11:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise UserError(
            f"{STOP_AT}={text[:60]!r}: write when to stop as seconds since 1970, or as a time such as "
            "2026-11-30T18:00:00+00:00"
        ) from None
    return when - now()


class StopRequest:
    """Whether the run was asked to stop, and by when it must be over."""

    def __init__(self, end: Callable[[int], None] | None = None, *, in_s: float | None = None) -> None:
        """``end(exit_code)`` ends the process at once; None never does, for those that share a process with others.

        After ``in_s`` seconds it asks by itself: ``seconds_to_stop``.
        """
        self._end = end
        self._stop_at = None if in_s is None else time.monotonic() + in_s
        self._timer: threading.Timer | None = None
        self.signal_name: str | None = None
        self.loss: Loss | None = None
        """Why nothing more can be printed, where that is what ends the run."""
        self.at_once = False
        """Whether a second SIGINT has asked to leave everything as it is."""
        self.exit_code = EXIT_RESUME
        """What the process is ended with when it has to be by force."""

    def __bool__(self) -> bool:
        if self._stop_at is not None and time.monotonic() >= self._stop_at and not self.signal_name and not self.loss:
            self.signal_name = STOP_AT
        return self.signal_name is not None or self.loss is not None

    @property
    def resume_code(self) -> int:
        """The exit code of a run that was stopped and can be resumed: 1 where what it had to say could not be
        written.
        """
        return EXIT_RESUME if self.loss is None else self.loss.exit_code

    @property
    def why(self) -> str:
        """What the request came from."""
        if self.signal_name == STOP_AT:
            return f"the time in {STOP_AT} has come"
        return self.signal_name or (self.loss.why if self.loss is not None else "")

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
        line = (
            f"not over {seconds:g} s after {why}: ended by force with exit code {self.exit_code}; "
            "what was committed before is intact"
        )
        with contextlib.suppress(OSError):  # the reader of the output may be gone, or not read any more
            if select.select([], [2], [], 0.0)[1]:
                os.write(2, f"robonav: {line}\n".encode())
        self._end(self.exit_code)


@contextlib.contextmanager
def stop_on_signals(
    grace_s: float | None = None, *, needs_reader: bool = True, in_session: bool = False
) -> Iterator[StopRequest]:
    """Turn signals that would end the process into a StopRequest while the block runs; must be entered in the main
    thread.

    So does output without a reader, unless what the block makes does not need a reader (``needs_reader``).

    Of the signals in ``_MAY_BE_ANOTHERS`` those are left alone that have a handler already: ``nohup`` ignores SIGHUP,
    and a program around us may use SIGALRM. With ``grace_s`` the process is ended by force when the block is not left
    within that many seconds of the first signal. ``in_session``: it also asks for an end at ``ROBONAV_STOP_AT``.
    """
    request = StopRequest(None if grace_s is None else os._exit, in_s=seconds_to_stop() if in_session else None)

    def lost(loss: Loss) -> None:
        if not request:
            request.loss = loss
            request.exit_code = request.exit_code and loss.exit_code
        if grace_s is not None:
            request.end_within(grace_s, request.why)

    ours = [*_OURS, *(number for number in _MAY_BE_ANOTHERS if signal.getsignal(number) is signal.SIG_DFL)]
    streams = current_streams()
    if streams is not None:
        streams.ending = lambda: bool(request)
    if streams is not None and needs_reader:
        streams.listener = lost
        if streams.loss is not None:
            lost(streams.loss)
    try:
        with _noted(request, ours, grace_s):
            yield request
    finally:
        request.over()
        if streams is not None:
            streams.listener = None


@contextlib.contextmanager
def stop_on_interrupt(*, in_session: bool = False) -> Iterator[StopRequest]:
    """As ``stop_on_signals``, for a call inside a user's program, which is never ended by force and has its handlers
    back afterwards.

    In a block of ``stop_shared`` it gives the request of that block, and touches no handler.

    In the main thread, SIGINT asks for an end (a second one raises KeyboardInterrupt). So does a SIGTERM that the
    program does not handle; it is raised again when the block is left. In another thread no handler is touched.
    ``in_session``: it also asks for an end at ``ROBONAV_STOP_AT``.
    """
    if (shared := _SHARED.get()) is not None:
        yield shared
        return
    request = StopRequest(in_s=seconds_to_stop() if in_session else None)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    ours = [signal.SIGINT] if callable(signal.getsignal(signal.SIGINT)) else list[signal.Signals]()
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        ours.append(signal.SIGTERM)
    try:
        with _noted(request, ours, None):
            yield request
    finally:
        if request.signal_name == "SIGTERM":
            signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def stop_shared(request: StopRequest) -> Iterator[None]:
    """Have calls that ``stop_on_interrupt`` would guard end by ``request``, one after the other, while the block
    runs.
    """
    token = _SHARED.set(request)
    try:
        yield
    finally:
        _SHARED.reset(token)


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Have SIGTERM raise KeyboardInterrupt in this block, also where a shell has the process ignore SIGINT; for a
    command, in the main thread.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _noted(request: StopRequest, numbers: Sequence[signal.Signals], grace_s: float | None) -> Iterator[None]:
    """Write into ``request`` which of the signals ``numbers`` arrives while the block runs."""
    began = 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal began
        now, before = time.monotonic(), began
        if not request or now - before > ONE_S:
            began = now
        if request and number == signal.SIGINT and now - before > ONE_S:
            request.at_once = True
            raise KeyboardInterrupt
        if not request:
            request.signal_name = signal.Signals(number).name
        if grace_s is not None:
            request.end_within(grace_s, request.why)

    handlers = {number: signal.signal(number, note) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
