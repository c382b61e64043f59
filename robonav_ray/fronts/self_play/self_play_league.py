"""``SelfPlayLeague``: a population to learn among, for a training loop of one's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from robonav_ray.config.league import MIX_KINDS, LeagueConfig
from robonav_ray.config.load import check_section
from robonav_ray.counter_rng import ROLE_OPPONENTS, seed_for
from robonav_ray.evaluation.comparing.rates import mcnemar_p, paired_rates
from robonav_ray.files.plain_files import check_folder, read_json
from robonav_ray.files.storage import write_bytes
from robonav_ray.league.games import equilibrium
from robonav_ray.league.league import MAIN, League, LeagueEvent
from robonav_ray.league.matchmaking import drawn
from robonav_ray.league.member import LeagueError, Member
from robonav_ray.league.picture import draw_league
from robonav_ray.league.promotion import Outcomes, Verdict
from robonav_ray.league.ratings import Rating
from robonav_ray.league.snapshots import MissingSnapshotError, Snapshots, encoded
from robonav_ray.league.standing import make_rng, training_results
from robonav_ray.league.written import as_json
from robonav_ray.ranges import MAX_COUNT, count, require, within

LEAGUE_FILE = "league.json"
logger = logging.getLogger(__name__)

Weights = Mapping[str, np.ndarray]
Scores = float | Sequence[float] | npt.NDArray[Any]


class Opponent(NamedTuple):
    """Who is met in a game, or who is best."""

    id: str
    role: str
    """``main``, ``exploiter``, ``scripted`` or ``seed``."""
    kind: str
    """The kind of game that it was drawn for: ``current``, ``latest``, ``uniform``, ``prioritised``, ``scripted`` or
    ``verification``."""
    weights: dict[str, np.ndarray] | None
    """Named arrays, read-only; None for a script, and for the policy that learns, as it is now."""


class PayoffTable(NamedTuple):
    """What is known of all pairs; row: whose score, column: with whom."""

    members: tuple[str, ...]
    score: np.ndarray
    """(M, M): expected scores in [0, 1]; .5 where nothing is known."""
    low: np.ndarray
    """(M, M): lower bounds of 95 % credible intervals."""
    high: np.ndarray
    """(M, M): upper bounds."""
    games: np.ndarray
    """(M, M): weight of the results that are known; old ones fade."""


class SelfPlayLeague:
    """The same league that a run uses (``league.League``), with weights, around a loop of one's own.

    ::

        league = SelfPlayLeague({"snapshot_env_steps": 10_000}, scripted=["waits"])
        while learning:
            for opponent in league.next_opponents(16):
                league.report(opponent, play(policy, opponent))     # a score from 0 to 1
            ...                                                     # learn
            league.maybe_snapshot(env_steps, policy.state_dict())
        league.save("league")
    """

    def __init__(
        self,
        config: LeagueConfig | Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        scripted: Sequence[str] | None = None,
        members: Mapping[str, Weights] | None = None,
        learner: str = MAIN,
        zero_sum: bool = False,
    ) -> None:
        """Begin a league of a learner, scripts and given policies.

        Args:
            config: The keys of ``league`` in a run's config (None: the defaults).
            seed: Of all draws.
            scripted: Names of scripts, which the loop drives itself; None takes the config's.
            members: Weights of policies from elsewhere, by name: they are met as snapshots are, and never leave.
            learner: Name of the policy that learns.
            zero_sum: Whether what one gains the other loses: a report then counts for both, and ``prioritise`` is
                ``adversaries`` where the config does not say it.

        Raises:
            UserError: For a config, a name or weights that cannot be; nothing was made.
        """
        if isinstance(config, LeagueConfig):
            config = config.model_dump(exclude_unset=True)
        for name, value in (("config", config), ("members", members)):
            if not isinstance(value, Mapping | None):
                raise LeagueError(f"{name} ({value!r}) must be a mapping: the keys of a section, or weights by name")
        given = dict(config or {})
        if zero_sum:
            given = {"prioritise": "adversaries", **given}
        if not 0 <= seed < 2**31 or isinstance(scripted, str):
            raise LeagueError(
                f"seed ({seed}) must be from 0 to 2147483647, and scripted ({scripted!r}) a list of names"
            )
        self.config = check_section(LeagueConfig, given, "SelfPlayLeague")
        self.seed, self.zero_sum = seed, zero_sum
        missing = [name for name in self.config.members if name not in (members or {})]
        if missing:
            raise LeagueError(
                f"league.members: SelfPlayLeague reads no runs: give the weights of {missing[0]!r} in members= "
                "(robonav_ray.load_policy reads those of a run), or leave it out"
            )
        self._num_games = 0
        self._weights: dict[str, dict[str, np.ndarray]] = {}
        seeds = [Member(name, "seed", sha256=self._take(name, arrays)) for name, arrays in (members or {}).items()]
        self._league = League(self.config, learner=learner, scripted=scripted, seeds=seeds)

    @property
    def members(self) -> tuple[Member, ...]:
        """All that can be met, the learner first."""
        return self._league.pool.members

    @property
    def lineage(self) -> tuple[Member, ...]:
        """All members ever, those that are gone first."""
        return self._league.pool.lineage

    @property
    def events(self) -> tuple[LeagueEvent, ...]:
        """What happened, the oldest first."""
        return self._league.events

    def next_opponents(self, num_games: int = 1) -> list[Opponent]:
        """Return whom the learner meets in its next games, one each; a function of the seed and of what was reported.

        Raises:
            LeagueError: For a negative number.
        """
        if num_games < 0:
            raise LeagueError(f"num_games ({num_games}) must not be negative")
        draw, found = self._league.draw(), list[Opponent]()
        for game in range(self._num_games, self._num_games + num_games):
            first, second = (seed_for(self.seed, ROLE_OPPONENTS, 2 * game + i) / 2.0**63 for i in range(2))
            kind = drawn(draw.share, first)
            member = draw.member[drawn(draw.probability[kind], second)] if kind else self._league.learner
            found.append(self._opponent(self._league.pool[member], MIX_KINDS[kind]))
        self._num_games += num_games
        return found

    def chances(self) -> dict[str, float]:
        """Return how likely each member is to be met now; the learner is where it meets itself as it is."""
        draw = self._league.draw()
        met = dict(zip(draw.member, draw.total.tolist(), strict=True))
        return {self._league.learner: 1.0 - sum(met.values()), **met}

    def report(self, opponent: Opponent | str, score: Scores, opponent_score: Scores | None = None) -> None:
        """Take the learner's score in [0, 1] in a game with ``opponent``, or of several, the oldest first.

        Args:
            opponent: From ``next_opponents``, or an id.
            score: 1 is a success, 0 a failure, .5 a draw.
            opponent_score: What the opponent made of the same games, where that is known; with ``zero_sum`` it is the
                rest to 1.

        Raises:
            LeagueError: For a score out of range, or one that never was a member; nothing was taken.
        """
        other = opponent.id if isinstance(opponent, Opponent) else str(opponent)
        mine = _scores("score", score)
        theirs = None if opponent_score is None else _scores("opponent_score", opponent_score)
        if self.zero_sum and theirs is not None:
            raise LeagueError("opponent_score is the rest to 1 in a zero_sum league: leave it out")
        learner = self._league.learner
        self._league.report(learner, other, mine)
        if theirs is not None or (self.zero_sum and other != learner):
            self._league.report(other, learner, 1.0 - mine if theirs is None else theirs)

    def maybe_snapshot(self, env_steps: int, weights: Weights) -> Member | None:
        """Take in a copy of the learner if ``league.snapshot_env_steps`` have gone by since the last; None if not."""
        return self.snapshot(env_steps, weights) if self._league.is_snapshot_due(env_steps) else None

    def snapshot(self, env_steps: int, weights: Weights) -> Member:
        """Take in a copy of the learner now, at so many env steps.

        Raises:
            LeagueError: When ``env_steps`` falls, or weights have not the names and shapes of those that are there.
        """
        try:
            return self._league.snapshot(env_steps, self._take("the snapshot", weights))
        finally:
            self._drop_unused()

    def judge(self, challenger: str, outcomes: Outcomes) -> Verdict:
        """Let a snapshot take the place of the best, by McNemar's test of who succeeded on the same worlds.

        Args:
            challenger: Its id.
            outcomes: By company (its own kind, a script): (W,) bool of the challenger and of the best.

        Raises:
            LeagueError: When it is no frozen member, or there are fewer worlds than ``league.promotion.num_worlds``.
        """
        return self._league.challenge(challenger, outcomes, lambda one, two: mcnemar_p(paired_rates(one, two)))

    def best(self) -> Opponent | None:
        """Return the best snapshot: the one that ``judge`` promoted last, or, where nothing was judged, the most able
        by Bradley-Terry. None before the first snapshot.
        """
        found = self._league.best
        return None if found is None else self._opponent(found, "best")

    def payoff(self) -> PayoffTable:
        """Return what is known of all pairs."""
        payoff = self._league.payoff
        return PayoffTable(payoff.ids, payoff.mean, *payoff.interval(), payoff.games)

    def ratings(self) -> list[Rating]:
        """Return each member's rating with its interval; the same one for the same results."""
        return self._league.ratings(make_rng())

    def nash(self) -> dict[str, float]:
        """Return the widest equilibrium of the game that members play by what is known: each member's part in it."""
        payoff = self._league.payoff
        mix = equilibrium(payoff.mean).row_mix
        return dict(zip(payoff.ids, map(float, mix), strict=True))

    def draw(self, path: str | Path, title: str = "league") -> Path:
        """Draw matrix, ratings and diversity as a PNG, SVG or PDF, by the suffix; return where it is."""
        return draw_league(self._league, training_results(self._league), Path(path), title)

    def save(self, folder: str | Path) -> Path:
        """Write all to ``folder``, weights by the hash of their content; return it.

        A folder that holds the league of before is brought up to date; killed at any time, it holds the one or the
        other.
        """
        folder = Path(folder)
        check_folder(folder)
        snapshots = Snapshots(str(folder))
        stored = snapshots.stored()
        for sha256 in sorted(self._weights.keys() - stored):
            snapshots.put(self._weights[sha256])
        state = {"seed": self.seed, "num_games": self._num_games, "league": self._league.state_dict()}
        write_bytes(str(folder / LEAGUE_FILE), as_json(state))
        snapshots.keep(self._weights.keys())
        return folder

    def load(self, folder: str | Path) -> Self:
        """Take over what ``save`` wrote, and return this league, which goes on as if it had not stopped.

        A member whose weights are missing or damaged leaves: an event and a warning say so.

        Raises:
            UserError: When no league lies there, the file is damaged, or it is of a league with another learner;
                nothing was changed.
        """
        folder = Path(folder)
        path = folder / LEAGUE_FILE
        try:
            state = read_json(path)
        except FileNotFoundError:
            raise LeagueError(f"{path}: there is none; name a folder that `save` has written") from None
        again = League(self.config, learner=self._league.learner, scripted=self._scripted(), seeds=self._seeds())
        try:
            with within(f"{path}: "):
                is_state = isinstance(state, Mapping) and set(state) == {"seed", "num_games", "league"}
                require(is_state, "is no league")
                for name in ("seed", "num_games"):
                    count(high=MAX_COUNT).check(name, state[name])
                again.load_state_dict(state["league"])
        except ValueError as error:
            text = str(error)
            raise LeagueError(text if text.startswith(str(path)) else f"{path}: {text}") from None
        weights = dict(self._weights)
        for member in again.pool.frozen:
            self._fetch(Snapshots(str(folder)), again, member, weights)
        self._league, self._weights = again, weights
        self.seed, self._num_games = state["seed"], state["num_games"]
        self._drop_unused()
        return self

    def _fetch(self, snapshots: Snapshots, league: League, member: Member, into: dict[str, Any]) -> None:
        assert member.sha256 is not None
        if member.sha256 in into:
            return
        try:
            weights = snapshots.get(member.sha256)
            if into and (differing := _differing(weights, next(iter(into.values())))):
                raise MissingSnapshotError(f"its weights do not fit the other members': {differing}")
            into[member.sha256] = _frozen(weights)
        except MissingSnapshotError as error:
            logger.warning("the league goes on without %s: %s", member.id, error)
            league.lose(member.id, str(error))

    def _scripted(self) -> list[str]:
        return [member.id for member in self._league.pool.scripted]

    def _seeds(self) -> list[Member]:
        return [member for member in self._league.pool.members if member.role == "seed"]

    def _opponent(self, member: Member, kind: str) -> Opponent:
        weights = None if member.sha256 is None else self._weights[member.sha256]
        return Opponent(member.id, member.role, kind, weights)

    def _take(self, name: str, weights: Weights) -> str:
        """Keep a copy of ``weights``; return their hash."""
        if not isinstance(weights, Mapping) or not weights or not all(isinstance(key, str) for key in weights):
            raise LeagueError(f"weights of {name}: give arrays by name, such as a network's state_dict()")
        try:
            copied = _frozen({key: np.array(array) for key, array in weights.items()})
        except (TypeError, ValueError, RuntimeError) as error:
            raise LeagueError(f"weights of {name}: one is no array: {error}") from None
        for key, array in copied.items():
            if array.dtype.kind not in "fiub":
                raise LeagueError(f"weights of {name}: {key} is of {array.dtype}, and not of numbers")
            if not np.isfinite(array).all():
                raise LeagueError(f"weights of {name}: {key} holds numbers that are not finite")
        known = next(iter(self._weights.values()), None)
        if known is not None and (differing := _differing(copied, known)):
            raise LeagueError(
                f"weights of {name} do not fit the other members': {differing}; observation, actions and network of "
                "all members of a league are the same"
            )
        sha256, _ = encoded(copied)
        self._weights[sha256] = copied
        return sha256

    def _drop_unused(self) -> None:
        used = {member.sha256 for member in self._league.pool.frozen}
        self._weights = {sha256: arrays for sha256, arrays in self._weights.items() if sha256 in used}


def _scores(name: str, value: Scores) -> np.ndarray:
    try:
        scores = np.atleast_1d(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        raise LeagueError(f"{name} ({value!r}) must be a number from 0 to 1, or several") from None
    if scores.ndim != 1 or not ((scores >= 0.0) & (scores <= 1.0)).all():
        raise LeagueError(f"{name} ({value!r}) must be a number from 0 to 1, or several")
    return scores


def _frozen(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    for array in arrays.values():
        array.setflags(write=False)
    return dict(arrays)


def _differing(one: Weights, other: Weights) -> str | None:
    if set(one) != set(other):
        return f"names {sorted(one)} beside {sorted(other)}"
    shapes = [(name, one[name].shape, other[name].shape) for name in sorted(one)]
    return next((f"{name} is {mine}, theirs {theirs}" for name, mine, theirs in shapes if mine != theirs), None)
