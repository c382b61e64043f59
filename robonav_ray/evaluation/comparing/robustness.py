"""How much of its clean performance an entrant keeps while a disturbance grows: the area under its curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

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
    area, pull = _parts(levels, values)
    if math.isnan(area):
        return Interval(area, area, area)
    if len({len(one) for one in values}) == 1:
        return _with_t(area, np.sum(pull, axis=0), confidence)
    fewest = min(map(len, values))
    variance = sum(float(part.var(ddof=1)) / len(part) for part in pull)
    half = float(special.stdtrit(fewest - 1, 0.5 + confidence / 2)) * math.sqrt(variance)
    return Interval(area, area - half, area + half)


class Swept(NamedTuple):
    """What two entrants did in one sweep, on the same worlds at every level."""

    levels: Sequence[float]
    first: Sequence[np.ndarray]
    """(W,) of each level."""
    second: Sequence[np.ndarray]


def area_difference(sweeps: Sequence[Swept], confidence: float = 0.95) -> tuple[float, float, Interval]:
    """Return the mean area of the first over all sweeps, that of the second, and their difference with its interval.

    All is on the same worlds, those of one level the same as those of another, so that the interval is that of the
    mean of one number per world (delta method) with t. All is NaN where a first level's mean is not above 0.

    Raises:
        ValueError: As ``relative_area``, or when levels are not of the same worlds.
    """
    counts = {len(one) for sweep in sweeps for one in (*sweep.first, *sweep.second)}
    if len(counts) != 1:
        raise ValueError(f"the same worlds at every level are wanted, not levels of {sorted(counts)} worlds")
    areas, pulls = np.zeros(2), np.zeros((2, counts.pop()))
    for sweep in sweeps:
        for i, values in enumerate((sweep.first, sweep.second)):
            area, pull = _parts(sweep.levels, values)
            areas[i] += area / len(sweeps)
            pulls[i] += np.sum(pull, axis=0) / len(sweeps)
    first, second = areas.tolist()
    return first, second, _with_t(first - second, pulls[0] - pulls[1], confidence)


def _with_t(value: float, pull: np.ndarray, confidence: float) -> Interval:
    """Return ``value`` with t on the part of each world in it, (W,)."""
    error = math.sqrt(float(pull.var(ddof=1)) / len(pull))
    half = float(special.stdtrit(len(pull) - 1, 0.5 + confidence / 2)) * error
    return Interval(value, value - half, value + half)


def _parts(levels: Sequence[float], values: Sequence[np.ndarray]) -> tuple[float, list[np.ndarray]]:
    """Return the area, and by how much each world of each level pulls at it."""
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
        return math.nan, [np.full(len(one), math.nan) for one in values]
    area = float(weights @ means / means[0])
    pull = weights / means[0]
    pull[0] -= area / means[0]
    return area, [
        weight * (np.asarray(one, np.float64) - middle) for weight, one, middle in zip(pull, values, means, strict=True)
    ]
