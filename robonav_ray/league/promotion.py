"""Whether a snapshot takes the place of the best one: on the same worlds, in the same company."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from robonav_ray.config.league import PromotionConfig
from robonav_ray.league.member import LeagueError

PairedTest = Callable[[np.ndarray, np.ndarray], float]
"""Two-sided p of (W,) bool against (W,) bool on the same worlds, such as McNemar's."""
Outcomes = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By company (their own kind, a scripted member): who succeeded, (W,) bool of the challenger and of the best."""


OWN = "own"
"""The company of a member's own kind: it sits in all seats."""


class Company(NamedTuple):
    """How a challenger and the best did in one company."""

    name: str
    num_worlds: int
    challenger_frac: float
    best_frac: float
    p: float


class Verdict(NamedTuple):
    """What a comparison has found."""

    promoted: bool
    reason: str
    companies: tuple[Company, ...]


def judge(outcomes: Outcomes, rule: PromotionConfig, paired_p: PairedTest) -> Verdict:
    """Return whether the challenger is promoted: better in one company at least, worse in none.

    Better at ``max_p`` over the number of companies (Bonferroni), worse at ``max_p`` itself: a veto is cheap.

    Raises:
        LeagueError: For no company, or one with fewer than ``num_worlds`` worlds or outcomes that are not paired.
    """
    if not outcomes:
        raise LeagueError("a promotion takes outcomes in one company at least")
    companies: list[Company] = []
    for name, (challenger, best) in outcomes.items():
        first, second = np.asarray(challenger), np.asarray(best)
        if first.shape != second.shape or first.ndim != 1 or len(first) < rule.num_worlds:
            raise LeagueError(
                f"{name}: {first.shape} against {second.shape}: give one outcome a world of the same worlds, at least "
                f"league.promotion.num_worlds ({rule.num_worlds})"
            )
        first, second = first.astype(bool), second.astype(bool)
        companies.append(
            Company(name, len(first), float(first.mean()), float(second.mean()), float(paired_p(first, second)))
        )
    worse = [c for c in companies if c.challenger_frac < c.best_frac and c.p <= rule.max_p]
    if worse:
        return Verdict(False, f"worse in the company of {_told(worse)}", tuple(companies))
    better = [c for c in companies if c.challenger_frac > c.best_frac and c.p <= rule.max_p / len(companies)]
    if better:
        return Verdict(True, f"better in the company of {_told(better)}", tuple(companies))
    return Verdict(False, "no better in any company", tuple(companies))


def _told(companies: Sequence[Company]) -> str:
    return ", ".join(f"{one.name} ({one.challenger_frac:.1%} against {one.best_frac:.1%})" for one in companies)
