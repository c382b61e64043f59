"""Our results beside the published ones: a table in JSON, in Markdown and for docs/results.md."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from proofs.common import markdown as md
from proofs.common.machine import machine, machine_text
from proofs.reproduction.entry import Command, Entry
from proofs.reproduction.store import Trial, TrialResult, write_json
from robonav_ray.runs.session_facts import own_revision

Verdict = Literal["reproduced", "missed", "incomplete", "failed", "not run"]


@dataclass(frozen=True)
class Row:
    """One entry with its trials."""

    entry: Entry
    verdict: Verdict
    values: dict[int, float]
    """Figure of each seed that is finished."""
    num_seeds: int
    seconds: float
    """Mean over the finished trials."""
    error: str = ""

    @property
    def mean(self) -> float:
        """Over the seeds; NaN without any."""
        return statistics.fmean(self.values.values()) if self.values else math.nan

    @property
    def figure(self) -> float:
        """What is held against the bound: the entry's statistic over the seeds; NaN without any."""
        return (
            statistics.median(self.values.values()) if self.values and self.entry.statistic == "median" else self.mean
        )

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the seeds; None for fewer than two."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def ours(self) -> str:
        """Mean and deviation as the table shows them; with the median as statistic that, and all seeds."""
        if not self.values:
            return "–"
        text = self.entry.shown(self.figure)
        if self.entry.statistic == "median" and len(self.values) > 1:
            return f"{text} (median of {', '.join(self.entry.shown(v) for v in sorted(self.values.values()))})"
        return text if self.std is None else f"{text} ± {self.entry.shown(self.std)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON takes it."""
        entry = self.entry
        return {
            "name": entry.name,
            "published": entry.published,
            "source": entry.source,
            "bound": entry.bound,
            "threshold": entry.threshold,
            "tolerance": entry.tolerance,
            "measured": entry.measured,
            "wiring": entry.wiring,
            "setting": entry.setting,
            "changed": entry.changed,
            "verdict": self.verdict,
            "statistic": entry.statistic,
            "figure": None if math.isnan(self.figure) else self.figure,
            "mean": None if math.isnan(self.mean) else self.mean,
            "std": self.std,
            "values": {str(seed): None if math.isnan(value) else value for seed, value in self.values.items()},
            "num_seeds": self.num_seeds,
            "seconds_per_trial": round(self.seconds, 1),
            "error": self.error,
        }


def make_row(entry: Entry, trials: Sequence[Trial], failed: Mapping[str, str]) -> Row:
    """Judge an entry by its trials: their statistic is held against the bound, once all of them are finished."""
    results: dict[int, TrialResult] = {t.seed: found for t in trials if (found := t.result) is not None}
    values = {seed: result.value for seed, result in results.items()}
    errors = [failed[t.name] for t in trials if t.name in failed]
    verdict: Verdict
    if errors:
        verdict = "failed"
    elif not values:
        verdict = "not run"
    else:
        verdict = "incomplete"
    seconds = statistics.fmean(r.seconds for r in results.values()) if results else 0.0
    row = Row(entry, verdict, values, len(trials), seconds, errors[0] if errors else "")
    if errors or len(values) < len(trials):
        return row
    return replace(row, verdict="reproduced" if entry.holds(row.figure) else "missed")


def markdown_table(rows: Sequence[Row]) -> str:
    """Return one line per entry."""
    cells = []
    for row in rows:
        entry = row.entry
        must = f"{entry.bound} {entry.shown(entry.threshold)} ({entry.tolerance})"
        verdict = f"**{row.verdict}**" if row.verdict == "missed" else row.verdict
        cells.append((f"`{entry.name}`", entry.published, entry.source, row.ours, must, verdict))
    return md.table(("Entry", "Published", "By", "Ours", "Must be", "Verdict"), cells)


def markdown_notes(rows: Sequence[Row]) -> str:
    """Return how each figure is measured, with which wiring, on how many seeds, in which time."""
    cells = []
    for row in rows:
        entry = row.entry
        seeds = "–" if isinstance(entry.task, Command) else f"{len(row.values)} of {row.num_seeds}"
        minutes = f"{row.seconds / 60:.1f}" if row.values else "–"
        cells.append(
            (f"`{entry.name}`", entry.measured, seeds, entry.wiring, minutes, entry.setting or "nothing known")
        )
    header = ("Entry", "Measured", "Seeds", "Wiring", "Minutes per trial", "Differs from the published setting")
    return md.table(header, cells)


def write_report(rows: Sequence[Row], output: Path, command: str) -> list[Path]:
    """Write ``results.json`` and ``results.md`` into ``output`` and return their paths."""
    data = {
        "command": command,
        "revision": own_revision(),
        "machine": machine(),
        "entries": [row.to_dict() for row in rows],
    }
    write_json(output / "results.json", data)
    text = f"`{command}` on {machine_text()}.\n\n{markdown_table(rows)}\n\n{markdown_notes(rows)}\n"
    (output / "results.md").write_text(text, encoding="utf-8")
    return [output / "results.json", output / "results.md"]
