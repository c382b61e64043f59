"""One tracker in front of several: the spool on disk is written at once, every other backend by a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.errors import UserError
from robonav_ray.interfaces import Tracker
from robonav_ray.records import Metrics
from robonav_ray.tracking.feed import BackendFeed, Point, TrackerError
from robonav_ray.tracking.jsonl import JsonlTracker
from robonav_ray.tracking.tensorboard import TensorboardTracker
from robonav_ray.user_code import load_user_code

__all__ = ["FanoutTracker", "TrackerError", "keep_files", "open_trackers"]
logger = logging.getLogger(__name__)
MAX_WAITING, CLOSE_TIMEOUT_S = 256, 5.0
KEEP_TIMEOUT_S = 30.0
"""How long files of a run that has ended may take to reach its trackers: nothing else waits by then."""


class FanoutTracker:
    """Writes every point to the spool and offers it to every backend; only ``close`` waits for a backend, for a bounded
    time.

    A spool that cannot be written (disk full) is tried again at the next point; ``tracking/backends_failed`` counts the
    backends that take nothing now. Errors of a backend other than ``OSError`` and ``TrackerError`` are bugs and are
    raised at the next call.
    """

    def __init__(
        self, spool: JsonlTracker | None, backends: Sequence[Tracker], max_waiting: int = MAX_WAITING,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
    ) -> None:  # fmt: skip
        """Without a ``spool``, points that find no place in front of a slow backend are lost, and counted."""
        self._spool, self._close_timeout_s = spool, close_timeout_s
        path = None if spool is None else spool.path
        self._feeds = [BackendFeed(backend, path, max_waiting) for backend in backends]
        self._spool_failing = False
        self._closed = False

    @property
    def num_failed(self) -> int:
        """Backends that take nothing now, the spool included."""
        return self._spool_failing + sum(feed.failing for feed in self._feeds)

    def log(self, metrics: Metrics, step: int) -> None:
        """Record metrics at ``step``."""
        self._check_open()
        if self.num_failed:
            metrics = {**metrics, "tracking/backends_failed": float(self.num_failed)}
        point = self._spooled(metrics, step)
        if point.metrics:
            for feed in self._feeds:
                feed.offer(point)

    def save(self, path: Path) -> None:
        """Keep a file with the run."""
        self._check_open()
        for feed in self._feeds:
            feed.offer_file(path)

    def close(self) -> None:
        """Deliver what is left for a bounded time and end; what stays undelivered is said. A second call does
        nothing.
        """
        if self._closed:
            return
        self._closed = True
        until = time.monotonic() + self._close_timeout_s
        for feed in self._feeds:
            feed.begin_close()
        try:
            for feed in self._feeds:
                points, files = feed.join(max(0.0, until - time.monotonic()))
                if points or files:
                    where = "" if self._spool is None else f"; they are in {self._spool.path}"
                    logger.warning("%s has not been given %d points and %d files%s", feed.name, points, files, where)
        finally:
            if self._spool is not None:
                self._spool.close()

    def _spooled(self, metrics: Metrics, step: int) -> Point:
        """Write the point to the spool; returns it with what of it was new."""
        if self._spool is None:
            return Point(metrics, step, None)
        try:
            point = Point(self._spool.record(metrics, step), step, self._spool.end)
        except OSError as error:
            if not self._spool_failing:
                logger.warning("%s cannot be written and is tried again at every point: %s", self._spool.path, error)
            self._spool_failing = True
            return Point(metrics, step, None)
        self._spool_failing = False
        return point

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the tracker is closed")


_BACKENDS: dict[str, Callable[[Path, int | None], Tracker]] = {"tensorboard": TensorboardTracker}
_REOPENED: dict[str, Callable[[Path, int], Tracker]] = {"tensorboard": TensorboardTracker.reopened}


TRACKERS = "robonav_ray.trackers"
"""Group of entry points that are trackers."""


def find_extra(config: TrackingConfig) -> list[Callable[..., Any]]:
    """Return what makes the trackers of ``tracking.extra``; UserError for the first that is not there."""
    return [load_user_code(name, TRACKERS, "tracking.extra") for name in config.extra]


def _open_extra(config: TrackingConfig, directory: Path, resume_step: int | None) -> list[Tracker]:
    trackers = list[Tracker]()
    for name, make in zip(config.extra, find_extra(config), strict=True):
        try:
            tracker = make(directory, resume_step)
        except (TypeError, ValueError, OSError) as error:
            raise UserError(
                f"tracking.extra: {name!r} cannot be made as Name(directory, resume_step): {error}"
            ) from error
        if not isinstance(tracker, Tracker):
            raise UserError(
                f"tracking.extra: {name!r} made a {type(tracker).__name__}, which is no tracker: it needs log(metrics, "
                "step), save(path) and close() (docs/extensions.md)"
            )
        trackers.append(tracker)
    return trackers


def open_trackers(
    config: TrackingConfig, directory: Path, resume_step: int | None = None, extra: Sequence[Tracker] = ()
) -> FanoutTracker:
    """Open the configured backends in ``directory``, and put ``extra`` (the Ray metrics) behind them.

    ``resume_step`` is the env step of the checkpoint that a resumed run starts from; None for a new run. metrics.jsonl
    is written with any backend: it is what the others are given again when they were down.
    """
    own = _open_extra(config, directory, resume_step)
    spool = JsonlTracker(directory, resume_step) if config.backends or config.extra else None
    backends = [_BACKENDS[name](directory, resume_step) for name in config.backends if name != "jsonl"]
    return FanoutTracker(spool, [*backends, *own, *extra], config.max_waiting, config.close_timeout_s)


def keep_files(config: TrackingConfig, directory: Path, step: int, paths: Sequence[Path]) -> None:
    """Give curves, evaluations and films of the run in ``directory``, made at ``step`` or after training, to every
    tracker of it.

    They are opened again for that. What they do not take is said in a warning: the files lie where they were written in
    any case.
    """
    backends: list[Tracker] = []
    for name in config.backends:
        if name in _REOPENED:
            try:
                backends.append(_REOPENED[name](directory, step))
            except OSError as error:
                logger.warning("%s is not given %s: %s", name, ", ".join(path.name for path in paths), error)
    try:
        backends += _open_extra(config, directory, step)
    except UserError as error:
        logger.warning("%s", error)
    with contextlib.closing(FanoutTracker(None, backends, close_timeout_s=KEEP_TIMEOUT_S)) as trackers:
        for path in paths:
            trackers.save(path)
