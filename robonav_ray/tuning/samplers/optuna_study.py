"""Optuna's samplers (Akiba et al. 2019) over a study in memory that is filled anew at every question."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from robonav_ray.tuning.samplers.base import ModelSampler, Result
from robonav_ray.tuning.space import Dimension, Space


class OptunaSampler(ModelSampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), over all keys together, or Gaussian process; both know
    of unfinished trials.

    Choices go in as their numbers: as whole numbers where the choices themselves are numbers in order, so that
    neighbours are alike.
    """

    def __init__(self, space: Space, seed: int, num_startup: int, kind: Literal["tpe", "gp"]) -> None:
        """``gp`` imports torch when it is first used."""
        super().__init__(space, seed, num_startup)
        self._kind = kind
        self._distributions = {dimension.key: _distribution(dimension) for dimension in space.dimensions}

    def _propose(self, results: Sequence[Result], pending: Sequence[np.ndarray], seed: int) -> np.ndarray:
        with _quiet():
            asked = self._ask(results, pending, seed)
        return self.space.encode({d.key: _from_optuna(d, asked[d.key]) for d in self.space.dimensions})

    def _ask(self, results: Sequence[Result], pending: Sequence[np.ndarray], seed: int) -> dict[str, Any]:
        study = optuna.create_study(direction="maximize", sampler=self._sampler(seed))
        for point, objective in results:
            study.add_trial(self._trial(point, TrialState.COMPLETE, objective))
        for point in pending:
            study.add_trial(self._trial(point, TrialState.RUNNING, None))
        return study.ask(fixed_distributions=self._distributions).params

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        if self._kind == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(n_startup_trials=1, multivariate=True, constant_liar=True, seed=seed)

    def _trial(self, point: np.ndarray, state: TrialState, objective: float | None) -> optuna.trial.FrozenTrial:
        params = self.space.decode(point)
        told = {
            d.key: d.index_of(params[d.key]) if d.kind == "choice" else params[d.key] for d in self.space.dimensions
        }
        return optuna.create_trial(params=told, distributions=self._distributions, state=state, value=objective)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's remarks (a new study, a package that would make it faster) to itself."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.kind == "choice":
        last = len(dimension.choices) - 1
        return IntDistribution(0, last) if _is_in_order(dimension.choices) else CategoricalDistribution(range(last + 1))
    low, high = dimension.low, dimension.high
    if dimension.kind in ("integer", "log_integer"):
        return IntDistribution(low, high, log=dimension.kind == "log_integer")
    return FloatDistribution(low, high, log=dimension.kind == "loguniform")


def _is_in_order(choices: Sequence[Any]) -> bool:
    """Whether these are rising or falling numbers."""
    if len(choices) < 2 or not all(
        isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices
    ):
        return False
    steps = np.diff(np.array(choices, float))
    return bool((steps > 0).all() or (steps < 0).all())


def _from_optuna(dimension: Dimension, told: Any) -> Any:
    return dimension.choices[int(told)] if dimension.kind == "choice" else told
