"""Bayesian optimisation: a Gaussian process over the unit cube, an upper confidence bound, a lie about what is
unfinished.

The parts are those of bayesian-optimization (Nogueira 2014). They see floats in [0, 1] only: whole numbers and choices
stand at the middles of their cells, because the package's own discrete dimensions and its constant liar do not go
together (3.4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bayes_opt.acquisition import ConstantLiar, UpperConfidenceBound
from bayes_opt.target_space import TargetSpace
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from robonav_ray.tuning.samplers.base import ModelSampler, Result
from robonav_ray.tuning.space import Space

NOISE = 1e-2
"""Variance of an objective measured twice, in units of its variance over the trials: two runs of equal values differ by
their luck."""
NUM_CANDIDATES, NUM_CLIMBS = 4_000, 5
"""Random points at which the bound is looked at, and how many of the best are climbed from."""


class BayesianSampler(ModelSampler):
    """GP-UCB (Srinivas et al. 2010) with a constant liar for trials side by side (Ginsbourger et al. 2010)."""

    def __init__(self, space: Space, seed: int, num_startup: int, exploration: float) -> None:
        """``exploration`` is kappa of the bound mean + kappa * standard deviation."""
        super().__init__(space, seed, num_startup)
        self._exploration = exploration

    def _propose(self, results: Sequence[Result], pending: Sequence[np.ndarray], seed: int) -> np.ndarray:
        target = TargetSpace(None, {f"{i:04d}": (0.0, 1.0) for i in range(len(self.space))})
        for point, objective in _each_once(results):
            target.register(point, objective)
        liar = ConstantLiar(UpperConfidenceBound(self._exploration), strategy="mean")
        liar.dummies = [np.array(point) for point in dict.fromkeys(tuple(p.tolist()) for p in pending)]
        model = GaussianProcessRegressor(
            Matern(nu=2.5), alpha=NOISE, normalize_y=True, n_restarts_optimizer=2, random_state=seed
        )
        return liar.suggest(model, target, n_random=NUM_CANDIDATES, n_smart=NUM_CLIMBS, random_state=seed)


def _each_once(results: Sequence[Result]) -> list[Result]:
    """Return the mean objective of every point: the package takes no point twice."""
    objectives: dict[tuple[float, ...], list[float]] = {}
    for point, objective in results:
        objectives.setdefault(tuple(point.tolist()), []).append(objective)
    return [Result(np.array(point), float(np.mean(values))) for point, values in objectives.items()]
