"""A search in MLflow: the parent run of its trials, which are runs of their own (W&B has a group instead)."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.tracking.backend import RunEnding
from robonav_ray.tracking.deliveries import Delivered, TrackersFile
from robonav_ray.tracking.fanout import FanoutTracker, open_trackers
from robonav_ray.tracking.jsonl import METRICS_FILE
from robonav_ray.tracking.run_facts import RunFacts
from robonav_ray.tracking.tracked_run import session_tags
from robonav_ray.tuning.experiment import Experiment
from robonav_ray.tuning.search_records import History

PARENT_WAIT_S = 20.0
"""Seconds that trials wait at most for the parent run to be there: later ones find it."""


class SearchTracker:
    """Logs how a search goes on, by the env steps of all trials together; ``None`` tracks nothing."""

    def __init__(self, trackers: FanoutTracker | None) -> None:
        self._trackers = trackers

    def log(self, history: History) -> None:
        """Log where the search stands."""
        if self._trackers is None:
            return
        best = history.best_trial
        metrics = {
            "search/trials": float(len(history.trials)),
            "search/trials_ended": float(sum(trial.is_over for trial in history.trials.values())),
        }
        if best is not None and best.best is not None:
            metrics["search/best_objective"] = best.best.objective
        self._trackers.log(metrics, history.env_steps)

    def end(self, history: History, *, interrupted: bool) -> None:
        """Say how the session ended."""
        if self._trackers is not None:
            self.log(history)
            best = history.best_trial
            figures = {} if best is None or best.best is None else {"best_objective": best.best.objective}
            message = "" if best is None else f"best: trial {best.id}"
            self._trackers.ends_as(RunEnding("unfinished" if interrupted else "finished", message, figures))


@contextlib.contextmanager
def tracked_search(experiment: Experiment, tracking: TrackingConfig) -> Iterator[SearchTracker]:
    """Give what tracks a session of a search whose trials have ``tracking``; an error in the block is told as a
    failure.

    The parent run is opened first, so that trials can name it.
    """
    if tracking.mlflow is None:
        yield SearchTracker(None)
        return
    own = tracking.model_copy(update={"tensorboard": None, "wandb": None, "extra": ()})
    goes_on = (experiment.path / METRICS_FILE).exists()
    facts = RunFacts(
        name=experiment.path.name,
        directory=experiment.path,
        config=experiment.config.model_dump(mode="json"),
        tags=session_tags(RunDirectory(experiment.path).read_json("experiment.json")),
        kind="search",
        resume_step=0 if goes_on else None,
    )
    trackers = open_trackers(own, experiment.path, sys.maxsize if goes_on else None, facts=facts)
    try:
        until = time.monotonic() + PARENT_WAIT_S
        file = TrackersFile(experiment.path)
        while not file.read().get("mlflow", Delivered()).ids and time.monotonic() < until:
            time.sleep(0.05)
        yield SearchTracker(trackers)
    except BaseException as error:
        status = "failed" if isinstance(error, Exception) else "unfinished"
        trackers.ends_as(RunEnding(status, type(error).__name__, {}))
        raise
    finally:
        trackers.close()
