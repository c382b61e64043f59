"""One slow or fallible backend behind a thread of its own: the run never waits for it, and what it missed is read again
from the spool.

::

    driver --offer--> [ at most max_waiting points ] --thread--> backend --how far--> trackers.json
       |                        when full: behind
       +--every point--> metrics.jsonl (the spool) --read again---^

Points reach the backend in order. A call that failed is repeated with the same points, with longer and longer pauses,
until it succeeds or the feed is closed: a backend that is down catches up when it is back, in this session or the next
one. So does one of ours whose client raises an error that is unknown to us: no training ends with it. A tracker of
the user's has no ``Delivery``; there such an error is a bug, and is raised in the driver.
A point is given up only when the feed is closed and no ``Delivery`` says how far it has come, when the spool cannot be
written either, or when the backend will never take it; all are counted.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from robonav_ray.errors import UserError
from robonav_ray.files.locations import without_secrets
from robonav_ray.files.plain_files import is_plain
from robonav_ray.tracking.backend import Backend, Point, RefusedPointsError, RunEnding, TrackerError
from robonav_ray.tracking.deliveries import Delivery
from robonav_ray.tracking.items import HISTOGRAM, SCALARS, Asset, Histogram, Item
from robonav_ray.tracking.jsonl import read_points

logger = logging.getLogger(__name__)
RETRY_S, RETRY_MOST_S = 0.5, 30.0
"""First and longest pause before a call that failed is repeated."""
COUNTED_MOST = 2000
"""Points of the spool that are counted, at the end, when they were not delivered: each is a line to be read."""


@dataclass(frozen=True)
class Place:
    """Where a feed leads."""

    name: str
    make: Callable[[], Backend]
    """Opens the backend; called in the feed's thread, again where it fails."""
    delivery: Delivery | None = None
    """How far the backend has come; None for one that is given only what is offered from now on."""
    required: bool = True
    """Whether what the user has to mend (a UserError) ends the run; else it is tried again as a server that is down."""
    gather_s: float = 0.0
    """Points wait so long for others to be written with them."""


