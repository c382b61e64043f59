"""How large a difference is, apart from how sure it is."""

from __future__ import annotations

import math

import numpy as np
from scipy import special, stats


def cohens_h(first: float, second: float) -> float:
    """Return 2 asin(sqrt(p)) - 2 asin(sqrt(q)) of two rates (Cohen 1988, ch. 6): .2 is small, .5 medium, .8 large."""
    return 2.0 * math.asin(math.sqrt(first)) - 2.0 * math.asin(math.sqrt(second))


def cohens_d(first: np.ndarray, second: np.ndarray) -> float:
    """Return the difference of two means in pooled standard deviations (Cohen 1988, ch. 2); NaN without any spread."""
    n, m = len(first), len(second)
    pooled = ((n - 1) * np.var(first, ddof=1) + (m - 1) * np.var(second, ddof=1)) / (n + m - 2)
    return float((np.mean(first) - np.mean(second)) / math.sqrt(pooled)) if pooled > 0.0 else math.nan


def hedges_g(first: np.ndarray, second: np.ndarray) -> float:
    """Return Cohen's d without its bias in small samples (Hedges 1981, eq. 6e: the exact factor)."""
    df = len(first) + len(second) - 2
    factor = (
        math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2) if df > 1 else math.nan
    )
    return cohens_d(first, second) * factor


def _sums_of_squares(samples: tuple[np.ndarray, ...]) -> tuple[float, float]:
    """Return those between samples and within."""
    everything = np.concatenate(samples).mean()
    between = sum(len(sample) * float(np.mean(sample) - everything) ** 2 for sample in samples)
    return between, sum(float(((sample - np.mean(sample)) ** 2).sum()) for sample in samples)


def eta_squared(*samples: np.ndarray) -> float:
    """Return the share of the variance that K samples explain, SS_between / SS_total."""
    between, within = _sums_of_squares(samples)
    return between / (between + within) if between + within > 0.0 else math.nan


def omega_squared(*samples: np.ndarray) -> float:
    """Return ``eta_squared`` without its upward bias (Hays 1963): (SS_b - (K - 1) MS_w) / (SS_total + MS_w)."""
    between, within = _sums_of_squares(samples)
    freedom = sum(map(len, samples)) - len(samples)
    mean_within = within / freedom
    total = between + within + mean_within
    return (between - (len(samples) - 1) * mean_within) / total if total > 0.0 else math.nan


def cliffs_delta(first: np.ndarray, second: np.ndarray) -> float:
    """Return P(first larger) - P(second larger) over all pairs (Cliff 1993), in O(n log n) by ranks."""
    n, m = len(first), len(second)
    ranks = stats.rankdata(np.concatenate([first, second]))
    larger = float(ranks[:n].sum()) - n * (n + 1) / 2
    return 2.0 * larger / (n * m) - 1.0
