"""One slow or fallible backend behind a thread of its own: the run never waits for it, and what it missed is read again
from the spool.

::

    driver --offer--> [ at most max_waiting points ] --thread--> backend
       |                        when full: behind
       +--every point--> metrics.jsonl (the spool) --read again---^

Points reach the backend in order. A call that failed is repeated, with longer and longer pauses, until it succeeds or
the feed is closed: a backend that is down catches up when it is back. A point is given up only when the feed is closed,
or when the spool cannot be written either; both are counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.interfaces import Tracker
from robonav_ray.records import Metrics
from robonav_ray.tracking.jsonl import read_points

logger = logging.getLogger(__name__)
RETRY_S, RETRY_MOST_S = 0.5, 30.0
"""First and longest pause before a call that failed is repeated."""


class TrackerError(Exception):
    """A backend cannot take this now (its server is gone, its quota used); raised by backends, repeated by their
    feed.
    """


@dataclass(frozen=True)
class Point:
    """Metrics at a step, and where the spool goes on behind them (None: the spool does not hold them)."""

    metrics: Metrics
    step: int
    end: int | None


class BackendFeed:
    """Hands points and files to one backend from a thread of its own."""

    def __init__(self, backend: Tracker, spool: Path | None, max_waiting: int, retry_s: float = RETRY_S) -> None:
        """Start the thread. Points that ``spool`` holds already are none of this backend's business."""
        self.name = type(backend).__name__
        self._backend, self._spool, self._max_waiting, self._retry_s = backend, spool, max_waiting, retry_s
        self._news = threading.Condition()
        self._waiting: deque[Point] = deque()
        self._files: deque[Path] = deque()
        self._position = self._spool_end = spool.stat().st_size if spool is not None else 0
        self._behind = False  # from the first point that found no place until the spool has been read to its end
        self._closing = self._abandoned = False
        self._bug: BaseException | None = None
        self.failing = False
        """Whether the last call failed."""
        self.num_lost = 0
        """Points that found neither a place nor a spool."""
        self._thread = threading.Thread(target=self._run, name=f"tracker-{self.name}", daemon=True)
        self._thread.start()

    def offer(self, point: Point) -> None:
        """Take a point without waiting; raises what a bug in the backend has raised in its thread."""
        with self._news:
            self._raise_bug()
            if point.end is not None:
                self._spool_end = point.end
            if self._behind or len(self._waiting) >= self._max_waiting:
                self._behind = self._behind or point.end is not None
                self.num_lost += point.end is None
            else:
                self._waiting.append(point)
            self._news.notify_all()

    def offer_file(self, path: Path) -> None:
        """Take a file without waiting; it goes out when no points are left."""
        with self._news:
            self._raise_bug()
            self._files.append(path)
            self._news.notify_all()

    def begin_close(self) -> None:
        """Let the thread deliver what is left, repeat nothing, end the backend and end."""
        with self._news:
            self._closing = True
            self._news.notify_all()

    def join(self, timeout_s: float) -> tuple[int, int]:
        """Wait for the end that ``begin_close`` asked for; return how many points and files the backend has not been
        given.
        """
        self._thread.join(timeout_s)
        with self._news:
            self._abandoned = True
            self._raise_bug()
            behind = 0
            if self._behind and self._spool is not None:
                since = next((p.end for p in reversed(self._waiting) if p.end is not None), self._position)
                behind = len(read_points(self._spool, since))
            return len(self._waiting) + behind + self.num_lost, len(self._files)

    def _raise_bug(self) -> None:
        if self._bug is not None:
            bug, self._bug = self._bug, None
            raise bug

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                if not self._deliver(job):
                    break
            self._end()
        except BaseException as error:  # noqa: BLE001  (raised again in the driver, at its next call)
            with self._news:
                self._bug = error

    def _next(self) -> Point | Path | None:
        """Return what is to be delivered next, still in its place; None at the end."""
        with self._news:
            while not self._abandoned:
                if self._waiting:
                    return self._waiting[0]
                if self._behind and self._position >= self._spool_end:
                    self._behind = False
                elif self._behind:
                    self._read_again()
                elif self._files:
                    return self._files[0]
                elif self._closing:
                    return None
                else:
                    self._news.wait()
        return None

    def _read_again(self) -> None:
        """Fill the places with the next points of the spool."""
        assert self._spool is not None, "only a point that the spool holds puts a feed behind"
        points = [
            Point(metrics, step, end)
            for metrics, step, end in read_points(self._spool, self._position, self._max_waiting)
            if end <= self._spool_end  # what stands there but has not been offered yet will be
        ]
        self._waiting.extend(points)
        if not points:
            self._position = self._spool_end

    def _deliver(self, job: Point | Path) -> bool:
        """Give one thing to the backend and take it off the list; False when it was given up at the end."""
        call: Callable[[], None] = (
            (lambda: self._backend.log(job.metrics, job.step))
            if isinstance(job, Point)
            else (lambda: self._backend.save(job))
        )
        pause_s = self._retry_s
        while True:
            try:
                call()
            except (OSError, TrackerError) as error:
                if not self._wait_to_repeat(error, pause_s):
                    return False
                pause_s = min(2 * pause_s, RETRY_MOST_S)
                continue
            break
        with self._news:
            if self.failing:
                logger.warning("%s answers again; it is given what it missed", self.name)
                self.failing = False
            if isinstance(job, Point):
                self._waiting.popleft()
                self._position = self._position if job.end is None else job.end
            else:
                self._files.popleft()
        return True

    def _wait_to_repeat(self, error: Exception, pause_s: float) -> bool:
        with self._news:
            if not self.failing:
                self.failing = True
                logger.warning("%s takes nothing now and is tried again and again: %s", self.name, error)
            if self._closing:
                return False
            self._news.wait_for(lambda: self._closing, pause_s)
            return True

    def _end(self) -> None:
        try:
            self._backend.close()
        except (OSError, TrackerError) as error:
            logger.warning("%s did not end in order: %s", self.name, error)
