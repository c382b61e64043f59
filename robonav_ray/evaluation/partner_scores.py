"""How entrants do in worlds that they share: each scenario's figures, each entrant's beside its partners, and what two
lose by playing together.

::

    ExamTable --shared_cells--> SharedCell of each entrant and scenario whose episodes are cases
              --partner_scores--> PartnerScore of each entrant: the worst partner, and the worst cases
              --cross_play--> CrossPlay of each pair of entrants that are partners too

The score beside a partner is the part of the entrant's own robots that arrive: one that stands in the way cannot be
helped. Cases are the units of all intervals.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from robonav_ray.evaluation.exam_table import BESIDE, ExamTable, ScenarioFacts
from robonav_ray.evaluation.metrics.worst_worlds import worst_share
from robonav_ray.evaluation.shared_cases import ITSELF
from robonav_ray.evaluation.statistics import Mean, Rate, mean, rate
from robonav_ray.records import Outcome

WORST = 0.1
"""Share of the cases that CVaR is about."""


@dataclass(frozen=True)
class SharedCell:
    """One entrant in one scenario whose episodes are cases."""

    entrant: int
    scenario: int
    solved: Rate
    collision: Rate
    stuck: Rate
    arrived: Mean
    """Part of the entrant's robots that arrived."""
    extra_s: float | None
    """Median over the cases that all entrants of the scenario solve of the time beyond the straight way's; None where
    there is no such case."""
    num_common: int
    """Cases that all solve."""


@dataclass(frozen=True)
class PartnerScore:
    """One entrant beside several partners in the same cases."""

    entrant: int
    scenarios: tuple[int, ...]
    """One for each partner; the entrant's own company is none."""
    arrived: tuple[Mean, ...]
    """Part of its robots that arrived, beside each."""
    worst: int
    """Position of the worst partner; its interval allows for its being picked among all."""
    worst_arrived: Mean
    tail: Mean | None
    """Beside each partner in the tenth of the cases that is worst beside the others, the mean over partners (CVaR); its
    interval supposes that partners fail together. None for one partner alone."""
    num_tail: int
    """Cases in that tenth."""


@dataclass(frozen=True)
class CrossPlay:
    """Two entrants among their like, and together."""

    first: int
    second: int
    alone: float
    """Mean success of cases of each among its like."""
    together: float
    """Mean success of cases of each beside the other."""
    gap: Mean
    """The difference, over cases."""


def shared_cells(table: ExamTable, confidence: float = 0.95) -> list[SharedCell]:
    """Return the figures of every played cell whose episodes are cases, by scenario."""
    found = list[SharedCell]()
    for s, facts in enumerate(table.scenarios):
        entrants = [e for e in range(len(table.entrants)) if (e, s) in table.rows_by_cell]
        if facts.beside is None or not entrants:
            continue
        solved = {e: _by_case(table, e, s, "extra_s") for e in entrants}
        common = set.intersection(*({c for c, extra in one.items() if extra == extra} for one in solved.values()))
        for e in entrants:
            outcome = table.columns["outcome"][table.rows_by_cell[e, s]]
            success = outcome == Outcome.SUCCESS
            hit = (outcome >= Outcome.COLLISION_STATIC) & (outcome <= Outcome.COLLISION_ROBOT)
            extra = [solved[e][case] for case in common]
            found.append(
                SharedCell(
                    e,
                    s,
                    rate(success, confidence),
                    rate(hit, confidence),
                    rate(~success & ~hit, confidence),
                    mean(_column(table, e, s, "arrived_frac"), confidence),
                    float(np.median(extra)) if extra else None,
                    len(common),
                )
            )
    return found


def partner_scores(table: ExamTable, confidence: float = 0.95) -> list[PartnerScore]:
    """Return the score of each entrant in each group of scenarios that differ in nothing but the partner, where it
    played beside two or more others.
    """
    found = list[PartnerScore]()
    for group in groups_of(table):
        for e in range(len(table.entrants)):
            beside = [s for s in group if (e, s) in table.rows_by_cell and not _is_alone(table, e, s)]
            if len(beside) > 1:
                found.append(_score(table, e, tuple(beside), confidence))
    return found


def cross_play(table: ExamTable, confidence: float = 0.95) -> list[CrossPlay]:
    """Return what every two entrants lose that played the same cases among their like and beside each other."""
    found = list[CrossPlay]()
    for group in groups_of(table):
        alone = {e: _success(table, e, _named(table, group, (ITSELF, name))) for e, name in _names(table)}
        for (e, first), (f, second) in combinations(_names(table), 2):
            together = [
                _success(table, one, _named(table, group, (other,))) for one, other in ((e, second), (f, first))
            ]
            parts = [part for part in (alone[e], alone[f], *together) if part is not None]
            if len(parts) < 4:
                continue
            num = min(map(len, parts))
            a, b, ab, ba = (part[:num].astype(np.float64) for part in parts)
            gap = mean((a + b) / 2 - (ab + ba) / 2, confidence)
            found.append(CrossPlay(e, f, float((a + b).mean() / 2), float((ab + ba).mean() / 2), gap))
    return found


