"""Where a league stands: each member with what is known of it, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robonav_ray.league.league import League, LeagueEvent
from robonav_ray.league.ratings import Rating, forgetting


@dataclass(frozen=True)
class MemberStanding:
    """One member, as the learner has met it, and as all have."""

    id: str
    role: str
    parent: str | None
    step: int
    """Env steps that it had trained."""
    is_best: bool
    """Whether a challenge has promoted it last."""
    is_rated: bool
    """Whether any result of its own is known; the ratings of one without are those of the average."""
    met_frac: float
    """Part of all worlds in which it is met now; of the learner, those in which all robots are its own."""
    score: float
    """Expected score of the learner with it, in [0, 1]."""
    score_low: float
    """Bounds of its 95 % credible interval."""
    score_high: float
    games: float
    """Weight of the results that this is known by."""
    forgotten: float
    """By how much the learner does worse with it than the best of its snapshots did, at least 0."""
    ability: float
    """Bradley-Terry, in points: 400 are odds of ten to one."""
    ability_low: float
    ability_high: float
    difficulty: float
    nash_skill: float
    nash_weight: float
    elo: float


@dataclass(frozen=True)
class Standing:
    """A league at one time."""

    learner: str
    members: tuple[MemberStanding, ...]
    worst: str
    """The member with which the learner's expected score is least."""
    worst_score: float
    exploits: tuple[dict[str, Any], ...]
    """Best responses that were measured; their gains are lower bounds of exploitability."""
    diversity: tuple[dict[str, Any], ...]
    """Over time."""
    lineage: tuple[dict[str, Any], ...]
    """All members ever."""
    events: tuple[LeagueEvent, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as JSON takes it."""
        return asdict(self) | {"events": [event._asdict() for event in self.events]}


def standing_of(league: League, ratings: list[Rating]) -> Standing:
    """Return where ``league`` stands; ``ratings`` are its own (``League.ratings``)."""
    payoff, pool, draw = league.payoff, league.pool, league.draw()
    row, mean = payoff.index(league.learner), payoff.mean
    low, high = payoff.interval()
    line = [payoff.index(member.id) for member in pool.snapshots if member.role == "main"]
    forgotten = forgetting(mean[[*line, row]])
    met = dict(zip(draw.member, draw.total.tolist(), strict=True))
    met[league.learner] = 1.0 - sum(met.values())
    members = list[MemberStanding]()
    best = pool.best if league.num_judged else None
    rated = payoff.games.sum(axis=1) > 0.0
    for rating in ratings:
        member, i = pool[rating.member], payoff.index(rating.member)
        members.append(
            MemberStanding(
                **{name: getattr(member, name) for name in ("id", "role", "parent", "step")},
                is_best=member == best,
                is_rated=bool(rated[i]),
                met_frac=met.get(member.id, 0.0),
                score=float(mean[row, i]),
                score_low=float(low[row, i]),
                score_high=float(high[row, i]),
                games=float(payoff.games[row, i]),
                forgotten=float(forgotten[i]),
                ability=rating.ability,
                ability_low=rating.low,
                ability_high=rating.high,
                difficulty=rating.difficulty,
                nash_skill=rating.nash_skill,
                nash_weight=rating.nash_weight,
                elo=league.elo.ability(member.id),
            )
        )
    worst = min(members, key=lambda one: one.score)
    return Standing(
        learner=league.learner,
        members=tuple(members),
        worst=worst.id,
        worst_score=worst.score,
        exploits=tuple(asdict(exploit) | {"gain": exploit.gain} for exploit in league.exploiters.found),
        diversity=tuple(point._asdict() for point in league.diversity.history),
        lineage=tuple(asdict(member) for member in pool.lineage),
        events=league.events,
    )


_MOST = 4
"""Members that a headline names."""


def headline(league: League) -> tuple[str, str, str]:
    """Return three short lines for people: the pool, the current opponents, the newest ratings; cheap enough for each
    look at a run.
    """
    pool, draw, payoff = league.pool, league.draw(), league.payoff
    parts = [f"{len(pool.snapshots)} snapshots"]
    if league.num_judged and pool.best is not None:
        parts.append(f"best {pool.best.id}")
    if draw.member:
        scores = payoff.scores(league.learner, draw.member)
        least = int(np.argmin(scores))
        parts.append(f"worst with {draw.member[least]} {scores[least]:.0%}")
    met = sorted(zip(draw.total.tolist(), draw.member, strict=True), key=lambda one: -one[0])[:_MOST]
    strong = sorted(((league.elo.ability(one.id), one.id) for one in pool.members), key=lambda one: -one[0])[:_MOST]
    return (
        f"league {', '.join(parts)}",
        f"meets  {', '.join(f'{member} {part:.0%}' for part, member in met) or 'itself'}",
        f"Elo    {', '.join(f'{member} {points:+.0f}' for points, member in strong)}",
    )


def make_rng() -> np.random.Generator:
    """Return the generator of the bootstrap of what is shown: the same league shows the same intervals."""
    return np.random.default_rng(0)
