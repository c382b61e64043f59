"""One tracker in front of several: the spool on disk is written at once, every other backend by a thread of its own."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import open_lock, open_reading, replacing
from robonav_ray.interfaces import Tracker
from robonav_ray.records import Metrics
from robonav_ray.tracking.backend import AdaptedTracker, Backend, Point, RunEnding, TrackerError
from robonav_ray.tracking.deliveries import TrackersFile
from robonav_ray.tracking.feed import BackendFeed, Place, left_words
from robonav_ray.tracking.items import Asset, Item, asset_of
from robonav_ray.tracking.jsonl import JsonlTracker, append_items
from robonav_ray.tracking.places import places, sections_on
from robonav_ray.tracking.run_facts import RunFacts
from robonav_ray.user_code import load_user_code

__all__ = ["FanoutTracker", "TrackerError", "keep_files", "open_trackers", "owning"]
logger = logging.getLogger(__name__)
MAX_WAITING, CLOSE_TIMEOUT_S = 256, 5.0
KEEP_TIMEOUT_S = 30.0
"""How long files of a run that has ended may take to reach its trackers: nothing else waits by then."""
TELL_AFTER_S, GIVE_UP_S, _LOOK_S = 3.0, 1.0, 0.1
"""When a person is told what is waited for; how long it is after a signal; how often that is looked at."""
Asked = Callable[[], bool]
"""Whether the waiting is to end soon: a signal came."""
TRACKED = "tracked"
"""Folder of a run for the files of assets that lie nowhere else in it."""
_OWNER_LOCK = ".tracking.lock"


class FanoutTracker:
    """Writes every point to the spool and offers it to every backend; only ``close`` waits for a backend, for a bounded
    time. Threads may share it.

    A spool that cannot be written (disk full) is tried again at the next point; ``tracking/backends_failed`` counts the
    backends that take nothing now. Errors of a user's tracker other than ``OSError`` and ``TrackerError`` are bugs and
    are raised at the next call; TensorBoard, MLflow and W&B end no run.
    """

    def __init__(
        self, spool: JsonlTracker | None, backends: Sequence[Tracker | Backend | Place],
        max_waiting: int = MAX_WAITING, close_timeout_s: float = CLOSE_TIMEOUT_S,
    ) -> None:  # fmt: skip
        """Without a ``spool``, points that find no place in front of a slow backend are lost, and counted."""
        self._spool, self._close_timeout_s = spool, close_timeout_s
        path = None if spool is None else spool.path
        self._feeds = [BackendFeed(_as_place(backend), path, max_waiting) for backend in backends]
        self._spool_failing = False
        self._closed = False
        self._order = threading.RLock()
        self._step = 0
        self._ending: RunEnding | None = None
        self._exits = contextlib.ExitStack()

    @property
    def num_failed(self) -> int:
        """Backends that take nothing now, the spool included."""
        return self._spool_failing + sum(feed.failing for feed in self._feeds)

    def log(self, metrics: Metrics, step: int) -> None:
        """Record metrics at ``step``."""
        if self.num_failed:
            metrics = {**metrics, "tracking/backends_failed": float(self.num_failed)}
        self._offer(metrics, step, ())

    def add(self, items: Sequence[Item], step: int) -> None:
        """Record histograms and assets at ``step``; ValueError for an asset whose file does not lie below the run's
        directory.
        """
        self._offer({}, step, items)

    def save(self, path: Path) -> None:
        """Keep a file with the run, at the step that was logged last; one that lies elsewhere is copied into
        ``tracked/``, and OSError says that it cannot be.
        """
        self._check_open()
        self._offer({}, self._step, [_kept(path, self._spool, self._step)])

    def ends_as(self, ending: RunEnding) -> None:
        """Say what became of the run, before ``close``."""
        self._ending = ending

    def on_close(self, leave: contextlib.AbstractContextManager[Any]) -> None:
        """Hold ``leave``, which has been entered, until the tracker is closed."""
        self._exits.push(leave)

    def close(self, asked: Asked | None = None) -> None:
        """Deliver what is left for a bounded time, and end; a person is told what that waits for, and what stays
        undelivered. A second call does nothing.

        When ``asked`` becomes true the time that is left is GIVE_UP_S. A KeyboardInterrupt ends it at once, and is
        raised when all the rest is done.
        """
        with self._order:
            if self._closed:
                return
            self._closed = True
        with self._exits:
            for feed in self._feeds:
                feed.begin_close(self._ending)
            try:
                try:
                    self._wait(asked)
                finally:
                    for feed in self._feeds:
                        self._say_left(feed, *feed.join(0.0))
            finally:
                if self._spool is not None:
                    self._spool.close()

    def _wait(self, asked: Asked | None) -> None:
        """Return when every feed is done, or their time is over."""
        began = time.monotonic()
        until, told = began + self._close_timeout_s, False
        while (left := [feed for feed in self._feeds if not feed.is_done]) and (now := time.monotonic()) < until:
            if asked is not None and asked():
                until, asked = min(until, now + GIVE_UP_S), None
            if not told and now - began >= TELL_AFTER_S:
                told = True
                logger.warning(
                    "waiting for %s, %.0f s more at most%s", " and ".join(feed.name for feed in left),
                    until - now, "" if asked is None else "; Ctrl-C ends the waiting",
                )  # fmt: skip
            left[0].wait(min(_LOOK_S, until - now))

    def _say_left(self, feed: BackendFeed, points: int, files: int) -> None:
        if points or files:
            where = "" if self._spool is None else f"; they are in {self._spool.path}"
            logger.warning("%s has not been given %s%s", feed.name, left_words(points, files), where)
        if feed.num_refused:
            logger.warning("%s has refused %d points for good, in whole or in part", feed.name, feed.num_refused)
        if feed.hangs and not points and not files:
            logger.warning("%s was given everything and has not ended after %g s", feed.name, self._close_timeout_s)

    def _offer(self, metrics: Metrics, step: int, items: Sequence[Item]) -> None:
        with self._order:  # points reach every backend in the order in which they stand in the spool
            self._check_open()
            self._step = max(self._step, step)
            point = self._spooled(metrics, step, items)
            if point.metrics or point.items:
                for feed in self._feeds:
                    feed.offer(point)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the tracker is closed")

    def _spooled(self, metrics: Metrics, step: int, items: Sequence[Item]) -> Point:
        """Write the point to the spool; returns it with what of it was new."""
        whole = Point(metrics, step, round(time.time(), 3), tuple(items))
        if self._spool is None:
            return whole
        try:
            point = self._spool.record(metrics, step, items)
        except OSError as error:
            if not self._spool_failing:
                logger.warning("%s cannot be written and is tried again at every point: %s", self._spool.path, error)
            self._spool_failing = True
            return whole
        self._spool_failing = False
        return point


def _as_place(backend: Tracker | Backend | Place) -> Place:
    if isinstance(backend, Place):
        return backend
    made = backend if isinstance(backend, Backend) else AdaptedTracker(backend)
    return Place(made.name, lambda: made)


def _kept(path: Path, spool: JsonlTracker | None, step: int) -> Asset:
    return asset_of(path, path.parent) if spool is None else _below(path, spool.directory, step)


def _below(path: Path, directory: Path, step: int) -> Asset:
    """Return a file as an asset of the run in ``directory``: it is copied there where it lies elsewhere."""
    path, directory = path.absolute(), directory.absolute()
    if path.is_relative_to(directory):
        return asset_of(path, directory)
    copy = directory / TRACKED / "files" / str(step) / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    with open_reading(path) as file, replacing(copy) as kept:
        shutil.copyfileobj(file, kept)
    return asset_of(copy, copy.parent)


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
    config: TrackingConfig,
    directory: Path,
    resume_step: int | None = None,
    extra: Sequence[Tracker] = (),
    facts: RunFacts | None = None,
    wait_s: float = KEEP_TIMEOUT_S,
) -> FanoutTracker:
    """Open the configured backends in ``directory``, and put ``extra`` (the Ray metrics) behind them.

    ``resume_step`` is the env step of the checkpoint that a resumed run starts from; None for a new run. What an
    earlier session had not delivered by then is delivered now.

    Raises:
        UserError: For a tracker of ``tracking.extra`` that cannot be made, a ``trackers.json`` that is none, and a
            folder that another process still tracks into after ``wait_s``.
    """
    own = _open_extra(config, directory, resume_step)
    file = TrackersFile(directory)
    with contextlib.ExitStack() as exits:
        if not exits.enter_context(owning(directory, wait_s)):  # something that is being kept has its time
            raise UserError(f"{directory}: another process tracks into this folder; end it, or take another folder")
        if resume_step is not None:
            file.read()
        spool = JsonlTracker(directory, resume_step, on_rewind=file.prepare_rewind)
        exits.callback(spool.close)
        if resume_step is not None:
            file.settle(spool.end, resume_step)
        else:
            file.begin(sections_on(config))
        facts = facts or RunFacts(directory.name, directory, resume_step=resume_step)
        backends = [*places(config, facts, file, spool.end), *own, *extra]
        trackers = FanoutTracker(spool, backends, config.max_waiting, config.close_timeout_s)
        trackers.on_close(exits.pop_all())
    return trackers


def keep_files(
    config: TrackingConfig, directory: Path, step: int, paths: Sequence[Path], facts: RunFacts | None = None,
    items: Sequence[Item] = (), asked: Asked = lambda: False,
) -> None:  # fmt: skip
    """Give curves, evaluations and films of the run in ``directory``, made at ``step`` or after training, and ``items``
    beside them, to every tracker of it.

    They are opened again for that, unless the run is being trained: then its session finds the files in the spool and
    delivers them. What trackers do not take is said in a warning: the files lie where they were written in any case.
    So does what they have not taken when ``asked`` is true, or at Ctrl-C: then nothing is waited for any more.
    """
    directory = directory.absolute()
    facts = facts or RunFacts(directory.name, directory, kind="evaluation")
    try:
        with owning(directory, 0.0) as is_owner:
            made = [*(_below(path, directory, step) for path in paths), *items]
            if is_owner:
                _deliver_later(config, directory, step, made, facts, asked)
            else:
                append_items(directory, made, step)
    except (OSError, UserError) as error:
        logger.warning("trackers are not given %s: %s", ", ".join(path.name for path in paths), error)


def _deliver_later(
    config: TrackingConfig, directory: Path, step: int, items: Sequence[Item], facts: RunFacts, asked: Asked
) -> None:
    with contextlib.closing(JsonlTracker(directory, sys.maxsize)) as spool:
        file = TrackersFile(directory)
        file.read()
        backends: list[Tracker | Place] = [
            replace(place, required=False, gather_s=0.0) for place in places(config, facts, file, spool.end)
        ]
        try:
            backends += _open_extra(config, directory, step)
        except UserError as error:
            logger.warning("%s", error)
        trackers = FanoutTracker(spool, backends, close_timeout_s=KEEP_TIMEOUT_S)
        try:
            trackers.add(items, step)
        finally:
            with contextlib.suppress(KeyboardInterrupt):  # it has ended the waiting, and nothing else was to be done
                trackers.close(asked)


@contextlib.contextmanager
def owning(directory: Path, wait_s: float) -> Iterator[bool]:
    """Be the one process and tracker that writes the spool in ``directory`` and delivers from it; gives whether that
    was possible within ``wait_s``.
    """
    with open_lock(directory / _OWNER_LOCK) as lock:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_owner = True
                break
            except BlockingIOError:
                is_owner = False
            if time.monotonic() >= until:
                break
            time.sleep(0.05)
        yield is_owner
