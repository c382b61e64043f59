"""Where a league stands: each member with what is known of it, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from robonav_ray.league.cross_play import Bounded, CrossPlay, Partners, Setting
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
    """By how much the learner does worse with it than the best of its snapshots, at least 0."""
    ability: float
    """Bradley-Terry, in points: 400 are odds of ten to one."""
    ability_low: float
    ability_high: float
    difficulty: float
    nash_skill: float
    nash_weight: float
    elo: float
    partners: Partners | None = None
    """How it does beside the others, where that was played on held-out cases."""


@dataclass(frozen=True)
class Standing:
    """A league at one time."""

    learner: str
    source: str
    """Of scores and ratings: ``training`` or ``held-out``."""
    setting: Setting | None
    """What was played, where they are of held-out cases."""
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
        members = [asdict(one) | {"partners": _plain(one.partners)} for one in self.members]
        return asdict(self) | {
            "setting": None if self.setting is None else self.setting._asdict(),
            "members": members,
            "events": [event._asdict() for event in self.events],
        }


def _plain(partners: Partners | None) -> dict[str, Any] | None:
    if partners is None:
        return None
    return {name: one._asdict() if isinstance(one, Bounded) else one for name, one in partners._asdict().items()}


class Results(NamedTuple):
    """What the members of a league are judged by, in the order of ``members``."""

    source: Literal["training", "held-out"]
    members: tuple[str, ...]
    mean: np.ndarray
    """(M, M): expected score of the row with the column."""
    low: np.ndarray
    """(M, M): bounds of its 95 % interval."""
    high: np.ndarray
    games: np.ndarray
    """(M, M): weight of what is known; 0 where nothing is."""
    ratings: Sequence[Rating]
    elo: Mapping[str, float]
    cross_play: CrossPlay | None = None
    """Where they are of held-out cases."""


def training_results(league: League) -> Results:
    """Return what training has shown: with its exploration, in the stages that it had, mostly of the learner."""
    payoff, low_high = league.payoff, league.payoff.interval()
    elo = {member: league.elo.ability(member) for member in payoff.ids}
    return Results("training", payoff.ids, payoff.mean, *low_high, payoff.games, league.ratings(make_rng()), elo)


def held_out_results(played: CrossPlay) -> Results:
    """Return what cross-play on held-out cases has shown."""
    games = np.full(played.mean.shape, float(played.setting.num_cases))
    return Results(
        "held-out", played.members, played.mean, *played.interval(), games, played.ratings(), played.elo(), played
    )


def standing_of(league: League, results: Results | None = None) -> Standing:
    """Return where ``league`` stands by ``results`` of its members now; None takes those of training."""
    results = results or training_results(league)
    pool, draw = league.pool, league.draw()
    at = {member: i for i, member in enumerate(results.members)}
    row = at[league.learner]
    forgotten = _forgotten(league, results.members, results.mean)
    met = dict(zip(draw.member, draw.total.tolist(), strict=True))
    met[league.learner] = 1.0 - sum(met.values())
    members = list[MemberStanding]()
    best = pool.best if league.num_judged else None
    rated = results.games.sum(axis=1) > 0.0
    for rating in results.ratings:
        member, i = pool[rating.member], at[rating.member]
        members.append(
            MemberStanding(
                **{name: getattr(member, name) for name in ("id", "role", "parent", "step")},
                is_best=member == best,
                is_rated=bool(rated[i]),
                met_frac=met.get(member.id, 0.0),
                score=float(results.mean[row, i]),
                score_low=float(results.low[row, i]),
                score_high=float(results.high[row, i]),
                games=float(results.games[row, i]),
                forgotten=float(forgotten[i]),
                ability=rating.ability,
                ability_low=rating.low,
                ability_high=rating.high,
                difficulty=rating.difficulty,
                nash_skill=rating.nash_skill,
                nash_weight=rating.nash_weight,
                elo=results.elo[member.id],
                partners=None if results.cross_play is None else results.cross_play.partners(member.id),
            )
        )
    worst = min(members, key=lambda one: one.score)
    return Standing(
        learner=league.learner,
        source=results.source,
        setting=None if results.cross_play is None else results.cross_play.setting,
        members=tuple(members),
        worst=worst.id,
        worst_score=worst.score,
        exploits=tuple(asdict(exploit) | {"gain": exploit.gain} for exploit in league.exploiters.found),
        diversity=tuple(point._asdict() for point in league.diversity.history),
        lineage=tuple(asdict(member) for member in pool.lineage),
        events=league.events,
    )


def forgotten_by(league: League) -> np.ndarray:
    """Return by how much the learner does worse with each member (M,) than the best of its snapshots, by training."""
    return _forgotten(league, league.payoff.ids, league.payoff.mean)


def _forgotten(league: League, members: Sequence[str], mean: np.ndarray) -> np.ndarray:
    at = {member: i for i, member in enumerate(members)}
    line = [at[one.id] for one in league.pool.snapshots if one.role == "main" and one.id in at]
    return forgetting(mean[[*line, at[league.learner]]])


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
