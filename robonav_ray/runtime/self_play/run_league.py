"""The league of a run while it trains.

::

    curriculum --Assignment--> [ + opponents ] --> workers --EpisodeResults--> curriculum, league
    weights ------(every league.snapshot_env_steps)------> member store, league
    league -------(every league.promotion.interval_env_steps)------> match, in a process of its own ---> league
    curriculum ---(a gate that asks for partners, with a snapshot)-> match, in a process of its own ---> curriculum
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from robonav_ray.config import RunConfig
from robonav_ray.config.league import LeagueConfig
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.interfaces import AssignmentSource
from robonav_ray.league.challenges import Challenge
from robonav_ray.league.league import League
from robonav_ray.league.member import Member
from robonav_ray.league.snapshots import MissingSnapshotError
from robonav_ray.league.standing import forgotten_by, headline
from robonav_ray.records import Assignment, EpisodeResults, Metrics, Opponents, Outcome, PartEvent, PolicySnapshot
from robonav_ray.rollout.member_policies import NO_SNAPSHOT
from robonav_ray.runtime.self_play.exploit_log import read_exploits
from robonav_ray.runtime.self_play.gate_matches import GateMatches
from robonav_ray.runtime.self_play.known_outcomes import KnownOutcomes
from robonav_ray.runtime.self_play.match_process import Match, MatchProcess, MatchResult, StartMatch
from robonav_ray.runtime.self_play.matches import GateOrder, MatchOrder, Side
from robonav_ray.runtime.self_play.member_store import MemberStore
from robonav_ray.worlds.kernels.adversary import OBSTACLE
from robonav_ray.worlds.kernels.layout import DRIVERS, GIVEN

PART = "league"
"""Begins the name of a member in ``RUN/events.jsonl``."""
logger = logging.getLogger(__name__)


class LeagueParts(NamedTuple):
    """What a run's league is made from."""

    config: LeagueConfig
    store: MemberStore
    seeds: Sequence[Member]
    """Policies of other runs; their weights are in ``store``."""
    run_config: RunConfig | None = None
    """Of the run, in whose worlds the newest snapshot challenges the best; None: none does."""
    match_share: float = 1.0
    """See ``MatchOrder.share``."""


