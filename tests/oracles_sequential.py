"""Slow twins of the sequential test: every world, every stake and every claim, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robonav_ray.evaluation.comparing.sequential import STAKES


def slow_wealth(outcomes: Sequence[float], least: float, most: float, mean: float, *, above: bool) -> float:
    """Return what a capital of 1, parted equally over the stakes, has become: each part bets anew on every outcome."""
    capital = [1.0 / len(STAKES)] * len(STAKES)
    for outcome in outcomes:
        for i, stake in enumerate(STAKES):
            ruin = (mean - least) if above else (most - mean)
            won = (outcome - mean) if above else (mean - outcome)
            capital[i] *= 1.0 + stake * won / ruin
    return sum(capital)


def slow_bounds(outcomes: Sequence[float], least: float, most: float, alpha: float, step: float) -> tuple[float, float]:
    """Return the bounds by trying every mean on a grid: the last that is refuted on either side of the observed one."""
    observed = sum(outcomes) / len(outcomes)
    low, high = least, most
    for i in range(1, math.ceil((most - least) / step)):
        mean = least + i * step
        if mean < observed and slow_wealth(outcomes, least, most, mean, above=True) >= 1.0 / alpha:
            low = mean
        if mean > observed and slow_wealth(outcomes, least, most, mean, above=False) >= 1.0 / alpha:
            high = min(high, mean)
    return low, high
