"""Watching an evaluation: how far it is, on a terminal or line by line, and its end at a signal."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.runtime.examination.compiling import Compiling, watch_compiling
from robonav_ray.runtime.signals import ENDING, StopRequest
from robonav_ray.screen import Screen

LINE_S = 10.0
"""Seconds between two lines where there is no terminal."""
_DRAW_S = 0.1


class EvaluationStopped(KeyboardInterrupt):
    """A person or a signal asked for an end: the evaluation has no result.

    The episodes that are through by then are the short ones, so they are no result. No ``Exception``, as environments
    may catch those.
    """


@contextlib.contextmanager
def stopped_at_once(stop: StopRequest) -> Iterator[None]:
    """In the block, a signal that makes ``stop`` true raises EvaluationStopped where the program just is, once; so does
    ``stop`` before.

    A step of environments that are not ours may take minutes, and nothing is lost with it. Outside of the main thread
    it does nothing.
    """
    if stop:
        raise EvaluationStopped
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    told = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal told
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        if stop and not told:
            told = True
            raise EvaluationStopped

    taken = [number for number, handler in before.items() if callable(handler)]
    for number in taken:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


class EvaluationWatch:
    """Shows how far evaluations are, one after the other; a context manager."""

    def __init__(
        self, console: Screen, stop: StopRequest | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Show on ``console``: bars on a terminal, else a line every ``LINE_S`` seconds."""
        self._console, self._stop, self._now = console, stop, now
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._compiling = watch_compiling(self.tell_compiling)
        self._busy: str | None = None
        """What is compiled; None as soon as a step has been made."""
        self._said_busy: float | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        self._compiling.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._compiling.__exit__(kind, error, trace)
        self._bars.stop()

    def tell_compiling(self, now: Compiling) -> None:
        """Show that kernels are compiled, here or in a process beside: no episode ends meanwhile."""
        self._busy = str(now)
        if not self._bars.disable:
            for bar in self._bars.task_ids[-1:]:
                self._bars.update(bar, description=self._busy)
        else:
            self._say_busy()

    def _say_busy(self) -> None:
        if self._busy is not None and (self._said_busy is None or self._now() - self._said_busy >= LINE_S):
            self._said_busy = self._now()
            self._console.print(self._busy)

    def begin(self, what: str, num_episodes: int) -> Callable[[EvaluationProgress], None]:
        """Return what is to be told of the progress of ``what``; raises EvaluationStopped after a stop request."""
        bar = self._bars.add_task(what, total=num_episodes)
        interval = LINE_S if self._bars.disable else _DRAW_S
        began = last = self._now()
        num_steps = 0

        def show(progress: EvaluationProgress) -> None:
            nonlocal last, num_steps
            if self._stop:
                raise EvaluationStopped
            now = self._now()
            if progress.num_steps != num_steps:
                num_steps, self._busy = progress.num_steps, None
            elif self._busy is not None and self._bars.disable:
                self._say_busy()
                return
            if now - last < interval and progress.num_done < progress.num_episodes:
                return
            steps = f"{progress.num_steps:,} env steps"
            if not self._bars.disable:
                self._bars.update(bar, completed=progress.num_done, description=self._busy or f"{what}, {steps}")
            elif now - last >= interval:
                done = f"{progress.num_done:,} of {progress.num_episodes:,} episodes"
                self._console.print(f"{what}: {done}, {steps}, {now - began:.0f} s")
            last = now

        return show
