"""Worlds that robots share: how their cases end, and how each entrant does beside its partners."""

from __future__ import annotations

import numpy as np

from robonav_ray.evaluation.exam_report.figures import WIDTH_CM, drawn, short
from robonav_ray.evaluation.exam_report.metrics import DASH
from robonav_ray.evaluation.exam_report.outcomes import percent
from robonav_ray.evaluation.exam_report.sweeps import mean_percent
from robonav_ray.evaluation.exam_report.view import ExamView
from robonav_ray.evaluation.partner_scores import (
    WORST,
    CrossPlay,
    PartnerScore,
    cross_play,
    groups_of,
    partner_scores,
    shared_cells,
)
from robonav_ray.evaluation.statistics import Mean, Rate
from robonav_ray.report.document import Block, Cell, Figure, Scalar, Section, Table
from robonav_ray.report.matrix import draw_matrix
from robonav_ray.report.style import make_figure


def shared_section(view: ExamView) -> Section | None:
    """Return how cases ended, by scenario and entrant; None where no episode was a case."""
    rows: list[tuple[str | Cell, ...]] = []
    records: list[dict[str, Scalar]] = []
    for one in shared_cells(view.table, view.confidence):
        scenario, entrant = view.table.scenario_names[one.scenario], view.table.entrants[one.entrant].name
        extra = DASH if one.extra_s is None else f"{one.extra_s:.2f}"
        ends = (_rate_text(one.solved), percent(one.collision.frac), percent(one.stuck.frac))
        rows.append((scenario.replace("_", " "), entrant, *ends, mean_percent(one.arrived), extra))
        records.append(
            {
                "scenario": scenario,
                "entrant": entrant,
                "beside": view.table.scenarios[one.scenario].beside,
                "cases": one.solved.total,
                "solved": one.solved.frac,
                "solved_low": one.solved.low,
                "solved_high": one.solved.high,
                "collision": one.collision.frac,
                "stuck": one.stuck.frac,
                "robots": one.arrived.value,
                "robots_low": one.arrived.low,
                "robots_high": one.arrived.high,
                "extra_s": one.extra_s,
                "common_cases": one.num_common,
            }
        )
    if not rows:
        return None
    table = Table(
        "cases",
        "Cases in which robots share a world: solved when all arrive (those that are told to stand need not), a "
        "collision when any collides, stuck otherwise. Own robots: the part of the entrant's that arrived. Extra: "
        "median over the cases that all entrants solve of the time beyond the straight way's at preferred speed, s. "
        f"In brackets {view.confidence:.0%} intervals over cases.",
        ("scenario", "entrant", "solved", "collision", "stuck", "own robots", "extra"),
        tuple(rows),
        "ll" + "r" * 5,
        records=tuple(records),
    )
    return Section("Worlds that robots share", (table,))


def partners_section(view: ExamView) -> Section | None:
    """Return the matrix of entrants and partners, the worst partner of each, and what two lose together; None where
    no entrant played beside two partners.
    """
    scores = partner_scores(view.table, view.confidence)
    if not scores:
        return None
    blocks: list[Block] = [_matrix(view, group, f"partners_{g + 1}") for g, group in enumerate(groups_of(view.table))]
    blocks.append(_partner_table(view, scores))
    crossed = cross_play(view.table, view.confidence)
    if crossed:
        blocks.append(_cross_table(view, crossed))
    return Section("Partners", tuple(blocks))


def _matrix(view: ExamView, group: tuple[int, ...], name: str) -> Figure:
    table = view.table
    share = np.full((len(table.entrants), len(group)), np.nan)
    for one in shared_cells(table):
        if one.scenario in group and one.arrived.value is not None:
            share[one.entrant, group.index(one.scenario)] = one.arrived.value
    rows = [short(facts.name) for facts in table.entrants]
    columns = [short(table.scenarios[s].beside or "") for s in group]
    figure = make_figure(WIDTH_CM, 2.6 + 0.75 * len(rows))
    draw_matrix(figure.add_subplot(), share, rows, columns, "robots of the row that arrive beside the column, %")
    caption = (
        "Each row's robots beside each column's: the part of the row's that arrive, in percent. All play the same "
        "cases, in each of which half of the robots are the column's, the smaller half of an odd number; itself is "
        "the entrant in every robot."
    )
    return drawn(name, figure, caption, "shares of robots that arrive, by entrant and partner")


def _partner_table(view: ExamView, scores: list[PartnerScore]) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    records: list[dict[str, Scalar]] = []
    for one in scores:
        name = view.table.entrants[one.entrant].name
        partner = view.table.scenarios[one.scenarios[one.worst]].beside or ""
        tail = DASH if one.tail is None else mean_percent(one.tail)
        all_of = float(np.mean([found.value for found in one.arrived if found.value is not None]))
        rows.append((name, percent(all_of), partner, mean_percent(one.worst_arrived), tail))
        records.append(
            {
                "entrant": name,
                "partners": len(one.scenarios),
                "mean": all_of,
                "worst_partner": partner,
                **_figures("worst", one.worst_arrived),
                **_figures("cvar", one.tail),
                "cvar_share": WORST,
                "cvar_cases": one.num_tail,
            }
        )
    return Table(
        "partners",
        "Robots of each entrant that arrive beside partners other than itself. The interval of the worst partner "
        f"allows for its being picked among all. CVaR is over the {WORST:.0%} of the cases that go worst beside the "
        "other partners: a case is never picked by the episode that it is scored on. Its interval supposes that "
        "partners fail together.",
        ("entrant", "mean", "worst partner", "beside it", f"worst {WORST:.0%} of cases"),
        tuple(rows),
        "lrlrr",
        records=tuple(records),
    )


def _cross_table(view: ExamView, crossed: list[CrossPlay]) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    records: list[dict[str, Scalar]] = []
    for one in crossed:
        first, second = (view.table.entrants[e].name for e in (one.first, one.second))
        rows.append((f"{first}, {second}", percent(one.alone), percent(one.together), _points(one.gap)))
        records.append(
            {
                "first": first,
                "second": second,
                "alone": one.alone,
                "together": one.together,
                **_figures("gap", one.gap),
            }
        )
    return Table(
        "cross_play",
        "Success of cases of two entrants among their like and beside each other, and the gap in points, over cases: "
        "a policy that is a specialist of itself has a large one.",
        ("pair", "self-play", "cross-play", "gap"),
        tuple(rows),
        "lrrr",
        records=tuple(records),
    )


def _points(found: Mean) -> str:
    if found.value is None or found.low is None or found.high is None:
        return DASH
    return f"{100 * found.value:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _rate_text(found: Rate) -> str:
    return f"{percent(found.frac)} ({100 * found.low:.1f}{DASH}{100 * found.high:.1f})"


def _figures(name: str, found: Mean | None) -> dict[str, Scalar]:
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
