"""Our own curriculum as a function of a few values, for a search that is not Tune's: each call trains in a process of
its own.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.fronts.plain_names import base_run, dotted, dotted_space
from robonav_ray.tuning.experiment import Experiment
from robonav_ray.tuning.search_records import TrialFacts
from robonav_ray.tuning.space import check_space, trial_config

TrainFunction = Callable[[Mapping[str, Any], Any], float]
"""(values, trial with ``report`` and ``should_prune``) -> objective."""


@dataclass(frozen=True)
class _Order:
    config: TuningConfig
    params: dict[str, Any]
    directory: Path


def curriculum_objective(
    run: Mapping[str, Any] | None = None,
    *,
    max_env_steps: int = 400_000,
    report_env_steps: int = 25_000,
    evaluation_episodes: int = 100,
    directory: Path | str | None = None,
) -> TrainFunction:
    """Return a ``train_fn(config, trial)`` that trains the curriculum and returns the highest objective of its reports.

    ``config`` maps the names of ``DEFAULT_SPACE`` (num_layers, learning_rate, ...) or dotted keys of a run's config to
    values. The objective is the stage plus the held-out success on it; ``trial.report(objective, env_steps)`` is called
    at every report, and a trial that should be pruned is stopped there and raises ``optuna.TrialPruned``.

    Args:
        run: What all runs have in common, as the sections of a run's config.
        max_env_steps: Env steps of a run.
        report_env_steps: Env steps between two reports.
        evaluation_episodes: Greedy held-out episodes per report.
        directory: Where the run directories are kept, one per trial's number; None keeps none.

    Raises:
        ConfigError: When ``run`` is no valid config.
    """
    space = dotted_space()
    config = TuningConfig.model_validate(
        {
            "run": base_run(run, space),
            "space": space,
            "trial": {
                "wiring": "local",
                "max_env_steps": max_env_steps,
                "report_env_steps": min(report_env_steps, max_env_steps),
                "evaluation_episodes": evaluation_episodes,
            },
            "scheduler": {"kind": "fifo"},
        }
    )
    check_space(config)

    def train(values: Mapping[str, Any], trial: Any) -> float:
        with tempfile.TemporaryDirectory(prefix="robonav-objective-", ignore_cleanup_errors=True) as scratch:
            folder = (
                Path(scratch if directory is None else directory).absolute()
                / f"trial-{getattr(trial, 'number', 0):05d}"
            )
            return _train(_Order(config, dotted(values), folder), trial)

    return train


def curriculum_run(values: Mapping[str, Any], run: Mapping[str, Any] | None = None) -> RunConfig:
    """Return a run with the values of a trial of ``curriculum_objective``, by the same names, as ``robonav train``
    takes it.

    Raises:
        ConfigError: When they make no valid config.
    """
    return trial_config(base_run(run, dotted_space()), dotted(values))


def _train(order: _Order, trial: Any) -> float:
    """Run one trial in a fresh process; report, prune, and return the best objective."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, order), daemon=True)
    process.start()
    theirs.close()
    best = float("-inf")
    try:
        while True:
            try:
                told = ours.recv()
            except EOFError:
                raise RuntimeError(f"the trial's process ended with {process.exitcode}") from None
            if isinstance(told, str):
                raise RuntimeError(told)
            facts: TrialFacts = told
            best = max(best, facts.objective)
            trial.report(facts.objective, facts.env_steps)
            if facts.done:
                return best
            if trial.should_prune():
                import optuna

                raise optuna.TrialPruned
            ours.send(True)
    finally:
        ours.close()
        process.join(5.0)
        if process.is_alive():
            process.terminate()
            process.join()


def _work(pipe: Connection, order: _Order) -> None:
    """The trial's process: report until the budget is used or the other end is closed."""
    from robonav_ray.runtime.live import start_local
    from robonav_ray.tuning.trial_run import TrialRun

    try:
        search = order.config.trial
        config = Experiment(Path(), order.config).trial_config("objective", order.params)
        run = TrialRun(
            order.directory,
            config,
            search.report_env_steps,
            start_local,
            wiring_name="local",
            command=("curriculum_objective",),
            metric=search.metric,
        )
        try:
            while True:
                facts = run.report()
                pipe.send(facts)
                if facts.done:
                    return
                pipe.recv()
        finally:
            run.close()
    except EOFError:
        return  # the search has stopped listening: pruned, or stopped
    except Exception:  # noqa: BLE001  the parent raises it
        pipe.send(traceback.format_exc())
