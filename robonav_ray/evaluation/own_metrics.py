"""Figures of the user's own: functions of a table of episodes that return one number per episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.statistics import Mean, mean
from robonav_ray.user_code import load_user_code

METRICS = "robonav_ray.metrics"
"""Group of entry points that are metrics."""
_KEY = "evaluation.metrics"
OwnMetric = Callable[[EpisodeTable], Any]


def find_metrics(names: tuple[str, ...], key: str = _KEY) -> dict[str, OwnMetric]:
    """Return the functions of ``evaluation.metrics`` by what stands behind the colon; UserError for the first that is
    not there.
    """
    found = {name.rpartition(":")[2]: load_user_code(name, METRICS, key) for name in names}
    if len(found) < len(names):
        raise UserError(f"{key}: two of {', '.join(names)} have one name; give each its own")
    return found


def own_values(name: str, metric: OwnMetric, table: EpisodeTable, key: str = _KEY) -> np.ndarray:
    """Return the numbers (E,) float64 of one metric; UserError when it returns something else than a number for each
    episode.
    """
    try:
        value = np.asarray(metric(table), np.float64)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{key}: {name} failed: {type(error).__name__}: {error}") from error
    if value.shape != (table.num_episodes,):
        raise UserError(
            f"{key}: {name} returned numbers of shape {value.shape}, and one for each of the "
            f"{table.num_episodes} "
            "episodes is wanted (NaN where there is none)"
        )
    return value


def own_means(metrics: dict[str, OwnMetric], table: EpisodeTable, confidence: float) -> dict[str, Mean]:
    """Return the mean of each metric over the episodes for which it has a number (not NaN), with its interval.

    Raises:
        UserError: When one returns something else than a number for each episode.
    """
    return {name: mean(own_values(name, metric, table), confidence) for name, metric in metrics.items()}
