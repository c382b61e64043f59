"""Means against means: paired and Welch's t, Welch's ANOVA with Games-Howell, Mann-Whitney, Dunnett, the paired
bootstrap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from robonav_ray.evaluation.comparing.rates import Interval

_TINY_P = 1e-8


class TestedDifference(NamedTuple):
    """A difference of two means, its interval, and the p of "there is none"."""

    __test__ = False  # pytest takes it for none of its own

    value: float
    low: float
    high: float
    p: float
    df: float


def paired_t(first: np.ndarray, second: np.ndarray, confidence: float = 0.95) -> TestedDifference:
    """Return Student's paired test of two (W,) arrays of the same worlds; worlds in which either is not finite are left
    out.

    Raises:
        ValueError: for fewer than two such worlds.
    """
    gap = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    gap = gap[np.isfinite(gap)]
    if len(gap) < 2:
        raise ValueError(f"a paired t test takes at least two worlds that tell both values, not {len(gap)}")
    return _t_test(float(gap.mean()), float(gap.std(ddof=1)) / len(gap) ** 0.5, len(gap) - 1.0, confidence)


def welch_t(first: np.ndarray, second: np.ndarray, confidence: float = 0.95) -> TestedDifference:
    """Return Welch's test (1947) of two samples with variances of their own; entries that are not finite are left out.

    Raises:
        ValueError: for a sample of fewer than two.
    """
    a, b = _finite(first), _finite(second)
    if min(len(a), len(b)) < 2:
        raise ValueError(f"Welch's t test takes at least two values of each, not {len(a)} and {len(b)}")
    u, v = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    spread = u * u / (len(a) - 1) + v * v / (len(b) - 1)
    df = (u + v) ** 2 / spread if spread else float(len(a) + len(b) - 2)
    return _t_test(float(a.mean() - b.mean()), (u + v) ** 0.5, df, confidence)


def _t_test(value: float, error: float, df: float, confidence: float) -> TestedDifference:
    """Return the t test of an estimate with its standard error; without any spread p is 1 for no difference, else 0."""
    half = float(stats.t.ppf(0.5 + confidence / 2, df)) * error
    p = 2.0 * float(stats.t.sf(abs(value) / error, df)) if error else float(value == 0.0)
    return TestedDifference(value, value - half, value + half, p, df)


def paired_bootstrap(
    first: np.ndarray, second: np.ndarray, rng: np.random.Generator, confidence: float = 0.95, num_resamples: int = 2000
) -> Interval:
    """Return the mean difference of two (W,) arrays of the same worlds with the percentile bootstrap's interval, worlds
    drawn anew.

    Percentiles, and no acceleration (BCa), which fails on data of zeros and ones (Efron & Tibshirani 1993, ch. 14);
    widened for few worlds as ``expanded_tail`` says. It is for metrics with long tails; for rates ``newcombe_paired``
    is exact where one of them is near 0 or 1.
    """
    gap = _finite(np.asarray(first, np.float64) - np.asarray(second, np.float64))
    return paired_bootstraps(gap[:, None], rng, confidence, num_resamples)[0]


def paired_bootstraps(
    gaps: np.ndarray, rng: np.random.Generator, confidence: float = 0.95, num_resamples: int = 2000
) -> list[Interval]:
    """As ``paired_bootstrap``, of K differences on the same worlds at once, (W, K) finite: worlds are drawn once for
    all.
    """
    count = len(gaps)
    if count < 2:
        raise ValueError(f"a paired bootstrap takes at least two worlds that tell both values, not {count}")
    means = np.stack(
        [np.bincount(rng.integers(0, count, count), minlength=count) @ gaps / count for _ in range(num_resamples)]
    )
    tail = expanded_tail(count - 1.0, (count - 1.0) / count, confidence)
    bounds = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return [Interval(float(middle), *map(float, two)) for middle, two in zip(gaps.mean(0), bounds.T, strict=True)]


def expanded_tail(df: float, variance_ratio: float, confidence: float) -> float:
    """Return the tail of a bootstrap's percentiles at which it is as wide as Student's interval (Hesterberg, Am. Stat.
    69:371, 2015).

    A bootstrap of n values has (n - 1) / n of the variance, ``variance_ratio``, and normal tails in place of those of t
    with ``df``: of 20 values its plain 95 % interval covers 93 %.
    """
    return float(stats.norm.sf(stats.t.ppf(0.5 + confidence / 2, df) / variance_ratio**0.5))


class Anova(NamedTuple):
    """Welch's ANOVA (1951), and Games and Howell's comparison of each pair (1976), which is adjusted for their
    number.
    """

    statistic: float
    p: float
    pair_p: np.ndarray
    """(K, K) float64."""
    pair_low: np.ndarray
    """(K, K) float64: bounds of the difference row minus column."""
    pair_high: np.ndarray


def welch_anova(*samples: np.ndarray, confidence: float = 0.95) -> Anova:
    """Return whether any of K independent samples has another mean, and which pairs differ (scipy); each has at least
    two finite values.
    """
    known = [_finite(sample) for sample in samples]
    if len(known) < 2 or min(map(len, known)) < 2:
        raise ValueError("Welch's ANOVA takes at least two samples of at least two values")
    overall = stats.f_oneway(*known, equal_var=False)
    pairs = stats.tukey_hsd(*known, equal_var=False)
    bounds = pairs.confidence_interval(confidence)
    return Anova(float(overall.statistic), float(overall.pvalue), pairs.pvalue, bounds.low, bounds.high)


def welch_f(*samples: np.ndarray) -> tuple[float, float]:
    """Return statistic and p of Welch's ANOVA alone, of K samples of at least two finite values each."""
    found = stats.f_oneway(*map(_finite, samples), equal_var=False)
    return float(found.statistic), float(found.pvalue)


def games_howell_p(first: np.ndarray, second: np.ndarray, num_samples: int) -> float:
    """Return p of one pair among ``num_samples`` samples, as ``welch_anova`` has it for all; 1 without any spread and
    difference. Below 1e-8 Bonferroni's bound is given, which is as small and takes no integral.
    """
    tested = welch_t(first, second)
    error = (tested.high - tested.value) / float(stats.t.ppf(0.975, tested.df))
    if not error:
        return float(tested.value == 0.0)
    bound = num_samples * (num_samples - 1) * float(stats.t.sf(abs(tested.value) / error, tested.df))
    if bound < _TINY_P:
        return bound
    return float(stats.studentized_range.sf(abs(tested.value) / error * 2.0**0.5, num_samples, tested.df))


class RankTest(NamedTuple):
    """Mann and Whitney's test (1947): does one sample tend to have the larger values?"""

    statistic: float
    p: float
    superiority: float
    """P(a value of the first is the larger) + half of P(equal)."""


def mann_whitney(first: np.ndarray, second: np.ndarray) -> RankTest:
    """Return the rank test of two independent samples (scipy); entries that are not finite are left out."""
    a, b = _finite(first), _finite(second)
    found = stats.mannwhitneyu(a, b, alternative="two-sided")
    return RankTest(float(found.statistic), float(found.pvalue), float(found.statistic) / (len(a) * len(b)))


def dunnett_p(control: np.ndarray, *others: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return p (K,) of each independent sample against one control, adjusted for their number (Dunnett 1955, scipy)."""
    return np.asarray(stats.dunnett(*map(_finite, others), control=_finite(control), rng=rng).pvalue)


def _finite(value: np.ndarray) -> np.ndarray:
    value = np.asarray(value, np.float64)
    return value[np.isfinite(value)]
