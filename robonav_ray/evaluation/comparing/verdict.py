"""The verdict on two entrants in words: better, worse, equal within a margin, or not enough episodes, and how many it
would take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.evaluation.comparing import power
from robonav_ray.evaluation.comparing.family import MARGIN, equal_means_p, equal_rates_p, holm
from robonav_ray.evaluation.comparing.means import paired_t
from robonav_ray.evaluation.comparing.rates import Interval, PairedRates, mcnemar_p, newcombe_paired, paired_rates
from robonav_ray.evaluation.comparing.seeds import (
    MIN_BOOTSTRAP_SEEDS,
    difference_over_seeds,
    hierarchical_bootstrap,
    spread_of,
)

MIN_WORLDS = 6
"""Fewer worlds cannot tell two entrants apart: McNemar's p of 5 worlds that all speak for one of them is .0625."""


class TooFewEpisodesError(UserError):
    """The test that was asked for takes more episodes than there are; the message says how many."""


class Verdict(StrEnum):
    """What may be said of the first entrant beside the second."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"
    """Within the margin, shown by two one-sided tests."""
    UNDECIDED = "undecided"


class Sample(NamedTuple):
    """One metric of one entrant on the common worlds."""

    name: str
    values: np.ndarray
    """(S, W): a row per training seed (one for what has none); bool for a rate; NaN where an episode tells no
    number.
    """


class Metric(NamedTuple):
    """What is compared, for the words."""

    name: str = "success"
    unit: str = ""
    higher_is_better: bool = True
    margin: float | None = MARGIN
    """Difference below which two entrants count as equal; None asks for no equivalence."""
    is_share: bool = False
    """Whether it is a part of 1, shown in percent; bool values always are."""


@dataclass(frozen=True)
class Comparison:
    """Two entrants on one metric. Differences are first minus second, in the metric's own unit; rates are fractions."""

    first: str
    second: str
    metric: Metric
    is_rate: bool
    units: str
    """``worlds``: the claim is about these two policies; ``seeds``: about the methods that trained them."""
    test: str
    num_worlds: int
    num_seeds: tuple[int, int]
    values: tuple[float, float]
    difference: Interval
    confidence: float
    p: float
    p_equal: float
    """Of two one-sided tests at the margin; 1 without a margin."""
    least_difference: float
    """What this test finds with a probability of 80 % at the level of ``num_claims`` claims (alpha / num_claims); NaN
    when nothing.
    """
    needed: int | None
    """Units (worlds, or seeds of each method) for the difference that was found, with a power of 80 %; None when no
    number would do.
    """
    needed_equal: int | None
    """Worlds to show equality within the margin, were there no difference."""
    p_adjusted: float
    p_equal_adjusted: float
    num_claims: int = 1
    """Size of the family that p is adjusted for (Holm)."""
    pairs: PairedRates | None = None
    """Counts of worlds, for a rate with the worlds as units."""

    @property
    def alpha(self) -> float:
        """Level of the tests."""
        return 1.0 - self.confidence

    @property
    def verdict(self) -> Verdict:
        """Better or worse when p and the interval both say so; equal when that is shown; else undecided."""
        if self.p_adjusted < self.alpha and (self.difference.low > 0.0 or self.difference.high < 0.0):
            return Verdict.BETTER if (self.difference.value > 0.0) == self.metric.higher_is_better else Verdict.WORSE
        return Verdict.EQUAL if self.p_equal_adjusted < self.alpha else Verdict.UNDECIDED


def compare(
    first: Sample,
    second: Sample,
    metric: Metric | None = None,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    num_claims: int = 1,
) -> Comparison:
    """Compare two entrants on the worlds that both played.

    With several seeds of either one these are the units: t on the seeds' means (``difference_over_seeds``), from ten
    seeds of each the interval by the bootstrap. Else the worlds are: McNemar's exact test with Newcombe's interval for
    a rate, the paired t for anything else, on the worlds that tell both numbers. ``num_claims`` says how many claims
    will be ``adjusted`` together: what could be found, and what it takes, is computed at alpha / num_claims.

    Raises:
        TooFewEpisodesError: for fewer than ``MIN_WORLDS`` worlds.
    """
    metric = metric or Metric()
    is_rate = first.values.dtype == bool and second.values.dtype == bool
    known = np.isfinite(first.values).all(0) & np.isfinite(second.values).all(0)
    one, other = first.values[:, known], second.values[:, known]
    if one.shape[1] < MIN_WORLDS:
        raise TooFewEpisodesError(
            f"{first.name} and {second.name} have {one.shape[1]} common episodes that tell {metric.name}; a comparison "
            f"takes at least {MIN_WORLDS}, as fewer cannot reach p < .05 however they end: ask for more episodes"
        )
    if max(len(one), len(other)) > 1:
        found = _by_seeds(one.astype(np.float64), other.astype(np.float64), metric, rng, confidence, num_claims)
    elif is_rate:
        found = _by_rates(paired_rates(one[0], other[0]), metric, confidence, num_claims)
    else:
        found = _by_worlds(one[0], other[0], metric, confidence, num_claims)
    return Comparison(
        first=first.name,
        second=second.name,
        metric=metric,
        is_rate=is_rate or metric.is_share,
        num_worlds=one.shape[1],
        num_seeds=(len(one), len(other)),
        values=(float(one.mean()), float(other.mean())),
        confidence=confidence,
        p_adjusted=found.p,
        p_equal_adjusted=found.p_equal,
        num_claims=num_claims,
        **found._asdict(),
    )


