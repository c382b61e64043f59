"""What a test can find: its power, the least difference that it finds, and how many episodes (or seeds) a difference
takes.

The power is that of the very test that judges: McNemar's exact one, and t with its own degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from robonav_ray.evaluation.comparing.seeds import joint_t

ALPHA, POWER = 0.05, 0.8
_TINY = 1e-10
_MOST = 10**9
_MOST_NODES = 300
"""Numbers of discordant worlds that a power is summed over; of more, so many spread evenly."""
_EXACT_WORLDS = 3000
"""Up to about so many worlds the exact power is searched; beyond, the normal approximation is as good."""


def mcnemar_power(num_worlds: int, discordant_frac: float, difference: float, alpha: float = ALPHA) -> float:
    """Return how probably McNemar's exact test finds ``difference`` between two rates on ``num_worlds`` worlds,
    two-sided.

    ``discordant_frac`` is the share of worlds in which just one of the two succeeds, at least |difference|. The number
    of such worlds is binomial, and the test's own critical value is used for each.
    """
    psi = max(discordant_frac, abs(difference))
    if psi == 0.0:
        return 0.0
    low, high = stats.binom.ppf([_TINY, 1.0 - _TINY], num_worlds, psi)
    first, last = max(int(low), 1), int(high)
    if last < first:
        return 0.0
    found = np.unique(np.linspace(first, last, min(last - first + 1, _MOST_NODES)).round()).astype(np.int64)
    most = stats.binom.ppf(alpha / 2, found, 0.5)
    most = np.where(special.bdtr(most, found, 0.5) > alpha / 2, most - 1, most)  # -1: so few worlds reject nothing
    share = (1.0 + difference / psi) / 2
    tails = _cdf(most, found, share) + _cdf(most, found, 1.0 - share)
    weight = stats.binom.pmf(found, num_worlds, psi)
    if len(found) < last - first + 1:  # evenly spread ones stand for all of many
        weight *= stats.binom.sf(first - 1, num_worlds, psi) / weight.sum()
    return float((weight * tails).sum())


def _cdf(most: np.ndarray, total: np.ndarray, share: float) -> np.ndarray:
    return np.where(most < 0, 0.0, special.bdtr(np.maximum(most, 0), total, share))


def mcnemar_least_difference(
    num_worlds: int, discordant_frac: float, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Return the least difference that McNemar's test would find with probability ``power``; NaN when it cannot find
    any.
    """
    if mcnemar_power(num_worlds, discordant_frac, 1.0, alpha) < power:
        return math.nan
    low, high = 0.0, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (
            (low, middle) if mcnemar_power(num_worlds, discordant_frac, middle, alpha) >= power else (middle, high)
        )
    return high


