"""Who is met how often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robonav_ray.config.league import MIX_KINDS, LeagueConfig
from robonav_ray.league.member import Member
from robonav_ray.league.payoff import Payoff
from robonav_ray.league.pool import Pool


class Draw(NamedTuple):
    """How opponents are drawn: first the kind of world, then the member."""

    member: tuple[str, ...]
    """(M,) ids of all that can be met."""
    share: np.ndarray
    """(K,) float64: part of each kind of world, in the order of ``MIX_KINDS``; they sum to 1. A kind without members
    has none, its part is ``current``'s."""
    probability: np.ndarray
    """(K, M) float64: of each member in each kind; a row sums to 1, or to 0 where nobody is met (``current``, and
    kinds without members)."""

    @property
    def total(self) -> np.ndarray:
        """(M,) float64: part of all worlds in which each member is met."""
        return self.share @ self.probability


def partner_weight(score: np.ndarray) -> np.ndarray:
    """Return x (1 - x) of scores x: most where success and failure are as likely, as there is most to learn (SFL)."""
    return score * (1.0 - score)


def adversary_weight(score: np.ndarray) -> np.ndarray:
    """Return (1 - x)^2 of scores x: most against those that are not beaten (AlphaStar, DI-engine)."""
    return np.square(1.0 - score)


def verification_weight(known: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + n) of the weights n of what is known: most for those that were not met lately."""
    return 1.0 / (1.0 + known)


def normalized(weight: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """Return ``weight`` (M,) as probabilities, of which ``floor`` is shared alike: (1 - floor) w / sum(w) + floor / M.

    Where all weights are 0, all are alike.
    """
    total = float(weight.sum())
    alike = np.full(len(weight), 1.0 / len(weight))
    return (1.0 - floor) * weight / total + floor * alike if total > 0.0 else alike


class Matchmaker:
    """Shares and probabilities by a league's config; a function of pool and payoff, without a state of its own."""

    def __init__(self, config: LeagueConfig) -> None:
        self.config = config

    def draw_for(self, learner: str, pool: Pool, payoff: Payoff) -> Draw:
        """Return how the opponents of ``learner`` are drawn, by what is known now."""
        others = [member for member in pool.members if not member.learns]
        ids = [member.id for member in others]
        score, known = payoff.scores(learner, ids), payoff.known(learner, ids)
        probability = np.zeros((len(MIX_KINDS), len(others)))
        share = np.array([getattr(self.config.mix, kind) for kind in MIX_KINDS], np.float64)
        for k, kind in enumerate(MIX_KINDS[1:], 1):
            among = self._met_in(kind, others)
            if among:
                probability[k, among] = self._chances(kind, score[among], known[among])
            else:
                share[0], share[k] = share[0] + share[k], 0.0
        return Draw(tuple(ids), share, probability)

    def _met_in(self, kind: str, others: Sequence[Member]) -> list[int]:
        if kind == "scripted":
            return [i for i, member in enumerate(others) if member.role == "scripted"]
        frozen = [i for i, member in enumerate(others) if member.is_frozen]
        if kind == "latest":
            return [i for i in frozen if others[i].role == "main"][-1:]
        return frozen

    def _chances(self, kind: str, score: np.ndarray, known: np.ndarray) -> np.ndarray:
        floor = self.config.floor
        if kind == "verification":
            return normalized(verification_weight(known), floor)
        if kind in ("prioritised", "scripted"):
            weigh = partner_weight if self.config.prioritise == "partners" else adversary_weight
            return normalized(weigh(score), floor)
        return normalized(np.ones(len(score)))


def drawn(share: np.ndarray, at: float) -> int:
    """Return the index that ``at`` in [0, 1) falls on when parts ``share`` (K,), which sum to 1, lie side by side; one
    of no size is never it.
    """
    found = int(np.searchsorted(np.cumsum(share), at * float(share.sum()), side="right"))
    return min(found, int(np.flatnonzero(share)[-1]))
