"""One call of ``OptunaOptimizer.optimize``: threads that ask for trials, run them and tell how they ended.

::

    worker (thread; the caller's own where there is one job)
        ask (one at a time) -> stamp -> train_fn(config[, trial]) -> tell -> ask ...
    waits for: the others' asks. Ends: after num_trials asks, or when the loop stops (Ctrl-C, all of the first trials
    failed, an error of the storage); a running trial then ends at its next report, because it has been failed and
    queued anew.
"""

from __future__ import annotations

import inspect
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import TrialState
from tqdm.auto import tqdm

from robonav_ray.errors import UserError
from robonav_ray.fronts.study.study_space import StudySpace
from robonav_ray.fronts.study.trials import Heartbeat, fail_and_requeue, tell

NUM_FIRST = 3
"""When the first so many trials all fail, the mistake is not in their values."""
TrainFn = Callable[[dict[str, Any]], float] | Callable[[dict[str, Any], optuna.Trial], float]

logger = logging.getLogger(__name__)


def takes_trial(train_fn: TrainFn) -> bool:
    """Return whether ``train_fn`` wants the trial as well: a second positional parameter without a default, or one
    named ``trial``.

    Raises:
        UserError: When it can be called neither with one nor with two arguments.
    """
    if not callable(train_fn):
        raise UserError(
            f"train_fn is a {type(train_fn).__name__}: give a function of the config, or of config and trial"
        )
    try:
        parameters = list(inspect.signature(train_fn).parameters.values())
    except (ValueError, TypeError):  # some of those that are written in C
        return False
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    has_rest = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    needed = [parameter for parameter in positional if parameter.default is parameter.empty]
    needed_keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(needed) > 2 or needed_keywords or not (positional or has_rest):
        raise UserError(
            f"train_fn takes {inspect.signature(train_fn)}: it is called as train_fn(config), or as train_fn(config, "
            "trial) where it has a second positional parameter; bind others with functools.partial"
        )
    return len(needed) == 2 or (len(positional) > 1 and positional[1].name == "trial")


class StudyLoop:
    """Adds ``num_trials`` trials to a study, ``num_jobs`` at a time."""

    def __init__(
        self,
        study: optuna.Study,
        space: StudySpace,
        train_fn: TrainFn,
        *,
        num_trials: int,
        num_jobs: int,
        beat_interval_s: float,
    ) -> None:
        self._study, self._space = study, space
        self._train_fn: Callable[..., float] = train_fn
        self._takes_trial = takes_trial(train_fn)
        self._num_trials, self._num_jobs = num_trials, min(num_jobs, num_trials)
        self._beat = Heartbeat(beat_interval_s)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._num_asked = self._num_ended = self._num_failed = 0
        self._error: BaseException | None = None
        self._bar: Any = None

    def run(self) -> None:
        """Return when the trials have ended.

        Raises:
            KeyboardInterrupt: After Ctrl-C; what was running has been failed and queued anew. A second Ctrl-C leaves at
                once.
            RuntimeError: When all of the first trials failed, from the last one's error; a UserError is raised as it
                is.
        """
        with (
            self._beat,
            tqdm(total=self._num_trials, desc=self._study.study_name, disable=not sys.stderr.isatty()) as self._bar,
        ):
            threads = [
                threading.Thread(target=self._work, name=f"trials-{i}", daemon=True) for i in range(self._num_jobs)
            ]
            try:
                if self._num_jobs == 1:
                    self._ask_and_run()
                else:
                    for thread in threads:
                        thread.start()
                    _join(threads)
            except BaseException:
                self._stop.set()
                self._give_back()
                if self._beat.numbers and self._num_jobs > 1:
                    logger.warning("stopping: trials end at their next report; Ctrl-C again leaves at once")
                _join([thread for thread in threads if thread.is_alive()])
                raise
        if self._error is not None:
            try:
                self._give_back()
            finally:
                raise self._error

    def _work(self) -> None:
        try:
            self._ask_and_run()
        except BaseException as error:  # noqa: BLE001  (raised by run, in the caller's thread)
            self._stop.set()
            with self._lock:
                self._error = self._error or error

    def _ask_and_run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                if self._num_asked == self._num_trials:
                    return
                self._num_asked += 1
                trial = self._study.ask(self._space.distributions)
                self._beat.add(trial)
            state, value, error = self._judge(trial)
            told = tell(self._study, trial.number, state, value)
            self._beat.drop(trial)
            if told is not None:
                self._note(told, error)
            elif not self._stop.is_set():
                logger.warning("trial %d was ended by another process: its result here is left aside", trial.number)

    def _judge(self, trial: optuna.Trial) -> tuple[TrialState, float | None, Exception | None]:
        """Run the user's function; return how the trial ended, its value and what went wrong."""
        config = self._space.config(trial.params)
        try:
            value = float(self._train_fn(config, trial) if self._takes_trial else self._train_fn(config))
            if not math.isfinite(value):
                raise ValueError(f"train_fn returned {value}, which cannot be compared")
        except optuna.TrialPruned:
            return TrialState.PRUNED, None, None
        except Exception as error:  # noqa: BLE001  (the user's code: it fails its trial, not the search)
            return TrialState.FAIL, None, error
        return TrialState.COMPLETE, value, None

    def _note(self, trial: optuna.trial.FrozenTrial, error: Exception | None) -> None:
        if error is not None:
            logger.warning("trial %d failed: %s: %s", trial.number, type(error).__name__, error, exc_info=error)
        with self._lock:
            self._num_ended += 1
            self._num_failed += error is not None
            self._show(trial)
            if error is not None and self._num_failed == self._num_ended == min(NUM_FIRST, self._num_trials):
                self._stop.set()
                self._error = _all_failed(self._num_failed, error)

    def _show(self, trial: optuna.trial.FrozenTrial) -> None:
        completed = [
            t.value
            for t in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if t.value is not None
        ]
        best = None
        if completed:
            best = max(completed) if self._study.direction == optuna.study.StudyDirection.MAXIMIZE else min(completed)
        self._bar.update()
        if not self._bar.disable:
            self._bar.set_postfix_str(f"best {best:.6g}" if best is not None else f"{self._num_failed} failed")
            return
        logger.info(
            "%s: trial %d %s%s; %d of %d, %d failed%s",
            self._study.study_name,
            trial.number,
            trial.state.name.lower(),
            f", value {trial.value:.6g}" if trial.value is not None else "",
            self._num_ended,
            self._num_trials,
            self._num_failed,
            f"; best {best:.6g}" if best is not None else "",
        )

    def _give_back(self) -> None:
        trials = self._study.get_trials(deepcopy=False)
        for number in self._beat.numbers:
            if fail_and_requeue(self._study, trials[number]):
                logger.warning("trial %d was interrupted: it is queued anew", number)


def _join(threads: list[threading.Thread]) -> None:
    """Wait for them, in steps, so that Ctrl-C comes through on every system.

    By sleep: a ``join`` that is interrupted takes its thread for ended (Python 3.11 and 3.12), though it runs.
    """
    for thread in threads:
        while thread.is_alive():
            time.sleep(0.05)


def _all_failed(num_failed: int, error: Exception) -> Exception:
    if isinstance(error, UserError):
        return error
    failure = RuntimeError(
        f"all of the first {num_failed} trials failed, the last with {type(error).__name__}: {error}"
    )
    failure.__cause__ = error
    return failure
