"""The league over Ray: it stands in one part with the curriculum, so that one answer tells a worker what to practise
and whom to meet; the driver asks it now and then, and never waits.

::

    workers --EpisodeResults--> [ curriculum + league ] --Assignment with opponents--> workers
                                        ^        +--------weights of members---------> workers
                driver --env steps, newest weights, missing members
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError, RayTaskError

from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.curriculum.remote import CurriculumHandle, CurriculumHost
from robonav_ray.hosted_remote import Host
from robonav_ray.records import Assignment, EpisodeResults, Metrics, PartEvent, PolicySnapshot
from robonav_ray.runtime.self_play.run_league import LeagueParts, RunLeague
from robonav_ray.weights.remote import RemoteWeights

LOOK_S = 0.5
"""How often the league is asked."""
SNAPSHOT_S = 20.0
"""Longest wait of a worker for the weights of a member; without them it goes on with its own."""


class LeagueNews(NamedTuple):
    """What the league has to say to the driver."""

    metrics: Metrics
    events: tuple[PartEvent, ...]
    wants_snapshot: bool
    """Whether the newest weights are to be brought with the next question."""
    lines: tuple[str, ...]
    """Where it stands, for the panel."""


class CurriculumWithLeague(CurriculumHost):
    """What runs in the actor; implements PolicyPool besides."""

    def __init__(self, config: CurriculumConfig, has_outcomes: bool, parts: LeagueParts) -> None:
        super().__init__(config, has_outcomes)
        self._events: list[PartEvent] = []
        self._league = RunLeague(parts, self._events.append, curriculum=self)

    def assignment_of(self, worker: int) -> Assignment:
        """As the curriculum's, with whom to meet."""
        return replace(super().assignment_of(worker), opponents=self._league.opponents())

    def report(self, results: EpisodeResults) -> None:
        """Let both hear of finished episodes."""
        super().report(self._league.gated(results))
        self._league.report(results)

    def snapshot(self, member: str) -> PolicySnapshot | None:
        """See ``interfaces.PolicyPool``."""
        return self._league.snapshot(member)

    def look(self, env_steps: int, missing: Mapping[str, str], newest: PolicySnapshot | None) -> LeagueNews:
        """Take a snapshot when one is due and ``newest`` is there, leave out what is missing, and tell the news."""
        self._league.lose(missing)
        self._league.maybe_snapshot(env_steps, newest)
        self._league.start_matches()
        self._league.take_matches()
        events, self._events[:] = tuple(self._events), []
        is_due = self._league.league.is_snapshot_due(env_steps)
        return LeagueNews(self._league.metrics(), events, is_due, self._league.lines())

    def league_state(self) -> dict[str, Any]:
        """Return the league's state as JSON takes it."""
        return self._league.state_dict()

    def load_league(self, state: Mapping[str, Any]) -> None:
        """Take over what ``league_state`` gave."""
        self._league.load_state_dict(state)


class RemotePool:
    """Client of the pool; implements PolicyPool; may be sent to workers."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __reduce__(self) -> tuple[type[RemotePool], tuple[Any]]:
        return (RemotePool, (self._actor,))

    def snapshot(self, member: str) -> PolicySnapshot | None:
        """Ask and wait, SNAPSHOT_S at most; None also when there is no answer."""
        try:
            return ray.get(self._actor.snapshot.remote(member), timeout=SNAPSHOT_S)
        except RayTaskError:
            raise
        except RayError:  # a part that is gone ends the session, not this worker
            return None


class LeagueHandle(CurriculumHandle):
    """The runtime's grip on both."""

    def pool(self) -> RemotePool:
        """Return a client for one rollout worker."""
        return RemotePool(self.actor)

    def league_state(self) -> dict[str, Any]:
        """Return the league's state as JSON takes it."""
        return self._call(self.actor.league_state.remote())

    def load_league(self, state: Mapping[str, Any], timeout_s: float | None = None) -> None:
        """Take over a saved state."""
        self._call(self.actor.load_league.remote(state), timeout_s)


def start_curriculum_with_league(
    config: CurriculumConfig, has_outcomes: bool, host: Host, parts: LeagueParts
) -> LeagueHandle:
    """Start both as one part of ``host``, without waiting for it."""
    return LeagueHandle(host.start(CurriculumWithLeague, config, has_outcomes, parts))


class LeaguePoll:
    """Keeps one question to the league under way."""

    def __init__(self, handle: LeagueHandle, weights: RemoteWeights, note: Callable[[PartEvent], None]) -> None:
        self._actor, self._weights, self._note = handle.actor, weights, note
        self._asked: Any = None
        self._asked_at = float("-inf")
        self._missing: dict[str, str] = {}
        self._wants_snapshot = False
        self.metrics: Metrics = {}
        """As the league told them last."""
        self.lines: tuple[str, ...] = ()
        """Likewise."""

    def look(self, env_steps: int, missing: Mapping[str, str]) -> None:
        """Take in an answer, and ask anew when that is due."""
        self._missing |= missing
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            self._take_in()
        if self._asked is None and time.monotonic() - self._asked_at >= LOOK_S:
            self._asked_at = time.monotonic()
            newest = self._weights.newer_than(-1) if self._wants_snapshot else None
            self._asked = self._actor.look.remote(env_steps, self._missing, newest)
            self._missing = {}

    def _take_in(self) -> None:
        asked, self._asked = self._asked, None
        try:
            news: LeagueNews = ray.get(asked)
        except RayTaskError:
            raise
        except RayError:  # the supervisor, which asks the same part, ends the session
            return
        self.metrics, self.lines, self._wants_snapshot = news.metrics, news.lines, news.wants_snapshot
        for event in news.events:
            self._note(event)
