"""Hyper-parameter search with Optuna on its own: a function, a study that is kept, trials in threads, files of what was
found.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from robonav_ray.config.tuning import DimensionConfig
from robonav_ray.errors import UserError
from robonav_ray.fronts.default_space import DEFAULT_SPACE
from robonav_ray.fronts.study.files import save_results
from robonav_ray.fronts.study.plots import visualize
from robonav_ray.fronts.study.study_loop import StudyLoop, TrainFn
from robonav_ray.fronts.study.study_space import StudySpace
from robonav_ray.fronts.study.study_storage import open_storage
from robonav_ray.fronts.study.trials import num_running, num_settled, requeue_stale

DIRECTIONS = ("maximize", "minimize")
_ASKED_ATTR = "asked:"
"""User attributes of the study, one a call of ``optimize``: how many trials it was to add. A key each, so that no two
calls collide."""

logger = logging.getLogger(__name__)


class OptunaOptimizer:
    """A study: which values were tried, their results, and which to try next.

    ::

        optimizer = OptunaOptimizer(
            study_name="robot_nav_hpo", storage="sqlite:///optuna_studies.db", direction="maximize"
        )
        optimizer.optimize(train_fn=train_with_config, n_trials=50, n_jobs=3)
        optimizer.save_results(output_dir)
        optimizer.visualize(output_dir)

    Values come from a multivariate tree-structured Parzen estimator (Bergstra et al. 2011, Falkner et al. 2018) that
    keeps away from what is running; trials below the median of the others are pruned (Golovin et al. 2017). Any number
    of processes may work on one study.
    """

    def __init__(
        self,
        study_name: str,
        storage: str | Path | None = None,
        direction: str = "maximize",
        *,
        search_space: Mapping[str, DimensionConfig] | None = None,
        seed: int | None = None,
        n_startup: int = 10,
        n_startup_trials: int = 5,
        n_warmup_steps: int = 0,
        stale_after_s: float = 3600.0,
    ) -> None:
        """Open the study, or make it where there is none of that name.

        Args:
            study_name: Its name in the storage.
            storage: ``None`` keeps it in memory; ``sqlite:///FILE.db`` is for the processes of one machine;
                ``journal:FILE``, or a path that ends in ``.log``, for machines that share a folder;
                ``postgresql://...`` for any machines.
            direction: ``maximize`` or ``minimize`` what ``train_fn`` returns.
            search_space: Where the values of each parameter come from; None takes ``DEFAULT_SPACE``.
            seed: Of the sampler; with one job, a fresh study then draws the same values every time. Processes that work
                on one study at once need seeds of their own, or none.
            n_startup: Trials drawn at random before the estimator is used.
            n_startup_trials: No trial is pruned before so many are complete.
            n_warmup_steps: No trial is pruned at a step below this.
            stale_after_s: A running trial of another machine that has given no sign of life for so long is taken for
                dead.

        Raises:
            UserError: For settings that cannot be, a storage that cannot be opened, and a study that does not fit them.
        """
        if direction not in DIRECTIONS:
            raise UserError(f"direction is {direction!r}: take one of {', '.join(DIRECTIONS)}")
        if not study_name:
            raise UserError("study_name is empty: give the study a name, so that it can be found again")
        _check_at_least("n_startup", n_startup, 1)
        _check_at_least("n_startup_trials", n_startup_trials, 0)
        _check_at_least("n_warmup_steps", n_warmup_steps, 0)
        if not stale_after_s > 0:
            raise UserError(f"stale_after_s is {stale_after_s}: give seconds above 0")
        self._space = StudySpace(DEFAULT_SPACE if search_space is None else search_space)
        self._seed, self._n_startup, self._stale_after_s = seed, n_startup, stale_after_s
        pruner = optuna.pruners.MedianPruner(n_startup_trials=n_startup_trials, n_warmup_steps=n_warmup_steps)
        with _quiet():
            self._study = optuna.create_study(
                storage=open_storage(storage),
                study_name=study_name,
                direction=direction,
                pruner=pruner,
                load_if_exists=True,
            )
        there = ", ".join(kept.name.lower() for kept in self._study.directions)
        if there != direction:
            raise UserError(
                f"study {study_name!r} is there already with direction={there}, not {direction}: a study keeps its "
                "direction; take that one, or another study_name"
            )
        self._space.check_fits(self._study)

    @property
    def study(self) -> optuna.Study:
        """Optuna's study, with all that can be asked of it."""
        return self._study

    @property
    def best_trial(self) -> FrozenTrial:
        """The complete trial with the best value; UserError while there is none."""
        try:
            return self._study.best_trial
        except ValueError:
            raise UserError(
                f"study {self._study.study_name!r} has no complete trial ({self._counts_text()}), so there is no best "
                "one: call optimize first, or see in the log why trials failed"
            ) from None

    @property
    def best_config(self) -> dict[str, Any]:
        """The best trial's values by parameter, as ``train_fn`` got them."""
        return self._space.config(self.best_trial.params)

    @property
    def best_value(self) -> float:
        """What ``train_fn`` returned for them."""
        value = self.best_trial.value
        assert value is not None
        return value

    @property
    def num_trials(self) -> dict[str, int]:
        """How many trials there are by state: ``complete``, ``pruned``, ``fail``, ``running``, ``waiting`` (queued
        anew).
        """
        states = [trial.state for trial in self._study.get_trials(deepcopy=False)]
        kinds = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING)
        return {kind.name.lower(): states.count(kind) for kind in kinds}

    def optimize(self, train_fn: TrainFn | None = None, *, n_trials: int, n_jobs: int = 1) -> optuna.Study:
        """Add ``n_trials`` trials to the study and return it when they have ended.

        What processes that are gone left running is failed first and queued anew: those values come before any new
        ones, and count among the ``n_trials``.

        Args:
            train_fn: Called with a dict of values by parameter, and with Optuna's trial where it has a second
                positional parameter; returns the number to optimise. ``trial.report(value, step)`` and
                ``trial.should_prune()`` work; what raises ``optuna.TrialPruned`` is pruned; any other exception, or a
                value that is not finite, fails that trial alone. None runs our own curriculum.
            n_trials: How many trials this call adds, to what is there already.
            n_jobs: Trials at a time, in threads; a single one runs in the caller's thread.

        Raises:
            UserError: When ``n_trials`` or ``n_jobs`` is below 1, or ``train_fn`` cannot be called so.
            RuntimeError: When all of the first 3 trials failed, from the last one's error (a UserError is raised as it
                is).
            KeyboardInterrupt: After Ctrl-C. Running trials have been failed and queued anew; those in threads end at
                their next report, and a second Ctrl-C does not wait for that.
        """
        _check_at_least("n_trials", n_trials, 1)
        return self._run(train_fn, n_trials, n_jobs)

    def resume(self, train_fn: TrainFn | None = None, *, n_jobs: int = 1) -> optuna.Study:
        """Run what is missing of all the trials that ``optimize`` was ever asked for, by any process; return at once
        when none is.

        Arguments and errors are those of ``optimize``; UserError also when it has never been called for this study.
        """
        if not self._num_asked():
            raise UserError(
                f"study {self._study.study_name!r} has nothing to resume: call optimize(n_trials=...) first"
            )
        return self._run(train_fn, None, n_jobs)

    def save_results(self, output_dir: str | Path) -> list[Path]:
        """Write ``best_config.json``, ``trials.csv`` and ``study.joblib`` into ``output_dir``; return the paths.

        ``study.joblib`` is an export for notebooks, a copy in memory without the storage's address; nothing here ever
        reads it, and do not load one that came from elsewhere (it is a pickle).

        Raises:
            UserError: When no trial is complete.
        """
        best = self.best_trial
        with _quiet():
            return save_results(self._study, best, self.best_config, Path(output_dir))

    def visualize(self, output_dir: str | Path) -> list[Path]:
        """Draw the five plots into ``output_dir`` as PNG, and as HTML where plotly is installed; return the paths.

        What cannot be drawn (fewer than two complete trials, a single parameter) is left out with a warning in the log.
        """
        with _quiet():
            return visualize(self._study, Path(output_dir))

    def _run(self, train_fn: TrainFn | None, n_trials: int | None, n_jobs: int) -> optuna.Study:
        """Run ``n_trials``, or with None what is missing."""
        _check_at_least("n_jobs", n_jobs, 1)
        function = _curriculum() if train_fn is None else train_fn
        with _quiet():
            self._space.check_fits(self._study)
            self._requeue_stale()
            missing = (
                n_trials
                if n_trials is not None
                else self._num_asked() - num_settled(self._study) - num_running(self._study)
            )
            if missing < 1:
                logger.info("%s: nothing is missing (%s)", self._study.study_name, self._counts_text())
                return self._study
            self._study.sampler = self._sampler()
            interval_s = min(60.0, self._stale_after_s / 4)
            loop = StudyLoop(
                self._study, self._space, function, num_trials=missing, num_jobs=n_jobs, beat_interval_s=interval_s
            )
            if n_trials is not None:
                self._study.set_user_attr(_ASKED_ATTR + uuid.uuid4().hex, n_trials)
            loop.run()
        return self._study

    def _num_asked(self) -> int:
        return sum(int(value) for key, value in self._study.user_attrs.items() if key.startswith(_ASKED_ATTR))

    def _requeue_stale(self) -> None:
        stale = requeue_stale(self._study, self._stale_after_s)
        if stale:
            logger.warning(
                "trials %s were left running by processes that are gone: queued anew", ", ".join(map(str, stale))
            )

    def _sampler(self) -> optuna.samplers.TPESampler:
        """Make the sampler; its seed also hangs on the trials there are, so that a resumed study does not draw the same
        again.
        """
        seed = None
        if self._seed is not None:
            num_trials = len(self._study.get_trials(deepcopy=False))
            seed = int(np.random.SeedSequence([self._seed, num_trials]).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.samplers.TPESampler(
                n_startup_trials=self._n_startup, seed=seed, multivariate=True, constant_liar=True
            )

    def _counts_text(self) -> str:
        return ", ".join(f"{count} {state}" for state, count in self.num_trials.items() if count) or "no trials"


def _curriculum() -> TrainFn:
    from robonav_ray.fronts.curriculum_objective import curriculum_objective

    return curriculum_objective()


def _check_at_least(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{name} is {value!r}: give a whole number of at least {least}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's own lines out of the log below warnings."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
