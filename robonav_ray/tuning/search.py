"""A search: many whole curriculum runs, the bad ones stopped early, the best configuration kept.

::

    sampler --values--> TrialStream --trials--> Tune --steps--> CurriculumTrial (a whole run each)
       ^                    |                    |  <-reports--
       |                    v                    v
       +----objective--- records.jsonl <---- Recorder( scheduler ): asha, median, pbt, pb2, fifo
                            |
                            +--> table, report, best_config.yaml, and a later session

What it waits for: Tune's trials. What ends it: no trial left, a signal, or the time limit; each leaves a search that a
later session goes on with (docs/decisions/0007-searches-resume-from-records.md).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from robonav_ray.config.load import ConfigError, dump_config, load_tuning_config
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.files.plain_files import replace
from robonav_ray.runs.located import refuse_uri
from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError
from robonav_ray.runs.session_facts import command_line
from robonav_ray.runs.task import check_gates, check_places, describe_task
from robonav_ray.runtime.budget import check_learns
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.sizes import check_sizes
from robonav_ray.runtime.user_parts import check_user_code
from robonav_ray.screen import Screen, print_commands
from robonav_ray.text import command_text, one_line, path_word
from robonav_ray.tracking.places import check_backends
from robonav_ray.tuning.experiment import (
    CONFIG_FILE,
    Experiment,
    create_experiment,
    latest_experiment,
    open_experiment,
    ways_to_begin,
)
from robonav_ray.tuning.mutations import check_population
from robonav_ray.tuning.search_records import Records, TrialHistory, best_checkpoint
from robonav_ray.tuning.search_tracker import tracked_search
from robonav_ray.tuning.space import check_space, probes
from robonav_ray.tuning.trial_resources import plan_trials
from robonav_ray.tuning.tune_variables import prepared_tune
from robonav_ray.tuning.views.summary import params_at
from robonav_ray.tuning.views.table import Mode

logger = logging.getLogger(__name__)


def resolve_search(
    given: Path | TuningConfig | None, overrides: Sequence[str], resume: str | None, directory: Path | None
) -> tuple[TuningConfig, Experiment | None]:
    """Return the config, and the experiment to go on with, when no other command is at work on it and the search can
    work; makes nothing.

    ``given`` is a file, or a config as it is (``overrides`` are in it then).

    Raises:
        UserError: For anything that is wrong.
    """
    config, experiment = _resolved(given, overrides, resume, directory)
    if experiment is not None and RunDirectory(experiment.path).is_locked:
        raise RunDirectoryError(
            f"{experiment.shown}: another process is at work on this search; wait for it, or stop it"
        )
    check_search(config)
    return config, experiment


def _resolved(
    given: Path | TuningConfig | None, overrides: Sequence[str], resume: str | None, directory: Path | None
) -> tuple[TuningConfig, Experiment | None]:
    example = "`robonav tune configs/tuning/asha.yaml`"
    refuse_uri(
        directory, "--out", "a search lies in a folder; run.checkpoint.storage=URI stores the runs of its trials"
    )
    if resume is None:
        if given is None and not overrides:
            raise ConfigError(f"name the config of a search, for instance {example}")
        if directory is not None and directory.exists():
            raise RunDirectoryError(
                f"{directory}: exists already and is never overwritten; continue it with "
                f"`{command_text('robonav', 'tune', '--resume', path_word(directory))}`, or choose another directory"
            )
        return _loaded(given, overrides), None
    if resume in ("auto", "latest"):
        asked = None if given is None else _loaded(given, overrides)
        path = directory or latest_experiment(
            Path(asked.output_dir if asked else "runs"), asked.name if asked else None
        )
        if path is None or not (path / CONFIG_FILE).is_file():
            if resume == "auto" and asked is not None:
                return asked, None
            raise RunDirectoryError(f"--resume {resume}: there is no search under runs; start one with {example}")
        return _same_search(open_experiment(path), asked)
    if overrides or given is not None:
        raise ConfigError(
            f"--resume {resume}: a search goes on with the config that it was begun with; leave the config and "
            "overrides away"
        )
    return _same_search(open_experiment(Path(resume)), None)


def _loaded(given: Path | TuningConfig | None, overrides: Sequence[str]) -> TuningConfig:
    return given if isinstance(given, TuningConfig) else load_tuning_config(given, overrides)


def _same_search(experiment: Experiment, asked: TuningConfig | None) -> tuple[TuningConfig, Experiment]:
    ways = () if asked is None else ways_to_begin(asked)
    found = experiment.config
    differing = min(
        ([k for k in type(way).model_fields if getattr(way, k) != getattr(found, k)] for way in ways),
        key=len,
        default=[],
    )
    if differing:
        raise ConfigError(
            f"{experiment.shown}/tuning.yaml: the search to resume has another {', '.join(differing)} than asked for "
            "now; resume without changing it, or begin a new search"
        )
    return experiment.config, experiment


def check_search(config: TuningConfig) -> None:
    """Refuse a search that cannot work: its space, what its trials have in common, sizes; ConfigError with the key."""
    check_space(config)
    check_population(config)
    run = Experiment(Path(), config).run_config({})
    task = describe_task(run)
    check_gates(run, task)
    check_places(run, task)
    check_user_code(run, task)
    if config.trial.metric == "collision_frac" and not task.has_outcomes:
        raise ConfigError(
            "trial.metric is collision_frac, and only our own worlds tell collisions; take mean_return, and have the "
            "environment's reward say what a collision costs"
        )
    check_backends(run.tracking)
    for params, run in probes(config):
        try:
            check_sizes(run, task.spec)
            check_learns(run, config.trial.max_env_steps, "trial.max_env_steps")
        except ConfigError as error:
            raise ConfigError(
                f"space: {', '.join(f'{k}={v!r}' for k, v in params.items())} cannot work: {error}"
            ) from None


@dataclass(frozen=True)
class Found:
    """The result of a session of a search."""

    experiment: Experiment
    records: Records
    interrupted: bool

    @property
    def best(self) -> TrialHistory | None:
        """The trial with the highest objective."""
        return self.records.history.best_trial


def search(
    config: TuningConfig,
    experiment: Experiment | None,
    *,
    directory: Path | None,
    stop: StopRequest,
    time_limit_s: float | None,
    table: Mode,
    console: Screen,
    on_begin: Callable[[Experiment], None] | None = None,
) -> Found:
    """Run one session: in a fresh directory, or going on with ``experiment``; ``on_begin`` is called with a fresh one
    before its first trial.
    """
    from robonav_ray.nodes.connection import connected

    began = time.monotonic()
    base = Experiment(Path(), config).run_config({})
    with prepared_tune(config), connected(base.runtime) as cluster:
        import ray

        node_cpus = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
        plan = plan_trials(config, base, cluster, node_cpus)
        console.print(f"{cluster.describe()}\n{plan.describe()}")
        begins = experiment is None
        experiment = experiment or create_experiment(config, directory)
        with RunDirectory(experiment.path).locked():
            from robonav_ray.tuning.session import SearchSession

            console.print(Text.assemble((experiment.shown, "bold"), f"  {describe(config)}"))
            records = Records(experiment.path)
            experiment.add_session(command_line())
            if begins and on_begin is not None:
                on_begin(experiment)
            limit = None if time_limit_s is None else began + time_limit_s
            with tracked_search(experiment, base.tracking) as tracker:
                session = SearchSession(experiment, records, plan, stop, limit, table, console, tracker)
                interrupted = session.run()
                tracker.end(records.history, interrupted=interrupted)
            write_best(experiment, records)
            return Found(experiment, records, interrupted)


def grace_of(config: TuningConfig) -> float:
    """Return the seconds within which a search that is told to stop is over."""
    return Experiment(Path(), config).run_config({}).budget.grace_s


def describe(config: TuningConfig) -> str:
    """Return one line for people."""
    searcher = config.search.method if config.search.method != "optuna" else f"optuna ({config.search.sampler})"
    return (
        f"{config.num_trials} trials of {config.trial.max_env_steps:,} env steps, {searcher} over {len(config.space)} "
        f"keys, {config.scheduler.kind}"
    )


def params_at_best(trial: TrialHistory) -> dict[str, Any]:
    """Return the values that the trial had when it made its best report."""
    return dict(trial.first_params if trial.best is None else params_at(trial, trial.best))


def write_best(experiment: Experiment, records: Records) -> None:
    """Write ``best_config.yaml`` and ``best.json``; nothing before the first report."""
    best = records.history.best_trial
    if best is None or best.best is None:
        return
    params = params_at_best(best)
    config = experiment.run_config(params)
    head = (
        f"# Trial {one_line(best.id)} of {experiment.config.name}: objective {best.best.objective:.3f} after "
        f"{best.best.env_steps:,} env steps.\n"
        f"# {command_text('robonav', 'train', f'{experiment.shown}/best_config.yaml')}\n"
    )
    replace(experiment.path / "best_config.yaml", head + dump_config(config))
    RunDirectory(experiment.path).write_json(
        "best.json",
        {
            "trial": best.id,
            "params": params,
            **asdict(best.best),
            "checkpoint": best_checkpoint(best),
        },
    )


def tell_end(found: Found, console: Screen) -> None:
    """Write the report, and say how it ended and what to type next."""
    from robonav_ray.tuning.views.html_report import write_report
    from robonav_ray.tuning.views.show import next_commands

    experiment, history = found.experiment, found.records.history
    write_report(experiment.path, history, experiment.config, title=experiment.shown)
    best = found.best
    if best is not None and best.best is not None:
        told = (
            f", objective {best.best.objective:.3f} ({best.best.stage_name}, {_percent(best.best.success_frac)}) after "
            f"{best.best.env_steps:,} env steps; "
            + ", ".join(f"{k}={_short(v)}" for k, v in params_at_best(best).items())
        )
        console.print(Text.assemble("best: trial ", (best.id, "bold"), told))
    for failed in (trial for trial in history.trials.values() if trial.state == "failed"):
        console.print(f"trial {failed.id} failed: {failed.reason}", style="red")
    show = (command_text("robonav", "tune", "show", experiment.shown), "all trials")
    print_commands([show, *next_commands(history, experiment.shown)], console)


def _percent(frac: float | None) -> str:
    return "no success known" if frac is None else f"{frac:.0%} held-out success"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
