"""Claims about a method: its training seeds are the units, the worlds that all of them play come second.

Arrays are (S, W): a row per training seed, a column per world, the same worlds for every seed and every method. A
policy that is not trained, or of which there is one, has S = 1 and no variance between seeds: the claim is then about
this policy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

from robonav_ray.evaluation.comparing.means import TestedDifference, expanded_tail
from robonav_ray.evaluation.comparing.rates import Interval

MIN_BOOTSTRAP_SEEDS = 10
"""With fewer a percentile bootstrap cannot cover (three seeds: at most 1 - 2 / 3**3 less ties, 75 %), and t takes its
place.
"""


class Spread(NamedTuple):
    """The standard error of a mean over seeds and worlds, and where it comes from."""

    error: float
    df: float
    """At which Student's t is as wide as it must be."""
    seed_variance: tuple[float, ...]
    """Of the mean, from the seeds of each method; 0 where there is one."""
    world_variance: float
    """Of the mean, from the worlds."""


def spread_of(first: np.ndarray, second: np.ndarray | None = None) -> Spread:
    """Return the spread of the mean of ``first`` (S, W), or of its difference to ``second`` (T, W), for other seeds and
    other worlds.

    Two-way random effects without replication (Searle, Casella & McCulloch 1992, ch. 5): the seeds' means give the part
    of the seeds and of the noise of single episodes; the worlds add what is left of the variance of their means once
    that noise is taken off. Without such a rest this is Student's t on the seeds' means, of two methods Welch's.
    """
    methods = [first] if second is None else [first, second]
    num_worlds = first.shape[1]
    over_worlds = first.mean(0) if second is None else first.mean(0) - second.mean(0)
    of_worlds = float(over_worlds.var(ddof=1)) / num_worlds
    seeds, noise, uncertain = [], 0.0, 0.0
    for values in methods:
        count = len(values)
        if count == 1:
            seeds.append(0.0)
            continue
        of_seeds = float(values.mean(1).var(ddof=1)) / count
        rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
        noise += float((rest**2).sum()) / ((count - 1) * (num_worlds - 1)) / (count * num_worlds)
        seeds.append(of_seeds)
        uncertain += of_seeds**2 / (count - 1)
    worlds = max(of_worlds - noise, 0.0)
    of_all_seeds = sum(seeds)
    df_seeds = of_all_seeds**2 / uncertain if uncertain else 1.0
    df = _joint_df(of_all_seeds, df_seeds, worlds, num_worlds - 1.0)
    return Spread((of_all_seeds + worlds) ** 0.5, df, tuple(seeds), worlds)


def joint_t(of_seeds: Any, df_seeds: Any, of_worlds: float, df_worlds: float, confidence: float = 0.95) -> Any:
    """Return the critical value for a sum of two variances, of which the one of few seeds is itself uncertain; of
    numbers a number, of arrays an array.

    Satterthwaite's df covers too little (three seeds: 92 to 95 %), Cochran and Cox's weighted mean of both t (1950) too
    much (95 to 97 %). This is between the two, by the mean of their squares: 94 to 97 % for three seeds and more,
    however seeds and worlds share the variance (docs/evaluation_statistics.md).
    """
    tail = 0.5 + confidence / 2
    both = of_seeds + of_worlds
    weighted = (of_seeds * special.stdtrit(df_seeds, tail) + of_worlds * special.stdtrit(df_worlds, tail)) / both
    satterthwaite = both**2 / (of_seeds**2 / df_seeds + of_worlds**2 / df_worlds)
    return np.sqrt((weighted**2 + special.stdtrit(satterthwaite, tail) ** 2) / 2)


def _joint_df(of_seeds: float, df_seeds: float, of_worlds: float, df_worlds: float) -> float:
    """Return the df at which Student's t has the critical value ``joint_t``."""
    if not of_seeds or not of_worlds:
        return df_seeds if of_seeds else df_worlds
    wide = float(joint_t(of_seeds, df_seeds, of_worlds, df_worlds))
    low, high = min(df_seeds, df_worlds), max(df_seeds, df_worlds)
    while high - low > 1e-3 * low:
        middle = (low + high) / 2
        low, high = (middle, high) if special.stdtrit(middle, 0.975) > wide else (low, middle)
    return low


def difference_over_seeds(first: np.ndarray, second: np.ndarray, confidence: float = 0.95) -> TestedDifference:
    """Return the difference of two methods (S, W) and (T, W), with t on their ``spread_of``; p is 1 where nothing
    differs.
    """
    spread = spread_of(first, second)
    value = float(first.mean() - second.mean())
    half = float(stats.t.ppf(0.5 + confidence / 2, spread.df)) * spread.error
    p = 2.0 * float(stats.t.sf(abs(value) / spread.error, spread.df)) if spread.error else float(value == 0.0)
    return TestedDifference(value, value - half, value + half, p, spread.df)


