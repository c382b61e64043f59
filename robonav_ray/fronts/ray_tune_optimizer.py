"""The front for a search over Ray Tune in three calls: ASHA, population-based training, Bayesian optimisation."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from robonav_ray.config.tuning import DimensionConfig, TuningConfig
from robonav_ray.errors import UserError
from robonav_ray.files.locations import is_uri
from robonav_ray.files.plain_files import replace
from robonav_ray.fronts.plain_names import base_run, dotted_space
from robonav_ray.runtime.signals import stop_on_interrupt
from robonav_ray.screen import plain_screen

TrainFn = Callable[[dict[str, Any]], Any]
"""A user's own: takes the values by name; reports with ``ray.tune.report({"objective": x})`` or returns the
objective."""
_IN_FLIGHT_SPACE = {
    "learner.learning_rate": DimensionConfig(loguniform=(1e-5, 1e-2)),
    "learner.target_tau": DimensionConfig(loguniform=(1e-3, 1e-1)),
    "learner.max_grad_norm": DimensionConfig(loguniform=(0.5, 50.0)),
}
"""What a population searches by default: a running learner takes these over at once."""


@dataclass(frozen=True)
class _Asked:
    """What one call asks for."""

    num_samples: int
    method: str
    scheduler: dict[str, Any]
    interval: int | None
    """Iterations: the grace period of ASHA, the perturbation interval of a population."""
    cpus: float
    gpus: float
    max_concurrent: int | None = None

    @property
    def kind(self) -> str:
        """The word for it in the name of the experiment."""
        return self.scheduler["kind"] if self.method == "random" else self.method


class RayTuneOptimizer:
    """Searches with Ray Tune, for our own curriculum runs or for a function of the user's.

    Without ``train_fn`` a trial is a whole curriculum run, as in ``robonav tune``: each search is an experiment
    directory that ``robonav tune show`` and ``--resume`` take. Ctrl-C ends it with what it has found by then
    (KeyboardInterrupt where that is nothing). With ``train_fn`` a trial is one call of it, and the
    space is under the names that it knows.

    Args:
        experiment_name: Name of the experiment; directories are ``storage_path/NAME-SCHEDULER-TIMESTAMP``.
        train_fn: The user's own; None takes our curriculum.
        search_space: What is searched, by name (``learning_rate``) or dotted key (``learner.learning_rate``); None
            takes the default space, and for a population of our own runs what may change while they learn.
        run: Sections of a run's config that all curriculum runs have in common.
        storage_path: Where experiment directories are made: a folder, or with ``train_fn`` also a bucket's URI.
        wiring: ``ray``: every curriculum run has rollout workers, replay shards and learner ranks of its own;
            ``local``: one process.
        max_env_steps: Env steps of a curriculum run.
        iteration_env_steps: Env steps that ``perturbation_interval`` and ``grace_period`` count, for curriculum runs.
        max_iterations: Reports after which a call of ``train_fn`` is stopped.
        seed: Of the search.
    """

    def __init__(
        self,
        experiment_name: str = "robot_nav_raytune",
        *,
        train_fn: TrainFn | None = None,
        search_space: Mapping[str, DimensionConfig] | None = None,
        run: Mapping[str, Any] | None = None,
        storage_path: str | Path = "runs",
        wiring: Literal["ray", "local"] = "ray",
        max_env_steps: int = 400_000,
        iteration_env_steps: int = 1_000,
        max_iterations: int = 100,
        seed: int = 0,
    ) -> None:
        self.experiment_name, self.seed = experiment_name, seed
        self.storage_path = (
            storage_path if isinstance(storage_path, str) and is_uri(storage_path) else Path(storage_path)
        )
        self._train_fn, self._space, self._run = train_fn, search_space, run
        self._wiring, self._max_env_steps, self._iteration_env_steps = wiring, max_env_steps, iteration_env_steps
        self._max_iterations = max_iterations
        self.directory: Path | None = None
        """Of the newest search; None before one, and where it is in a bucket."""
        self.was_stopped = False
        """Whether Ctrl-C ended the newest search over curriculum runs; ``robonav tune --resume`` goes on with it."""
        self._best: tuple[float, dict[str, Any]] | None = None

    @property
    def best_config(self) -> dict[str, Any]:
        """Values of the best trial; UserError before a search has found one."""
        return self._found()[1]

    @property
    def best_value(self) -> float:
        """The best trial's objective."""
        return self._found()[0]

    def optimize_with_asha(
        self,
        num_samples: int = 50,
        cpus_per_trial: float = 1.0,
        gpus_per_trial: float = 0.0,
        *,
        grace_period: int | None = None,
        reduction_factor: float = 4.0,
    ) -> dict[str, Any]:
        """Draw ``num_samples`` trials at random, stop the bad ones early (Li et al. 2020), and return the best values.

        Args:
            num_samples: Trials in all.
            cpus_per_trial: CPUs of a trial, over all its processes.
            gpus_per_trial: GPUs of a trial; a fraction shares one. Without a GPU in the cluster: a CPU, with a warning.
            grace_period: Iterations before a trial is stopped; None takes an eighth of a trial.
            reduction_factor: One in so many goes on at a rung.

        Raises:
            UserError: When no trial fits the cluster, with the arithmetic, or every trial failed.
        """
        scheduler = {"kind": "asha", "reduction_factor": reduction_factor}
        return self._optimize(_Asked(num_samples, "random", scheduler, grace_period, cpus_per_trial, gpus_per_trial))

    def optimize_with_pbt(
        self,
        num_samples: int = 8,
        perturbation_interval: int = 50,
        *,
        cpus_per_trial: float = 1.0,
        gpus_per_trial: float = 0.0,
        quantile_fraction: float = 0.25,
    ) -> dict[str, Any]:
        """Train a population of ``num_samples`` whose worst go on from its best with other values (Jaderberg et al.
        2017).

        Trials that do not all fit take turns. ``perturbation_interval`` is in iterations. A ``train_fn`` of the user's
        must report checkpoints (``ray.tune.report(metrics, checkpoint=...)``) and take up
        ``ray.tune.get_checkpoint()``.

        Raises:
            UserError: As for ``optimize_with_asha``; also for a key that may not change in a trial that has begun, with
                the reason.
        """
        scheduler = {"kind": "pbt", "quantile_frac": quantile_fraction}
        return self._optimize(
            _Asked(num_samples, "random", scheduler, perturbation_interval, cpus_per_trial, gpus_per_trial)
        )

    def optimize_with_bayesopt(
        self,
        num_samples: int = 50,
        max_concurrent: int = 4,
        *,
        cpus_per_trial: float = 1.0,
        gpus_per_trial: float = 0.0,
    ) -> dict[str, Any]:
        """Choose each trial's values with a Gaussian process over those before (bayesian-optimization), and return the
        best values.

        At most ``max_concurrent`` trials run at once, fewer where no more fit: the model learns little from many at
        once.

        Raises:
            UserError: As for ``optimize_with_asha``.
        """
        return self._optimize(
            _Asked(num_samples, "bayesopt", {"kind": "fifo"}, None, cpus_per_trial, gpus_per_trial, max_concurrent)
        )

    def save_results(self, output_dir: str | Path) -> list[Path]:
        """Write ``best_config.json``, and for curriculum runs copy the experiment's report and best config; return the
        paths.
        """
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        value, params = self._found()
        best = folder / "best_config.json"
        replace(best, json.dumps({"objective": value, "config": params}, indent=1, default=str))
        paths = [best]
        for name in ("best_config.yaml", "report.html", "trials.parquet"):
            if self.directory is not None and (self.directory / name).is_file():
                shutil.copy(self.directory / name, folder / name)
                paths.append(folder / name)
        return paths

    def _found(self) -> tuple[float, dict[str, Any]]:
        if self._best is None:
            raise UserError(
                "no search has found anything yet: call optimize_with_asha, optimize_with_pbt or "
                "optimize_with_bayesopt first"
            )
        return self._best

    def _optimize(self, asked: _Asked) -> dict[str, Any]:
        if asked.num_samples < 1:
            raise UserError(f"num_samples ({asked.num_samples}) must be at least 1")
        if self._train_fn is not None:
            from robonav_ray.fronts.function_search import search_function

            name = f"{self.experiment_name}-{asked.kind}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
            storage, self.directory = _made_storage(self.storage_path, name)
            self._best = search_function(
                self._train_fn, self._space, name=name, storage_path=storage, num_samples=asked.num_samples,
                method=asked.method, scheduler=asked.scheduler, interval=asked.interval,
                max_iterations=self._max_iterations, resources={"cpu": asked.cpus, "gpu": asked.gpus},
                max_concurrent=asked.max_concurrent, seed=self.seed,
            )  # fmt: skip
        else:
            self._best = self._search_curricula(asked)
        return self._best[1]

    def _search_curricula(self, asked: _Asked) -> tuple[float, dict[str, Any]]:
        from robonav_ray.tuning.search import check_search, params_at_best, search, tell_end

        scheduler, interval = asked.scheduler, asked.interval
        is_population = scheduler["kind"] == "pbt"
        space = dotted_space(self._space) if self._space is not None or not is_population else dict(_IN_FLIGHT_SPACE)
        unit, most = self._iteration_env_steps, self._max_env_steps
        if is_population:
            scheduler = {**scheduler, "perturbation_env_steps": (interval or 50) * unit}
        elif scheduler["kind"] == "asha":
            scheduler = {**scheduler, "grace_env_steps": interval * unit if interval is not None else max(1, most // 8)}
        step = scheduler.get("perturbation_env_steps") or scheduler.get("grace_env_steps") or most // 8
        config = TuningConfig.model_validate(
            {
                "name": f"{self.experiment_name}-{asked.kind}",
                "seed": self.seed,
                "output_dir": str(self.storage_path),
                "run": base_run(self._run, space),
                "space": space,
                "num_trials": asked.num_samples,
                "search": {"method": asked.method},
                "scheduler": scheduler,
                "trial": {"wiring": self._wiring, "max_env_steps": most, "report_env_steps": max(1, min(step, most))},
                "resources": {
                    "cpus_per_trial": asked.cpus,
                    "gpus_per_trial": asked.gpus,
                    "max_concurrent": asked.max_concurrent,
                },
            }
        )
        check_search(config)
        console = plain_screen()
        with stop_on_interrupt(in_session=True) as stop:
            found = search(config, None, directory=None, stop=stop, time_limit_s=None, table="auto", console=console)
        self.directory, self.was_stopped = found.experiment.path, found.interrupted
        tell_end(found, console)
        best = found.best
        if self.was_stopped and (best is None or best.best is None):
            raise KeyboardInterrupt
        if best is None or best.best is None:
            failures = [trial.reason for trial in found.records.history.trials.values()]
            raise UserError(
                f"{found.experiment.shown}: every trial failed; the first: "
                f"{failures[0] if failures else 'none was begun'}"
            )
        return best.best.objective, params_at_best(best)


def _made_storage(storage_path: str | Path, name: str) -> tuple[str, Path | None]:
    """Return where Tune keeps an experiment, as Tune takes it, and the experiment's directory (None in a bucket); makes
    the folder.

    Raises:
        UserError: When the folder cannot be made.
    """
    if isinstance(storage_path, str):
        return storage_path, None
    directory = storage_path.absolute() / name
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"storage_path: cannot make {directory}: {error.strerror}; name a folder that you may write"
        ) from None
    return str(directory.parent), directory
