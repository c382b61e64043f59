"""The matches that gates of stages ask for (``gate.min_partner_success_frac``): the newest snapshot plays in held-out
worlds of the stage, beside each anchor of the league and among its own kind.
"""

from __future__ import annotations

from collections.abc import Callable

from robonav_ray.config import RunConfig
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.curriculum.partner_gate import PartnerMatch
from robonav_ray.records import PartEvent
from robonav_ray.runtime.self_play.match_process import Match, MatchResult, StartMatch
from robonav_ray.runtime.self_play.matches import GateOrder

MakeOrder = Callable[[str, int], GateOrder | None]
"""(snapshot, stage) -> what is to be played; None where the weights of the snapshot are lost."""


class GateMatches:
    """One match at a time; it is ``curriculum`` that says which is to be played, and that is told what came of it."""

    def __init__(
        self,
        curriculum: Curriculum,
        config: RunConfig,
        make_order: MakeOrder,
        start: StartMatch,
        note: Callable[[PartEvent], None],
    ) -> None:
        self._curriculum, self._config = curriculum, config
        self._make_order, self._start, self._note = make_order, start, note
        self._match: Match | None = None
        self._played: tuple[int, PartnerMatch] | None = None
        self.cpu_s: float | None = None
        """CPU time that the last match took; None before one has."""

    def snapshot_taken(self, member: str, env_steps: int) -> None:
        """Hear of a new snapshot."""
        self._curriculum.snapshot_taken(member, env_steps)

    def start(self) -> None:
        """Have the match that is to be played be under way, also one that a session before has left."""
        wanted = self._wanted()
        if wanted == self._played:
            return
        self.close()  # it is over, or another stage has begun
        if wanted is None:
            return
        stage, match = wanted
        order = self._make_order(match.member, stage)
        if order is None:
            self._drop("its weights cannot be read")
            return
        try:
            self._match, self._played = self._start(order), wanted
        except OSError as error:  # no process can be started now
            self._drop(str(error))

    def take(self, wait_s: float = 0.0) -> None:
        """Tell the curriculum what came of the match under way; waits for its end up to ``wait_s``."""
        if self._match is None or self._wanted() != self._played:
            return
        found = self._match.result(wait_s)
        if found is not None:
            self._take_in(found)

    def is_over(self, env_steps: int) -> bool:
        """Whether the outcome of the match under way is to be taken in now at the latest."""
        match, interval = self._curriculum.partner_match, self._config.league and self._config.league.snapshot_env_steps
        return match is not None and env_steps >= match.begun + (interval or 0) // 2

    def close(self) -> None:
        """End the match that is under way; it is played anew when the run goes on."""
        if self._match is not None:
            self._match.close()
        self._match = self._played = None

    def _wanted(self) -> tuple[int, PartnerMatch] | None:
        match = self._curriculum.partner_match
        return None if match is None else (self._curriculum.stage, match)

    def _take_in(self, found: MatchResult) -> None:
        assert self._played is not None
        stage, match = self._played
        if found.failed:
            self._drop(found.failed)
        else:
            self.cpu_s = found.cpu_s
            figures = self._curriculum.end_partner_match(found.success_frac)
            assert figures is not None
            config = self._config.curriculum.stages[stage]
            asked = config.gate.min_partner_success_frac
            told = f"for the gate of {config.name}: {figures.worst_text}" + (
                f" (at least {asked:.0%})" if asked else ""
            )
            self._note(PartEvent("played", f"league/{match.member}", told))
        self.close()

    def _drop(self, why: str) -> None:
        match = self._curriculum.partner_match
        self._curriculum.end_partner_match(None)
        if match is not None:
            self._note(PartEvent("failed", f"league/{match.member}", f"it could not play for the gate: {why}"))
