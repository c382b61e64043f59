"""The league of a run while it trains.

::

    curriculum --Assignment--> [ + opponents ] --> workers --EpisodeResults--> curriculum, league
    weights ------(every league.snapshot_env_steps)------> member store, league
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from robonav_ray.config.league import LeagueConfig
from robonav_ray.interfaces import AssignmentSource
from robonav_ray.league.league import League
from robonav_ray.league.member import Member
from robonav_ray.league.snapshots import MissingSnapshotError
from robonav_ray.league.standing import headline
from robonav_ray.records import Assignment, EpisodeResults, Metrics, Opponents, Outcome, PartEvent, PolicySnapshot
from robonav_ray.rollout.member_policies import NO_SNAPSHOT
from robonav_ray.runtime.self_play.member_store import MemberStore
from robonav_ray.worlds.kernels.layout import DRIVERS

PART = "league"
"""Begins the name of a member in ``RUN/events.jsonl``."""
logger = logging.getLogger(__name__)


class LeagueParts(NamedTuple):
    """What a run's league is made from."""

    config: LeagueConfig
    store: MemberStore
    seeds: Sequence[Member]
    """Policies of other runs; their weights are in ``store``."""


class RunLeague:
    """The league with its weights; implements PolicyPool.

    A member whose weights are missing, damaged or of another network is left out from then on, which is noted as an
    event; the run goes on.
    """

    def __init__(self, parts: LeagueParts, note: Callable[[PartEvent], None]) -> None:
        """Begin without snapshots; ``note`` is told what happens to members."""
        self.league = League(parts.config, seeds=parts.seeds)
        self.store, self._note = parts.store, note
        self._opponents: Opponents | None = None
        self._num_failed = 0

    def opponents(self) -> Opponents:
        """Return how worlds are shared by what is known now."""
        if self._opponents is None or self._opponents.serial != self.league.serial:
            draw = self.league.draw()
            pool = self.league.pool
            self._opponents = Opponents(
                serial=self.league.serial,
                member=draw.member,
                driver=tuple(DRIVERS.index(m) if pool[m].role == "scripted" else 0 for m in draw.member),
                share=tuple(draw.share.tolist()),
                probability=tuple(tuple(row) for row in draw.probability.tolist()),
            )
        return self._opponents

    def snapshot(self, member: str) -> PolicySnapshot | None:
        """See ``interfaces.PolicyPool``; a member whose weights are gone is lost with this call.

        Also of one that has left the pool: it may be in an episode that a resumed run goes on with.
        """
        sha256 = next((m.sha256 for m in self.league.pool.lineage if m.id == member), None)
        if sha256 is None:
            return None
        try:
            return self.store.get(sha256)
        except MissingSnapshotError as error:
            self._lose(member, str(error))
        except OSError as error:  # storage that does not answer may do so later
            logger.warning("league: the weights of %s cannot be read now (%s)", member, error)
        return None

    def report(self, results: EpisodeResults) -> None:
        """Take in how the learner's robots did: 1 for a success, else 0, with each member that worlds were shared
        with.
        """
        if results.member is None:
            return
        score = (results.outcome == Outcome.SUCCESS).astype(np.float64)
        for member in np.unique(results.member).tolist():
            name = member or self.league.learner
            if name in self.league.pool:  # not what has left, nor what came after a checkpoint that was gone back to
                self.league.report(self.league.learner, name, score[results.member == member])

    def lose(self, missing: Mapping[str, str]) -> None:
        """Go on without the members that workers could not act with."""
        for member, why in missing.items():
            if why != NO_SNAPSHOT:  # the pool itself has seen to those
                self._lose(member, why)

    def maybe_snapshot(self, env_steps: int, newest: PolicySnapshot | None) -> None:
        """Take the newest weights in as a member, when that is due; where they cannot be kept, later."""
        if newest is None or not self.league.is_snapshot_due(env_steps):
            return
        try:
            sha256 = self.store.put(newest)
        except OSError as error:
            self._num_failed += 1
            if self._num_failed == 1:
                self._note(PartEvent("failed", PART, f"a snapshot could not be kept: {error}"))
            return
        self._num_failed = 0
        member = self.league.snapshot(env_steps, sha256)
        self._note(PartEvent("joined", f"{PART}/{member.id}", f"at {env_steps:,} env steps"))

    def _lose(self, member: str, why: str) -> None:
        if member not in self.league.pool:
            return
        self.league.lose(member, why)
        self._note(PartEvent("lost", f"{PART}/{member}", why))

    def metrics(self) -> Metrics:
        """Return how the learner does among the members that it meets."""
        pool, opponents = self.league.pool, self.opponents()
        found = {
            "league/members": float(len(pool.members)),
            "league/snapshots": float(len(pool.snapshots)),
            "league/lost": float(sum(event.event == "lost" for event in self.league.events)),
            "league/shared_frac": sum(s for s, p in zip(opponents.share, opponents.probability, strict=True) if any(p)),
            "league/alone_score": float(self.league.payoff.scores(self.league.learner, [self.league.learner])[0]),
        }
        if opponents.member:
            score = self.league.payoff.scores(self.league.learner, opponents.member)
            found |= {"league/score_mean": float(score.mean()), "league/score_min": float(score.min())}
        return found

    def lines(self) -> tuple[str, ...]:
        """Return where the league stands, for the panel: the pool, the opponents, the newest ratings."""
        return headline(self.league)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but weights, as JSON takes it."""
        return json.loads(json.dumps(self.league.state_dict(), default=np.ndarray.tolist))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave; ValueError, and nothing changed, when it does not fit."""
        self.league.load_state_dict(state)
        self._opponents = None


class LeagueAssignments:
    """An AssignmentSource that adds whom to meet, and lets the league hear of the results."""

    def __init__(self, source: AssignmentSource, league: RunLeague) -> None:
        self._source, self._league = source, league

    def next_assignment(self, worker: int) -> Assignment:
        """As ``AssignmentSource.next_assignment``."""
        return replace(self._source.next_assignment(worker), opponents=self._league.opponents())

    def report(self, results: EpisodeResults) -> None:
        """As ``AssignmentSource.report``."""
        self._source.report(results)
        self._league.report(results)
