"""The evaluation for people and for programs: a table in the terminal, evaluation.json, evaluation.md, one line of
verdict.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from robonav_ray.evaluation.statistics import Mean, Rate, Summary
from robonav_ray.files.plain_files import replace
from robonav_ray.runs.run_directory import EVALUATION_JSON, EVALUATION_MARKDOWN
from robonav_ray.screen import Screen
from robonav_ray.text import markdown_text

FORMAT_VERSION = 1


@dataclass(frozen=True)
class StageReport:
    """One policy on one stage."""

    level: str  # its name in evaluation.json too
    """Name of the stage, or of the environment where it has none."""
    summary: Summary
    metrics: dict[str, Mean] = field(default_factory=dict)
    """Figures of the user's own, by name."""


@dataclass(frozen=True)
class EvaluationReport:
    """One policy on several stages, with what one must know to read the figures."""

    policy: str
    """What was evaluated: a run, a checkpoint, a planner."""
    knows: str
    """What the policy is shown: ``lidar only``, ``true state``, ..."""
    env_id: str
    seed: int
    """Seed of the held-out worlds."""
    levels: tuple[StageReport, ...]
    env_steps: int | None = None
    """Env steps of training behind the policy; None for a planner."""
    policy_version: int | None = None
    changes: tuple[str, ...] = ()
    """Settings of the worlds that are others here than in training, as ``a.b=c (trained with d)``."""


_KINDS = {"static": "a static obstacle", "dynamic": "a moving obstacle", "wall": "a wall", "robot": "another robot"}


def _rate_text(rate: Rate | None) -> str:
    return "-" if rate is None else f"{rate.frac:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def _mean_text(mean: Mean | None, unit: str = "", digits: int = 2) -> str:
    if mean is None or mean.value is None:
        return "-"
    text = f"{mean.value:.{digits}f}{unit}"
    return (
        text if mean.low is None or mean.high is None else f"{text} ({mean.low:.{digits}f} to {mean.high:.{digits}f})"
    )


def _rows(summary: Summary) -> list[tuple[str, str]]:
    """Return (what, figure) in reading order, always the same rows; a figure that is not known, or says nothing new, is
    a dash.
    """
    kinds = {kind: rate for kind, rate in (summary.collision_by_kind or {}).items() if rate.count}
    danger = "-" if summary.danger_frac is None else f"{summary.danger_frac:.1%}"
    return [
        ("episodes", f"{summary.num_episodes:,}"),
        ("success", _rate_text(summary.success)),
        ("collision", _rate_text(summary.collision)),
        *((f"  with {what}", _rate_text(kinds.get(kind))) for kind, what in _KINDS.items()),
        ("timeout", _rate_text(summary.timeout)),
        ("did not end, cut off", _rate_text(summary.cut_off)),
        ("success weighted by path length", _mean_text(summary.spl, digits=3)),
        ("time of successes", _mean_text(summary.time_success_s, " s")),
        ("time, failures at the limit", _mean_text(summary.time_imputed_s, " s")),
        ("path over shortest path", _mean_text(summary.path_ratio, digits=3)),
        ("smallest clearance", _mean_text(summary.min_clearance_m, " m", 3)),
        ("closer than 0.2 m at some time", _rate_text(summary.close_call)),
        ("steps within the discomfort distance", danger),
        ("goals reached", _mean_text(summary.goals_reached)),
        ("task return", "-" if summary.task_return == summary.total_return else _mean_text(summary.task_return)),
        ("total return", _mean_text(summary.total_return)),
        ("length in steps", _mean_text(summary.length, digits=1)),
    ]  # fmt: skip


def verdict(level: StageReport) -> str:
    """Return what the level's evaluation says, in one line."""
    s = level.summary
    cut = "" if s.cut_off is None else f", {s.cut_off.frac:.1%} did not end and were cut off"
    if s.success is None:
        return f"{level.level}: mean return {_mean_text(s.total_return)} over {s.num_episodes:,} unseen episodes{cut}"
    interval = f"({s.confidence:.0%} interval {s.success.low:.1%} to {s.success.high:.1%})"
    if s.collision is None or s.timeout is None:
        return f"{level.level}: success in {s.success.frac:.1%} of {s.num_episodes:,} unseen episodes {interval}{cut}"
    return (
        f"{level.level}: success in {s.success.frac:.1%} of {s.num_episodes:,} unseen worlds {interval}, "
        f"{s.collision.frac:.1%} collisions, {s.timeout.frac:.1%} timeouts{cut}"
    )


