"""How strong members are, as a number with an interval: Bradley-Terry, Elo, Nash averaging; and what was forgotten.

A score of one member with another is explained by the ability of the first and the difficulty of the second:
logit P[a, b] = ability[a] - difficulty[b], the model of Bradley and Terry (1952) between agents and tasks. Among
partners a difficult one is one beside which others fail; among adversaries ability and difficulty are one thing, and
both orders of a game are recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from robonav_ray.league.games import equilibrium
from robonav_ray.ranges import real, require
from robonav_ray.records import MAX_MEMBER_ID

POINTS = 400.0 / math.log(10.0)
"""Points of the Elo scale for one unit of the logit."""
_RIDGE = 0.1
"""Weight of the prior that abilities are alike: one that always won has a finite one."""


class Strengths(NamedTuple):
    """In points, 400 of which are odds of ten to one; abilities have mean 0."""

    ability: np.ndarray
    """(M,)"""
    difficulty: np.ndarray
    """(M,)"""


def bradley_terry(score: np.ndarray, games: np.ndarray, start: np.ndarray | None = None) -> Strengths:
    """Return the abilities and difficulties that explain ``score`` (M, M), summed over ``games`` (M, M), best.

    The maximum of the likelihood with a small normal prior, by Newton's method.

    Args:
        score: Sums of scores; rows are the first of a pair.
        games: Weights of the results that they are sums of.
        start: (2 M,) logits to begin with: abilities, then difficulties.
    """
    x = _most_likely(score, games, np.zeros(2 * len(score)) if start is None else start)
    ability, difficulty = np.split(x, 2)
    return Strengths(POINTS * (ability - ability.mean()), POINTS * (difficulty - ability.mean()))


def _most_likely(score: np.ndarray, games: np.ndarray, start: np.ndarray) -> np.ndarray:
    m, x = len(score), start.copy()
    bend = np.empty((2 * m, 2 * m))
    for _ in range(50):
        chance = 1.0 / (1.0 + np.exp(np.clip(x[None, m:] - x[:m, None], -500.0, 500.0)))
        excess, spread = score - games * chance, games * chance * (1.0 - chance)
        slope = np.concatenate([excess.sum(axis=1), -excess.sum(axis=0)]) - _RIDGE * x
        bend[:m, :m], bend[m:, m:] = np.diag(spread.sum(axis=1) + _RIDGE), np.diag(spread.sum(axis=0) + _RIDGE)
        bend[:m, m:], bend[m:, :m] = -spread, -spread.T
        step = np.linalg.solve(bend, slope)
        longest = float(np.abs(step).max(initial=0.0))
        x += step * min(1.0, 5.0 / max(longest, 1e-300))
        if longest < 1e-8:
            break
    return x


class Rating(NamedTuple):
    """Of one member."""

    member: str
    ability: float
    """Bradley-Terry, in points."""
    low: float
    high: float
    """Bounds of the ability by bootstrap."""
    difficulty: float
    nash_skill: float
    """Mean logit with the partners or adversaries of the widest equilibrium (Balduzzi et al. 2018), in points."""
    nash_weight: float
    """Its part in that equilibrium; clones share one part, and so move no rating."""


def ratings(
    members: Sequence[str],
    score: np.ndarray,
    games: np.ndarray,
    rng: np.random.Generator,
    *,
    num_draws: int = 200,
    confidence: float = 0.95,
    samples: Iterable[np.ndarray] | None = None,
) -> list[Rating]:
    """Return the rating of each of ``members`` (M,) from summed scores (M, M) in games (M, M), in their order.

    The bootstrap draws the scores of each pair anew, as binomial of as many games with the score that was seen; it
    says how sure the ratings are for these members, not what others would change. ``samples`` are sums of scores (M, M)
    that were drawn anew otherwise, such as over cases that all pairs share.
    """
    found = bradley_terry(score, games)
    whole = np.rint(games).astype(np.int64)
    frac = np.divide(score, games, out=np.full(score.shape, 0.5), where=games > 0.0)
    start = np.concatenate(found) / POINTS
    if samples is None:
        samples = (rng.binomial(whole, np.clip(frac, 0.0, 1.0)) for _ in range(num_draws))
    draws = np.array([bradley_terry(sample, whole, start).ability for sample in samples])
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0)
    mean = (1.0 + score) / (2.0 + games)
    logit = np.log(mean / (1.0 - mean))
    nash = equilibrium(logit)
    skill = POINTS * (logit @ nash.column_mix)
    rows = zip(members, found.ability, low, high, found.difficulty, skill, nash.row_mix, strict=True)
    return [Rating(member, *map(float, values)) for member, *values in rows]


def forgetting(mean: np.ndarray) -> np.ndarray:
    """Return by how much the last of a line is worse with each member than the best before it was, (M,), at least 0.

    Args:
        mean: (S, M): scores of S snapshots of one line, the oldest first, with M members.
    """
    return np.maximum(mean.max(axis=0) - mean[-1], 0.0) if len(mean) else np.zeros(mean.shape[1])


class Elo:
    """Elo's running ratings (1978) of abilities and difficulties: each result moves both by ``step`` times its
    surprise.

    Cheap, and known to all; clones move it, and so does the order of results. ``ratings`` is what to judge by.
    """

    def __init__(self, step: float = 16.0) -> None:
        self.step = step
        self._ability: dict[str, float] = {}
        self._difficulty: dict[str, float] = {}

    def ability(self, member: str) -> float:
        """Return points of ``member``; 0 for one without results."""
        return self._ability.get(member, 0.0)

    def difficulty(self, member: str) -> float:
        """Return points of ``member`` as one to be met; 0 for one without results."""
        return self._difficulty.get(member, 0.0)

    def record(self, first: str, second: str, scores: Sequence[float] | np.ndarray) -> None:
        """Take scores in [0, 1] of ``first`` in games with ``second``, the oldest first."""
        ability, difficulty = self.ability(first), self.difficulty(second)
        for score in np.asarray(scores, np.float64).reshape(-1).tolist():
            surprise = self.step * (score - 1.0 / (1.0 + 10.0 ** ((difficulty - ability) / 400.0)))
            ability, difficulty = ability + surprise, difficulty - surprise
        self._ability[first], self._difficulty[second] = ability, difficulty

    def copy(self, member: str, original: str) -> None:
        """Give ``member``, a copy of ``original``, its points."""
        self._ability[member], self._difficulty[member] = self.ability(original), self.difficulty(original)

    def forget(self, member: str) -> None:
        """Take ``member`` out."""
        for points in (self._ability, self._difficulty):
            points.pop(member, None)

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as JSON takes it."""
        return {"ability": dict(self._ability), "difficulty": dict(self._difficulty)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave; ValueError, and nothing changed, when it does not fit."""
        require(isinstance(state, Mapping) and set(state) == {"ability", "difficulty"}, "elo: is no state of ratings")
        for key in ("ability", "difficulty"):
            require(isinstance(state[key], Mapping), f"elo.{key}: is no mapping")
            for member, points in state[key].items():
                require(isinstance(member, str) and 0 < len(member) <= MAX_MEMBER_ID, f"elo.{key}: a key is no member")
                real().check(f"elo.{key}.{member}", points)
        self._ability = {member: float(points) for member, points in state["ability"].items()}
        self._difficulty = {member: float(points) for member, points in state["difficulty"].items()}
