"""What the results amount to: each switch with its success over the seeds, and what is lost without it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from robonav_ray.config.studies.ablation import AblationConfig
from robonav_ray.evaluation.statistics import mean
from robonav_ray.screen import Screen
from robonav_ray.text import markdown_code, markdown_text
from robonav_ray.tuning.ablation.arms import WHOLE, Comparison, Plan
from robonav_ray.tuning.ablation.results import CellResult

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Row:
    """One arm: the whole method, or the same without a part."""

    switch: str
    """The part that is off; ``whole`` for the whole method, and ``NAME-whole`` for the own whole of a switch."""
    key: str
    """Keys of the config that it changes; empty for the whole method."""
    off_value: Any
    """Their values, one alone as it is, several as a list; None for the whole method."""
    against: str
    """The row that it is held against; empty for one that is a whole."""
    seeds: tuple[int, ...]
    """That have been trained and judged."""
    success: tuple[float, ...]
    """(S,) of each seed: the success over the exam, or the mean return where none is told."""
    mean: float | None
    """Over the seeds, with the t interval; None where there are too few."""
    low: float | None
    high: float | None
    difference: float | None
    """Without the part minus with it, over the seeds that both have, with the t interval of the pairs."""
    difference_low: float | None
    difference_high: float | None
    differences: tuple[float, ...]
    """(P,) of each such seed."""

    @property
    def verdict(self) -> str:
        """What the interval of the difference says, in a few words."""
        if self.difference is None:
            return ""
        if self.difference_low is None or self.difference_high is None:
            return "one seed: no interval"
        if self.difference_high < 0.0:
            return "worth having"
        return "better without" if self.difference_low > 0.0 else "no difference shown"


@dataclass(frozen=True)
class AblationTable:
    """The rows of an ablation, the whole method first, with what one must know to read them."""

    name: str
    measure: str
    """``success`` (0 to 1) or ``return``."""
    confidence: float
    rows: tuple[Row, ...]
    stages: tuple[str, ...]
    num_episodes: int
    """Of each stage."""
    exam_seed: int
    env_steps: int
    """Of each training."""
    num_missing: int
    """Trainings that have no result yet."""


def make_table(config: AblationConfig, plan: Plan, results: Mapping[str, CellResult]) -> AblationTable:
    """Return the table of the results, by key of their cell, that there are."""
    found = {(cell.arm, cell.seed): results[cell.key] for cell in plan.cells if cell.key in results}
    told = all(result.success_frac is not None for result in found.values())
    score = {cell: result.score if told else result.return_mean for cell, result in found.items()}
    against = {comparison.off: comparison for comparison in plan.comparisons}
    rows = [
        _row(comparison.switch, comparison, score, config, told)
        for comparison in (*(_whole(arm) for arm in plan.arms if arm not in against), *plan.comparisons)
    ]
    return AblationTable(
        name=config.name,
        measure="success" if told else "return",
        confidence=config.exam.confidence,
        rows=tuple(rows),
        stages=plan.stages,
        num_episodes=config.exam.num_episodes,
        exam_seed=config.exam.seed,
        env_steps=config.budget.env_steps,
        num_missing=len(plan.cells) - len(found),
    )


def _whole(arm: str) -> Comparison:
    return Comparison(arm, arm, "", {})


def _row(
    switch: str, comparison: Comparison, score: Mapping[tuple[str, int], float], config: AblationConfig, told: bool
) -> Row:
    seeds = tuple(seed for seed in config.seeds if (comparison.off, seed) in score)
    values = [score[comparison.off, seed] for seed in seeds]
    paired = [seed for seed in seeds if (comparison.whole, seed) in score]
    pairs = [score[comparison.off, seed] - score[comparison.whole, seed] for seed in paired]
    middle, lost = mean(np.array(values), config.exam.confidence), mean(np.array(pairs), config.exam.confidence)
    off = list(comparison.values.values())
    return Row(
        switch=switch,
        key=", ".join(comparison.values),
        off_value=None if not off else off[0] if len(off) == 1 else off,
        against=comparison.whole,
        seeds=seeds,
        success=tuple(values),
        mean=middle.value,
        low=_within(middle.low, 0.0, told),
        high=_within(middle.high, 1.0, told),
        difference=lost.value,
        difference_low=_within(lost.low, -1.0, told),
        difference_high=_within(lost.high, 1.0, told),
        differences=tuple(pairs),
    )


def _within(bound: float | None, end: float, is_rate: bool) -> float | None:
    """Return the bound of a t interval, not beyond the ``end`` of what a rate can be."""
    if bound is None or not is_rate:
        return bound
    return max(bound, end) if end <= 0.0 and bound < end else min(bound, end) if bound > end > 0.0 else bound


def to_dict(table: AblationTable, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table as JSON takes it."""
    rows = [{**asdict(row), "verdict": row.verdict} for row in table.rows]
    return {"format_version": FORMAT_VERSION, **asdict(table), "rows": rows, "provenance": dict(provenance)}


