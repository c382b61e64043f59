"""Several claims at once: Holm's adjustment, the false discovery rate, and equivalence within a margin (two one-sided
tests).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from robonav_ray.evaluation.comparing.rates import PairedRates

MARGIN = 0.01
"""Difference in success below which two entrants count as equal, unless another is said: one point."""


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p adjusted so that one false claim in the whole family is as rare as alpha (Holm 1979); (K,) float64."""
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def false_discovery(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p adjusted so that of what is called a difference a share of alpha is none (Benjamini & Hochberg 1995,
    scipy), for tables that are explored; (K,) float64.
    """
    return np.asarray(stats.false_discovery_control(np.asarray(p, np.float64))) if len(p) else np.zeros(0)


def equal_means_p(value: float, error: float, df: float, margin: float) -> float:
    """Return p of "the difference is ``margin`` or more" by two one-sided t tests (Schuirmann 1987): small means equal
    within the margin.
    """
    if not error:
        return float(abs(value) >= margin)
    return max(float(stats.t.sf((value + margin) / error, df)), float(stats.t.sf((margin - value) / error, df)))


def equal_rates_p(pairs: PairedRates, margin: float = MARGIN) -> float:
    """Return the same for two rates on the same worlds, by Tango's score test (Stat. Med. 17:891, 1998) at both ends of
    the margin.
    """
    return max(float(stats.norm.sf(_tango(pairs, -margin))), float(stats.norm.cdf(_tango(pairs, margin))))


def _tango(pairs: PairedRates, difference: float) -> float:
    """Return the score statistic of "the first is better by ``difference``", the nuisance rate estimated under it."""
    n, b, c = pairs.total, pairs.only_first, pairs.only_second
    half = -b - c + (2 * n - b + c) * difference
    rate = (math.sqrt(max(half * half + 8.0 * n * c * difference * (1.0 - difference), 0.0)) - half) / (4.0 * n)
    variance = n * (2.0 * rate + difference * (1.0 - difference))
    gap = b - c - n * difference
    return gap / math.sqrt(variance) if variance > 0.0 else math.copysign(math.inf, gap) if gap else 0.0
