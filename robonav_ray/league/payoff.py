"""How well each member does beside or against each other: counts of which the old ones fade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robonav_ray.league.member import LeagueError
from robonav_ray.ranges import MAX_COUNT, check_numbers, count, real, require
from robonav_ray.records import MAX_MEMBER_ID


class Payoff:
    """Results of ordered pairs (first, second): the score in [0, 1] of the first, in games in which the second took
    part.

    A pair's results are kept as a Beta distribution, Beta(1 + s, 1 + n - s) with n games and s their summed scores
    (1 is a success, .5 a draw). Each new result multiplies both sums by 1 - 1 / ``window`` first, so that n is never
    above ``window`` and what is old fades; ``fade`` does the same at once where a member has changed.
    """

    def __init__(self, window: int) -> None:
        if window < 1:
            raise LeagueError(f"window ({window}) must be at least 1 game")
        self.window = window
        self._ids: list[str] = []
        self._score = np.zeros((0, 0))
        self._games = np.zeros((0, 0))
        self._played = np.zeros((0, 0), np.int64)

    @property
    def ids(self) -> tuple[str, ...]:
        """The members of the rows and columns, in their order."""
        return tuple(self._ids)

    @property
    def score(self) -> np.ndarray:
        """(M, M) float64: summed scores of the results known of each pair, each by its weight."""
        return self._score.copy()

    @property
    def games(self) -> np.ndarray:
        """(M, M) float64: weight of the results known of each pair, at most ``window``."""
        return self._games.copy()

    @property
    def played(self) -> np.ndarray:
        """(M, M) int64: results ever recorded of each pair."""
        return self._played.copy()

    @property
    def mean(self) -> np.ndarray:
        """(M, M) float64: the expected score of each row's member with each column's; .5 where nothing is known."""
        return (1.0 + self._score) / (2.0 + self._games)

    def add(self, member: str, like: str | None = None) -> None:
        """Give ``member`` a row and a column; without results, or with those of ``like``, of which it is a copy.

        Raises:
            LeagueError: When it has a row already, or ``like`` has none.
        """
        if member in self._ids:
            raise LeagueError(f"there is a member {member!r} already: ids are not used twice")
        source = None if like is None else self.index(like)
        self._ids.append(member)
        arrays = [np.pad(array, (0, 1)) for array in (self._score, self._games, self._played)]
        if source is not None:
            for array in arrays:
                array[-1, :] = array[source, :]
                array[:, -1] = array[:, source]
        self._score, self._games, self._played = arrays

    def remove(self, member: str) -> None:
        """Forget the row and the column of ``member``."""
        i = self.index(member)
        del self._ids[i]
        self._score, self._games, self._played = (
            np.delete(np.delete(array, i, 0), i, 1) for array in (self._score, self._games, self._played)
        )

    def index(self, member: str) -> int:
        """Return the row of ``member``; LeagueError when it has none."""
        try:
            return self._ids.index(member)
        except ValueError:
            raise LeagueError(
                f"{member!r} is no member of this league; there are {', '.join(self._ids) or 'none'}"
            ) from None

    def record(self, first: str, second: str, scores: Sequence[float] | np.ndarray) -> None:
        """Take the scores of ``first`` in games with ``second``, the oldest first; one call or many give the same bits.

        Raises:
            LeagueError: For a score that is not in [0, 1], or a pair that is not known; nothing was taken.
        """
        i, j = self.index(first), self.index(second)
        values = np.asarray(scores, np.float64).reshape(-1)
        if not bool(((values >= 0.0) & (values <= 1.0)).all()):
            bad = values[~((values >= 0.0) & (values <= 1.0))][0]
            raise LeagueError(f"a score of {first!r} with {second!r} is {bad:g}: give a number from 0 to 1")
        kept, total, games = 1.0 - 1.0 / self.window, float(self._score[i, j]), float(self._games[i, j])
        for value in values.tolist():
            total, games = total * kept + value, games * kept + 1.0
        self._score[i, j], self._games[i, j] = total, games
        self._played[i, j] += len(values)

    def fade(self, member: str, kept: float) -> None:
        """Multiply the weight of all results of ``member``, on either side, by ``kept`` in [0, 1]."""
        i = self.index(member)
        for array in (self._score, self._games):
            array[i, :] *= kept
            array[np.arange(len(self._ids)) != i, i] *= kept

    def scores(self, first: str, others: Sequence[str]) -> np.ndarray:
        """Return the expected scores (K,) of ``first`` with each of ``others``."""
        return self.mean[self.index(first), [self.index(other) for other in others]]

    def known(self, first: str, others: Sequence[str]) -> np.ndarray:
        """Return the weight of the results (K,) that are known of ``first`` with each of ``others``."""
        return self._games[self.index(first), [self.index(other) for other in others]]

    def interval(self, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds (M, M) of the central credible interval of each pair's Beta distribution."""
        from scipy.special import betaincinv  # a training that shows no interval starts without it

        a, b, tail = 1.0 + self._score, 1.0 + self._games - self._score, (1.0 - confidence) / 2.0
        return np.asarray(betaincinv(a, b, tail)), np.asarray(betaincinv(a, b, 1.0 - tail))

    def state_dict(self) -> dict[str, Any]:
        """Return everything: texts, and arrays (M, M)."""
        return {
            "ids": list(self._ids),
            "score": self._score.copy(),
            "games": self._games.copy(),
            "played": self._played.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave, its arrays as arrays or as lists; ValueError, and nothing changed, when
        it does not fit.
        """
        require(isinstance(state, Mapping) and isinstance(state.get("ids"), list), "payoff: ids: is no list")
        ids: list[Any] = list(state["ids"])
        require(all(isinstance(one, str) and 0 < len(one) <= MAX_MEMBER_ID for one in ids), "payoff: ids: are no names")
        require(len(set(ids)) == len(ids), "payoff: ids: a member stands twice")
        m = len(ids)
        declared = {
            "score": real(m, m, low=0.0, high=float(MAX_COUNT)),
            "games": real(m, m, low=0.0, high=float(MAX_COUNT)),
        }
        rest = {key: value for key, value in state.items() if key != "ids"}
        check_numbers("payoff", rest, {**declared, "played": count(m, m, high=MAX_COUNT)}, "payoff: ")
        score, games = (np.array(state[key], np.float64).reshape(m, m) for key in ("score", "games"))
        require(score <= games, "payoff: score: is above the games that it was made in")
        played = np.array(state["played"], np.int64).reshape(m, m)
        self._ids, self._score, self._games, self._played = ids, score, games, played
