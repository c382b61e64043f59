"""How the episodes ended: pictures, the table of metrics, success by scenario, and every pair world by world."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from robonav_ray.evaluation.comparing import words
from robonav_ray.evaluation.comparing.effects import cohens_h
from robonav_ray.evaluation.comparing.rates import Interval, odds_ratio_paired
from robonav_ray.evaluation.comparing.verdict import Comparison, Verdict
from robonav_ray.evaluation.exam_report.figures import outcome_bars
from robonav_ray.evaluation.exam_report.front import TONES
from robonav_ray.evaluation.exam_report.metrics import (
    DASH,
    ENDS,
    MANNERS,
    WAY,
    Column,
    mean_text,
    metric_records,
    pooled,
)
from robonav_ray.evaluation.exam_report.view import Contestant, ExamView
from robonav_ray.evaluation.metrics.registry import METRICS
from robonav_ray.report.document import Block, Cell, Scalar, Section, Table, paragraph


def outcomes_section(view: ExamView) -> Section:
    """Return the section on how the episodes of the verdict's scenarios ended."""
    blocks: list[Block] = []
    if view.tells_success:
        blocks.append(outcome_bars(view, view.primary_scenarios[:8]))
    blocks += [_metrics_table(view), scenario_table(view, view.primary_scenarios, "scenarios", _SCENARIOS)]
    if manners := _manners_table(view):
        blocks.append(manners)
    if missing := _missing(view):
        blocks.append(missing)
    return Section("Outcomes", tuple(blocks))


_SCENARIOS = (
    "by scenario: darker is better, bold is the best of a row. The one next to it need not be worse; the pairs below "
    "say so."
)


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction in percent; a dash for None and NaN."""
    return DASH if value is None or value != value else f"{100 * value:.{digits}f}%"


def with_interval(view: ExamView, found: Interval | None) -> str:
    """Return the verdict's metric with its interval: ``93.1 (92.2 to 93.9)``."""
    if found is None:
        return DASH
    scale, digits = (100.0, 1) if view.tells_success else (1.0, 2)
    return f"{found.value * scale:.{digits}f} ({found.low * scale:.{digits}f}{DASH}{found.high * scale:.{digits}f})"


def _metrics_table(view: ExamView) -> Table:
    scenarios = view.primary_scenarios
    columns, values = _told(view, {**ENDS, **WAY})
    decides = any((e, s) in view.table.decisions for e in range(len(view.table.entrants)) for s in scenarios)
    rows = []
    for one in view.ranked:
        cells = [mean_text(values[one.number, name], column) for name, column in columns.items()]
        rows.append((one.name, one.knows, *cells, *(_decision(view, one, scenarios) if decides else ())))
    ends = sum(name in ENDS for name in columns)
    groups = (
        ("", 2),
        ("episodes end in", ends),
        ("way and time (s)", len(columns) - ends),
        ("decision, ms", 2 * decides),
    )
    head = ("entrant", "knows", *(column.head for column in columns.values()), *(("p50", "p99") if decides else ()))
    return Table(
        "metrics",
        f"What the episodes of {_which(view)} amount to: means over all of them. SPL is success weighted by path "
        "length, soft SPL counts the part of the way that was made; time counts an episode that failed with the "
        "limit, so that failing early does not look fast; path is that of successes over the shortest. The CSV has "
        "every metric of every scenario.",
        head,
        tuple(rows),
        "ll" + "r" * (len(head) - 2),
        records=tuple(metric_records(view)),
        groups=tuple(group for group in groups if group[1]),
    )


def _manners_table(view: ExamView) -> Table | None:
    """Return how the entrants drive; None where nothing of it was measured."""
    columns, values = _told(view, MANNERS)
    if not columns:
        return None
    rows = [
        (one.shown, *(mean_text(values[one.number, name], column) for name, column in columns.items()))
        for one in view.ranked
    ]
    says = "; ".join(f"{column.head}: {METRICS[name].says}" for name, column in columns.items())
    return Table(
        "manners",
        f"How they drive in {_which(view)}, means over episodes. {says}.",
        ("entrant", *(column.head for column in columns.values())),
        tuple(rows),
        "l" + "r" * len(columns),
    )


