"""TensorBoard: event files in the run's directory, written without torch.

::

    RUN/tensorboard/events.out.tfevents.TIME.HOST.PID      one a session; later ones hide what was lived through again
"""

from __future__ import annotations

import io
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from robonav_ray.config.tracking import TensorboardTracking
from robonav_ray.files.plain_files import (
    PlainFileError,
    append_whole,
    open_appending,
    open_new,
    read_bytes,
    read_text,
)
from robonav_ray.tracking.backend import Point, RunEnding
from robonav_ray.tracking.items import ALL_KINDS, Asset, Histogram, Item, Kind
from robonav_ray.tracking.run_facts import RunFacts

logger = logging.getLogger(__name__)
FOLDER = "tensorboard"
_TEXTS = frozenset({".md", ".txt"})
_VERSION = "brain.Event:2"


def open_tensorboard(
    section: TensorboardTracking, facts: RunFacts, told: Callable[[Mapping[str, str]], None]
) -> TensorboardBackend:
    """Open the event file of a session; it has no ids to keep."""
    return TensorboardBackend(facts.directory, facts.resume_step)


class TensorboardBackend:
    """Writes an event file into ``directory/tensorboard``.

    With ``resume_step``, TensorBoard hides what earlier sessions wrote beyond that step.
    """

    takes = ALL_KINDS

    def __init__(self, directory: Path, resume_step: int | None = None) -> None:
        """Begin a new event file."""
        self.name = "tensorboard"
        folder = directory / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        stamp = f"{now // 10**9:010d}.{now % 10**9:09d}"
        path = folder / f"events.out.tfevents.{stamp}.{socket.gethostname()}.{os.getpid()}"
        open_new(path).close()
        self._file = open_appending(path)
        self._said: set[str] = set()
        self._append([_event(now / 1e9, file_version=_VERSION), *_restart(resume_step, now / 1e9)])

    def write(self, points: Sequence[Point]) -> None:
        """Write what TensorBoard can show of the points, all of it or nothing; raises OSError."""
        self._append([event for point in points for event in self._events(point)])

    def close(self, ending: RunEnding | None) -> None:
        """End the file."""
        self._file.close()

    def _append(self, events: Sequence[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        data = io.BytesIO()
        records = RecordWriter(data)
        for event in events:
            records.write(event.SerializeToString())
        append_whole(self._file, data.getvalue())

    def _events(self, point: Point) -> Iterator[Any]:
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        values = [Summary.Value(tag=name, simple_value=float(value)) for name, value in point.metrics.items()]
        for item in point.items:
            values += self._values(item)
        if values:
            yield _event(point.time, step=point.step, summary=Summary(value=values))

    def _values(self, item: Item) -> list[Any]:
        if isinstance(item, Histogram):
            return [_histogram(item)]
        try:
            shown = _shown(item)
        except (FileNotFoundError, PlainFileError, UnidentifiedImageError) as error:
            self._say(str(item.path), f"tensorboard cannot show {item.name}: {error}")
            return []
        if not shown:
            self._say(item.path.suffix, f"tensorboard shows no {item.path.suffix or 'such file'} ({item.path})")
        return shown

    def _say(self, key: str, message: str) -> None:
        if key not in self._said:
            self._said.add(key)
            logger.info("%s", message)


def _shown(asset: Asset) -> list[Any]:
    """Return what shows an asset; nothing for what TensorBoard has no page for."""
    suffix = asset.path.suffix.lower()
    if asset.kind in (Kind.PICTURE, Kind.FILM) and suffix != ".mp4":
        return [_picture(asset)]
    if asset.kind is Kind.FILE and suffix in _TEXTS:
        return [_text(asset.path.stem, read_text(asset.path, errors="replace"))]
    return []


def _event(at: float, **fields: Any) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    return Event(wall_time=at, **fields)


def _restart(resume_step: int | None, at: float) -> Iterator[Any]:
    """Give what makes TensorBoard hide all that was written before from ``resume_step + 1`` on."""
    from tensorboard.compat.proto.event_pb2 import SessionLog  # pyright: ignore[reportAttributeAccessIssue]

    if resume_step is not None:
        yield _event(at, step=resume_step + 1, file_version=_VERSION)
        yield _event(at, step=resume_step + 1, session_log=SessionLog(status=SessionLog.START))


def _histogram(item: Histogram) -> Any:
    """Return the buckets; sums are those of values in the middle of their buckets."""
    from tensorboard.compat.proto.histogram_pb2 import HistogramProto  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    middle = (item.edges[1:] + item.edges[:-1]) / 2
    shown = HistogramProto(
        min=item.edges[0],
        max=item.edges[-1],
        num=item.counts.sum(),
        sum=np.dot(item.counts, middle),
        sum_squares=np.dot(item.counts, middle**2),
        bucket_limit=[item.edges[0], *item.edges[1:]],
        bucket=[0.0, *item.counts],
    )
    return Summary.Value(tag=item.name, histo=shown)


def _picture(asset: Asset) -> Any:
    """Return the file as it is: TensorBoard shows what a browser can, and plays a GIF."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    data = read_bytes(asset.path)
    with Image.open(io.BytesIO(data)) as image:
        shown = Summary.Image(width=image.width, height=image.height, colorspace=3, encoded_image_string=data)
    return Summary.Value(tag=asset.name, image=shown)


def _text(name: str, words: str) -> Any:
    """Return a text that TensorBoard shows as Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.tensor_pb2 import TensorProto  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData  # pyright: ignore[reportAttributeAccessIssue]

    plugin = SummaryMetadata.PluginData(plugin_name="text", content=TextPluginData(version=0).SerializeToString())
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[words.encode()], tensor_shape=shape)
    return Summary.Value(tag=f"{name}/text_summary", metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)
