"""``robonav_ray.tune``: what ``robonav tune`` does, as a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robonav_ray.config import RunConfig
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.errors import RunFaultError, UserError
from robonav_ray.fronts.call_config import Overrides, asked_config
from robonav_ray.runtime.signals import stop_on_interrupt
from robonav_ray.screen import plain_screen
from robonav_ray.tuning.experiment import open_experiment
from robonav_ray.tuning.search import params_at_best, resolve_search, search, tell_end
from robonav_ray.tuning.search_records import Records
from robonav_ray.tuning.views.html_report import trials_table

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class SearchResult:
    """The result of a search."""

    path: Path
    """Directory of the search; ``robonav tune show`` takes it."""
    status: Literal["finished", "unfinished"]
    """``unfinished``: stopped before the end; ``tune(resume=path)`` goes on."""
    best_config: RunConfig | None
    """A run with the best trial's values, as in ``best_config.yaml``; None when no trial has reported yet."""

    def trials(self) -> pandas.DataFrame:
        """Return one row for each trial, as in ``trials.parquet``: its state, its values by dotted key, its best
        objective and report.
        """
        experiment = open_experiment(self.path)
        return trials_table(Records(experiment.path).history, experiment.config).to_pandas()


def tune(
    config: str | Path | Mapping[str, Any] | TuningConfig | None = None,
    overrides: Overrides | None = None,
    *,
    resume: str | Path | None = None,
    out: str | Path | None = None,
    time_limit_s: float | None = None,
    quiet: bool = False,
) -> SearchResult:
    """Search over whole curriculum runs and keep the best configuration, as ``robonav tune`` does.

    ::

        search = robonav_ray.tune("configs/tuning/asha.yaml", {"num_trials": 4})
        search.trials().sort_values("best_objective")
        result = robonav_ray.train(search.best_config)

    Ctrl-C stops the search, which can be resumed, and the call returns what there is. A Ray session that exists is used
    and left up.

    Args:
        config: A search's YAML file, the name of a shipped one (``asha``), a mapping (nested, or by dotted keys) or a
            ``TuningConfig``.
        overrides: Values by dotted key on top, of any kind that YAML has.
        resume: The directory of a search, ``auto`` (the newest of this name, else a new one) or ``latest``; it goes on
            with its config.
        out: Directory of the search, which must not exist yet; None takes ``output_dir/NAME-TIMESTAMP``.
        time_limit_s: Stop, to be resumed, after so many seconds.
        quiet: Say nothing.

    Raises:
        UserError: For what is wrong in the arguments or the config, before anything is made, and when no trial fits the
            cluster.
        RunFaultError: When every trial failed; the message holds the first reason.
    """
    if time_limit_s is not None and time_limit_s <= 0.0:
        raise UserError(f"time_limit_s ({time_limit_s:g}) must be positive")
    screen, directory = plain_screen(silent=quiet), None if out is None else Path(out)
    asked, words = asked_config(TuningConfig, config, overrides)
    checked, experiment = resolve_search(asked, words, None if resume is None else str(resume), directory)
    with stop_on_interrupt(in_session=True) as stop:
        found = search(
            checked,
            experiment,
            directory=directory,
            stop=stop,
            time_limit_s=time_limit_s,
            table="off" if quiet else "auto",
            console=screen,
        )
    tell_end(found, screen)
    best = found.best
    if best is None and not found.interrupted:
        reasons = [trial.reason for trial in found.records.history.trials.values()]
        raise RunFaultError(
            f"{found.experiment.shown}: every trial failed; the first: {reasons[0] if reasons else 'none was begun'}"
        )
    return SearchResult(
        found.experiment.path,
        "unfinished" if found.interrupted else "finished",
        None if best is None else found.experiment.run_config(params_at_best(best)),
    )
