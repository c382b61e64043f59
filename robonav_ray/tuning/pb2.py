"""The explore step of population-based bandits (PB2, Parker-Holder et al. 2020, arXiv:2002.02518). Pure functions, by
hand.

How much a trial improves over an interval depends on its values and on when it is: f_t(x). The model is a Gaussian
process with the kernel of the time-varying bandit (Bogunovic et al. 2016), a squared exponential in x that is forgotten
over time::

    k((t, x), (t', x')) = v exp(-|x - x'|^2 / (2 d l^2)) (1 - omega)^(|t - t'| / 2)

The values of the next interval maximise ``mean + sqrt(beta) sd``, where sd counts what other trials are about to try as
observed already (Desautels et al. 2014), so that a batch of picks spreads out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist

from robonav_ray.tuning.space import Params, Space

MAX_OBSERVATIONS = 300
"""The newest are used; older ones are all but forgotten by the kernel."""
LENGTHS = (0.3, 0.6, 1.2)
OMEGAS = (0.01, 0.05, 0.15, 0.35)
NOISES = (0.01, 0.1, 0.5)
"""l (in diagonals of the cube of d dimensions) and omega of the kernel, and the variance of the noise as a part of v:
the likeliest of these are taken. With some dozens of observations a finer search, or shorter lengths, would follow
their luck."""
MAX_DEVIATIONS = 2.0
"""Gains count as at most so many standard deviations from their mean, as in the authors' code: a trial that collapses
is no measure."""
NUM_CANDIDATES, NUM_ROUNDS, FIRST_SPREAD = 1_000, 6, 0.2
"""The bound is looked at in so many random points, then in rounds in ever closer surroundings of the best so far."""


class Observation(NamedTuple):
    """One interval of one trial."""

    time: float
    """When it ended, counted in intervals: env steps / scheduler.perturbation_env_steps."""
    point: np.ndarray
    """The values (d,) that it was trained with, in the unit cube (``Space.encode``)."""
    gain: float
    """Change of the objective over it."""


class _Kernel(NamedTuple):
    length: float
    omega: float
    noise: float

    def __call__(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return correlations (n, m) of rows (time, x) of ``one`` (n, 1 + d) and ``other`` (m, 1 + d)."""
        near = np.exp(-cdist(one[:, 1:], other[:, 1:], "sqeuclidean") / (2.0 * (one.shape[1] - 1) * self.length**2))
        return near * (1.0 - self.omega) ** (np.abs(one[:, :1] - other[:, 0]) / 2.0)


class _Process(NamedTuple):
    """A kernel and the rows that it is conditioned on."""

    kernel: _Kernel
    rows: np.ndarray
    factor: np.ndarray
    """Lower Cholesky factor of the rows' covariance, noise included, as a part of ``variance``."""
    variance: float

    def mean(self, at: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return self.kernel(at, self.rows) @ cho_solve((self.factor, True), gain)

    def deviation(self, at: np.ndarray) -> np.ndarray:
        known = solve_triangular(self.factor, self.kernel(self.rows, at), lower=True)
        return np.sqrt(self.variance * np.maximum(1.0 - (known**2).sum(axis=0), 0.0))


def explore(
    space: Space,
    observations: Sequence[Observation],
    pending: Sequence[np.ndarray],
    time: float,
    rng: np.random.Generator,
) -> Params:
    """Return the values with which a trial shall go on.

    Args:
        space: What may change.
        observations: Of the whole population, in any order; those whose gain is not finite are left out. With fewer
            than two the values are drawn at random.
        pending: Points (d,) that other trials have been given and no observation exists of.
        time: When the interval to come ends, counted as in ``Observation``.
        rng: For the search for the maximum.
    """
    seen = sorted((o for o in observations if math.isfinite(o.gain)), key=lambda o: o.time)[-MAX_OBSERVATIONS:]
    if len(seen) < 2:
        return space.sample(rng)
    rows = np.array([[o.time, *o.point] for o in seen])
    gain = np.array([o.gain for o in seen])
    gain = np.clip((gain - gain.mean()) / (gain.std() or 1.0), -MAX_DEVIATIONS, MAX_DEVIATIONS)
    process = _fit(rows, gain)
    expected = np.array([[time, *point] for point in pending]).reshape(-1, rows.shape[1])
    batch = _conditioned(process.kernel, np.concatenate([rows, expected]), process.variance)
    exploration = math.sqrt(_beta(len(seen)))

    def bound(points: np.ndarray) -> np.ndarray:
        at = np.column_stack([np.full(len(points), time), points])
        return process.mean(at, gain) + exploration * batch.deviation(at)

    return space.decode(_maximum(bound, rows[:, 1:], rng))


def _beta(num_observations: int) -> float:
    """Return c1 + log(c2 n) of the authors' code, scaled down to a fifth as Srinivas et al. 2010 do in their
    experiments.
    """
    return (0.2 + max(0.0, math.log(0.4 * num_observations))) / 5.0


def _fit(rows: np.ndarray, gain: np.ndarray) -> _Process:
    """Return the process of the highest marginal likelihood, v taken at its best (Rasmussen and Williams 2006,
    5.4.1).
    """
    best, most = None, -math.inf
    for kernel in itertools.starmap(_Kernel, itertools.product(LENGTHS, OMEGAS, NOISES)):
        process = _conditioned(kernel, rows, 1.0)
        variance = max(float(gain @ cho_solve((process.factor, True), gain)) / len(gain), 1e-12)
        likelihood = -0.5 * len(gain) * math.log(variance) - float(np.log(np.diag(process.factor)).sum())
        if likelihood > most:
            best, most = process._replace(variance=variance), likelihood
    assert best is not None
    return best


def _conditioned(kernel: _Kernel, rows: np.ndarray, variance: float) -> _Process:
    covariance = kernel(rows, rows) + kernel.noise * np.eye(len(rows))
    return _Process(kernel, rows, cholesky(covariance, lower=True), variance)


def _maximum(bound: Callable[[np.ndarray], np.ndarray], seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return where ``bound`` is highest among random points, those seen, and ever closer surroundings of the best of
    them.
    """
    points = np.concatenate([rng.random((NUM_CANDIDATES, seen.shape[1])), seen])
    best = points[int(np.argmax(bound(points)))]
    for round_number in range(NUM_ROUNDS):
        spread = FIRST_SPREAD * 0.5**round_number
        points = np.clip(best + rng.normal(0.0, spread, (NUM_CANDIDATES // 4, len(best))), 0.0, 1.0)
        points[0] = best
        best = points[int(np.argmax(bound(points)))]
    return best
