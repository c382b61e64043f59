"""How different members are: by their results (a determinant), and by what they would do (total variation)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from robonav_ray.ranges import MAX_FLOAT32, count, real, require

NUM_STATES = 2048
MAX_POINTS = 10_000
LENGTH = 0.1
"""Root mean squared difference of two members' scores at which they count as half alike (exp(-1/2))."""
_JITTER = 1e-6


def payoff_kernel(rows: np.ndarray) -> np.ndarray:
    """Return exp(-d^2 / (2 LENGTH^2)) of all pairs of ``rows`` (K, F), (K, K); d is the root mean squared difference.

    As the kernel of behaviours in Parker-Holder et al. (2020); a little is added to the diagonal, so that twins have
    a determinant.
    """
    gap = np.square(rows[:, None, :] - rows[None, :, :]).mean(axis=2) if rows.shape[1] else np.zeros((len(rows),) * 2)
    return np.exp(-gap / (2.0 * LENGTH * LENGTH)) + _JITTER * np.eye(len(rows))


def log_det(rows: np.ndarray) -> float:
    """Return the log-determinant of the kernel of ``rows`` (K, F): 0 when no two are alike, the lower the more alike
    they are.
    """
    return float(np.linalg.slogdet(payoff_kernel(rows))[1]) if len(rows) else 0.0


def log_det_costs(rows: np.ndarray) -> np.ndarray:
    """Return by how much the log-determinant of the kernel of ``rows`` (K, F) falls without each row, (K,).

    det(K without i) = det(K) (K^-1)_ii, so the cost of i is -log (K^-1)_ii; it is negative where i resembles others,
    as the determinant then rises without it.
    """
    return -np.log(np.diag(np.linalg.inv(payoff_kernel(rows))))


def softmax(q: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return exp(q / temperature) over its sum along the last axis, in float64."""
    scaled = np.asarray(q, np.float64) / temperature
    weight = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def behavioural_distance(q: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the mean total variation of softmax(q / temperature) between members, (K, K) in [0, 1].

    Args:
        q: (K, N, A): the Q-values of K members in the same N states.
        temperature: In units of Q; the lower, the more only the best action counts.
    """
    chosen = softmax(q, temperature)
    return np.array([[0.5 * np.abs(one - other).sum(axis=1).mean() for other in chosen] for one in chosen])


class DiversityPoint(NamedTuple):
    """How different the members of a pool were at one time."""

    step: int
    """Env steps of the learner."""
    num_members: int
    log_det: float
    """Of the kernel of the snapshots' results: 0 when no two are alike."""
    distance: float | None
    """Mean total variation between two members in the frozen states; None where it was not measured."""


class Diversity:
    """Frozen states, in which the behaviour of members is compared, and what was measured over time."""

    def __init__(self, num_states: int = NUM_STATES) -> None:
        self.num_states = num_states
        self._states: np.ndarray | None = None
        self._history: list[DiversityPoint] = []

    @property
    def states(self) -> np.ndarray | None:
        """(N, D) float32, N at most ``num_states``; None before the first ``freeze``."""
        return None if self._states is None else self._states.copy()

    @property
    def history(self) -> tuple[DiversityPoint, ...]:
        """What was measured, the oldest first; at most the last MAX_POINTS."""
        return tuple(self._history)

    def freeze(self, obs: np.ndarray) -> bool:
        """Keep observations (B, D) float32 until ``num_states`` are there; return whether they are.

        Raises:
            ValueError: When they have another size than those that are there, or are not finite.
        """
        kept = np.zeros((0, obs.shape[-1]), np.float32) if self._states is None else self._states
        if obs.ndim != 2 or obs.shape[1] != kept.shape[1] or not np.isfinite(obs).all():
            raise ValueError(f"observations {obs.shape} cannot stand beside {kept.shape}: give finite ones of one size")
        self._states = np.concatenate([kept, obs[: self.num_states - len(kept)].astype(np.float32)])
        return len(self._states) == self.num_states

    def note(self, step: int, rows: np.ndarray, q: np.ndarray | None = None) -> DiversityPoint:
        """Measure the snapshots by their scores ``rows`` (K, F) and, where ``q`` (K, N, A) is given, by behaviour."""
        distance = None
        if q is not None and len(q) > 1:
            k = len(q)
            distance = float(behavioural_distance(q).sum() / (k * (k - 1)))
        point = DiversityPoint(step, len(rows), log_det(rows), distance)
        self._history = [*self._history, point][-MAX_POINTS:]
        return point

    def state_dict(self) -> dict[str, Any]:
        """Return everything: lists, and the states as an array."""
        return {"states": self.states, "history": [list(point) for point in self._history]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave; ValueError, and nothing changed, when it does not fit."""
        require(isinstance(state, Mapping) and set(state) == {"states", "history"}, "diversity: is no state of it")
        states, history = state["states"], state["history"]
        if states is not None:
            array = np.asarray(states)
            require(array.ndim == 2 and len(array) <= self.num_states, "diversity.states: are no list of observations")
            real(*array.shape, low=-MAX_FLOAT32, high=MAX_FLOAT32).check("diversity.states", array.astype(np.float64))
            states = array.astype(np.float32)
        require(isinstance(history, list) and len(history) <= MAX_POINTS, "diversity.history: is no list, or too long")
        points: list[DiversityPoint] = []
        for i, one in enumerate(history):
            require(isinstance(one, list) and len(one) == 4, f"diversity.history[{i}]: is no point")
            count(2).check(f"diversity.history[{i}]", one[:2])
            real().check(f"diversity.history[{i}].log_det", one[2])
            if one[3] is not None:
                real(low=0.0, high=1.0 + 1e-9).check(f"diversity.history[{i}].distance", one[3])
            points.append(DiversityPoint(*one))
        self._states, self._history = states, points
