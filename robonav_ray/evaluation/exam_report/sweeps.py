"""What happens when something changes: sensors fail, delays grow (robustness), the building is another
(generalisation), it gets hard (stress).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robonav_ray.evaluation.comparing.rates import Interval
from robonav_ray.evaluation.comparing.robustness import relative_area
from robonav_ray.evaluation.exam_report.figures import dots, rows_on_a_page, sweep_curves
from robonav_ray.evaluation.exam_report.metrics import DASH
from robonav_ray.evaluation.exam_report.outcomes import scenario_table
from robonav_ray.evaluation.exam_report.view import Contestant, ExamView
from robonav_ray.evaluation.metrics.worst_worlds import SHARES, tails_of
from robonav_ray.evaluation.statistics import Mean
from robonav_ray.report.document import Block, Cell, Scalar, Section, Strong, Table, paragraph

MAX_PANELS, MAX_POINTS = 15, 24
_MOST_INTERVALS = 5
"""Contestants whose intervals have room beside each other in a table."""


def factors_of(view: ExamView, family: str) -> dict[str, list[int]]:
    """Return the scenarios of each factor that was played at two levels or more, in the order of levels; the clean one
    included.
    """
    factors: dict[str, list[int]] = {}
    for s in view.family(family):
        facts = view.table.scenarios[s]
        if facts.factor and facts.level is not None:
            factors.setdefault(facts.factor, []).append(s)
    levels = view.table.scenarios
    ordered = {name: sorted(found, key=lambda s: float(levels[s].level or 0.0)) for name, found in factors.items()}
    return {name: found for name, found in ordered.items() if len({levels[s].level for s in found}) == len(found) > 1}


def robustness_section(view: ExamView) -> Section | None:
    """Return the curves over each disturbance, and their areas relative to the clean score; None where none was
    played.
    """
    factors = factors_of(view, "robustness")
    single = [s for s in view.family("robustness") if not any(s in found for found in factors.values())]
    if not factors and not single:
        return None
    blocks: list[Block] = []
    if factors:
        areas = {
            (name, one.number): _area(view, one, found) for name, found in factors.items() for one in view.contestants
        }
        blocks.append(_weakest(view, factors, areas))
        names = list(factors)
        for first in range(0, len(names), MAX_PANELS):
            part = {name: factors[name] for name in names[first : first + MAX_PANELS]}
            blocks.append(sweep_curves(view, part, f"robustness_{first // MAX_PANELS + 1}"))
        blocks.append(_area_table(view, factors, areas))
    if single:
        says = "with several disturbances at once, darker is better; bold is the best of a row."
        blocks.append(scenario_table(view, single, "robustness_at_once", says))
    return Section("Robustness", tuple(blocks))


def _area(view: ExamView, one: Contestant, scenarios: Sequence[int]) -> Interval | None:
    played = [s for s in scenarios if view.has(one, s)]
    if len(played) < 2 or played[0] != scenarios[0]:
        return None
    values = [view.values(one, s).mean(0) for s in played]
    levels = [float(view.table.scenarios[s].level or 0.0) for s in played]
    return relative_area(levels, values, view.confidence)


def _weakest(view: ExamView, factors: dict[str, list[int]], areas: dict[tuple[str, int], Interval | None]) -> Block:
    leader = view.ranked[0]
    known = {
        name: found
        for name in factors
        if (found := areas[name, leader.number]) is not None and found.value == found.value
    }
    if not known:
        return paragraph("The curves below show success over the level of each disturbance.")
    worst = min(known, key=lambda name: known[name].value)
    best = max(known, key=lambda name: known[name].value)
    return paragraph(
        Strong(leader.name),
        f" keeps most of its clean score under {best.replace('_', ' ')} ({known[best].value:.0%} of it over the "
        "levels) and loses most under ",
        Strong(worst.replace("_", " ")),
        f" ({known[worst].value:.0%}).",
    )


def _area_table(view: ExamView, factors: dict[str, list[int]], areas: dict[tuple[str, int], Interval | None]) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    records: list[dict[str, Scalar]] = []
    has_intervals = len(view.contestants) <= _MOST_INTERVALS
    told = f"In brackets {view.confidence:.0%} intervals over worlds." if has_intervals else "The CSV has intervals."
    for name in factors:
        found = [areas[name, one.number] for one in view.contestants]
        best = max((it.value for it in found if it is not None and it.value == it.value), default=None)
        rows.append((name.replace("_", " "), *(_area_cell(it, best, has_intervals) for it in found)))
        records += [
            {"factor": name, "entrant": one.name, "area": it.value, "low": it.low, "high": it.high}
            for one, it in zip(view.contestants, found, strict=True)
            if it is not None
        ]
    means = [_mean([areas[name, one.number] for name in factors]) for one in view.contestants]
    rows.append((Cell("mean", strong=True), *(Cell(DASH if m is None else f"{m:.2f}", strong=True) for m in means)))
    return Table(
        "robustness",
        "The area under each curve relative to the entrant's own clean score: 1 is no loss at any level, 0 none "
        f"left. {told} An entrant that is poor to begin with can have a large area: read it beside the curves.",
        ("disturbance", *(one.shown for one in view.contestants)),
        tuple(rows),
        "l" + "c" * len(view.contestants),
        records=tuple(records),
        rules=(len(rows) - 1,),
    )


def _area_cell(found: Interval | None, best: float | None, has_interval: bool) -> str | Cell:
    if found is None or found.value != found.value:
        return Cell(DASH, "quiet")
    interval = f" ({found.low:.2f}{DASH}{found.high:.2f})" if has_interval else ""
    return Cell(f"{found.value:.2f}{interval}", strong=found.value == best)


def _mean(areas: Sequence[Interval | None]) -> float | None:
    known = [it.value for it in areas if it is not None and it.value == it.value]
    return sum(known) / len(known) if known and len(known) == len(areas) else None


def generalisation_section(view: ExamView) -> Section | None:
    """Return the heat map over what is other than in training; None where nothing was played."""
    scenarios = sorted(view.family("generalisation"), key=lambda s: _place(view, s))
    if not scenarios:
        return None
    says = (
        "where the world is another than in training, darker is better; bold is the best of a row. Read down a "
        "column: where it turns light, the entrant has learned its training worlds rather than the task."
    )
    return Section("Generalisation", (scenario_table(view, scenarios, "generalisation", says),))


def _place(view: ExamView, scenario: int) -> tuple[int, float, int]:
    facts = view.table.scenarios
    first = next(
        s for s, it in enumerate(facts) if it.factor == facts[scenario].factor and it.family == facts[scenario].family
    )
    return (first if facts[scenario].factor else scenario, float(facts[scenario].level or 0.0), scenario)


def stress_section(view: ExamView) -> Section | None:
    """Return the scenarios that are meant to be too hard; None where none was played."""
    return _points(view, ("stress",), "Stress", "stress")


def worst_worlds_section(view: ExamView) -> Section | None:
    """Return success in the worst worlds; None where no worlds were drawn several times."""
    rows: list[tuple[str | Cell, ...]] = []
    records: list[dict[str, Scalar]] = []
    for one in view.ranked:
        for entrant in one.entrants:
            for draws, tails in tails_of(view.table, entrant, view.confidence).items():
                name, first = view.table.entrants[entrant].name, view.table.scenarios[draws[0]]
                everyone = np.mean([view.values_of(entrant, s).mean() for s in draws])
                cells = [f"{mean_percent(tail.success)} of {tail.num_worlds:,}" for tail in tails]
                rows.append((name, first.stage.replace("_", " "), str(len(draws)), f"{100 * everyone:.1f}%", *cells))
                records += [
                    {
                        "entrant": name,
                        "stage": first.stage,
                        "draws": len(draws),
                        "share": tail.share,
                        "worlds": tail.num_worlds,
                        "success": tail.success.value,
                        "low": tail.success.low,
                        "high": tail.success.high,
                    }
                    for tail in tails
                ]
    if not rows:
        return None
    table = Table(
        "worst_worlds",
        "Success in the worst worlds (CVaR): the first half of the draws finds them, the other half scores them, "
        "since worlds that are ranked and scored on the same episodes are mostly those of bad luck. In brackets "
        "intervals over worlds.",
        ("entrant", "stage", "draws", "all worlds", *(f"worst {share:.0%}" for share in SHARES)),
        tuple(rows),
        "llrr" + "r" * len(SHARES),
        records=tuple(records),
    )
    return Section("Worst worlds", (table,))


def mean_percent(found: Mean) -> str:
    """Return a share with its interval, which ends where shares do, in percent."""
    if found.value is None:
        return DASH
    text = f"{100 * found.value:.1f}%"
    return (
        text
        if found.low is None or found.high is None
        else f"{text} ({100 * max(found.low, 0.0):.1f}{DASH}{100 * min(found.high, 1.0):.1f})"
    )


def others_section(view: ExamView) -> Section | None:
    """Return the scenarios of all other families; None where there are none."""
    shown = (
        {"standard", "robustness", "generalisation", "stress"}
        if view.family("standard")
        else {"robustness", "generalisation", "stress"}
    )
    facts = view.table.scenarios
    families = dict.fromkeys(one.family for one in facts if one.family not in shown and not one.draw)
    if not view.family("standard"):
        families = {name: None for name in families if not set(view.family(name)) <= set(view.primary_scenarios)}
    return _points(view, tuple(families), "Other scenarios", "others") if families else None


def _points(view: ExamView, families: tuple[str, ...], title: str, name: str) -> Section | None:
    scenarios = tuple(s for s in view.family(*families) if not view.table.scenarios[s].draw)
    if not scenarios:
        return None
    blocks: list[Block] = []
    for first in range(0, min(len(scenarios), MAX_POINTS), most := rows_on_a_page(view)):
        part = scenarios[first : min(first + most, MAX_POINTS)]
        blocks.append(dots(view, part, f"{name}_points_{first // most + 1}", _points_caption(view, part)))
    blocks.append(scenario_table(view, scenarios, name, "in each, darker is better; bold is the best of a row."))
    return Section(title, tuple(blocks))


def _points_caption(view: ExamView, scenarios: Sequence[int]) -> str:
    questions = [
        f"{view.table.scenario_names[s].replace('_', ' ')}: {view.table.scenarios[s].question}"
        for s in scenarios[:12]
        if view.table.scenarios[s].question
    ]
    return (
        f"One row for each scenario, one point for each entrant, with {view.confidence:.0%} intervals; further right "
        f"is better. {' '.join(questions)}"
    )
