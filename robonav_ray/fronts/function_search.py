"""Ray Tune over a function of the user's own, with our samplers and the schedulers' usual settings."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.config.tuning import DimensionConfig, TuningConfig
from robonav_ray.errors import UserError
from robonav_ray.fronts.default_space import DEFAULT_SPACE
from robonav_ray.fronts.function_schedulers import finite_objective, function_scheduler
from robonav_ray.nodes.connection import connected
from robonav_ray.tuning.samplers import Sampler, make_sampler
from robonav_ray.tuning.space import Space
from robonav_ray.tuning.trial_objective import METRIC, highest
from robonav_ray.tuning.tune_variables import tune_variables


class SamplerSearch(Searcher):
    """Tune's ``Searcher`` around one of our samplers."""

    def __init__(self, sampler: Sampler, most: int) -> None:
        """At most ``most`` suggestions."""
        super().__init__(metric=METRIC, mode="max")
        self._sampler, self._most = sampler, most
        self._numbers: dict[str, tuple[int, dict[str, Any]]] = {}
        self._best: dict[str, float | None] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next values (dict), or that there are no more."""
        number = len(self._numbers)
        params = self._sampler.ask(number) if number < self._most else None
        if params is None:
            return Searcher.FINISHED
        self._numbers[trial_id] = (number, params)
        return dict(params)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the sampler of the trial's best report."""
        number, params = self._numbers[trial_id]
        if result is not None:
            self.on_trial_result(trial_id, result)
        self._sampler.tell(number, params, None if error else self._best.get(trial_id))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Remember the best report."""
        told = (self._best.get(trial_id), finite_objective(result))
        self._best[trial_id] = highest(told, lambda value: value)

    def save(self, checkpoint_path: str) -> None:
        """Nothing is restored from Tune's files."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called."""
        raise NotImplementedError


class BestReport(tune.Callback):
    """Remembers the best report of a search: a trial may fall behind its own best, and a population changes a trial's
    values.
    """

    def __init__(self) -> None:
        """Nothing is reported yet."""
        self.best: tuple[float, dict[str, Any]] | None = None
        """The objective, and the values that it was made with."""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Compare a report with the best one before."""
        value = finite_objective(result)
        # the scheduler may have given the trial other values by now; those of the report are in it
        if value is not None:
            told = (value, dict(result.get("config", trial.config)))
            self.best = highest((self.best, told), lambda pair: None if pair is None else pair[0])


def search_function(
    train_fn: Callable[[dict[str, Any]], Any],
    space: Mapping[str, DimensionConfig] | None,
    *,
    name: str,
    storage_path: str,
    num_samples: int,
    method: str,
    scheduler: Mapping[str, Any],
    interval: int | None,
    max_iterations: int,
    resources: Mapping[str, float],
    max_concurrent: int | None,
    seed: int,
) -> tuple[float, dict[str, Any]]:
    """Search and return (best objective, its values).

    Args:
        train_fn: The user's own.
        space: What is searched; None takes the default space.
        name: Of the experiment; Tune's files are ``storage_path/name``.
        storage_path: An absolute path, or a URI that Tune knows.
        num_samples: Trials in all.
        method: ``random`` or ``bayesopt``.
        scheduler: See ``function_scheduler``.
        interval: See ``function_scheduler``.
        max_iterations: Reports after which a trial is stopped.
        resources: ``cpu`` and ``gpu`` of a trial.
        max_concurrent: Trials at once at most; None as many as fit.
        seed: Of values and perturbations.

    Raises:
        UserError: When none fits, every trial failed, or none reported a finite objective.
    """
    space = dict(space or DEFAULT_SPACE)
    runtime = RuntimeConfig()
    # what was never reported is said at the end, in words of ours
    with tune_variables({"TUNE_DISABLE_STRICT_METRIC_CHECKING": "1"}), connected(runtime) as cluster:
        resources = _checked_resources(resources, cluster.num_cpus, cluster.num_gpus)
        config = TuningConfig.model_validate(
            {"space": space, "search": {"method": method}, "seed": seed, "scheduler": {"kind": "fifo"}}
        )
        fit = math.floor(cluster.free_cpus / resources["cpu"] + 1e-9)
        # Tune's scheduler draws the values; all its trials are there from the start
        is_population = scheduler["kind"] == "pbt"
        reports = BestReport()
        analysis = tune.run(
            tune.with_resources(_reporting(train_fn), dict(resources)),
            name=name,
            storage_path=storage_path,
            num_samples=num_samples,
            search_alg=None if is_population else SamplerSearch(make_sampler(config), num_samples),
            scheduler=function_scheduler(scheduler, Space(space), interval, max_iterations, seed),
            stop={"training_iteration": max_iterations},
            max_concurrent_trials=None if is_population else min(max_concurrent or fit, fit),
            raise_on_failed_trial=False,
            callbacks=[reports],
            verbose=0,
        )
        return _best_of(analysis.trials, reports.best)


def _best_of(trials: Sequence[Trial], best: tuple[float, dict[str, Any]] | None) -> tuple[float, dict[str, Any]]:
    """Return objective and values of the best report of all; UserError when none can be compared."""
    if best is not None:
        return best
    reported = [trial.last_result[METRIC] for trial in trials if METRIC in trial.last_result]
    if reported:
        raise UserError(
            f"no trial reported an objective that can be compared: {METRIC!r} must be a finite number, and the first "
            f"is {reported[0]!r}"
        )
    failed = [str(trial.get_error() or trial.error_file) for trial in trials]
    raise UserError(
        f"every trial failed, or none reported {METRIC!r}: return the objective, or call ray.tune.report({{{METRIC!r}: "
        f"x}}); the first: {failed[0] if failed else 'none was begun'}"
    )


def _reporting(train_fn: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], None]:
    if not inspect.signature(train_fn).parameters:
        raise UserError(f"train_fn ({train_fn.__qualname__}) must take the values as its first parameter")

    def trainable(config: dict[str, Any]) -> None:
        result = train_fn(config)
        if isinstance(result, Mapping):
            tune.report(dict(result))
        elif result is not None:
            tune.report({METRIC: float(result)})

    return trainable


def _checked_resources(resources: Mapping[str, float], cpus: float, gpus: float) -> dict[str, float]:
    checked = dict(resources)
    if checked["gpu"] and not gpus:
        import logging

        logging.getLogger(__name__).warning(
            "gpus_per_trial (%g): the cluster has no GPU, so trials compute on CPUs", checked["gpu"]
        )
        checked["gpu"] = 0.0
    if checked["cpu"] > cpus or checked["gpu"] > gpus:
        raise UserError(
            f"not even one trial fits: it takes {checked['cpu']:g} CPUs and {checked['gpu']:g} GPUs, the cluster has "
            f"{cpus:g} and {gpus:g}; lower cpus_per_trial or gpus_per_trial"
        )
    return checked
