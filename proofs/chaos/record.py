"""What a run writes down, read as an operator would: metrics.jsonl, events.jsonl and the manifests of its
checkpoints.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robonav_ray.tracking.jsonl import scalars_of

METRICS, SUPERSEDED, EVENTS = "metrics.jsonl", "metrics.superseded.jsonl", "events.jsonl"


@dataclass(frozen=True)
class Reading:
    """One line of the metrics; what it does not hold is None."""

    time: float
    env_steps: int
    learner_step: int | None
    rows_inserted: float | None
    rows_lost: float | None
    replay_size: float | None
    duplicates: float | None
    samples_per_insert: float | None
    balance_rows: float | None
    failed_saves: float | None


@dataclass(frozen=True)
class Commit:
    """One committed checkpoint."""

    time: float
    """When its manifest was written."""
    env_steps: int
    learner_steps: int


@dataclass
class Commits:
    """Every checkpoint that a run has committed, also those that it has pruned since: to be looked at often."""

    keep: Path | None = None
    """Folder that holds on to the replay of each (by hard links), until it has been inspected."""
    found: dict[str, Commit] = field(default_factory=dict)

    def look(self, run: Path) -> None:
        """Take in the checkpoints that are new."""
        for manifest in (run / "checkpoints").glob("env-*/manifest.json"):
            if manifest.parent.name in self.found:
                continue
            try:
                counters = json.loads((manifest.parent / "counters.json").read_text(encoding="utf-8"))
                created = float(json.loads(manifest.read_text(encoding="utf-8"))["created"])
                if self.keep is not None and (manifest.parent / "replay").is_dir():
                    shutil.copytree(
                        manifest.parent, self.keep / manifest.parent.name, copy_function=os.link, dirs_exist_ok=True
                    )
            except (FileNotFoundError, shutil.Error, ValueError, KeyError):
                continue  # pruned while we looked
            self.found[manifest.parent.name] = Commit(
                created, int(counters["env_steps"]), int(counters["learner_steps"])
            )

    @property
    def kept(self) -> list[Path]:
        """The replays that were held on to, oldest first."""
        return sorted(self.keep.glob("env-*/replay")) if self.keep is not None else []

    @property
    def ordered(self) -> list[Commit]:
        """Oldest first."""
        return sorted(self.found.values(), key=lambda commit: commit.time)


class Tail:
    """The newest lines of the metrics while the run goes on; follows the file where a resumed run has put another in
    its place.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / METRICS
        self._inode, self._offset = 0, 0
        self.readings: list[Reading] = []

    def read(self) -> None:
        """Take in what is new."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return
        if stat.st_ino != self._inode or stat.st_size < self._offset:
            self._inode, self._offset = stat.st_ino, 0
        if stat.st_size == self._offset:
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            block = file.read()
        whole = block.rfind(b"\n") + 1
        self._offset += whole
        newest = self.readings[-1].time if self.readings else 0.0
        lines = parse_lines(block[:whole].decode("utf-8", errors="replace"))
        self.readings += [reading for reading in as_readings(lines) if reading.time > newest]


def parse_lines(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects of ``text``, one a line; a torn line is left out."""
    found = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file; none when it does not exist."""
    try:
        return parse_lines(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return []


def as_reading(line: dict[str, Any]) -> Reading:
    """Return one line of the metrics as a Reading."""
    step = line.get("learner/learner_step")
    return Reading(
        time=float(line.get("time", 0.0)),
        env_steps=int(line.get("step", 0)),
        learner_step=None if step is None else int(step),
        rows_inserted=line.get("replay/rows_inserted"),
        rows_lost=line.get("replay/rows_lost"),
        replay_size=line.get("replay/size"),
        duplicates=line.get("replay/duplicate_fragments"),
        samples_per_insert=line.get("replay/samples_per_insert"),
        balance_rows=line.get("replay/balance_rows"),
        failed_saves=line.get("runtime/failed_saves"),
    )


def as_readings(lines: Iterable[dict[str, Any]]) -> list[Reading]:
    """Return the lines that hold figures; one of histograms and files alone says nothing of where the run stood."""
    return [as_reading(line) for line in lines if scalars_of(line) is not None]


def read_readings(run: Path) -> list[Reading]:
    """Return everything that the run ever logged, in order of time: also what a resumed session has lived through
    again.
    """
    lines = read_lines(run / SUPERSEDED) + read_lines(run / METRICS)
    return sorted({reading.time: reading for reading in as_readings(lines)}.values(), key=lambda reading: reading.time)


def read_events(run: Path) -> list[dict[str, Any]]:
    """Return the supervisors' events in order of time."""
    return sorted(read_lines(run / EVENTS), key=lambda event: float(event.get("time", 0.0)))


def count_repeated_tags(run: Path) -> int:
    """Return how often a (step, tag) stands in the metrics again."""
    seen: set[tuple[int, str]] = set()
    repeated = 0
    for line in read_lines(run / METRICS):
        for tag in line.keys() - {"step", "time", "items"}:
            repeated += (line.get("step", 0), tag) in seen
            seen.add((line.get("step", 0), tag))
    return repeated


def times_of_change(readings: Sequence[Reading], name: str) -> list[tuple[float, int]]:
    """Return (time, value) wherever ``env_steps`` or ``learner_step`` differs from what was read before."""
    found: list[tuple[float, int]] = []
    for reading in readings:
        value = getattr(reading, name)
        if value is not None and (not found or found[-1][1] != value):
            found.append((reading.time, value))
    return found
