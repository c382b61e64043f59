"""An exam in the terminal: success of every entrant in every scenario, what each knows, and what is missing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from rich.table import Table

from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.exam_report.front import verdict_lines
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.metrics.registry import OWN
from robonav_ray.evaluation.metrics.worst_worlds import tails_of
from robonav_ray.evaluation.partner_scores import WORST, cross_play, partner_scores, shared_cells, shared_dict
from robonav_ray.evaluation.statistics import Mean, Summary, mean, summarize
from robonav_ray.screen import Screen

_SCENARIO, _CELL = 26, 24
"""Least width of the columns, in characters."""


def summaries(table: ExamTable, confidence: float = 0.95) -> dict[tuple[int, int], Summary]:
    """Return the figures of every cell that was played."""
    cells = ((e, s) for e in range(len(table.entrants)) for s in range(len(table.scenarios)))
    return {cell: summarize(table.cell(*cell), confidence) for cell in cells if cell not in table.missing}


def print_exam(table: ExamTable, screen: Screen) -> None:
    """Show success with its Wilson interval, a row for each scenario and a column for each entrant, and below what
    one must know.
    """
    found = summaries(table)
    fitting = max(1, (screen.width - _SCENARIO) // _CELL)
    for first in range(0, len(table.entrants), fitting):
        shown = range(first, min(first + fitting, len(table.entrants)))
        rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        rows.add_column("success", overflow="fold")
        for e in shown:
            rows.add_column(table.entrants[e].name, justify="right", overflow="fold")
        for s, scenario in enumerate(table.scenario_names):
            rows.add_row(scenario, *(_success(found.get((e, s))) for e in shown))
        rows.add_row("knows", *(table.entrants[e].knows for e in shown), style="dim")
        rows.add_row("decides in, one world", *(_decides(table, e) for e in shown), style="dim")
        screen.print(rows, soft_wrap=False)
    for line in _missing_lines(table):
        screen.print(line)
    for e, entrant in enumerate(table.entrants):
        played = {found[e, s].num_episodes for s in range(len(table.scenarios)) if (e, s) in found}
        wanted = {table.scenarios[s].num_episodes for s in range(len(table.scenarios)) if (e, s) in found}
        if played != wanted:
            screen.print(f"{entrant.name}: played {entrant.provenance.get('episodes', 'fewer episodes')}")
    for e, entrant in enumerate(table.entrants):
        for tails in tails_of(table, e).values():
            shares = [f"{tail.success.value:.1%} in the worst {tail.share:.0%} ({tail.num_worlds:,})" for tail in tails]
            screen.print(f"{entrant.name}: success {', '.join(shares)} of the worlds, found on other draws")
    _print_shared(table, screen)
    for e, s in found:
        for name in (name for name in table.columns if name.startswith(OWN)):
            screen.print(f"{name.removeprefix(OWN)} of {_where(table, e, s)}: {_mean_text(table.cell(e, s), name)}")
    screen.print(_caption(table), style="dim italic", soft_wrap=False)
    for line, style in zip(verdict_lines(table), ("bold", ""), strict=False):
        screen.print(line, style=style, soft_wrap=False)


def to_dict(table: ExamTable) -> dict[str, Any]:
    """Return the summary as JSON takes it."""
    found, own = summaries(table), [name for name in table.columns if name.startswith(OWN)]
    rows = [
        {
            "entrant": table.entrants[e].name,
            "scenario": table.scenario_names[s],
            "num_episodes": summary.num_episodes,
            "success": None if summary.success is None else vars(summary.success),
            "collision": None if summary.collision is None else vars(summary.collision),
            "timeout": None if summary.timeout is None else vars(summary.timeout),
            "time_success_s": None if summary.time_success_s is None else vars(summary.time_success_s),
            **{name: vars(mean(table.cell(e, s).extra.get(name, np.zeros(0)))) for name in own},
            "decision_p50_s": table.decisions[e, s].single_p50_s if (e, s) in table.decisions else None,
        }
        for (e, s), summary in found.items()
    ]
    missing = [
        {"entrant": table.entrants[e].name, "scenario": table.scenario_names[s], "reason": why}
        for (e, s), why in table.missing.items()
    ]
    entrants = [
        {"name": one.name, "kind": one.kind, "knows": one.knows, "method": one.method} for one in table.entrants
    ]
    worst = [
        {
            "entrant": table.entrants[e].name,
            "scenarios": [table.scenario_names[s] for s in scenarios],
            "share": tail.share,
            "num_worlds": tail.num_worlds,
            "success": vars(tail.success),
        }
        for e in range(len(table.entrants))
        for scenarios, tails in tails_of(table, e).items()
        for tail in tails
    ]
    found_all = {"entrants": entrants, "cells": rows, "missing": missing, "worst_worlds": worst}
    return {"format_version": 1, **found_all, **shared_dict(table)}


def _missing_lines(table: ExamTable) -> list[str]:
    """Return why cells are missing, a line for each entrant and kind of reason."""
    kinds: dict[tuple[int, str], list[int]] = {}
    for (e, s), why in table.missing.items():
        kinds.setdefault((e, re.sub(r"\d+", "", why)), []).append(s)
    lines = list[str]()
    for (e, _), scenarios in kinds.items():
        more = f", and {len(scenarios) - 1} more like it" if len(scenarios) > 1 else ""
        first = scenarios[0]
        lines.append(f"- {table.entrants[e].name} in {table.scenario_names[first]}{more}: {table.missing[e, first]}")
    return lines


def _print_shared(table: ExamTable, screen: Screen) -> None:
    """Show what is asked of worlds that robots share; nothing where none was."""
    cells = shared_cells(table)
    if not cells:
        return
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    rows.add_column("cases", overflow="fold")
    rows.add_column("entrant", overflow="fold")
    for head in ("collision", "stuck", "own robots arrive", "extra s (cases)"):
        rows.add_column(head, justify="right", no_wrap=True)
    for one in cells:
        extra = "-" if one.extra_s is None else f"{one.extra_s:.2f} ({one.num_common})"
        ends = (f"{one.collision.frac:.1%}", f"{one.stuck.frac:.1%}", _share(one.arrived), extra)
        rows.add_row(table.scenario_names[one.scenario], table.entrants[one.entrant].name, *ends)
    screen.print(rows, soft_wrap=False)
    for score in partner_scores(table):
        partner = table.scenarios[score.scenarios[score.worst]].beside
        tail = (
            ""
            if score.tail is None
            else f"; {_share(score.tail)} in the worst {WORST:.0%} of the cases, found beside the others"
        )
        screen.print(
            f"{table.entrants[score.entrant].name}: worst partner {partner}, beside which "
            f"{_share(score.worst_arrived)} of its robots arrive{tail}"
        )
    for pair in cross_play(table):
        first, second = table.entrants[pair.first].name, table.entrants[pair.second].name
        screen.print(
            f"{first} and {second}: {pair.alone:.1%} of the cases solved among their like, {pair.together:.1%} "
            f"together; gap {_points(pair.gap)}"
        )


def _share(found: Mean) -> str:
    """Return a mean share with its interval, which ends where shares do."""
    if found.value is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.1%}"
    return f"{found.value:.1%} ({100 * max(found.low, 0.0):.1f} to {100 * min(found.high, 1.0):.1f})"


def _points(found: Mean) -> str:
    """Return a mean difference of shares with its interval."""
    if found.value is None or found.low is None or found.high is None:
        return "-"
    return f"{100 * found.value:.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _where(table: ExamTable, e: int, s: int) -> str:
    return f"{table.entrants[e].name} in {table.scenario_names[s]}"


def _mean_text(episodes: EpisodeTable, name: str) -> str:
    """Return the mean of an extra column with its t interval."""
    found = mean(episodes.extra.get(name, np.zeros(0)))
    if found.value is None:
        return "no number"
    return f"{found.value:.4g}" + ("" if found.low is None else f" ({found.low:.4g} to {found.high:.4g})")


def _success(summary: Summary | None) -> str:
    if summary is None or summary.success is None:
        return "-"
    rate = summary.success
    return f"{rate.frac:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def _decides(table: ExamTable, entrant: int) -> str:
    times = [
        told.single_p50_s for (e, _), told in table.decisions.items() if e == entrant and told.single_p50_s is not None
    ]
    return "-" if not times else f"{sorted(times)[len(times) // 2] * 1e3:.3f} ms"


def _caption(table: ExamTable) -> str:
    seeds = sorted({scenario.seed for scenario in table.scenarios})
    return (
        f"held-out seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}, the same worlds for all; in "
        f"brackets 95% intervals "
        "(Wilson)"
    )