def print_report(report: EvaluationReport, console: Screen) -> None:
    """Show the report as a table, a column per level, and the verdicts; a narrow screen has several, and intervals
    below their figures.
    """
    console.print(_title(report), style="italic", soft_wrap=False)
    rows, fitting = _merged(report.levels), len(report.levels)
    widths = [
        max(map(len, column)) + 2 for column in zip(("", *(level.level for level in report.levels)), *rows, strict=True)
    ]
    is_narrow = sum(widths) > console.width
    if is_narrow:
        fitting = max(1, (console.width - _LABELS) // _CELLS)
        rows = [[cell.replace(" (", "\n(").replace("% to ", " to ") for cell in row] for row in rows]
    for first in range(0, len(report.levels), fitting):
        shown = range(first, min(first + fitting, len(report.levels)))
        names = [report.levels[i].level.replace("_", " ") if is_narrow else report.levels[i].level for i in shown]
        console.print(
            _table([[row[0], *(row[1 + i] for i in shown)] for row in rows], names, 2 - is_narrow), soft_wrap=False
        )
    console.print(_caption(report), style="dim italic", soft_wrap=False)
    for level in report.levels:
        console.print(verdict(level))


_LABELS, _CELLS = 12, 17
"""Least width of the column with what the figures are, and width of a narrow column of them: ``(0.631 to 0.674)`` and a
gap."""


def _table(rows: Sequence[Sequence[str]], names: Sequence[str], gap: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold", no_wrap=gap == 1)
    for cells in rows:
        table.add_row(*cells)
    return table


def to_markdown(report: EvaluationReport) -> str:
    """Return the report as Markdown."""
    names = [level.level for level in report.levels]
    lines = [
        f"# {markdown_text(_title(report))}",
        "",
        *(f"* {markdown_text(verdict(level))}" for level in report.levels),
        "",
        "| | " + " | ".join(map(markdown_text, names)) + " |",
        "|---|" + "---:|" * len(names),
        *("| " + " | ".join(cell.strip() for cell in cells) + " |" for cells in _merged(report.levels)),
        "",
        markdown_text(_caption(report)),
        "",
    ]
    return "\n".join(lines)


def to_dict(report: EvaluationReport) -> dict[str, Any]:
    """Return the report as JSON takes it."""
    return {
        "format_version": FORMAT_VERSION,
        **dataclasses.asdict(report),
        "verdict": [verdict(level) for level in report.levels],
    }


def write_report(report: EvaluationReport, directory: Path) -> tuple[Path, Path]:
    """Write ``evaluation.json`` and ``evaluation.md`` (aside, then renamed) and return their paths."""
    paths = directory / EVALUATION_JSON, directory / EVALUATION_MARKDOWN
    texts = json.dumps(to_dict(report), indent=2, allow_nan=False) + "\n", to_markdown(report)
    for path, text in zip(paths, texts, strict=True):
        replace(path, text)
    return paths


def _title(report: EvaluationReport) -> str:
    trained = "" if report.env_steps is None else f" after {report.env_steps:,} env steps"
    return f"{report.policy}{trained} ({report.knows}{', in changed worlds' * bool(report.changes)})"


def _caption(report: EvaluationReport) -> str:
    confidence = report.levels[0].summary.confidence if report.levels else 0.95
    changed = f" The worlds are not those of training: {'; '.join(report.changes)}." if report.changes else ""
    return (
        f"{report.env_id}, greedy, held-out seed {report.seed}; in brackets {confidence:.0%} intervals "
        f"(rates: Wilson; means: Student's t).{changed}"
    )


def _merged(levels: Sequence[StageReport]) -> list[list[str]]:
    """Return rows [what, figure of each level], without those that no level knows."""
    columns = [
        [*_rows(level.summary), *((name, _mean_text(figure, digits=3)) for name, figure in level.metrics.items())]
        for level in levels
    ]
    rows = [[what, *(column[i][1] for column in columns)] for i, (what, _) in enumerate(columns[0])] if columns else []
    return [row for row in rows if any(cell != "-" for cell in row[1:])]
