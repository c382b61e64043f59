"""Two runs that go on in turns, and what the ratios of their times come to: single turns differ by several percent, and
many of them tell 2 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import quantile_test

CONFIDENCE, MIN_TURNS, UNMEASURED_TURNS = 0.95, 10, 2
"""Of an interval; the fewest turns that have one; turns before those that are measured."""
Advance = Callable[[int], float]
"""Goes on to a number of env steps, and returns the seconds that it took."""


def time_ratios(plain: Advance, other: Advance, turns: int, steps: int) -> list[float]:
    """Return (time of ``other``) / (time of ``plain``) of each of ``turns`` turns of ``steps`` env steps, after
    UNMEASURED_TURNS that are not measured; which of the two begins changes from turn to turn.
    """
    ratios = list[float]()
    for turn in range(turns + UNMEASURED_TURNS):
        seconds = [0.0, 0.0]
        for which in (0, 1) if turn % 2 else (1, 0):
            seconds[which] = (plain, other)[which]((turn + 1) * steps)
        if turn >= UNMEASURED_TURNS:
            ratios.append(seconds[1] / seconds[0])
    return ratios


def median_interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of the median of at least MIN_TURNS ratios, from order statistics (no distribution is assumed);
    NaN where there are too few.
    """
    interval = quantile_test(ratios, q=1, p=0.5).confidence_interval(CONFIDENCE)
    return float(interval.low), float(interval.high)


def ratio_figures(name: str, ratios: Sequence[float]) -> dict[str, float | list[float]]:
    """Return the median of ``ratios`` with its interval, and their quartiles, rounded, as a report has them."""
    return {
        f"{name}_median": round(float(np.median(ratios)), 4),
        f"{name}_median_interval": [round(bound, 4) for bound in median_interval(ratios)],
        f"{name}_quartiles": [round(float(q), 4) for q in np.quantile(ratios, (0.25, 0.75))],
    }
