"""The backend: points become events of one file a session."""

from __future__ import annotations

import io
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from robonav_ray.config.tracking import TensorboardTracking
from robonav_ray.files.plain_files import PlainFileError, append_whole, open_appending, open_new
from robonav_ray.tracking.backend import Point, Refusals, RunEnding
from robonav_ray.tracking.items import ALL_KINDS, Histogram, Item, Kind
from robonav_ray.tracking.run_facts import RunFacts
from robonav_ray.tracking.tensorboard import hparams, summaries
from robonav_ray.tracking.tensorboard.embeddings import keep_embedding
from robonav_ray.tracking.tensorboard.layout import first_page

logger = logging.getLogger(__name__)
FOLDER = "tensorboard"
_VERSION = "brain.Event:2"
_HPARAMS = "hparams"


def open_tensorboard(
    section: TensorboardTracking, facts: RunFacts, told: Callable[[Mapping[str, str]], None]
) -> TensorboardBackend:
    """Open the event file of a session. Its first one also holds the config and the layout of the first page."""
    backend = TensorboardBackend(facts.directory, facts.resume_step)
    if facts.kind in ("train", "own") and _HPARAMS not in facts.ids:  # a search writes the values of its trials itself
        if facts.config:
            backend.begin(facts.config, facts.name)
        if facts.kind == "train":
            judged: Any = facts.config.get("evaluation") or {}
            backend.add([first_page(is_judged=judged.get("interval_s") is not None)])
        told({_HPARAMS: "written" if facts.config else "none"})
    backend.tells_ending = facts.ids.get(_HPARAMS) != "none" and facts.kind in ("train", "own") and bool(facts.config)
    return backend


class TensorboardBackend:
    """Writes an event file into ``directory/tensorboard``.

    With ``resume_step``, TensorBoard hides what earlier sessions wrote beyond that step.
    """

    takes = ALL_KINDS

    def __init__(self, directory: Path, resume_step: int | None = None) -> None:
        """Begin a new event file."""
        self.name = "tensorboard"
        self._folder = directory / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        stamp = f"{now // 10**9:010d}.{now % 10**9:09d}"
        path = self._folder / f"events.out.tfevents.{stamp}.{socket.gethostname()}.{os.getpid()}"
        open_new(path).close()
        self._file = open_appending(path)
        self._said: set[str] = set()
        self.tells_ending = False
        """Whether the values of the config are there, to be completed by how the run ended."""
        self._append([_event(now / 1e9, file_version=_VERSION), *_restart(resume_step, now / 1e9)])

    def begin(self, config: Mapping[str, Any], name: str) -> None:
        """Write the config as the values of the run ``name``."""
        self.add(hparams.begin(config, name, time.time()))

    def add(self, values: Sequence[Any]) -> None:
        """Write summaries that have no step."""
        self._append([_event(time.time(), step=0, summary=summaries.summary(values))])

    def write(self, points: Sequence[Point]) -> None:
        """Write what TensorBoard can show of the points, all of it or nothing.

        Raises:
            RefusedPointsError: When its format cannot hold some (a name that is no Unicode); the others are written.
            OSError: When the file cannot be written.
        """
        events, refused = list[Any](), Refusals()
        for number, point in enumerate(points):
            try:
                events += list(self._events(point))
            except (TypeError, ValueError) as error:
                refused.note(number, error)
        self._append(events)
        refused.tell()

    def close(self, ending: RunEnding | None) -> None:
        """End the file."""
        try:
            if ending is not None and self.tells_ending and (end := hparams.end(ending, time.time())):
                self.add(end)
        finally:
            self._file.close()

    def _append(self, events: Sequence[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        data = io.BytesIO()
        records = RecordWriter(data)
        for event in events:
            records.write(event.SerializeToString())
        append_whole(self._file, data.getvalue())

    def _events(self, point: Point) -> Iterator[Any]:
        values = [summaries.scalar(name, float(value)) for name, value in point.metrics.items()]
        for item in point.items:
            if isinstance(item, Histogram):
                values.append(summaries.histogram(item))
                continue
            try:
                if item.kind is Kind.GRAPH:
                    yield _event(point.time, step=point.step, graph_def=summaries.graph(item))
                elif item.kind is Kind.EMBEDDING:
                    keep_embedding(item, point.step, self._folder)
                else:
                    values += self._values(item)
            except (FileNotFoundError, PlainFileError, ValueError) as error:
                self._say(str(item.path), f"tensorboard cannot show {item.name}: {error}")
        if values:
            yield _event(point.time, step=point.step, summary=summaries.summary(values))

    def _values(self, item: Item) -> list[Any]:
        assert not isinstance(item, Histogram)
        shown = summaries.asset(item)
        if not shown:
            self._say(item.path.suffix, f"tensorboard shows no {item.path.suffix or 'such file'} ({item.path})")
        return shown

    def _say(self, key: str, message: str) -> None:
        if key not in self._said:
            self._said.add(key)
            logger.info("%s", message)


def _event(at: float, **fields: Any) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    return Event(wall_time=at, **fields)


def _restart(resume_step: int | None, at: float) -> Iterator[Any]:
    """Give what makes TensorBoard hide all that was written before from ``resume_step + 1`` on."""
    from tensorboard.compat.proto.event_pb2 import SessionLog  # pyright: ignore[reportAttributeAccessIssue]

    if resume_step is not None:
        yield _event(at, step=resume_step + 1, file_version=_VERSION)
        yield _event(at, step=resume_step + 1, session_log=SessionLog(status=SessionLog.START))
