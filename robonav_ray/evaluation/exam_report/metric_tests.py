"""Metrics against each other: whether any entrant differs (Welch's ANOVA), which pairs do, and how large that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from robonav_ray.evaluation.comparing import words
from robonav_ray.evaluation.comparing.effects import cliffs_delta, cohens_d, eta_squared, hedges_g, omega_squared
from robonav_ray.evaluation.comparing.family import false_discovery
from robonav_ray.evaluation.comparing.means import (
    RankTest,
    games_howell_p,
    mann_whitney,
    paired_bootstraps,
    welch_f,
)
from robonav_ray.evaluation.comparing.rates import Interval
from robonav_ray.evaluation.exam_report.metrics import DASH
from robonav_ray.evaluation.exam_report.view import Contestant, ExamView
from robonav_ray.evaluation.metrics.registry import METRICS
from robonav_ray.report.document import Block, Cell, Scalar, Section, Table, paragraph

_METRICS = ("spl", "time_imputed_s", "min_clearance_m")
"""Beside the verdict's own: how short the ways are, how long they take, how close they pass."""
_MIN_WORLDS = 3


@dataclass(frozen=True)
class _Pair:
    """Two contestants on one metric."""

    metric: str
    first: Contestant
    second: Contestant
    means: tuple[float, float]
    gap: np.ndarray
    """(W,) first minus second, means over the seeds."""
    p_games_howell: float
    ranks: RankTest
    d: float
    g: float
    delta: float


def metric_tests_section(view: ExamView) -> Section | None:
    """Return the tests of the metrics; None for one contestant, or where too few worlds tell any."""
    everyone = [one for one in view.ranked if all(view.has(one, s) for s in view.primary_scenarios)]
    columns = {name: column for name, column in _columns(view) if np.isfinite(column).any()}
    groups = [row for name, column in columns.items() if (row := _group(view, everyone, name, column)) is not None]
    pairs = [pair for name, column in columns.items() for pair in _pairs(view, everyone, name, column)]
    if not groups or not pairs:
        return None
    blocks: list[Block] = [_NOTE, _groups_table(groups), _pairs_table(view, pairs)]
    return Section("Metrics: who differs, and how much", tuple(blocks))


_NOTE = paragraph(
    "For exploring: the verdict rests on the pairs above. Welch's ANOVA, Games and Howell's pairs, Mann and Whitney's "
    "rank test and the effect sizes take the episodes of each entrant, of a method those of all its seeds, as a sample "
    "of their own; as all play the same worlds they are cautious about policies, and they say nothing of seeds to "
    "come. The paired bootstrap draws worlds anew for both at once, and sees more; a world counts with the mean of a "
    "method's seeds.",
    tone="quiet",
)


def _columns(view: ExamView) -> Iterator[tuple[str, np.ndarray]]:
    yield view.metric.name, view.primary.astype(np.float64)
    for name in _METRICS:
        yield name, view.column(name)


def _values(view: ExamView, contestants: Sequence[Contestant], column: np.ndarray) -> list[np.ndarray]:
    """Return (S, W) of each, on the worlds that all have in common and that tell the metric for all."""
    found = view.pooled(contestants, view.primary_scenarios, column)
    known = np.all([np.isfinite(one).all(0) for one in found], axis=0)
    return [one[:, known] for one in found]


@dataclass(frozen=True)
class _Group:
    """All contestants on one metric."""

    metric: str
    num_contestants: int
    num_worlds: int
    statistic: float
    p: float
    eta: float
    omega: float


def _group(view: ExamView, everyone: Sequence[Contestant], name: str, column: np.ndarray) -> _Group | None:
    if len(everyone) < 2:
        return None
    values = _values(view, everyone, column)
    num_worlds = values[0].shape[1]
    samples = [one.ravel() for one in values if one.std() > 0.0]  # Welch weighs by one over the variance
    if num_worlds < _MIN_WORLDS or len(samples) < 2:
        return None
    return _Group(name, len(samples), num_worlds, *welch_f(*samples), eta_squared(*samples), omega_squared(*samples))


def _pairs(view: ExamView, everyone: Sequence[Contestant], name: str, column: np.ndarray) -> Iterator[_Pair]:
    for one, other in combinations(everyone, 2):
        values = _values(view, [one, other], column)
        if values[0].shape[1] < _MIN_WORLDS:
            continue
        gap = values[0].mean(0) - values[1].mean(0)
        first, second = (found.ravel() for found in values)
        yield _Pair(
            name,
            one,
            other,
            (float(first.mean()), float(second.mean())),
            gap,
            games_howell_p(first, second, len(everyone)),
            mann_whitney(first, second),
            cohens_d(first, second),
            hedges_g(first, second),
            cliffs_delta(first, second),
        )