def mcnemar_worlds(discordant_frac: float, difference: float, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """Return how many worlds, played by both, McNemar's test takes to find ``difference``; None for no difference.

    The exact power is searched around the normal approximation of Connor (Biometrics 43:207, 1987), with the correction
    for continuity; where that is more than a few thousand it is the answer.
    """
    delta = abs(difference)
    if not delta:
        return None
    psi = max(discordant_frac, delta)
    z, y = stats.norm.isf(alpha / 2), stats.norm.ppf(power)
    guess = (z * math.sqrt(psi) + y * math.sqrt(max(psi - delta * delta, 0.0))) ** 2 / (delta * delta)
    guess *= (1.0 + math.sqrt(1.0 + 4.0 / (guess * delta))) ** 2 / 4.0
    if guess > _MOST / 4:
        return None
    if guess > _EXACT_WORLDS:
        return math.ceil(guess)
    return _least(lambda n: mcnemar_power(n, psi, delta, alpha) >= power, max(int(guess) // 2, 6))


def equal_worlds(discordant_frac: float, margin: float, power: float = POWER, alpha: float = ALPHA) -> int:
    """Return how many worlds it takes to show two equal rates to be equal within ``margin``, by two one-sided tests
    (Liu et al. 2002).
    """
    z = stats.norm.isf(alpha) + stats.norm.isf((1.0 - power) / 2)
    return max(math.ceil(z * z * max(discordant_frac, margin) / (margin * margin)), 6)


def unpaired_power(num_each: int, first: float, second: float, alpha: float = ALPHA) -> float:
    """Return how probably two rates are told apart on ``num_each`` worlds of each one's own (normal approximation,
    Fleiss 1981).
    """
    middle = (first + second) / 2
    pooled = math.sqrt(2.0 * middle * (1.0 - middle) / num_each)
    own = math.sqrt((first * (1.0 - first) + second * (1.0 - second)) / num_each)
    if not own:
        return float(first != second)
    return float(stats.norm.sf((stats.norm.isf(alpha / 2) * pooled - abs(first - second)) / own))


def unpaired_episodes(first: float, second: float, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """Return how many worlds of its own each of two entrants needs, to tell their rates apart: .95 and .97 take some
    1,500.
    """
    if first == second:
        return None
    return _least(lambda n: unpaired_power(n, first, second, alpha) >= power, 2)


def t_power(noncentrality: float, df: float, alpha: float = ALPHA) -> float:
    """Return the power of a two-sided t test; ``noncentrality`` is the true difference over its standard error."""
    limit = float(stats.t.isf(alpha / 2, df))
    if (
        df > 1e4 or abs(noncentrality) > limit + 10.0
    ):  # where scipy's noncentral t fails; it is normal there, or certain
        return float(stats.norm.sf(limit - abs(noncentrality)) + stats.norm.cdf(-limit - abs(noncentrality)))
    return float(stats.nct.sf(limit, df, abs(noncentrality)) + stats.nct.cdf(-limit, df, abs(noncentrality)))


def t_least_difference(error: float, df: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the least difference that a t test with this standard error finds with probability ``power``."""
    low, high = 0.0, 1.0
    while t_power(high, df, alpha) < power:
        high *= 2.0
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if t_power(middle, df, alpha) >= power else (middle, high)
    return high * error


def t_pairs(sd: float, difference: float, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """Return how many worlds a paired t test takes for ``difference``, whose standard deviation between worlds is
    ``sd``; None for none.
    """
    if not difference or abs(sd / difference) > 1e4:
        return None
    return _least(lambda n: t_power(difference / sd * math.sqrt(n), n - 1.0, alpha) >= power, 2) if sd else 2


class Trained(NamedTuple):
    """A method in a comparison with the seeds as units."""

    variance: float
    """Of the mean of one seed."""
    num_seeds: int


def seeds_power(
    difference: float, methods: Sequence[Trained], of_worlds: float, num_worlds: int, alpha: float = ALPHA
) -> float:
    """Return how probably ``difference_over_seeds`` finds ``difference`` between one or two trained methods.

    ``of_worlds`` is the worlds' own part of the variance. The estimated variances of the seeds, with which the critical
    value moves, are averaged over their chi-square distributions (Gauss and Legendre's rule on their quantiles).
    """
    true = sum(variance / count for variance, count in methods) + of_worlds
    if not true:
        return float(difference != 0.0)
    found: list[np.ndarray] = [np.zeros(1), np.zeros(1)]
    weight: list[np.ndarray] = [np.ones(1), np.ones(1)]
    for i, (variance, count) in enumerate(methods):
        found[i] = variance * stats.chi2.ppf(_NODES, count - 1) / (count - 1) / count
        weight[i] = _WEIGHTS
    first, second = found[0][:, None], found[1][None, :]
    of_seeds = np.maximum(first + second, 1e-300)
    dfs = [method.num_seeds - 1.0 for method in methods] + [1.0]
    df = of_seeds**2 / np.maximum(first**2 / dfs[0] + second**2 / dfs[1], 1e-300)
    limit = joint_t(of_seeds, np.maximum(df, 1.0), of_worlds, num_worlds - 1.0, 1.0 - alpha)
    limit = limit * np.sqrt((of_seeds + of_worlds) / true)
    away = abs(difference) / math.sqrt(true)
    tails = special.ndtr(away - limit) + special.ndtr(-away - limit)
    return float((tails * weight[0][:, None] * weight[1][None, :]).sum())


_NODES, _WEIGHTS = (np.polynomial.legendre.leggauss(16)[0] + 1) / 2, np.polynomial.legendre.leggauss(16)[1] / 2


def seeds_least_difference(
    methods: Sequence[Trained], of_worlds: float, num_worlds: int, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Return the least difference that these seeds find with probability ``power``; NaN without any variance."""
    error = math.sqrt(sum(variance / count for variance, count in methods) + of_worlds)
    if not error:
        return math.nan
    low, high = 0.0, error
    while seeds_power(high, methods, of_worlds, num_worlds, alpha) < power:
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        is_found = seeds_power(middle, methods, of_worlds, num_worlds, alpha) >= power
        low, high = (low, middle) if is_found else (middle, high)
    return high


def seeds_each(
    variances: Sequence[float],
    of_worlds: float,
    num_worlds: int,
    difference: float,
    power: float = POWER,
    alpha: float = ALPHA,
) -> int | None:
    """Return how many seeds of each trained method it takes to find ``difference`` on as many worlds.

    ``variances`` are those of one seed of each method. None when a thousand seeds would not do: more worlds are wanted.
    """

    def is_enough(count: int) -> bool:
        methods = [Trained(variance, count) for variance in variances]
        return count > 1 and seeds_power(difference, methods, of_worlds, num_worlds, alpha) >= power

    return _least(is_enough, 2) if difference and is_enough(1000) else None


def _least(is_enough: Callable[[int], bool], start: int) -> int:
    """Return the least number from ``start`` / 2 on that is enough, where more are never less so, by doubling and
    halving.
    """
    high = start
    while not is_enough(high):
        high *= 2
        if high > _MOST:
            raise ValueError(f"more than {_MOST:,} would be wanted")
    low = max(high // 2, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