class _Found(NamedTuple):
    """What differs between the three ways, by the names of ``Comparison``."""

    units: str
    test: str
    difference: Interval
    p: float
    p_equal: float
    least_difference: float
    needed: int | None
    needed_equal: int | None
    pairs: PairedRates | None = None


def _by_rates(pairs: PairedRates, metric: Metric, confidence: float, num_claims: int) -> _Found:
    difference, discordant = newcombe_paired(pairs, confidence), pairs.discordant / pairs.total
    alpha = (1.0 - confidence) / num_claims
    return _Found(
        "worlds",
        "McNemar's exact test",
        difference,
        mcnemar_p(pairs),
        1.0 if metric.margin is None else equal_rates_p(pairs, metric.margin),
        power.mcnemar_least_difference(pairs.total, discordant, alpha=alpha),
        power.mcnemar_worlds(discordant, difference.value, alpha=alpha),
        None if metric.margin is None else power.equal_worlds(discordant, metric.margin, alpha=alpha),
        pairs,
    )


def _by_worlds(one: np.ndarray, other: np.ndarray, metric: Metric, confidence: float, num_claims: int) -> _Found:
    tested, gap = paired_t(one, other, confidence), one - other
    sd, alpha = float(gap.std(ddof=1)), (1.0 - confidence) / num_claims
    error = sd / len(gap) ** 0.5
    return _Found(
        "worlds",
        "a paired t test",
        Interval(*tested[:3]),
        tested.p,
        1.0 if metric.margin is None else equal_means_p(tested.value, error, tested.df, metric.margin),
        power.t_least_difference(error, tested.df, alpha=alpha) if error else math.nan,
        power.t_pairs(sd, tested.value, alpha=alpha),
        None if metric.margin is None else power.equal_worlds(sd * sd, metric.margin, alpha=alpha),
    )


def _by_seeds(
    one: np.ndarray, other: np.ndarray, metric: Metric, rng: np.random.Generator, confidence: float, num_claims: int
) -> _Found:
    tested, spread = difference_over_seeds(one, other, confidence), spread_of(one, other)
    alpha = (1.0 - confidence) / num_claims
    methods = [
        power.Trained(variance * len(values), len(values))
        for values, variance in zip((one, other), spread.seed_variance, strict=True)
        if len(values) > 1
    ]
    interval, how = Interval(*tested[:3]), "t on the seeds' means"
    if all(len(values) == 1 or len(values) >= MIN_BOOTSTRAP_SEEDS for values in (one, other)):
        interval = hierarchical_bootstrap(one, rng, other, confidence=confidence)
        how += ", its interval by the bootstrap over seeds and worlds"
    return _Found(
        "seeds",
        how,
        interval,
        tested.p if spread.error else _without_spread(one, other),
        1.0 if metric.margin is None else equal_means_p(tested.value, spread.error, tested.df, metric.margin),
        power.seeds_least_difference(methods, spread.world_variance, one.shape[1], alpha=alpha),
        power.seeds_each(
            [method.variance for method in methods], spread.world_variance, one.shape[1], tested.value, alpha=alpha
        ),
        None,
    )


def _without_spread(one: np.ndarray, other: np.ndarray) -> float:
    """Return p where neither seeds nor worlds differ: that of as many worlds of one mind."""
    return 1.0 if one.mean() == other.mean() else 2.0 ** (1 - one.shape[1])


def adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Return the comparisons as one family of claims: p, and p of equality, adjusted by Holm's method."""
    p = holm([one.p for one in comparisons])
    equal = holm([one.p_equal for one in comparisons])
    return tuple(
        replace(one, p_adjusted=float(a), p_equal_adjusted=float(b), num_claims=len(comparisons))
        for one, a, b in zip(comparisons, p, equal, strict=True)
    )
