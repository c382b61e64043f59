"""What a search maximises: one number that compares trials in different stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

_Report = TypeVar("_Report")
METRIC = "objective"
TRACKED_PREFIX = "trial/"
"""In front of the figures of a trial's reports, where trackers are given them."""
TIME = "env_steps"
"""What schedulers count time in: env steps that the trial has made itself."""


def objective(stage: int, success_frac: float | None, mean_return: float) -> float:
    """Return stage + held-out success on that stage, so that passing a stage never lowers it; 0 to the number of
    stages.

    Args:
        stage: Stage that the curriculum is in, from 0.
        success_frac: Part of the greedy held-out episodes on that stage that were won; None where an environment knows
            no success.
        mean_return: Mean task return of these episodes; the objective of an environment that knows no success.
    """
    return mean_return if success_frac is None else stage + success_frac


def judged(
    metric: str, stage: int, success_frac: float | None, collision_frac: float | None, mean_return: float
) -> float:
    """Return what ``trial.metric`` says is maximised.

    Raises:
        ValueError: For a figure that the environment does not tell.
    """
    if metric == "objective":
        return objective(stage, success_frac, mean_return)
    if metric == "mean_return":
        return mean_return
    frac = success_frac if metric == "success_frac" else collision_frac
    if frac is None:
        raise ValueError(f"trial.metric ({metric}): the environment tells none; take mean_return")
    return frac if metric == "success_frac" else -frac


def highest(reports: Iterable[_Report], objective: Callable[[_Report], float | None]) -> _Report | None:
    """Return the report that "best" means everywhere: the highest finite objective, the earliest of equals; None when
    there is none.
    """
    best, most = None, -math.inf
    for report in reports:
        value = objective(report)
        if value is not None and math.isfinite(value) and value > most:
            best, most = report, value
    return best
