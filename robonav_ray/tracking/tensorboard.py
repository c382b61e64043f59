"""TensorBoard: scalars, and the pictures and texts that a run keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robonav_ray.files.plain_files import read_text
from robonav_ray.records import Metrics

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif"})
_TEXTS = frozenset({".md", ".txt"})


class TensorboardTracker:
    """Writes event files into ``directory/tensorboard``.

    With ``resume_step``, TensorBoard hides what an earlier session wrote beyond that step (``purge_step``). The writer
    flushes from a thread of its own every ``flush_s`` seconds.
    """

    def __init__(self, directory: Path, resume_step: int | None = None, flush_s: int = 10):
        import torch  # noqa: F401  whole first: another thread may be at it, and two that begin at different ends meet half way
        from torch.utils.tensorboard import SummaryWriter  # seconds to import; only for those who want it

        purge_step = None if resume_step is None else resume_step + 1
        self._writer = SummaryWriter(str(directory / "tensorboard"), purge_step=purge_step, flush_secs=flush_s)
        self._step = resume_step or 0
        self._last_step: dict[str, int] = {}
        self._resume_step = -1 if resume_step is None else resume_step
        self._closed = False

    def log(self, metrics: Metrics, step: int) -> None:
        """Write the metrics that are new at ``step``."""
        if self._closed:
            raise RuntimeError("the tracker is closed")
        self._step = max(self._step, step)
        for name, value in metrics.items():
            if self._last_step.get(name, self._resume_step) < step:
                self._writer.add_scalar(name, value, step)
                self._last_step[name] = step

    def save(self, path: Path) -> None:
        """Show a picture or a text; other kinds of files are left alone."""
        if self._closed:
            raise RuntimeError("the tracker is closed")
        if path.suffix in _PICTURES:
            from PIL import Image

            with Image.open(path) as image:
                self._writer.add_image(path.stem, np.asarray(image.convert("RGB")), self._step, dataformats="HWC")
        elif path.suffix in _TEXTS:
            self._writer.add_text(path.stem, read_text(path, errors="replace"), self._step)

    def close(self) -> None:
        """Flush and end."""
        if not self._closed:
            self._closed = True
            self._writer.close()
