"""The schedulers of a search over a function of the user's own: values never leave the space, and only finite
objectives count.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, PopulationBasedTraining, TrialScheduler

from robonav_ray.config.tuning import SchedulerConfig
from robonav_ray.tuning.explore import perturbed
from robonav_ray.tuning.samplers.base import draw
from robonav_ray.tuning.space import Space
from robonav_ray.tuning.trial_objective import METRIC

RESAMPLE_PROB: float = SchedulerConfig.model_fields["resample_prob"].default


def finite_objective(result: Mapping[str, Any] | None) -> float | None:
    """Return the objective of a report; None when there is none in it, or none that could be compared (NaN, infinite,
    no number).
    """
    try:
        value = float((result or {}).get(METRIC))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


class FunctionPopulation(PopulationBasedTraining):
    """Population-based training (Jaderberg et al. 2017) with the perturbation of our own searches.

    A report without a comparable objective is the worst there is: its trial goes on from one of the best.
    """

    def __init__(self, space: Space, seed: int, **options: Any) -> None:
        """``options`` are Tune's."""
        super().__init__(
            hyperparam_mutations={key: [0] for key in space.keys}, log_config=False, **options
        )  # only names the keys
        self._space, self._seed, self._rng = space, seed, np.random.default_rng([seed, 0x9B7])

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Draw the values that a trial begins with."""
        params = draw(self._space, self._seed, len(self._trial_state))
        trial.config.update(params)
        trial.evaluated_params.update(params)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide on the report."""
        if METRIC in result and finite_objective(result) is None:
            result = {**result, METRIC: -math.inf}
        return super().on_trial_result(tune_controller, trial, result)

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, str]]:
        params = perturbed(self._space, trial_to_clone.config, RESAMPLE_PROB, self._rng)
        return {**copy.deepcopy(trial_to_clone.config), **params}, dict.fromkeys(params, "")


class FunctionHalving(AsyncHyperBandScheduler):
    """Asynchronous successive halving (Li et al. 2020) that stops a trial at a report without a comparable
    objective.
    """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide on the report; one that cannot be compared does not reach a rung."""
        if METRIC in result and finite_objective(result) is None:
            return TrialScheduler.STOP
        return super().on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Take note of the last report, if it can be compared."""
        if finite_objective(result) is not None:
            super().on_trial_complete(tune_controller, trial, result)


def function_scheduler(
    scheduler: Mapping[str, Any], space: Space, interval: int | None, most: int, seed: int
) -> TrialScheduler:
    """Return the scheduler of kind ``asha``, ``pbt`` or ``fifo``.

    Args:
        scheduler: Its kind and settings, as in a SchedulerConfig.
        space: What is searched.
        interval: Reports before a trial is stopped (asha), or between two comparisons with the population (pbt); None
            takes a default.
        most: Reports of a whole trial.
        seed: Of perturbations.
    """
    time: dict[str, Any] = {"time_attr": "training_iteration", "metric": METRIC, "mode": "max"}
    if scheduler["kind"] == "asha":
        grace = interval or max(1, most // 8)
        return FunctionHalving(
            **time, max_t=max(most, grace), grace_period=grace, reduction_factor=scheduler["reduction_factor"]
        )
    if scheduler["kind"] == "pbt":
        return FunctionPopulation(
            space, seed, **time, perturbation_interval=interval or 50, quantile_fraction=scheduler["quantile_frac"]
        )
    return FIFOScheduler()
