"""Ray Tune over a function of the user's own, with our samplers and the schedulers' usual settings."""

from __future__ import annotations

import inspect
import math
import os
import random
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.search import Searcher

from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.config.tuning import DimensionConfig, TuningConfig
from robonav_ray.errors import UserError
from robonav_ray.runtime.cluster import connected
from robonav_ray.tuning.default_space import DEFAULT_SPACE
from robonav_ray.tuning.objective import METRIC
from robonav_ray.tuning.samplers import Sampler, make_sampler


class SamplerSearch(Searcher):
    """Tune's ``Searcher`` around one of our samplers."""

    def __init__(self, sampler: Sampler, most: int) -> None:
        """At most ``most`` suggestions."""
        super().__init__(metric=METRIC, mode="max")
        self._sampler, self._most = sampler, most
        self._numbers: dict[str, tuple[int, dict[str, Any]]] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next values (dict), or that there are no more."""
        number = len(self._numbers)
        params = self._sampler.ask(number) if number < self._most else None
        if params is None:
            return Searcher.FINISHED
        self._numbers[trial_id] = (number, params)
        return dict(params)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the sampler."""
        number, params = self._numbers[trial_id]
        self._sampler.tell(number, params, None if error or result is None else result.get(METRIC))

    def save(self, checkpoint_path: str) -> None:
        """Nothing is restored from Tune's files."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called."""
        raise NotImplementedError


def search_function(
    train_fn: Callable[[dict[str, Any]], Any],
    space: Mapping[str, DimensionConfig] | None,
    *,
    name: str,
    num_samples: int,
    method: str,
    scheduler: Mapping[str, Any],
    interval: int | None,
    max_iterations: int,
    resources: Mapping[str, float],
    max_concurrent: int | None,
    seed: int,
) -> tuple[float, dict[str, Any]]:
    """Search and return (best objective, its values). UserError when every trial failed, or none fits."""
    space = dict(space or DEFAULT_SPACE)
    runtime = RuntimeConfig()
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # what was never reported is said at the end, in words of ours
    with connected(runtime) as cluster:
        resources = _checked_resources(resources, cluster.num_cpus, cluster.num_gpus)
        config = TuningConfig.model_validate(
            {"space": space, "search": {"method": method}, "seed": seed, "scheduler": {"kind": "fifo"}}
        )
        fit = math.floor(cluster.free_cpus / resources["cpu"] + 1e-9)
        analysis = tune.run(
            tune.with_resources(_reporting(train_fn), dict(resources)),
            name=name,
            config=_random_space(space) if scheduler["kind"] == "pbt" else {},
            num_samples=num_samples,
            search_alg=None if scheduler["kind"] == "pbt" else SamplerSearch(make_sampler(config), num_samples),
            scheduler=_scheduler(scheduler, space, interval, max_iterations),
            stop={"training_iteration": max_iterations},
            max_concurrent_trials=min(max_concurrent or fit, fit) if scheduler["kind"] != "pbt" else None,
            raise_on_failed_trial=False,
            verbose=0,
        )
        judged = [trial for trial in analysis.trials if METRIC in trial.last_result]
        if not judged:
            failed = [str(trial.get_error() or trial.error_file) for trial in analysis.trials]
            raise UserError(
                f"every trial failed, or none reported {METRIC!r}: return the objective, or call ray.tune.report({{{METRIC!r}: x}}); the "
                f"first: {failed[0] if failed else 'none was begun'}"
            )
        best = max(judged, key=lambda trial: trial.last_result[METRIC])
        return float(best.last_result[METRIC]), dict(best.config)


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
            f"not even one trial fits: it takes {checked['cpu']:g} CPUs and {checked['gpu']:g} GPUs, the cluster has {cpus:g} and "
            f"{gpus:g}; lower cpus_per_trial or gpus_per_trial"
        )
    return checked


def _random_space(space: Mapping[str, DimensionConfig]) -> dict[str, Any]:
    made = {"uniform": tune.uniform, "loguniform": tune.loguniform}
    found: dict[str, Any] = {}
    for key, dimension in space.items():
        kind = dimension.kind
        if kind == "choice":
            found[key] = tune.choice(list(dimension.choice or ()))
        elif kind in made:
            found[key] = made[kind](*getattr(dimension, kind))
        else:
            low, high = getattr(dimension, kind)
            found[key] = (tune.randint if kind == "integer" else tune.lograndint)(low, high + 1)
    return found


def _scheduler(
    scheduler: Mapping[str, Any], space: Mapping[str, DimensionConfig], interval: int | None, most: int
) -> TrialScheduler:
    time: dict[str, Any] = {"time_attr": "training_iteration", "metric": METRIC, "mode": "max"}
    if scheduler["kind"] == "asha":
        grace = interval or max(1, most // 8)
        return AsyncHyperBandScheduler(
            **time, max_t=max(most, grace), grace_period=grace, reduction_factor=scheduler["reduction_factor"]
        )
    if scheduler["kind"] == "pbt":
        random.seed(0)
        mutations = {
            key: list(dimension.choice) if dimension.choice is not None else value
            for (key, dimension), value in zip(space.items(), _random_space(space).values(), strict=True)
        }
        return PopulationBasedTraining(
            **time,
            perturbation_interval=interval or 50,
            quantile_fraction=scheduler["quantile_frac"],
            hyperparam_mutations=mutations,
            log_config=False,
        )
    return FIFOScheduler()
