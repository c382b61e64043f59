"""How much of its clean performance an entrant keeps while a disturbance grows: the area under its curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robonav_ray.evaluation.comparing.means import expanded_tail
from robonav_ray.evaluation.comparing.rates import Interval


def relative_area(
    levels: Sequence[float],
    values: Sequence[np.ndarray],
    rng: np.random.Generator,
    confidence: float = 0.95,
    num_resamples: int = 500,
) -> Interval:
    """Return the area under a curve of means over ``levels``, divided by the area were every level as good as the
    first.

    1 is a flat curve, 0 one that falls to nothing at once. ``values`` is a (W,) array for each level, in the order of
    ``levels``, which rise. The interval is the bootstrap's over worlds; levels of as many worlds are drawn together,
    since they are the same worlds. Bounds are NaN, and so is the area, where the first level's mean is not above 0.

    Raises:
        ValueError: for fewer than two levels, or levels that do not rise.
    """
    steps = np.diff(np.asarray(levels, np.float64))
    if len(steps) < 1 or (steps <= 0.0).any():
        raise ValueError(f"an area takes two levels that rise, not {list(levels)}")
    weights = np.zeros(len(values))
    weights[:-1] += steps / 2
    weights[1:] += steps / 2
    weights /= steps.sum()
    means = np.array([float(np.mean(one)) for one in values])
    if means[0] <= 0.0:
        return Interval(float("nan"), float("nan"), float("nan"))
    area = float(weights @ means / means[0])
    drawn = np.empty((num_resamples, len(values)))
    counts: dict[int, np.ndarray] = {}
    for i, one in enumerate(values):
        n = len(one)
        if n not in counts:
            counts[n] = rng.multinomial(n, np.full(n, 1.0 / n), num_resamples) / n
        drawn[:, i] = counts[n] @ np.asarray(one, np.float64)
    known = drawn[:, 0] > 0.0
    areas = drawn[known] @ weights / drawn[known, 0]
    fewest = min(map(len, values))
    tail = expanded_tail(fewest - 1.0, (fewest - 1.0) / fewest, confidence)
    low, high = np.quantile(areas, [tail, 1.0 - tail])
    return Interval(area, float(low), float(high))
