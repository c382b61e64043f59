"""Cross-play: every member beside every other on the same held-out cases, and what that says of each.

Results of training are of many stages, with exploration, and mostly of the learner alone. These are greedy, in worlds
that training never saw, and of every pair; intervals are by bootstrap over cases, which all pairs share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from robonav_ray.league.ratings import Elo, Rating, ratings

CONFIDENCE = 0.95
TAIL = 0.1
"""Part of the cases that are the worst ones."""
NUM_DRAWS = 200
"""Of the bootstrap."""


class Setting(NamedTuple):
    """What was played."""

    stage: str
    min_robots: int
    num_robots: int
    """Most of a case; from ``min_robots`` on."""
    num_cases: int
    seed: int

    @property
    def robots(self) -> str:
        """How many robots a case has, for people."""
        return f"{self.num_robots} robots" if self.min_robots == self.num_robots else (
            f"{self.min_robots} to {self.num_robots} robots"
        )  # fmt: skip


class Bounded(NamedTuple):
    """A figure and the bounds of its interval."""

    value: float
    low: float
    high: float


class Partners(NamedTuple):
    """How one member does beside the others, in parts of its robots that arrive."""

    alone: float
    """All robots its own."""
    mean: Bounded
    """Over the others."""
    worst: str
    """The one beside which it does worst; its own id where there is no other."""
    worst_score: Bounded
    """Its interval allows for its being picked among all."""
    tail: Bounded
    """CVaR: beside each of the others in the tenth of the cases that is worst beside the rest, the mean over them, so
    that bad luck is no bad case."""


@dataclass(frozen=True)
class CrossPlay:
    """M members, N cases."""

    members: tuple[str, ...]
    setting: Setting
    score: np.ndarray
    """(M, M, N) float64: part of the row's robots that arrived in each case that it shared with the column."""
    distance: np.ndarray | None = None
    """(M, M): mean total variation of softmax(Q / spread) in the same frozen states, the spread being that of Q over
    actions; nan of scripts, which have no Q.
    """

    @property
    def mean(self) -> np.ndarray:
        """(M, M): over cases."""
        return self.score.mean(axis=2)

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds (M, M) of the mean of each pair, by bootstrap over cases."""
        drawn = self._drawn_means()
        return _bounds(drawn)

    def ratings(self) -> list[Rating]:
        """Return the rating of each member in their order; a draw of the bootstrap takes the same cases for all."""
        sums = self.score.sum(axis=2)
        games = np.full(sums.shape, float(self.setting.num_cases))
        return ratings(
            self.members,
            sums,
            games,
            np.random.default_rng(0),
            confidence=CONFIDENCE,
            samples=(mean * self.setting.num_cases for mean in self._drawn_means()),
        )

    def elo(self) -> dict[str, float]:
        """Return Elo's ratings after all results, case by case; the order of members moves them, so look at
        ``ratings``.
        """
        elo = Elo()
        for case in range(self.setting.num_cases):
            for i, first in enumerate(self.members):
                for j, second in enumerate(self.members):
                    elo.record(first, second, self.score[i, j, case])
        return {member: elo.ability(member) for member in self.members}

    def partners(self, member: str) -> Partners:
        """Return how ``member`` does beside the others."""
        i = self.members.index(member)
        others = [j for j in range(len(self.members)) if j != i] or [i]
        own = self.score[i, others]
        worst = int(own.mean(axis=1).argmin())
        picks = _picks(self.setting.num_cases)
        means = own.mean(axis=0)
        return Partners(
            alone=float(self.score[i, i].mean()),
            mean=_bounded(float(means.mean()), means[picks].mean(axis=1)),
            worst=self.members[others[worst]],
            worst_score=_picked(float(own[worst].mean()), own[worst][picks].mean(axis=1), len(others)),
            tail=_bounded(tail(own), np.array([tail(own[:, pick]) for pick in picks])),
        )

    def _drawn_means(self) -> np.ndarray:
        """Return the means (draws, M, M) of cases drawn with replacement."""
        counts = np.stack(
            [np.bincount(pick, minlength=self.setting.num_cases) for pick in _picks(len(self.score[0, 0]))]
        )
        m = len(self.members)
        return (counts @ self.score.reshape(m * m, -1).T).reshape(-1, m, m) / self.setting.num_cases


def tail(score: np.ndarray, share: float = TAIL) -> float:
    """Return the mean of ``score`` (P, N) of P partners in the worst ``share`` of N cases: beside each partner in those
    cases that are worst beside the others, the mean over partners. One alone is ranked and scored beside itself.
    """
    num = max(1, math.ceil(share * score.shape[1] - 1e-9))
    total = score.sum(axis=0)
    ranking = total - score if len(score) > 1 else score
    worst = np.argsort(ranking, axis=1, kind="stable")[:, :num]
    return float(np.take_along_axis(score, worst, axis=1).mean())


def _picks(num_cases: int) -> np.ndarray:
    """Return the cases of each draw of the bootstrap, (draws, N): the same ones always."""
    return np.random.default_rng(num_cases).integers(num_cases, size=(NUM_DRAWS, num_cases))


def _bounds(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edge = 100.0 * (1.0 - CONFIDENCE) / 2.0
    low, high = np.percentile(drawn, [edge, 100.0 - edge], axis=0)
    return low, high


def _picked(value: float, drawn: np.ndarray, num: int) -> Bounded:
    """Return ``value``, the least of ``num``, with a normal interval at Bonferroni's level, by the spread of
    ``drawn``.
    """
    reach = NormalDist().inv_cdf(1.0 - (1.0 - CONFIDENCE) / num / 2.0) * float(drawn.std(ddof=1))
    return Bounded(value, max(value - reach, 0.0), min(value + reach, 1.0))


def _bounded(value: float, drawn: np.ndarray) -> Bounded:
    low, high = _bounds(drawn)
    return Bounded(value, min(float(low), value), max(float(high), value))