class RunLeague:
    """The league with its weights; implements PolicyPool.

    A member whose weights are missing, damaged or of another network is left out from then on, which is noted as an
    event; the run goes on.
    """

    def __init__(
        self,
        parts: LeagueParts,
        note: Callable[[PartEvent], None],
        start_match: StartMatch | None = None,
        curriculum: Curriculum | None = None,
    ) -> None:
        """Begin without snapshots; ``note`` is told what happens to members. Matches are played in processes, unless
        ``start_match`` says otherwise; those that the gates of ``curriculum`` ask for as well.
        """
        self.league = League(parts.config, seeds=parts.seeds)
        self.store, self._note = parts.store, note
        self._run_config, self._match_share = parts.run_config, parts.match_share
        self._start_match = start_match or MatchProcess
        self._match: Match | None = None
        self._played: tuple[Challenge, MatchOrder] | None = None
        self._known = KnownOutcomes()
        self._gates: GateMatches | None = None
        if curriculum is not None and parts.run_config is not None:
            self._gates = GateMatches(curriculum, parts.run_config, self._gate_order, self._start_match, note)
        self._last_match: MatchResult | None = None
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
                driver=tuple(self._driver(pool[m]) for m in draw.member),
                share=tuple(draw.share.tolist()),
                probability=tuple(tuple(row) for row in draw.probability.tolist()),
            )
        return self._opponents

    def _driver(self, member: Member) -> int:
        if member.role == "scripted":
            return DRIVERS.index(member.id)
        is_obstacle = any(one.id == member.id and one.role == "obstacle" for one in self.league.exploiters.found)
        return OBSTACLE if is_obstacle else GIVEN

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

    def gated(self, results: EpisodeResults) -> EpisodeResults:
        """Return ``results`` with those alone before the gates that come of worlds whose robots were all the learner's:
        beside members its success hangs on who is met. Where no such world is drawn, all stay before them.
        """
        if results.member is None or not self.opponents().share[0] > 0.0:
            return results
        return replace(results, on_gate=results.on_gate & (results.member == ""))

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
        self.adopt_exploiters()
        member = self.league.snapshot(env_steps, sha256)
        self._note(PartEvent("joined", f"{PART}/{member.id}", f"at {env_steps:,} env steps"))
        if self._run_config is not None:
            self.league.begin_challenge(env_steps)
        if self._gates is not None:
            self._gates.snapshot_taken(member.id, env_steps)

    def adopt_exploiters(self) -> None:
        """Take in the best responses that ``robonav league exploit`` has trained in this run since the last look."""
        for exploit, sha256 in read_exploits(self.store.run):
            if self.league.adopt(exploit, sha256):
                told = f"gained {exploit.gain:.1%} over {exploit.target}"
                self._note(PartEvent("joined", f"{PART}/{exploit.id}", told))

    def start_matches(self) -> None:
        """Have the matches that are to be played be under way, also those that a session before has left."""
        if self._gates is not None:
            self._gates.start()
        challenge = self.league.challenged
        if challenge == (None if self._played is None else self._played[0]):
            return
        self._end_match()  # it is over, or another state was taken over
        if challenge is None or (order := self._order(challenge)) is None:
            return
        try:
            self._match, self._played = self._start_match(order), (challenge, order)
        except OSError as error:  # no process can be started now
            self._drop(challenge, str(error))

    def take_matches(self, wait_s: float = 0.0, env_steps: int | None = None) -> None:
        """Take in what came of the matches under way, with ``env_steps`` of those alone whose outcomes count from there
        on; waits for the end of each up to ``wait_s``.
        """
        if self._gates is not None and (env_steps is None or self._gates.is_over(env_steps)):
            self._gates.take(wait_s)
        if self._match is None or not (env_steps is None or self.league.is_challenge_over(env_steps)):
            return
        if (found := self._match.result(wait_s)) is not None:
            self._take_in(found)

    def awaited(self, env_steps: int) -> str:
        """Return which match that is still played counts from ``env_steps`` on, for people; empty where none does."""
        if self.league.is_challenge_over(env_steps):
            return "the match of a challenger with the best of the league"
        if self._gates is not None and self._gates.is_over(env_steps):
            return "the match of the newest snapshot beside the league's members, for the gate"
        return ""

    def _order(self, challenge: Challenge) -> MatchOrder | None:
        """Return the match of ``challenge``; None, and it is dropped, where one of the two has no weights any more."""
        pool = self.league.pool
        if self._run_config is None:
            self.league.drop_challenge("this run plays no matches")
            return None
        for member in challenge[:2]:
            if self.snapshot(member) is None:
                self.league.drop_challenge(f"the weights of {member} cannot be read")
                return None
        challenger, best = (Side(member, pool[member].sha256) for member in challenge[:2])
        anchors = self._anchors()
        return MatchOrder(
            self._run_config, self.store.run, self.store.storage, challenger, best, anchors, self._match_share,
            self._known.of(best, anchors),
        )  # fmt: skip

    def _gate_order(self, member: str, stage: int) -> GateOrder | None:
        """Return the match of a snapshot for the gate of ``stage``; None where it has no weights any more."""
        assert self._run_config is not None
        if self.snapshot(member) is None:
            return None
        for anchor in self._anchors():
            if anchor.sha256 is not None:
                self.snapshot(anchor.id)  # one without weights is lost by this
        side = Side(member, next(one.sha256 for one in self.league.pool.lineage if one.id == member))
        return GateOrder(
            self._run_config, self.store.run, self.store.storage, side, stage, self._anchors(), self._match_share
        )

    def _anchors(self) -> tuple[Side, ...]:
        return tuple(Side(one.id, one.sha256) for one in self.league.pool.members if one.is_anchor)

    def _take_in(self, found: MatchResult) -> None:
        from robonav_ray.evaluation.comparing.rates import mcnemar_p, paired_rates  # brings scipy: not at the start

        assert self._played is not None
        (challenge, order), self._last_match = self._played, found
        if found.failed:
            self._drop(challenge, found.failed)
        else:
            verdict = self.league.end_challenge(found.outcomes, lambda one, two: mcnemar_p(paired_rates(one, two)))
            self._known.learn(order, found, verdict.promoted)
            told = "promoted" if verdict.promoted else "kept"
            self._note(PartEvent(told, f"{PART}/{challenge.challenger}", verdict.reason))
        self._end_match()

    def _drop(self, challenge: Challenge, why: str) -> None:
        self.league.drop_challenge(why)
        told = f"it could not challenge {challenge.best}: {why}"
        self._note(PartEvent("failed", f"{PART}/{challenge.challenger}", told))

    def close(self) -> None:
        """End the matches that are under way; they are played anew when the run goes on."""
        self._end_match()
        if self._gates is not None:
            self._gates.close()

    def _end_match(self) -> None:
        if self._match is not None:
            self._match.close()
        self._match = self._played = None

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
        if pool.best is not None:
            found |= {
                "league/challenges": float(self.league.num_judged),
                "league/best_env_steps": float(pool.best.step),
            }
        if points := self.league.diversity.history:
            found["league/diversity"] = points[-1].log_det / max(points[-1].num_members, 1)
            found["league/forgotten_max"] = float(forgotten_by(self.league).max())
        if self._last_match is not None:
            found |= {"league/match_s": self._last_match.wall_s, "league/match_cpu_s": self._last_match.cpu_s}
        if self._gates is not None and self._gates.cpu_s is not None:
            found["league/gate_match_cpu_s"] = self._gates.cpu_s
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
        self.adopt_exploiters()
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
        self._source.report(self._league.gated(results))
        self._league.report(results)