def _told(view: ExamView, columns: Mapping[str, Column]) -> tuple[dict[str, Column], dict[tuple[int, str], np.ndarray]]:
    """Return those columns of which an entrant has a number, and the numbers by (contestant, metric)."""
    scenarios = view.primary_scenarios
    values = {(one.number, name): pooled(view, one, name, scenarios) for one in view.ranked for name in columns}
    known = {
        name: column
        for name, column in columns.items()
        if any(np.isfinite(values[one.number, name]).any() for one in view.ranked)
    }
    return known, values


def _which(view: ExamView) -> str:
    return "the standard scenarios" if view.family("standard") else "all scenarios"


def _decision(view: ExamView, one: Contestant, scenarios: Sequence[int]) -> tuple[str, str]:
    """Return the latency of a decision for one world alone, where it was measured so, else per world of many."""
    told = [view.table.decisions[e, s] for e in one.entrants for s in scenarios if (e, s) in view.table.decisions]
    if not told:
        return DASH, DASH
    p50 = max(d.p50_s if d.single_p50_s is None else d.single_p50_s for d in told)
    p99 = max(d.p99_s if d.single_p99_s is None else d.single_p99_s for d in told)
    return f"{1000 * p50:.2f}", f"{1000 * p99:.2f}"


def scenario_table(view: ExamView, scenarios: Sequence[int], name: str, says: str) -> Table:
    """Return a heat map: a row for each scenario, a column for each contestant, the verdict's metric in it."""
    rows, records = [], []
    found = {(s, one.number): view.estimate(one, [s]) for s in scenarios for one in view.contestants}
    known = [one.value for one in found.values() if one is not None]
    low, high = (0.0, 1.0) if view.tells_success else (min(known, default=0.0), max(known, default=1.0))
    for s in scenarios:
        facts, named = view.table.scenarios[s], view.table.scenario_names[s]
        told = [it.value for one in view.contestants if (it := found[s, one.number]) is not None]
        best, worst = max(told, default=0.0), min(told, default=0.0)
        cells: list[str | Cell] = []
        for one in view.contestants:
            it = found[s, one.number]
            if it is None:
                cells.append(Cell(DASH, "quiet"))
                continue
            shade = (it.value - low) / ((high - low) or 1.0)
            text = f"{100 * it.value:.1f}" if view.tells_success else f"{it.value:.2f}"
            cells.append(Cell(text, strong=it.value == best > worst, shade=float(np.clip(shade, 0.0, 1.0))))
            records.append({"scenario": named, "entrant": one.name, "value": it.value, "low": it.low, "high": it.high})
        rows.append((named.replace("_", " "), f"{facts.num_episodes:,}", *cells))
    what = "Success in percent" if view.tells_success else view.metric.name.capitalize()
    head = ("scenario", "worlds", *(one.shown for one in view.contestants))
    return Table(name, f"{what} {says}", head, tuple(rows), "lr" + "c" * len(view.contestants), records=tuple(records))


def _missing(view: ExamView) -> Table | None:
    table = view.table
    if not table.missing:
        return None
    rows = [
        (table.entrants[e].name, table.scenario_names[s], reason) for (e, s), reason in sorted(table.missing.items())
    ]
    return Table(
        "missing",
        "What was not played, and why; comparisons leave these scenarios out for the pairs that they concern.",
        ("entrant", "scenario", "reason"),
        tuple(rows),
        "lll",
    )


