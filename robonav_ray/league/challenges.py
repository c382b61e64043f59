"""When a snapshot challenges the best, and which match is under way.

A match takes minutes, and training goes on meanwhile. When it begins, and when at the latest its outcomes count, are
numbers of env steps: a run that was stopped in between plays it anew, and goes on as if it had not stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from robonav_ray.config.league import PromotionConfig
from robonav_ray.league.member import Member
from robonav_ray.league.pool import Pool
from robonav_ray.ranges import MAX_COUNT, count, require

NO_CHALLENGES: dict[str, Any] = {"num_judged": 0, "begun_at": 0, "under_way": None}
"""The state before the first one; states of earlier versions of this program have none."""


class Challenge(NamedTuple):
    """A match for the place of the best."""

    challenger: str
    best: str
    begun: int
    """Env steps of the learner."""


class Challenges:
    """The matches of one league, one at a time."""

    def __init__(self, rule: PromotionConfig) -> None:
        self._rule = rule
        self._begun_at = 0
        self.num_judged = 0
        """Matches so far whose outcomes were taken in."""
        self.under_way: Challenge | None = None

    def is_due(self, env_steps: int, newest: Member | None, best: Member | None) -> bool:
        """Whether ``newest`` is to challenge ``best``: ``interval_env_steps`` have gone by since the last challenge."""
        interval = self._rule.interval_env_steps
        if interval is None or self.under_way is not None or newest is None or newest == best:
            return False
        return env_steps >= self._begun_at + interval

    def begin(self, challenger: str, best: str | None, env_steps: int) -> Challenge | None:
        """Begin a match; None, and noted as begun all the same, where there is no best to be challenged."""
        self._begun_at = env_steps
        self.under_way = None if best is None else Challenge(challenger, best, env_steps)
        return self.under_way

    def is_over(self, env_steps: int) -> bool:
        """Whether the outcomes of the match under way are to be taken in now at the latest."""
        interval = self._rule.interval_env_steps or 0
        return self.under_way is not None and env_steps >= self.under_way.begun + interval // 2

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as JSON takes it."""
        under_way = None if self.under_way is None else list(self.under_way)
        return {"num_judged": self.num_judged, "begun_at": self._begun_at, "under_way": under_way}

    def load_state_dict(self, state: Mapping[str, Any], pool: Pool) -> None:
        """Take over what ``state_dict`` gave, of members in ``pool``; ValueError, and nothing changed, when it does not
        fit.
        """
        require(isinstance(state, Mapping) and set(state) == set(NO_CHALLENGES), "league.challenges: is no state")
        for name in ("num_judged", "begun_at"):
            count(high=MAX_COUNT).check(f"league.challenges.{name}", state[name])
        under_way = _read(state["under_way"], pool)
        self.num_judged, self._begun_at, self.under_way = state["num_judged"], state["begun_at"], under_way


def _read(value: Any, pool: Pool) -> Challenge | None:
    name = "league.challenges.under_way"
    match value:
        case None:
            return None
        case [str(challenger), str(best), int(begun)]:
            count(high=MAX_COUNT).check(name, begun)
            frozen = {member.id for member in pool.frozen}
            are_there = {challenger, best} <= frozen and challenger != best
            require(are_there, f"{name}: is between members that are not there")
            return Challenge(challenger, best, begun)
        case _:
            require(False, f"{name}: is no match")
