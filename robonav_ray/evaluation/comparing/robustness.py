"""How much of its clean performance an entrant keeps while a disturbance grows: the area under its curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from robonav_ray.evaluation.comparing.rates import Interval


def relative_area(levels: Sequence[float], values: Sequence[np.ndarray], confidence: float = 0.95) -> Interval:
    """Return the area under a curve of means over ``levels``, divided by the area were every level as good as the
    first.

    1 is a flat curve, 0 one that falls to nothing at once. ``values`` is a (W,) array for each level, in the order of
    ``levels``, which rise. The interval is that of a ratio of means (delta method) with t; levels of as many worlds are
    taken to be played on the same worlds, else to be independent. All is NaN where the first level's mean is not above
    0.

    Raises:
        ValueError: for fewer than two levels, levels that do not rise, or fewer than two worlds.
    """
    steps = np.diff(np.asarray(levels, np.float64))
    fewest = min(map(len, values))
    if len(steps) < 1 or (steps <= 0.0).any() or fewest < 2:
        raise ValueError(
            f"an area takes two levels that rise, of two worlds each, not {list(levels)} of {fewest} worlds"
        )
    weights = np.zeros(len(values))
    weights[:-1] += steps / 2
    weights[1:] += steps / 2
    weights /= steps.sum()
    means = np.array([float(np.mean(one)) for one in values])
    if means[0] <= 0.0:
        return Interval(math.nan, math.nan, math.nan)
    area = float(weights @ means / means[0])
    pull = weights / means[0]
    pull[0] -= area / means[0]
    parts = [
        weight * (np.asarray(one, np.float64) - middle) for weight, one, middle in zip(pull, values, means, strict=True)
    ]
    if all(len(one) == fewest for one in values):
        variance = float(np.sum(parts, axis=0).var(ddof=1)) / fewest
    else:
        variance = sum(float(part.var(ddof=1)) / len(part) for part in parts)
    half = float(special.stdtrit(fewest - 1, 0.5 + confidence / 2)) * math.sqrt(variance)
    return Interval(area, area - half, area + half)
