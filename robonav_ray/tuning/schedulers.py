"""Tune's schedulers, made from the config, and given back what they knew in earlier sessions of a search.

A scheduler is a function of the reports that it has seen, in their order. So a resumed search does not unpickle one: it
makes a fresh one and tells it the recorded reports again, ignoring the decisions, which were carried out long ago.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.tuning.search_records import History, TrialHistory, TrialReport
from robonav_ray.tuning.trial_objective import METRIC, TIME

Explore = Callable[[str, str, Mapping[str, Any]], dict[str, Any]]
"""(clone, donor, the donor's values) -> the values that the clone goes on with."""
NoteExploit = Callable[[str, str, str, Mapping[str, Any]], None]
"""(clone, donor, the donor's checkpoint, new values) -> None; returns once it is on the disk."""


@dataclass(frozen=True)
class PastTrial:
    """Stands for a trial of an earlier session where a scheduler asks for one."""

    trial_id: str


class Population(PopulationBasedTraining):
    """Population-based training (Jaderberg et al. 2017) whose exploits are written down and whose new values are
    checked.

    Tune decides who goes on from whom; ``explore`` says with which values.
    """

    def __init__(self, config: TuningConfig, explore: Explore, note: NoteExploit) -> None:
        """``config.scheduler`` has kind pbt or pb2."""
        scheduler = config.scheduler
        super().__init__(
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            perturbation_interval=scheduler.perturbation_env_steps,
            hyperparam_mutations={key: [0] for key in config.space},  # names the keys; values come from explore
            quantile_fraction=scheduler.quantile_frac,
            log_config=False,
        )
        self._explore, self._note = explore, note

    def recall(self, trial: Any, past: TrialHistory) -> None:
        """Give a trial that has just been added what the scheduler knew of it."""
        state = self._trial_state[trial]
        for report in past.reports:
            if report.env_steps - state.last_perturbation_time >= self._perturbation_interval:
                state.last_perturbation_time = state.last_train_time = report.env_steps
                state.last_score, state.last_result = report.objective, asdict(report)

    @property
    def donor_checkpoints(self) -> list[Any]:
        """Tune checkpoints that a clone may be given next."""
        return [state.last_checkpoint for state in self._trial_state.values() if state.last_checkpoint is not None]

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, str]]:
        params = self._explore(trial.trial_id, trial_to_clone.trial_id, trial_to_clone.config)
        config = {**copy.deepcopy(trial_to_clone.config), **params}
        checkpoint: Any = self._trial_state[trial_to_clone].last_checkpoint
        self._note(trial.trial_id, trial_to_clone.trial_id, checkpoint.path, params)
        return config, dict.fromkeys(params, "")


class Recorder(TrialScheduler):
    """Around a scheduler: writes each report down before anything is decided on it, and recalls what earlier sessions
    reported.
    """

    def __init__(
        self,
        inner: TrialScheduler,
        history: History,
        note_report: Callable[[str, Mapping[str, Any]], None],
        note_failure: Callable[[Any], None],
    ) -> None:
        """Tell ``inner`` the past.

        Args:
            inner: What decides.
            history: As it was when the session began.
            note_report: Called with (trial, result); returns once it is on the disk.
            note_failure: Called with a trial that has failed for good.
        """
        super().__init__()
        self.inner = inner
        self._note_report, self._note_failure = note_report, note_failure
        self._past = {trial.id: trial for trial in copy.deepcopy(history).trials.values()}
        self._tell_again()

    @property
    def metric(self) -> str | None:
        """What is compared."""
        return self.inner.metric

    @property
    def supports_buffered_results(self) -> bool:
        """Never: a report is acted on when it comes."""
        return False

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """The scheduler has its own."""
        return True

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Add it, with what is known of it."""
        past = self._past.get(trial.trial_id)
        if past is None or not isinstance(self.inner, AsyncHyperBandScheduler):  # that one knows it by its id already
            self.inner.on_trial_add(tune_controller, trial)
        if past is not None and isinstance(self.inner, Population):
            self.inner.recall(trial, past)
        if past is not None and isinstance(self.inner, MedianStoppingRule):
            self.inner._results[trial] = self.inner._results.pop(PastTrial(trial.trial_id), [])  # type: ignore[index]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Write it down, then decide."""
        self._note_report(trial.trial_id, result)
        return self.inner.on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Hand it on."""
        self.inner.on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Write it down, then hand it on."""
        self._note_failure(trial)
        self.inner.on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Hand it on."""
        self.inner.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Hand it on."""
        return self.inner.choose_trial_to_run(tune_controller)

    def debug_string(self) -> str:
        """Hand it on."""
        return self.inner.debug_string()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: records are what a resume reads."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: searches do not resume from Tune's files."""
        raise NotImplementedError

    def _tell_again(self) -> None:
        """Tell the inner scheduler every recorded report in the order in which they came."""
        if not isinstance(self.inner, AsyncHyperBandScheduler | MedianStoppingRule):
            return
        alone: Any = _NoOtherTrials()
        stands = {trial: PastTrial(trial) for trial in self._past}
        for stand in stands.values():
            self.inner.on_trial_add(alone, stand)  # type: ignore[arg-type]
        reports = [(report, trial.id) for trial in self._past.values() for report in trial.reports]
        for report, trial in sorted(reports, key=lambda item: (item[0].time, item[1])):
            self.inner.on_trial_result(alone, stands[trial], _result(report))  # type: ignore[arg-type]
        for trial in self._past.values():
            if trial.is_over and trial.last is not None:
                self.inner.on_trial_complete(alone, stands[trial.id], _result(trial.last))  # type: ignore[arg-type]


class _NoOtherTrials:
    """The controller as a scheduler sees it while it is told the past."""

    def get_live_trials(self) -> list[Any]:
        return []


def _result(report: TrialReport) -> dict[str, Any]:
    return {TIME: report.env_steps, METRIC: report.objective}


def make_scheduler(config: TuningConfig, explore: Explore, note_exploit: NoteExploit) -> TrialScheduler:
    """Return a fresh scheduler of the config's kind; ``explore`` and ``note_exploit`` are for populations."""
    scheduler = config.scheduler
    if scheduler.kind == "asha":
        return AsyncHyperBandScheduler(
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            max_t=config.trial.max_env_steps,
            grace_period=scheduler.grace_env_steps,
            reduction_factor=scheduler.reduction_factor,
            brackets=scheduler.brackets,
        )
    if scheduler.kind == "median":
        return MedianStoppingRule(
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            grace_period=scheduler.grace_env_steps,
            min_samples_required=scheduler.min_trials,
        )
    if scheduler.is_population:
        random.seed(config.seed)  # Tune draws the donor from Python's global generator
        return Population(config, explore, note_exploit)
    return _Fifo()


class _Fifo(FIFOScheduler):
    """Stops no trial."""

    _metric = METRIC
