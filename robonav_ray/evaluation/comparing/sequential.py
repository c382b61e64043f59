"""Means that may be looked at after every batch: what bets against a mean have won, and the interval that they leave.

A bettor who doubts that the mean of bounded outcomes is at most m stakes a share of the capital on each outcome's
excess over m. While the doubt is unfounded the capital is a supermartingale that begins at 1, so that it ever reaches
1 / alpha with probability alpha at most, however often one looks and whenever one stops (Ville 1939). Betting and
inversion: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", J. R. Stat. Soc. B 86:1,
2024. The stakes are a fixed mixture, so that only counts matter; for pairs of yes and no it is the mixture SPRT
(Robbins, Ann. Math. Stat. 41:1397, 1970) on the discordant pairs, a McNemar test that allows peeking.

The mean may differ from outcome to outcome: m is a bound of all conditional means, or, where outcomes are looked at in
whole rounds with one of each kind, of the mean over the round (by the inequality of means).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robonav_ray.evaluation.comparing.rates import Interval, PairedRates

STAKES = np.geomspace(0.01, 0.9, 24)
"""Shares of the largest stake that cannot ruin, equal parts of the capital on each: about one in each fifth of an
effect's size."""
PAIR_VALUES = (-1.0, 0.0, 1.0)
"""Outcomes of a world that two entrants play: only the second has it, both or neither, only the first."""
_HALVINGS = 48


def pair_counts(pairs: PairedRates) -> np.ndarray:
    """Return counts (3,) int64 in the order of ``PAIR_VALUES``."""
    return np.array([pairs.only_second, pairs.both + pairs.neither, pairs.only_first], np.int64)


def log_wealth(counts: np.ndarray, values: Sequence[float], mean: float, *, above: bool) -> np.ndarray:
    """Return the logarithm of what bets on a mean above ``mean`` (or below it) have made of a capital of 1.

    Args:
        counts: (..., K), how often each of ``values`` has come.
        values: (K,), all that an outcome can be.
        mean: Of the doubted claim; strictly between the least and the largest value.
        above: Whether the claim is "at most ``mean``"; else it is "at least".

    Returns:
        (...) float64. ``exp`` of it is an e-value: at least 1 / alpha refutes the claim at level alpha at any time.
    """
    outcome = np.asarray(values, np.float64)
    excess = (outcome - mean) / (mean - outcome.min()) if above else (mean - outcome) / (outcome.max() - mean)
    factors = np.log1p(STAKES[:, None] * excess)
    return np.logaddexp.reduce(np.asarray(counts, np.float64) @ factors.T, axis=-1) - math.log(len(STAKES))


def refuted(counts: np.ndarray, values: Sequence[float], mean: float, alpha: float, *, above: bool) -> np.ndarray:
    """Return whether "at most ``mean``" (``above``), or "at least", has been refuted by each look.

    ``counts`` (..., L, K) are running totals at L looks; (..., L) bool, and once refuted is refuted for good.
    """
    wealth = log_wealth(counts, values, mean, above=above)
    return np.maximum.accumulate(wealth, axis=-1) >= -math.log(alpha)


def bounds(counts: np.ndarray, values: Sequence[float], alpha: float) -> Interval:
    """Return the mean of outcomes, counted (K,), with bounds that each hold at all times with probability 1 - alpha.

    Both together are a confidence sequence of level 1 - 2 alpha. Without an outcome the bounds are the least and the
    largest value, and the mean is NaN.
    """
    least, most, total = min(values), max(values), int(counts.sum())
    if not total:
        return Interval(math.nan, least, most)
    mean = float(counts @ np.asarray(values, np.float64)) / total
    return Interval(
        mean, _bound(counts, values, mean, least, alpha, above=True), _bound(counts, values, mean, most, alpha)
    )


def _bound(
    counts: np.ndarray, values: Sequence[float], mean: float, end: float, alpha: float, *, above: bool = False
) -> float:
    """Return the refuted mean nearest to the observed one; wealth falls towards that, so that halving finds it."""
    refuted_at, kept = end, mean
    for _ in range(_HALVINGS):
        middle = (refuted_at + kept) / 2
        if middle in (refuted_at, kept):
            break
        if log_wealth(counts, values, middle, above=above) >= -math.log(alpha):
            refuted_at = middle
        else:
            kept = middle
    return refuted_at


class RunningBounds:
    """Bounds that never grow wider from look to look: each holds at all looks together."""

    def __init__(self, values: Sequence[float], alpha: float) -> None:
        """``values`` are all that an outcome can be."""
        self._values, self._alpha = values, alpha
        self._low, self._high = min(values), max(values)

    def look(self, counts: np.ndarray) -> Interval:
        """Take in running totals (K,) and return the mean with its bounds.

        Where outcomes have changed so much that nothing is left between the bounds, they are those of this look alone.
        """
        here = bounds(counts, self._values, self._alpha)
        self._low, self._high = max(self._low, here.low), min(self._high, here.high)
        if self._low > self._high:
            self._low, self._high = here.low, here.high
        return Interval(here.value, self._low, self._high)