def shared_dict(table: ExamTable) -> dict[str, Any]:
    """Return all of it as JSON takes it; nothing where no world was shared."""
    cells = [
        {
            "entrant": table.entrants[one.entrant].name,
            "scenario": table.scenario_names[one.scenario],
            "beside": table.scenarios[one.scenario].beside,
            "solved": vars(one.solved),
            "collision": vars(one.collision),
            "stuck": vars(one.stuck),
            "robots_arrived": vars(one.arrived),
            "extra_s": one.extra_s,
            "num_common": one.num_common,
        }
        for one in shared_cells(table)
    ]
    partners = [
        {
            "entrant": table.entrants[one.entrant].name,
            "arrived": {
                table.scenarios[s].beside: vars(found) for s, found in zip(one.scenarios, one.arrived, strict=True)
            },
            "worst_partner": table.scenarios[one.scenarios[one.worst]].beside,
            "worst": vars(one.worst_arrived),
            "cvar_share": WORST,
            "cvar": None if one.tail is None else vars(one.tail),
        }
        for one in partner_scores(table)
    ]
    crossed = [
        {
            "first": table.entrants[one.first].name,
            "second": table.entrants[one.second].name,
            "alone": one.alone,
            "together": one.together,
            "gap": vars(one.gap),
        }
        for one in cross_play(table)
    ]
    return {"shared": cells, "partners": partners, "cross_play": crossed} if cells else {}


def cases_of(facts: ScenarioFacts) -> str:
    """Return what scenarios share whose cases are the same, whoever the partner is."""
    same = {key: value for key, value in facts.changes.items() if key != BESIDE}
    return json.dumps([facts.suite, facts.stage, facts.seed, facts.num_episodes, same], sort_keys=True)


def groups_of(table: ExamTable) -> list[tuple[int, ...]]:
    """Return the scenarios that are the same cases beside different partners, where there are several."""
    groups = defaultdict[str, list[int]](list)
    for s, facts in enumerate(table.scenarios):
        if facts.beside is not None:
            groups[cases_of(facts)].append(s)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _score(table: ExamTable, e: int, scenarios: tuple[int, ...], confidence: float) -> PartnerScore:
    columns = [_column(table, e, s, "arrived_frac") for s in scenarios]
    num = min(map(len, columns))
    arrived = np.stack([column[:num] for column in columns])
    means = [mean(row, confidence) for row in arrived]
    worst = int(np.argmin(arrived.mean(axis=1)))
    num_partners = len(scenarios)
    tails = [
        worst_share(np.delete(arrived, p, axis=0), arrived[p : p + 1], WORST, confidence) for p in range(num_partners)
    ]
    return PartnerScore(
        e,
        scenarios,
        tuple(means),
        worst,
        mean(arrived[worst], 1.0 - (1.0 - confidence) / num_partners),
        _mean_of([tail.success for tail in tails]),
        tails[0].num_worlds,
    )


def _mean_of(found: list[Mean]) -> Mean | None:
    """Return the mean of means, and of their bounds; None where one has none."""
    value, low, high = np.array([[one.value, one.low, one.high] for one in found], np.float64).mean(axis=0).tolist()
    return None if np.isnan([value, low, high]).any() else Mean(value, low, high, sum(one.num_values for one in found))


def _is_alone(table: ExamTable, e: int, s: int) -> bool:
    return table.scenarios[s].beside in (ITSELF, table.entrants[e].name)


def _names(table: ExamTable) -> list[tuple[int, str]]:
    return [(e, facts.name) for e, facts in enumerate(table.entrants)]


def _named(table: ExamTable, group: tuple[int, ...], names: tuple[str, ...]) -> int | None:
    """Return the first scenario of ``group`` beside one of ``names``."""
    return next((s for name in names for s in group if table.scenarios[s].beside == name), None)


def _success(table: ExamTable, e: int, s: int | None) -> np.ndarray | None:
    if s is None or (e, s) not in table.rows_by_cell:
        return None
    return table.columns["outcome"][table.rows_by_cell[e, s]] == Outcome.SUCCESS


def _column(table: ExamTable, e: int, s: int, name: str) -> np.ndarray:
    """Return an extra column (W,) of a cell; nan where an exam that was written by hand has none."""
    rows = table.rows_by_cell[e, s]
    return table.columns[name][rows] if name in table.columns else np.full(len(rows), np.nan)


def _by_case(table: ExamTable, e: int, s: int, name: str) -> dict[int, float]:
    worlds = table.columns["world"][table.rows_by_cell[e, s]]
    return dict(zip(worlds.tolist(), _column(table, e, s, name).tolist(), strict=True))
