"""TensorBoard: scalars, and the pictures, films and texts that a run keeps. Written without torch, whose writer is this
one underneath.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import read_bytes, read_text
from robonav_ray.records import Metrics

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif"})
_TEXTS = frozenset({".md", ".txt"})


class TensorboardTracker:
    """Writes event files into ``directory/tensorboard``.

    With ``resume_step``, TensorBoard hides what an earlier session wrote beyond that step. The writer flushes from a
    thread of its own every ``flush_s`` seconds.
    """

    def __init__(self, directory: Path, resume_step: int | None = None, flush_s: int = 10, *, files_at: int = 0):
        """Begin a new event file; files are shown at the step that was logged last, or at ``files_at``."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(directory / "tensorboard"), flush_secs=flush_s)
        if resume_step is not None:
            self._add(Event(step=resume_step + 1, file_version="brain.Event:2"))
            self._add(Event(step=resume_step + 1, session_log=SessionLog(status=SessionLog.START)))
        self._step = resume_step or files_at
        self._last_step: dict[str, int] = {}
        self._resume_step = -1 if resume_step is None else resume_step
        self._closed = False

    @classmethod
    def reopened(cls, directory: Path, step: int) -> TensorboardTracker:
        """Return one that hides nothing of what was written, and shows files at ``step``."""
        return cls(directory, files_at=step)

    def log(self, metrics: Metrics, step: int) -> None:
        """Write the metrics that are new at ``step``."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        self._check_open()
        self._step = max(self._step, step)
        for name, value in metrics.items():
            if self._last_step.get(name, self._resume_step) < step:
                self._add_value(Summary.Value(tag=name, simple_value=float(value)), step)
                self._last_step[name] = step

    def save(self, path: Path) -> None:
        """Show a picture, a film (GIF) or a text under the name of the file; other kinds of files are left alone."""
        self._check_open()
        if path.suffix in _PICTURES:
            self._add_value(_picture(path), self._step)
        elif path.suffix in _TEXTS:
            self._add_value(_text(path), self._step)

    def close(self) -> None:
        """Flush and end."""
        if not self._closed:
            self._closed = True
            self._writer.close()

    def _add_value(self, value: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        self._add(Event(step=step, summary=Summary(value=[value])))

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.add_event(event)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the tracker is closed")


def _picture(path: Path) -> Any:
    """Return the file as it is: TensorBoard shows what a browser can, and plays a GIF."""
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    data = read_bytes(path)
    with Image.open(io.BytesIO(data)) as image:
        shown = Summary.Image(width=image.width, height=image.height, colorspace=3, encoded_image_string=data)
    return Summary.Value(tag=path.stem, image=shown)


def _text(path: Path) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.tensor_pb2 import TensorProto  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData  # pyright: ignore[reportAttributeAccessIssue]

    plugin = SummaryMetadata.PluginData(plugin_name="text", content=TextPluginData(version=0).SerializeToString())
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    words = TensorProto(dtype="DT_STRING", string_val=[read_text(path, errors="replace").encode()], tensor_shape=shape)
    return Summary.Value(tag=f"{path.stem}/text_summary", metadata=SummaryMetadata(plugin_data=plugin), tensor=words)
