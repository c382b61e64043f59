"""What happened to the parts of a run, one JSON object a line in ``RUN/events.jsonl``; see ``records.PartEvent``.

Written by the driver as it happens and flushed at once, over all sessions of the run. ``docs/operations.md`` says how
to read it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import append, read_lines
from robonav_ray.records import Metrics, PartEvent

logger = logging.getLogger(__name__)
EVENTS_FILE = "events.jsonl"
_LOSSES = ("lost", "fenced", "left", "failed")


class EventLog:
    """Appends events, counts them by kind, and tells the log of those that are losses."""

    def __init__(self, directory: Path, now: Callable[[], float] = time.time) -> None:
        """Nothing is written before the first event."""
        self._path, self._now = directory / EVENTS_FILE, now
        self._counts: Counter[str] = Counter()
        self._slowest_s = 0.0
        self.num_unwritten = 0
        """Events that could not be written (a full disk); they are in the log."""

    def note(self, event: PartEvent) -> None:
        """Write one event."""
        self._counts[event.event] += 1
        self._slowest_s = max(self._slowest_s, event.after_s or 0.0)
        line = {"time": round(self._now(), 3)} | {
            name: value for name, value in event._asdict().items() if value is not None
        }
        logger.log(
            logging.WARNING if event.event in _LOSSES else logging.INFO,
            "%s %s: %s",
            event.part,
            event.event,
            event.detail,
        )
        try:
            append(self._path, json.dumps(line) + "\n")
        except OSError:
            self.num_unwritten += 1

    def metrics(self) -> Metrics:
        """Return how many losses and returns there were in this session, and the slowest return."""
        return {
            "runtime/parts_lost": float(sum(self._counts[kind] for kind in _LOSSES)),
            "runtime/parts_back": float(self._counts["back"] + self._counts["restarted"]),
            "runtime/recovery_s_max": self._slowest_s,
            "runtime/unwritten_events": float(self.num_unwritten),
        }


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return the events of a run directory in order; a torn last line is left out, a missing file is no events."""
    events: list[dict[str, Any]] = []
    with contextlib.suppress(FileNotFoundError):
        for line in read_lines(path / EVENTS_FILE):
            with contextlib.suppress(ValueError):  # the line that was being written when the process was killed
                events.append(json.loads(line))
    return events