def mean_over_seeds(
    values: np.ndarray, rng: np.random.Generator, confidence: float = 0.95, num_resamples: int = 2000
) -> Interval:
    """Return the mean of a method (S, W) with its interval: by the bootstrap from ten seeds on, by t on ``spread_of``
    with fewer.
    """
    if len(values) >= MIN_BOOTSTRAP_SEEDS:
        return hierarchical_bootstrap(values, rng, confidence=confidence, num_resamples=num_resamples)
    spread = spread_of(values)
    half = float(stats.t.ppf(0.5 + confidence / 2, spread.df)) * spread.error
    return Interval(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)


def hierarchical_bootstrap(
    first: np.ndarray,
    rng: np.random.Generator,
    second: np.ndarray | None = None,
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
) -> Interval:
    """Return the mean of ``first`` (S, W), or its difference to ``second`` (T, W), with the bootstrap over seeds and
    worlds.

    Seeds are drawn anew for each method, worlds once for all: they are the same for every seed, so the two are crossed
    (Owen, Ann. Appl. Stat. 1:386, 2007). Such a bootstrap counts the noise of single episodes three times; its
    percentiles are taken where they have the width of the unbiased ``spread_of`` and the tails of t (see
    ``expanded_tail``).

    Raises:
        ValueError: for a method of 2 to 9 seeds: t on the seeds' means belongs there.
    """
    methods = [first] if second is None else [first, second]
    for values in methods:
        if 1 < len(values) < MIN_BOOTSTRAP_SEEDS:
            raise ValueError(
                f"a bootstrap over {len(values)} seeds cannot cover; t on the seeds' means takes fewer than ten"
            )
    num_worlds = first.shape[1]
    worlds = rng.multinomial(num_worlds, np.full(num_worlds, 1.0 / num_worlds), num_resamples)
    means = np.zeros(num_resamples)
    for sign, values in zip((1.0, -1.0), methods, strict=False):
        count = len(values)
        seeds = rng.multinomial(count, np.full(count, 1.0 / count), num_resamples)
        means += sign * ((seeds @ values) * worlds).sum(1) / (count * num_worlds)
    value = float(first.mean() - (0.0 if second is None else second.mean()))
    spread = spread_of(first, second)
    if not spread.error or not means.var():
        return Interval(value, value, value)
    tail = expanded_tail(spread.df, float(means.var()) / spread.error**2, confidence)
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high))


def interquartile_mean(scores: np.ndarray) -> float:
    """Return the mean of the middle half of all scores (S, T), seeds by scenarios (Agarwal et al., NeurIPS 2021)."""
    return float(stats.trim_mean(np.asarray(scores, np.float64).ravel(), 0.25))


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the share of scores (S, T) above each of ``thresholds`` (P,), as (P,) (Agarwal et al. 2021, eq. 3)."""
    return (np.asarray(scores)[None] > np.asarray(thresholds)[:, None, None]).mean((1, 2))


def probability_of_improvement(first: np.ndarray, second: np.ndarray) -> float:
    """Return how probably a seed of the first method is better than one of the second on a scenario, the mean over
    scenarios.

    Scores are (S, T) and (T', T) with a column per scenario; equal ones count half (Agarwal et al. 2021).
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    larger = (first[:, None] > second[None]).mean((0, 1)) + 0.5 * (first[:, None] == second[None]).mean((0, 1))
    return float(larger.mean())


def over_seeds(
    figure: str, scores: np.ndarray, rng: np.random.Generator, confidence: float = 0.95, num_resamples: int = 2000
) -> Interval:
    """Return the interquartile mean (``figure`` "iqm") or the mean ("mean") of scores (S, T) with the bootstrap over
    seeds, widened as above.

    A seed is drawn with all its scenarios: it is one policy. With fewer than ten seeds the bounds are NaN.
    """
    count, trimmed = len(scores), {"iqm": 0.25, "mean": 0.0}[figure]
    value = float(stats.trim_mean(np.asarray(scores, np.float64).ravel(), trimmed))
    if count < MIN_BOOTSTRAP_SEEDS:
        return Interval(value, float("nan"), float("nan"))
    drawn = scores[rng.integers(0, count, (num_resamples, count))].reshape(num_resamples, -1)
    drawn = stats.trim_mean(drawn, trimmed, axis=1)
    tail = expanded_tail(count - 1.0, (count - 1.0) / count, confidence)
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high))


class NoiseFloor(NamedTuple):
    """How far an entrant differs from itself: a smaller difference between two entrants means nothing."""

    halves: float
    """95 % of the differences between two disjoint halves of the same worlds are smaller."""
    seeds: float
    """The largest difference between two seeds of the method on the same worlds; NaN for one."""


def noise_floor(values: np.ndarray, rng: np.random.Generator, num_splits: int = 400) -> NoiseFloor:
    """Return the noise floor of a metric (S, W): A against A, on halves of its worlds, and between its own seeds."""
    over_worlds, half = values.mean(0), values.shape[1] // 2
    gaps = np.empty(num_splits)
    for i in range(num_splits):
        order = rng.permutation(len(over_worlds))
        gaps[i] = abs(over_worlds[order[:half]].mean() - over_worlds[order[half : 2 * half]].mean())
    means = values.mean(1)
    between = float(means.max() - means.min()) if len(means) > 1 else float("nan")
    return NoiseFloor(float(np.quantile(gaps, 0.95)), between)
