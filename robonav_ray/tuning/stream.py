"""Where Tune gets its trials from: those of earlier sessions that are not over, then new ones from the sampler."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search import SearchAlgorithm

from robonav_ray.tuning.samplers import Sampler
from robonav_ray.tuning.search_records import History, TrialHistory
from robonav_ray.tuning.trial_objective import METRIC


def trial_id(number: int) -> str:
    """Return the id of trial ``number``; it is also the name of its folder."""
    return f"{number:05d}"


class TrialStream(SearchAlgorithm):
    """Hands trials to Tune, under ids that stay the same in every session, and tells the sampler their results.

    At most ``most_at_once`` trials that are not over exist at a time, so that a sampler that learns is asked late.
    """

    def __init__(
        self,
        sampler: Sampler,
        history: History,
        num_trials: int,
        most_at_once: int,
        *,
        is_population: bool,
        note_trial: Callable[[str, Mapping[str, Any]], None],
        note_end: Callable[[str, Mapping[str, Any] | None, bool], None],
    ) -> None:
        """Tell the sampler of every trial that there has been.

        Args:
            sampler: Where new values come from.
            history: As it is when the session begins.
            num_trials: Trials in all, over all sessions.
            most_at_once: Trials that may be there at once.
            is_population: Trials go on from each other: the stream stays open until all are over, because Tune would
                otherwise end the actor of a trial that is about to go on from another, and start all of its parts anew.
            note_trial: Called with (id, values) before a new trial is handed out; returns once that is on the disk.
            note_end: Called with (id, last result, whether it failed) when one is over.
        """
        self._sampler, self._num_trials, self._most_at_once = sampler, num_trials, most_at_once
        self._is_population = is_population
        self._note_trial, self._note_end = note_trial, note_end
        self._params = {trial.id: dict(trial.first_params) for trial in history.trials.values()}
        self._waiting = [trial for trial in history.trials.values() if not trial.is_over]
        self._next = len(history.trials)
        self._at_work: set[str] = set()
        self._best: dict[str, float] = {}
        self._experiment: Any = None
        for number, trial in enumerate(history.trials.values()):
            if trial.best is not None:
                self._best[trial.id] = trial.best.objective
            if trial.is_over:
                sampler.tell(number, trial.first_params, None if trial.state == "failed" else self._best.get(trial.id))
            else:
                sampler.assume(number, trial.first_params)

    @property
    def metric(self) -> str:
        """What is maximised."""
        return METRIC

    @property
    def total_samples(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  (the base class says it is always 0)
        """Trials of this session at most."""
        return len(self._waiting) + self._num_trials - self._next

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """The sampler has its own."""
        return True

    def add_configurations(self, experiments: Any) -> None:
        """Take the specification that every trial is made from."""
        (self._experiment,) = experiments if isinstance(experiments, list) else [experiments]

    def next_trial(self) -> Trial | None:
        """Return the next trial, or None when there is none now."""
        if self._finished or len(self._at_work) >= self._most_at_once:
            return None
        if self._waiting:
            return self._made(self._waiting.pop(0))
        if self._next >= self._num_trials:
            return None
        params = self._sampler.ask(self._next)
        if params is None:
            self._finished = True
            return None
        identity = trial_id(self._next)
        self._next += 1
        self._note_trial(identity, params)
        self._params[identity] = params
        return self._made(TrialHistory(identity, params, params))

    def is_finished(self) -> bool:
        """Whether no trial will come any more."""
        if self._is_population and self._at_work:
            return self._finished
        return self._finished or (not self._waiting and self._next >= self._num_trials)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Remember the best report."""
        self._best[trial_id] = max(self._best.get(trial_id, float("-inf")), result[METRIC])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the sampler and the records."""
        self._at_work.discard(trial_id)
        if result is not None and METRIC in result:
            self.on_trial_result(trial_id, result)
        self._sampler.tell(int(trial_id), self._params[trial_id], None if error else self._best.get(trial_id))
        self._note_end(trial_id, result, error)

    def _made(self, trial: TrialHistory) -> Trial:
        self._at_work.add(trial.id)
        spec = copy.copy(self._experiment.spec)
        spec["config"] = dict(trial.params)
        made = _create_trial_from_spec(
            spec, _make_parser(), evaluated_params=dict(trial.params), experiment_tag=trial.id, trial_id=trial.id
        )
        return made