class BackendFeed:
    """Hands points to one backend from a thread of its own."""

    def __init__(self, place: Place, spool: Path | None, max_waiting: int) -> None:
        """Start the thread. Points that ``spool`` holds already are given to a place with a ``delivery`` that has not
        got them, and to no other.
        """
        self.name = place.name
        self._place, self._spool, self._max_waiting = place, spool, max_waiting
        self._news = threading.Condition()
        self._waiting: deque[Point] = deque()
        self._position = self._spool_end = spool.stat().st_size if spool is not None else 0
        self._behind = False  # from the first point that found no place until the spool has been read to its end
        self._closing = self._abandoned = False
        self._is_elsewhere = False  # another process delivers
        self._ending: RunEnding | None = None
        self._since = 0.0  # when the first of the waiting points came
        self._left_out: set[str] = set()
        self._bug: BaseException | None = None
        self._unnoted = False
        self.failing = False
        """Whether the last call failed."""
        self.hangs = False
        """Whether the backend had not ended when ``join`` returned."""
        self.num_lost = 0
        """Points that found neither a place nor a spool."""
        self.num_refused = 0
        """Points that the backend will never take, in whole or in part."""
        self._thread = threading.Thread(target=self._run, name=f"tracker-{self.name}", daemon=True)
        self._thread.start()

    def offer(self, point: Point) -> None:
        """Take a point without waiting; raises what a bug in the backend has raised in its thread."""
        with self._news:
            self._raise_bug()
            if point.end is not None:  # what stands before it was written by another process
                self._behind = self._behind or point.start != self._spool_end
                self._spool_end = point.end
            if self._behind or len(self._waiting) >= self._max_waiting:
                self._behind = self._behind or point.end is not None
                self.num_lost += point.end is None
            else:
                self._since = self._since if self._waiting else time.monotonic()
                self._waiting.append(point)
            self._news.notify_all()

    def begin_close(self, ending: RunEnding | None = None) -> None:
        """Let the thread deliver what is left, repeat nothing, end the backend and end."""
        with self._news:
            self._closing, self._ending = True, ending
            with contextlib.suppress(OSError):
                if self._spool is not None and (size := self._spool.stat().st_size) > self._spool_end:
                    self._spool_end, self._behind = size, True
            self._news.notify_all()

    @property
    def is_done(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        """Return when the thread has ended, or after ``timeout_s``."""
        self._thread.join(timeout_s)

    def join(self, timeout_s: float) -> tuple[int, int]:
        """Wait for the end that ``begin_close`` asked for; return how many points and files the backend has not been
        given, nor is by another process, as far as COUNTED_MOST of them (a run has to end).
        """
        self._thread.join(timeout_s)
        self.hangs = self._thread.is_alive()
        with self._news:
            self._abandoned = True
            self._news.notify_all()
            self._raise_bug()
            delivery = self._place.delivery
            if self._is_elsewhere and delivery is not None and not delivery.is_held_here:
                return 0, 0
            left = list(self._waiting)
            if self._behind and self._spool is not None:
                since = next((p.end for p in reversed(left) if p.end is not None), self._position)
                with contextlib.suppress(OSError):  # that it cannot be read has been said
                    left += read_points(self._spool, since, COUNTED_MOST)
            files = sum(isinstance(item, Asset) for point in left for item in point.items)
            points = sum(1 for p in left if p.metrics or any(isinstance(item, Histogram) for item in p.items))
            return points + self.num_lost, files

    def _raise_bug(self) -> None:
        if self._bug is not None:
            bug, self._bug = self._bug, None
            raise bug

    def _run(self) -> None:
        delivery = self._place.delivery
        try:
            if (delivery is None or self._take(delivery)) and (backend := self._open()) is not None:
                while points := self._next():
                    if not self._deliver(backend, points):
                        break
                self._end(backend)
        except BaseException as error:  # noqa: BLE001  (raised again in the driver, at its next call)
            with self._news:
                self._bug = error
        finally:
            if delivery is not None:
                delivery.leave()

    def _take(self, delivery: Delivery) -> bool:
        """Wait until no other process delivers to the backend; False when the feed is closed before."""
        self._is_elsewhere = True
        while not delivery.take():
            with self._news:
                if self._news.wait_for(lambda: self._closing, self._retry_s()):
                    return False
        with self._news:
            self._is_elsewhere = False
            self._position = delivery.position
            first = next((p.start for p in self._waiting if p.start is not None), self._spool_end)
            self._behind = self._behind or self._position < first
            given = self._spool_end if self._position < first else self._position
            self._waiting = deque(p for p in self._waiting if p.end is None or p.end > given)
        return True

    def _open(self) -> Backend | None:
        """Open the backend; None when that could not be before the feed was closed."""
        opened = list[Backend]()
        done = self._repeated(lambda: opened.append(self._place.make()))
        return opened[0] if done else None

    def _next(self) -> list[Point]:
        """Return what is to be delivered next, still in its place; nothing at the end."""
        with self._news:
            while not self._abandoned:
                if self._waiting:
                    left_s = self._since + self._place.gather_s - time.monotonic()
                    if left_s <= 0 or self._behind or self._closing or len(self._waiting) >= self._max_waiting:
                        return list(islice(self._waiting, self._max_waiting))
                    self._news.wait(left_s)
                elif self._behind and self._position >= self._spool_end:
                    self._behind = False
                elif self._behind:
                    self._read_again()
                elif self._closing:
                    return []
                else:
                    self._news.wait()
        return []

    def _read_again(self) -> None:
        """Fill the places with the next points of the spool."""
        assert self._spool is not None, "only a point that the spool holds puts a feed behind"
        try:
            points = [
                point
                for point in read_points(self._spool, self._position, self._max_waiting)
                if point.end is not None and point.end <= self._spool_end  # what has not been offered yet will be
            ]
        except OSError as error:  # the disk is away
            self._say_once(str(self._spool), f"{self._spool} cannot be read and is tried again: {error}")
            self._abandoned = self._closing
            self._news.wait_for(lambda: self._closing, self._retry_s())
            return
        self._waiting.extend(points)
        if not points:
            self._position = self._spool_end

    def _deliver(self, backend: Backend, points: list[Point]) -> bool:
        """Give points to the backend and take them off the list; False when they were given up at the end."""
        wanted = [made for point in points if (made := self._wanted(backend, point)) is not None]
        if wanted and not self._repeated(lambda: self._write(backend, wanted)):
            return False
        with self._news:
            for point in points:
                self._waiting.popleft()
                self._position = self._position if point.end is None else point.end
            self._since = time.monotonic()
        self._note(wanted)
        return True

    def _write(self, backend: Backend, points: list[Point]) -> None:
        try:
            backend.write(points)
        except RefusedPointsError as error:
            self.num_refused += error.count
            what = "a point, or a part of it," if error.count == 1 else f"{error.count} points, or parts of them,"
            self._say_once(
                "refused", f"{self.name} refuses {what} for good and is given all others; more are counted: {error}"
            )

    def _note(self, given: Sequence[Point]) -> None:
        """Write down how far the backend has come."""
        if self._place.delivery is None:
            return
        try:
            self._place.delivery.note(self._position, max((p.step for p in given if p.metrics), default=-1))
        except (OSError, UserError) as error:  # a full disk; a trackers.json that was broken meanwhile
            if not self._unnoted:
                logger.warning("what %s has been given cannot be written down: %s", self.name, error)
            self._unnoted = True
            return
        self._unnoted = False

    def _wanted(self, backend: Backend, point: Point) -> Point | None:
        """Return what of a point the backend takes and has not; None when that is nothing."""
        relived = self._place.delivery is not None and self._place.delivery.is_relived(point)
        metrics = point.metrics if SCALARS in backend.takes and not relived else {}
        items = tuple(item for item in point.items if self._is_wanted(backend, item, relived=relived))
        return replace(point, metrics=metrics, items=items) if metrics or items else None

    def _is_wanted(self, backend: Backend, item: Item, *, relived: bool) -> bool:
        kind = HISTOGRAM if isinstance(item, Histogram) else str(item.kind)
        if kind not in backend.takes:
            self._say_once(kind, f"{self.name} cannot take any {kind}; they are in the run's folder")
            return False
        if isinstance(item, Histogram):
            return not relived
        if not is_plain(item.path):
            self._say_once(str(item.path), f"{self.name} is not given {item.path}, which is no plain file (any more)")
            return False
        return True

    def _say_once(self, key: str, message: str) -> None:
        if key not in self._left_out:
            self._left_out.add(key)
            logger.warning("%s", message)

    def _repeated(self, call: Callable[[], None]) -> bool:
        """Make a call until it succeeds; False when the feed is closed before."""
        pause_s = self._retry_s()
        while True:
            try:
                call()
            except Exception as error:
                if not self._passes(error):
                    raise
                refused = error
            else:
                break
            if not self._wait_to_repeat(refused, pause_s):
                return False
            pause_s = min(2 * pause_s, RETRY_MOST_S)
        with self._news:
            if self.failing:
                logger.warning("%s answers again; it is given what it missed", self.name)
                self.failing = False
        return True

    def _passes(self, error: Exception) -> bool:
        """Whether a call that raised this is made again."""
        if isinstance(error, UserError) and not isinstance(error, OSError):
            return not self._place.required
        return isinstance(error, OSError | TrackerError) or self._place.delivery is not None

    def _wait_to_repeat(self, error: Exception, pause_s: float) -> bool:
        with self._news:
            if not self.failing:
                self.failing = True
                logger.warning("%s takes nothing now and is tried again and again: %s", self.name, _sentence(error))
            if self._closing:
                return False
            self._news.wait_for(lambda: self._closing, pause_s)
            return True

    def _end(self, backend: Backend) -> None:
        try:
            backend.close(self._ending)
        except Exception as error:
            if self._place.delivery is None and not isinstance(error, OSError | TrackerError):
                raise
            if not self._abandoned:  # else it was said that it has not ended, and the process is about to
                logger.warning("%s did not end in order: %s", self.name, _sentence(error))

    @staticmethod
    def _retry_s() -> float:
        return RETRY_S


def left_words(points: int, files: int) -> str:
    """Return what ``join`` has counted, in words."""
    least = "at least " if points + files >= COUNTED_MOST else ""
    return f"{least}{points} points and {files} files"


def _sentence(error: Exception) -> str:
    """Return what an error says, with its kind where that is none of those that backends say on purpose."""
    known = isinstance(error, OSError | TrackerError | UserError)
    return str(error) if known else f"{type(error).__name__}: {without_secrets(str(error))}"