def pairs_section(view: ExamView) -> Section | None:
    """Return the section on all pairs; None with one contestant."""
    comparisons = list(view.comparisons.values())
    if not comparisons:
        return None
    by_worlds = [one for one in comparisons if one.pairs is not None]
    blocks: list[Block] = [
        paragraph(
            f"All pairs on the worlds of {_which(view)} that both played. Where each is one policy the worlds are the "
            "units: McNemar's exact test looks at the worlds in which just one of the two succeeds, and Newcombe's "
            "interval is that of the difference. Where one is a method with several training seeds these are the "
            "units, since another training may do otherwise."
            + (f" p is adjusted for all {len(comparisons)} pairs by Holm's method." if len(comparisons) > 1 else "")
        ),
        _pairs_table(view, comparisons),
    ]
    if by_worlds:
        blocks.append(_counts_table(by_worlds))
    return Section("Pairs", tuple(blocks))


def _pairs_table(view: ExamView, comparisons: Sequence[Comparison]) -> Table:
    rows, records = [], []
    for c in comparisons:
        least = (
            words.signed_value(c, c.least_difference).lstrip("+") if c.least_difference == c.least_difference else DASH
        )
        rows.append(
            (
                c.first,
                Cell(_is(c), TONES[c.verdict], strong=c.verdict is not Verdict.UNDECIDED),
                c.second,
                words.signed_value(c, c.difference.value),
                words.interval_text(c),
                words.p_text(c.p_adjusted).removeprefix("p = ").removeprefix("p "),
                f"{cohens_h(*c.values):+.2f}".replace("-", words.MINUS) if c.is_rate else DASH,
                c.units,
                least,
            )
        )
        records.append(_record(c))
    unit = "points of success" if view.tells_success else view.metric.name
    return Table(
        "pairs",
        f"Each pair: the difference first minus second in {unit} with its {view.confidence:.0%} interval; h is "
        "Cohen's effect size (.2 small, .5 medium, .8 large); least is the smallest difference that would have been "
        "found with a probability of 80%.",
        ("first", "is", "second", "difference", "interval", "p", "h", "units", "least"),
        tuple(rows),
        "lllrrrrlr",
        records=tuple(records),
    )


def _is(c: Comparison) -> str:
    if c.verdict is Verdict.EQUAL:
        return "equal to"
    return "not told from" if c.verdict is Verdict.UNDECIDED else f"{c.verdict} than"


def _record(c: Comparison) -> dict[str, Scalar]:
    return {
        "first": c.first,
        "second": c.second,
        "verdict": str(c.verdict),
        "metric": c.metric.name,
        "units": c.units,
        "test": c.test,
        "worlds": c.num_worlds,
        "seeds_first": c.num_seeds[0],
        "seeds_second": c.num_seeds[1],
        "value_first": c.values[0],
        "value_second": c.values[1],
        "difference": c.difference.value,
        "low": c.difference.low,
        "high": c.difference.high,
        "p": c.p,
        "p_adjusted": c.p_adjusted,
        "p_equal": c.p_equal,
        "margin": c.metric.margin,
        "least_difference": c.least_difference,
        "needed": c.needed,
        "needed_equal": c.needed_equal,
    }


def _counts_table(comparisons: Sequence[Comparison]) -> Table:
    rows, records = [], []
    for c in comparisons:
        if c.pairs is None:
            continue
        odds = odds_ratio_paired(c.pairs, c.confidence)
        low, value, high = (
            DASH if x != x else "\N{INFINITY}" if x == float("inf") else f"{x:.2f}"
            for x in (odds.low, odds.value, odds.high)
        )
        rows.append((c.first, c.second, *(f"{n:,}" for n in c.pairs), value, f"{low}{DASH}{high}"))
        bounds = {"odds_ratio": odds.value, "odds_low": odds.low, "odds_high": odds.high}
        records.append(
            {
                "first": c.first,
                "second": c.second,
                **c.pairs._asdict(),
                **{name: bound if math.isfinite(bound) else None for name, bound in bounds.items()},
            }
        )
    return Table(
        "worlds",
        "World by world, for pairs of single policies: in how many worlds both succeed, just one of them, or "
        "neither. Only the middle two columns tell them apart; the odds are their ratio with its interval, 1 being "
        "no difference.",
        ("first", "second", "both", "only first", "only second", "neither", "odds", "interval"),
        tuple(rows),
        "llrrrrrr",
        records=tuple(records),
    )
