"""metrics.jsonl: one JSON object per logged point, the record from which everything else can be redrawn."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import append, open_appending, read_lines, replace
from robonav_ray.records import Metrics

METRICS_FILE = "metrics.jsonl"
SUPERSEDED_FILE = "metrics.superseded.jsonl"


class JsonlTracker:
    """Appends ``{"step": ..., "time": ..., name: value, ...}``, every line at once; values that are not finite become
    null.

    A (step, tag) stands in the file once: a tag that was already recorded at this or a later step is left out of the
    line. Opened with ``resume_step``, everything beyond that step, and a line that a crash tore, moves to
    ``metrics.superseded.jsonl`` beside it, because the resumed run will live through those steps again.

    A line that cannot be written (disk full) raises OSError and leaves the file as it was; the next one is tried anew.
    """

    def __init__(self, directory: Path, resume_step: int | None = None, now: Callable[[], float] = time.time):
        """Open ``directory/metrics.jsonl``; ValueError when it exists and ``resume_step`` is None."""
        self.path = directory / METRICS_FILE
        self._now = now
        self._last_step: dict[str, int] = {}
        self.num_skipped = 0
        """Values left out because their (step, tag) was there."""
        if self.path.exists():
            if resume_step is None:
                raise ValueError(f"{self.path} exists; pass the step to resume from, or take another directory")
            self._rewind(resume_step)
        self._file = open_appending(self.path)
        self.end = os.fstat(self._file.fileno()).st_size
        """Bytes of whole lines in the file."""

    def log(self, metrics: Metrics, step: int) -> None:
        """Append one line with the metrics that are new at ``step``."""
        self.record(metrics, step)

    def record(self, metrics: Metrics, step: int) -> Metrics:
        """Append one line with the metrics that are new at ``step``, and return those.

        Raises:
            OSError: When the line cannot be written whole; the file is as it was.
        """
        self._check_open()
        fresh = {name: value for name, value in metrics.items() if self._last_step.get(name, -1) < step}
        self.num_skipped += len(metrics) - len(fresh)
        if not fresh:
            return {}
        line = {"step": step, "time": round(self._now(), 3), **{k: _finite(v) for k, v in fresh.items()}}
        self._append((json.dumps(line, allow_nan=False) + "\n").encode())
        self._last_step.update(dict.fromkeys(fresh, step))
        return fresh

    def save(self, path: Path) -> None:
        """Do nothing: files of the run already lie beside the metrics."""
        self._check_open()

    def close(self) -> None:
        """Flush to the disk and end."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def _append(self, line: bytes) -> None:
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, "no space left for a whole line", str(self.path))
        except OSError:
            os.ftruncate(self._file.fileno(), self.end)
            raise
        self.end += len(line)

    def _check_open(self) -> None:
        if self._file.closed:
            raise RuntimeError("the tracker is closed")

    def _rewind(self, resume_step: int) -> None:
        kept, moved = [], []
        for text in read_lines(self.path):
            line = _parsed(text)
            if line is None or line["step"] > resume_step:
                moved.append(_whole(text))
                continue
            kept.append(_whole(text))
            for tag in line.keys() - {"step", "time"}:
                self._last_step[tag] = max(line["step"], self._last_step.get(tag, -1))
        if not moved:
            return
        append(self.path.with_name(SUPERSEDED_FILE), b"".join(moved), sync=True)
        replace(self.path, b"".join(kept))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics file in order; a torn one is left out."""
    return [line for line in map(_parsed, read_lines(path)) if line is not None]


def read_points(path: Path, start: int, limit: int | None = None) -> list[tuple[Metrics, int, int]]:
    """Return up to ``limit`` points from byte ``start`` of a metrics file, each as (metrics, step, byte behind it).

    null becomes NaN again. A line that is not whole yet is left for later.
    """
    points: list[tuple[Metrics, int, int]] = []
    for line in read_lines(path, start):
        if not line.endswith(b"\n") or (limit is not None and len(points) >= limit):
            break
        start += len(line)
        found = _parsed(line)
        if found is not None:
            metrics = {k: math.nan if v is None else v for k, v in found.items() if k not in ("step", "time")}
            points.append((metrics, found["step"], start))
    return points


def _whole(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text.decode(errors="replace"))
    except (json.JSONDecodeError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
