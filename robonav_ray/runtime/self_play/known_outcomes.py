"""What the best of a league has shown in the worlds of matches: they are the same ones in each match, so that it need
not play them again. Kept for one member, in memory: after a resume it plays them once more, with the same outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable

from robonav_ray.league.promotion import OWN
from robonav_ray.runtime.self_play.match_process import MatchResult
from robonav_ray.runtime.self_play.matches import MatchOrder, Side


class KnownOutcomes:
    """Outcomes of one member, by the content of the company."""

    def __init__(self) -> None:
        self._whose: Side | None = None
        self._shown: dict[Side, tuple[bool, ...]] = {}

    def of(self, best: Side, anchors: Iterable[Side]) -> dict[str, tuple[bool, ...]]:
        """Return by company what is known of ``best`` among its own kind, beside itself and beside ``anchors``."""
        if best != self._whose:
            return {}
        return {one.id: self._shown[one] for one in (_OWN, best, *anchors) if one in self._shown}

    def learn(self, order: MatchOrder, found: MatchResult, promoted: bool) -> None:
        """Keep what a match has shown of the one that is the best from then on."""
        outcomes, side = found.outcomes, 0 if promoted else 1
        self._whose = order.challenger if promoted else order.best
        shown = {one: outcomes[one.id][side] for one in (_OWN, *order.anchors)}
        shown[self._whose] = found.beside_itself if promoted else outcomes[order.best.id][1]
        self._shown = {one: tuple(outcome.tolist()) for one, outcome in shown.items()}


_OWN = Side(OWN, None)