def _bootstrapped(view: ExamView, pairs: Sequence[_Pair]) -> list[Interval]:
    """Return the interval of each pair; those of as many worlds are drawn together."""
    found: dict[int, Interval] = {}
    for size in sorted({len(pair.gap) for pair in pairs}):
        own = [i for i, pair in enumerate(pairs) if len(pair.gap) == size]
        gaps = np.stack([pairs[i].gap for i in own], axis=1)
        found |= dict(zip(own, paired_bootstraps(gaps, view.rng(), view.confidence), strict=True))
    return [found[i] for i in range(len(pairs))]


def _groups_table(groups: Sequence[_Group]) -> Table:
    rows = [
        (
            _shown(group.metric),
            f"{group.num_contestants}",
            f"{group.num_worlds:,}",
            f"{group.statistic:,.1f}",
            _p(group.p),
            f"{group.eta:.3f}",
            f"{group.omega:.3f}",
        )
        for group in groups
    ]
    return Table(
        "anova",
        "All entrants together: Welch's ANOVA asks whether any has another mean; eta and omega squared are the share "
        "of the variance between episodes that who drives explains (omega without its upward bias). An entrant whose "
        "episodes all have one number is left out.",
        ("metric", "entrants", "worlds", "F", "p", "eta squared", "omega squared"),
        tuple(rows),
        "lrrrrrr",
        records=tuple(
            {
                "metric": group.metric,
                "entrants": group.num_contestants,
                "worlds": group.num_worlds,
                "f": group.statistic,
                "p": group.p,
                "eta_squared": group.eta,
                "omega_squared": group.omega,
            }
            for group in groups
        ),
    )


def _pairs_table(view: ExamView, pairs: Sequence[_Pair]) -> Table:
    intervals = _bootstrapped(view, pairs)
    discovered = false_discovery([pair.ranks.p for pair in pairs])
    rows: list[tuple[str | Cell, ...]] = []
    records: list[dict[str, Scalar]] = []
    begins: dict[str, int] = {}
    leader = view.ranked[0]
    for pair, found, p_fdr in zip(pairs, intervals, discovered, strict=True):
        records.append(_record(pair, found, float(p_fdr)))
        if pair.first is not leader:
            continue
        is_first = begins.setdefault(pair.metric, len(rows)) == len(rows)
        rows.append(
            (
                _shown(pair.metric) if is_first else "",
                pair.second.name,
                _number(found.value),
                f"{_number(found.low)} to {_number(found.high)}",
                _p(pair.p_games_howell),
                _p(float(p_fdr)),
                _size(pair.g),
                _size(pair.delta),
            )
        )
    return Table(
        "metric_pairs",
        f"{leader.name} minus each other entrant, with the paired bootstrap's {view.confidence:.0%} interval; p of "
        "Games and Howell's comparison, adjusted for all pairs of a metric, and of Mann and Whitney's rank test, "
        "adjusted for the false discovery rate of the whole table (Benjamini and Hochberg); Hedges' g in standard "
        "deviations (.2 small, .5 medium, .8 large); Cliff's delta, how much more often an episode of the first has "
        "the larger number than the smaller one. The CSV has all pairs, and Cohen's d.",
        ("metric", "against", "difference", "interval", "p, pairs", "p, ranks", "g", "delta"),
        tuple(rows),
        "llrrrrrr",
        records=tuple(records),
        rules=tuple(begins.values())[1:],
    )


def _record(pair: _Pair, found: Interval, p_fdr: float) -> dict[str, Scalar]:
    return {
        "metric": pair.metric,
        "first": pair.first.name,
        "second": pair.second.name,
        "worlds": len(pair.gap),
        "mean_first": pair.means[0],
        "mean_second": pair.means[1],
        "difference": found.value,
        "bootstrap_low": found.low,
        "bootstrap_high": found.high,
        "p_games_howell": pair.p_games_howell,
        "p_mann_whitney": pair.ranks.p,
        "p_mann_whitney_fdr": p_fdr,
        "superiority": pair.ranks.superiority,
        "cohens_d": _told(pair.d),
        "hedges_g": _told(pair.g),
        "cliffs_delta": pair.delta,
    }


def _told(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shown(metric: str) -> str:
    found = METRICS.get(metric)
    unit = "" if found is None or found.unit in ("", "-", "frac") else f" ({found.unit})"
    return f"{metric.removesuffix('_s').removesuffix('_m').replace('_', ' ')}{unit}"


def _p(p: float) -> str:
    return words.p_text(p).removeprefix("p = ").removeprefix("p ")


def _number(value: float) -> str:
    return words.signed(value, 3 if abs(value) < 1 else 2)


def _size(value: float) -> str:
    return words.signed(value, 2) if math.isfinite(value) else DASH
