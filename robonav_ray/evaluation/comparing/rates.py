"""Rates against rates: on the same worlds (McNemar, Newcombe, Cochran's Q) and on worlds of each one's own."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from robonav_ray.evaluation.statistics import wilson_interval


class Interval(NamedTuple):
    """An estimate with its two bounds."""

    value: float
    low: float
    high: float


class PairedRates(NamedTuple):
    """How two entrants did on the same worlds, as counts of worlds."""

    both: int
    """Both succeeded."""
    only_first: int
    only_second: int
    neither: int

    @property
    def total(self) -> int:
        """Worlds."""
        return sum(self)

    @property
    def discordant(self) -> int:
        """Worlds in which just one of the two succeeded: all that a paired test looks at."""
        return self.only_first + self.only_second

    @property
    def difference(self) -> float:
        """Success rate of the first minus that of the second."""
        return (self.only_first - self.only_second) / self.total


def paired_rates(first: np.ndarray, second: np.ndarray) -> PairedRates:
    """Count worlds by who succeeded; both (W,) bool, the same worlds in the same order.

    Raises:
        ValueError: for arrays of different lengths, or of none.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"two arrays of one length, one entry per world, are wanted, not {first.shape} and {second.shape}"
        )
    first, second = first.astype(bool), second.astype(bool)
    return PairedRates(
        int((first & second).sum()),
        int((first & ~second).sum()),
        int((~first & second).sum()),
        int((~first & ~second).sum()),
    )


def mcnemar_p(pairs: PairedRates) -> float:
    """Return the two-sided p of McNemar's exact test (1947): are the discordant worlds split as a fair coin would split
    them?
    """
    if not pairs.discordant:
        return 1.0
    return float(stats.binomtest(pairs.only_first, pairs.discordant, 0.5).pvalue)


def newcombe_paired(pairs: PairedRates, confidence: float = 0.95) -> Interval:
    """Return the difference of two rates on the same worlds with Newcombe's interval (Stat. Med. 17:2635, 1998, method
    10).

    The Wilson intervals of both rates are put together, with the correlation of the two (its continuity correction
    included).
    """
    n = pairs.total
    (p, p_low, p_high), (q, q_low, q_high) = (
        (count / n, *wilson_interval(count, n, confidence))
        for count in (pairs.both + pairs.only_first, pairs.both + pairs.only_second)
    )
    margins = math.prod(
        float(x)
        for x in (
            pairs.both + pairs.only_first,
            pairs.only_second + pairs.neither,
            pairs.both + pairs.only_second,
            pairs.only_first + pairs.neither,
        )
    )
    cross = float(pairs.both * pairs.neither - pairs.only_first * pairs.only_second)
    cross = cross if cross < 0 else max(cross - n / 2, 0.0)
    phi = cross / math.sqrt(margins) if margins else 0.0
    below = _joined(p - p_low, q_high - q, phi)
    above = _joined(p_high - p, q - q_low, phi)
    return Interval(p - q, p - q - below, p - q + above)


def newcombe_unpaired(first: tuple[int, int], second: tuple[int, int], confidence: float = 0.95) -> Interval:
    """Return the difference of two rates, each (count, total) of worlds of its own (Newcombe, Stat. Med. 17:873, 1998,
    method 10).
    """
    (p, p_low, p_high), (q, q_low, q_high) = (
        (count / total, *wilson_interval(count, total, confidence)) for count, total in (first, second)
    )
    return Interval(p - q, p - q - _joined(p - p_low, q_high - q, 0.0), p - q + _joined(p_high - p, q - q_low, 0.0))


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))


class CochranQ(NamedTuple):
    """Cochran's Q (1950): do several entrants have one success rate on the same worlds?"""

    statistic: float
    df: int
    p: float


def cochran_q(success: np.ndarray) -> CochranQ:
    """Return Cochran's test of ``success`` (W, K) bool, a column per entrant; p is 1 where no world tells the entrants
    apart.
    """
    success = np.asarray(success, np.int64)
    k = success.shape[1]
    columns, rows = success.sum(0), success.sum(1)
    spread = float((rows * (k - rows)).sum())
    if spread == 0.0:
        return CochranQ(0.0, k - 1, 1.0)
    statistic = (k - 1) * float(k * (columns**2).sum() - columns.sum() ** 2) / spread
    return CochranQ(statistic, k - 1, float(stats.chi2.sf(statistic, k - 1)))


def odds_ratio_paired(pairs: PairedRates, confidence: float = 0.95) -> Interval:
    """Return the odds of success of the first over the second on the same worlds, only_first / only_second.

    The interval is Wilson's of the share of the first among the discordant worlds, carried over; bounds are infinite
    where it says so.
    """
    if not pairs.discordant:
        return Interval(math.nan, 0.0, math.inf)
    low, high = wilson_interval(pairs.only_first, pairs.discordant, confidence)
    share = pairs.only_first / pairs.discordant
    return Interval(*(math.inf if x >= 1.0 else x / (1.0 - x) for x in (share, low, high)))


def odds_ratio_unpaired(first: tuple[int, int], second: tuple[int, int], confidence: float = 0.95) -> Interval:
    """Return the odds ratio of two rates (count, total) of worlds of their own, with the interval of its logarithm
    (scipy).
    """
    table = [[first[0], first[1] - first[0]], [second[0], second[1] - second[0]]]
    found = stats.contingency.odds_ratio(table, kind="sample")
    bounds = found.confidence_interval(confidence)
    return Interval(float(found.statistic), float(bounds.low), float(bounds.high))