def to_json(table: AblationTable, provenance: Mapping[str, Any]) -> str:
    """Return the table as the text of a JSON file."""
    return json.dumps(to_dict(table, provenance), indent=1, allow_nan=False, default=str) + "\n"


def _figure(value: float | None, low: float | None, high: float | None, table: AblationTable, *, signed: bool) -> str:
    """Return a figure with its interval: in points of a hundred where it is a success."""
    if value is None:
        return "-"
    scale, digits = (100.0, 1) if table.measure == "success" else (1.0, 2)
    form = f"{'+' * signed}.{digits}f"
    text, *ends = (
        "" if number is None else format(round(scale * number, digits) + 0.0, form) for number in (value, low, high)
    )
    return f"{text} ({ends[0]} to {ends[1]})" if all(ends) else text


def _cells(row: Row, table: AblationTable) -> list[str]:
    return [
        row.switch,
        str(len(row.seeds)),
        _figure(row.mean, row.low, row.high, table, signed=False),
        _figure(row.difference, row.difference_low, row.difference_high, table, signed=True),
        row.verdict + f" (against {row.against})" * (row.against not in ("", WHOLE)),
    ]


def _by(row: Row) -> str:
    return "" if row.off_value is None else markdown_code(f"{row.key}={json.dumps(row.off_value)}")


def _heads(table: AblationTable) -> list[str]:
    unit = "success, %" if table.measure == "success" else "mean return"
    return ["without", "seeds", unit, "difference", ""]


def caption(table: AblationTable) -> str:
    """Return what one must know to read the table."""
    missing = f" {table.num_missing} trainings are still to be done." if table.num_missing else ""
    return (
        f"Each training: {table.env_steps:,} env steps. Exam: {table.num_episodes:,} greedy episodes of "
        f"{', '.join(table.stages)} on held-out worlds of seed {table.exam_seed}, the same for all. In brackets "
        f"{table.confidence:.0%} intervals (Student's t over the seeds; differences are paired by seed).{missing}"
    )


def to_markdown(table: AblationTable) -> str:
    """Return the table as Markdown."""
    heads = [*(head or "verdict" for head in _heads(table)), "by"]
    lines = [
        f"# {markdown_text(f'Ablation {table.name}')}",
        "",
        "| " + " | ".join(heads) + " |",
        "|---|---:|---:|---:|---|---|",
        *("| " + " | ".join([*map(markdown_text, _cells(row, table)), _by(row)]) + " |" for row in table.rows),
        "",
        markdown_text(caption(table)),
        "",
    ]
    return "\n".join(lines)


def print_table(table: AblationTable, screen: Screen) -> None:
    """Show the table in a terminal."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head, justify in zip(_heads(table), ("left", "right", "right", "right", "left"), strict=True):
        shown.add_column(head, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in table.rows:
        shown.add_row(*(Text(cell) for cell in _cells(row, table)))
    screen.print(shown, soft_wrap=False)
    screen.print(caption(table), style="dim italic", soft_wrap=False)


def rows_by_loss(table: AblationTable) -> Sequence[Row]:
    """Return the rows of switches that can be compared, the greatest loss first."""
    known = [row for row in table.rows if row.difference is not None and row.against]
    return sorted(known, key=lambda row: row.difference or 0.0)
