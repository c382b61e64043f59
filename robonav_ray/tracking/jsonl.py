"""metrics.jsonl, the spool: one JSON object per logged point, the record from which everything else can be redrawn and
delivered.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import append, append_whole, open_appending, read_lines, replace
from robonav_ray.records import Metrics
from robonav_ray.tracking.backend import Point
from robonav_ray.tracking.items import Asset, Item, as_json, from_json

METRICS_FILE = "metrics.jsonl"
SUPERSEDED_FILE = "metrics.superseded.jsonl"
ITEMS = "items"
"""The key of a line that holds what is no scalar."""
RESERVED = frozenset(("step", "time", ITEMS))
"""Keys of a line that are no metrics."""
MAX_STEP, MAX_TIME_S = 1 << 53, 1e11
"""Of a line, in env steps and in seconds since 1970: beyond that nothing of ours writes."""
Rewind = Callable[[Callable[[int], int], int], None]
"""Told before the spool is rewound: where a position in it will be, and how many bytes it will have."""


class JsonlTracker:
    """Appends ``{"step": ..., "time": ..., name: value, ..., "items": [...]}``, every line at once; values that are not
    finite become null.

    A (step, tag) stands in the file once: a metric or histogram that was already recorded at this or a later step, and
    an asset that was at this very step, is left out of the line. Opened with ``resume_step``, everything beyond that
    step, and a line that a crash tore, moves to ``metrics.superseded.jsonl`` beside it, because the resumed run will
    live through those steps again.

    A line that cannot be written (disk full) raises OSError and leaves the file as it was; the next one is tried anew.
    """

    def __init__(
        self,
        directory: Path,
        resume_step: int | None = None,
        now: Callable[[], float] = time.time,
        on_rewind: Rewind | None = None,
    ):
        """Open ``directory/metrics.jsonl``; ValueError when it exists and ``resume_step`` is None."""
        self.directory = directory.absolute()
        self.path = self.directory / METRICS_FILE
        self._now = now
        self._last_step: dict[str, int] = {}
        self._asset_steps: set[tuple[str, int]] = set()
        self.num_skipped = 0
        """Values left out because their (step, tag) was there."""
        if self.path.exists():
            if resume_step is None:
                raise ValueError(f"{self.path} exists; pass the step to resume from, or take another directory")
            self._rewind(resume_step, on_rewind)
        self._file = open_appending(self.path)
        self.end = os.fstat(self._file.fileno()).st_size
        """Byte behind the last line that was written here."""

    def log(self, metrics: Metrics, step: int) -> None:
        """Append one line with the metrics that are new at ``step``."""
        self.record(metrics, step)

    def record(self, metrics: Metrics, step: int, items: Sequence[Item] = ()) -> Point:
        """Append one line with what is new at ``step``, and return that.

        Raises:
            OSError: When the line cannot be written whole; the file is as it was.
            ValueError: For an asset that does not lie below the run's directory.
        """
        self._check_open()
        fresh = {name: value for name, value in metrics.items() if self._last_step.get(name, -1) < step}
        new = tuple(item for item in items if self._is_new(item, step))
        self.num_skipped += len(metrics) - len(fresh) + len(items) - len(new)
        at = round(self._now(), 3)
        if not fresh and not new:
            return Point({}, step, at)
        line: dict[str, Any] = {"step": step, "time": at, **{k: _finite(v) for k, v in fresh.items()}}
        if new:
            line[ITEMS] = [as_json(item, self.directory) for item in new]
        start = self._append((json.dumps(line, allow_nan=False) + "\n").encode())
        self._last_step.update(dict.fromkeys(fresh, step))
        for item in new:
            self._note(item, step)
        return Point(fresh, step, at, new, self.end, start)

    def save(self, path: Path) -> None:
        """Do nothing: files of the run already lie beside the metrics."""
        self._check_open()

    def close(self) -> None:
        """Flush to the disk and end."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def _is_new(self, item: Item, step: int) -> bool:
        if isinstance(item, Asset):
            return (item.tag, step) not in self._asset_steps
        return self._last_step.get(item.tag, -1) < step

    def _note(self, item: Item, step: int) -> None:
        if isinstance(item, Asset):
            self._asset_steps.add((item.tag, step))
        else:
            self._last_step[item.tag] = max(step, self._last_step.get(item.tag, -1))

    def _append(self, line: bytes) -> int:
        """Write a line and return the byte that it begins at: another process may have written one before it."""
        start = append_whole(self._file, line)
        self.end = start + len(line)
        return start

    def _check_open(self) -> None:
        if self._file.closed:
            raise RuntimeError("the tracker is closed")

    def _rewind(self, resume_step: int, told: Rewind | None) -> None:
        kept, moved = list[bytes](), list[bytes]()
        begun = list[tuple[int, int]]()  # (byte behind a line, bytes of what is kept up to there)
        behind = size = 0
        for text in read_lines(self.path):
            behind += len(text)
            line = _parsed(text)
            if line is None or line["step"] > resume_step:
                moved.append(_whole(text))
            else:
                kept.append(_whole(text))
                size += len(kept[-1])
                for tag in line.keys() - RESERVED:
                    self._last_step[tag] = max(line["step"], self._last_step.get(tag, -1))
                for item in _items(line, self.directory):
                    self._note(item, line["step"])
            begun.append((behind, size))
        if not moved:
            return
        if told is not None:
            told(lambda position: max((new for old, new in begun if old <= position), default=0), size)
        append(self.path.with_name(SUPERSEDED_FILE), b"".join(moved), sync=True)
        replace(self.path, b"".join(kept))


