"""metrics.jsonl: one JSON object per logged point, the record from which everything else can be redrawn."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robonav_ray.records import Metrics

METRICS_FILE = "metrics.jsonl"
SUPERSEDED_FILE = "metrics.superseded.jsonl"


class JsonlTracker:
    """Appends ``{"step": ..., "time": ..., name: value, ...}`` and flushes every line; values that are not finite become null.

    A (step, tag) stands in the file once: a tag that was already recorded at this or a later step is left out of the line.
    Opened with ``resume_step``, everything beyond that step, and a line that a crash tore, moves to
    ``metrics.superseded.jsonl`` beside it, because the resumed run will live through those steps again.
    """

    def __init__(self, directory: Path, resume_step: int | None = None, now: Callable[[], float] = time.time):
        """Open ``directory/metrics.jsonl``; ValueError when it exists and ``resume_step`` is None."""
        self._path = directory / METRICS_FILE
        self._now = now
        self._last_step: dict[str, int] = {}
        self.num_skipped = 0
        """Values left out because their (step, tag) was there."""
        if self._path.exists():
            if resume_step is None:
                raise ValueError(f"{self._path} exists; pass the step to resume from, or take another directory")
            self._rewind(resume_step)
        self._file = self._path.open("a", encoding="utf-8")

    def log(self, metrics: Metrics, step: int) -> None:
        """Append one line with the metrics that are new at ``step``."""
        self._check_open()
        fresh = {name: value for name, value in metrics.items() if self._last_step.get(name, -1) < step}
        self.num_skipped += len(metrics) - len(fresh)
        if not fresh:
            return
        line = {"step": step, "time": round(self._now(), 3), **{k: _finite(v) for k, v in fresh.items()}}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        self._last_step.update(dict.fromkeys(fresh, step))

    def save(self, path: Path) -> None:
        """Do nothing: files of the run already lie beside the metrics."""
        self._check_open()

    def close(self) -> None:
        """Flush to the disk and end."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def _check_open(self) -> None:
        if self._file.closed:
            raise RuntimeError("the tracker is closed")

    def _rewind(self, resume_step: int) -> None:
        kept, moved = [], []
        for text in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            line = _parsed(text)
            if line is None or line["step"] > resume_step:
                moved.append(text)
                continue
            kept.append(text)
            for tag in line.keys() - {"step", "time"}:
                self._last_step[tag] = max(line["step"], self._last_step.get(tag, -1))
        if not moved:
            return
        with self._path.with_name(SUPERSEDED_FILE).open("a", encoding="utf-8") as file:
            file.writelines(text + "\n" for text in moved)
            file.flush()
            os.fsync(file.fileno())
        aside = self._path.with_name(f".{METRICS_FILE}.{os.getpid()}")
        aside.write_text("".join(text + "\n" for text in kept), encoding="utf-8")
        aside.replace(self._path)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics file in order; a torn one is left out."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in map(_parsed, lines) if line is not None]


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except json.JSONDecodeError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