def append_items(directory: Path, items: Sequence[Item], step: int) -> None:
    """Write items into the spool of a run that another process may be writing to; raises as ``plain_files.append``.

    The process that the run belongs to finds them there, and delivers them.
    """
    line = {"step": step, "time": round(time.time(), 3), ITEMS: [as_json(item, directory) for item in items]}
    append(directory / METRICS_FILE, json.dumps(line, allow_nan=False) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics file in order, as far as they hold metrics: step, time and numbers, None for one
    that was not finite.

    A torn line is left out, and so is a value that is no number: others may have written it.
    """
    lines = (line for line in map(_parsed, read_lines(path)) if line is not None)
    return [scalars for line in lines if (scalars := scalars_of(line)) is not None]


def scalars_of(line: dict[str, Any]) -> dict[str, Any] | None:
    """Return the step, the time and the numbers of a line of the spool; None when it holds items alone."""
    if ITEMS in line and not line.keys() - RESERVED:
        return None
    told = {"step": line["step"], "time": _time(line)} if "time" in line else {"step": line["step"]}
    return told | {name: value for name, value in line.items() if name not in RESERVED and _is_told(value)}


def _is_told(value: Any) -> bool:
    """Whether a line of ours may hold the value for a metric."""
    number = None if isinstance(value, bool) else _number(value)
    return value is None or (number is not None and math.isfinite(number))


def read_points(path: Path, start: int, limit: int | None = None) -> list[Point]:
    """Return up to ``limit`` points from byte ``start`` of a metrics file.

    null becomes NaN again; a value that is no number is left out. A line that is not whole yet is left for later.
    """
    points: list[Point] = []
    for line in read_lines(path, start):
        if not line.endswith(b"\n") or (limit is not None and len(points) >= limit):
            break
        begun, start = start, start + len(line)
        found = _parsed(line)
        if found is not None:
            given = {name: _number(value) for name, value in found.items() if name not in RESERVED}
            metrics = {name: value for name, value in given.items() if value is not None}
            items = tuple(_items(found, path.parent))
            points.append(Point(metrics, found["step"], _time(found), items, start, begun))
    return points


def figures_of(document: Mapping[str, Any]) -> Metrics:
    """Return the numbers of a JSON object, by name."""
    found = {name: _number(value) for name, value in document.items() if value is not None}
    return {name: value for name, value in found.items() if value is not None}


def env_steps_of(summary: Mapping[str, Any]) -> int:
    """Return the env steps that a run's ``summary.json`` tells; 0 where that is none."""
    steps = figures_of(summary).get("env_steps", 0.0)
    return int(steps) if 0.0 <= steps < MAX_STEP else 0


def _time(line: dict[str, Any]) -> float:
    at = _number(line.get("time"))
    return at if at is not None and 0.0 <= at < MAX_TIME_S else 0.0


def _number(value: Any) -> float | None:
    """Return a value of a line as a number; NaN for null, None for what is none, or larger than any float."""
    try:
        return math.nan if value is None else float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def _items(line: dict[str, Any], directory: Path) -> Iterator[Item]:
    found = line.get(ITEMS)
    for data in found if isinstance(found, list) else ():
        item = from_json(data, directory)
        if item is not None:
            yield item


def _whole(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text.decode(errors="replace"))
    except (ValueError, RecursionError):  # no JSON, or an integer of more digits than Python reads
        return None
    step = line.get("step") if isinstance(line, dict) else None
    return line if type(step) is int and 0 <= step < MAX_STEP else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
