"""A run over Ray as its controller sees it: what ``topology.start_parts`` has started is polled, saved and ended here.

Everything that can block has a bound: rollouts and learner wait at the ledger (long polls), the driver waits in
``poll`` for its workers and for no other part. A rollout worker or shard that dies or goes silent is fenced, replaced
and counted; ranks are brought back by Ray Train from the last committed checkpoint; when nodes join or leave, the
worlds are shared out anew. When the mailbox, the ledger or the curriculum is gone, PartLostError ends the session, and
the run goes on in a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from robonav_ray.commands import Copy, Describe, Networks
from robonav_ray.errors import LearnerCallError, PartLostError
from robonav_ray.histograms import Histogram
from robonav_ray.nodes.own_ray import what_died
from robonav_ray.nodes.part_placement import NodeFacts
from robonav_ray.nodes.resources import Plan
from robonav_ray.replay.ledger_service import LedgerReport
from robonav_ray.rollout.env_watch import EnvWatch
from robonav_ray.rollout.rollout_stats import RolloutStats
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter
from robonav_ray.runtime.metrics import LengthCounts, replay_metrics, rollout_metrics
from robonav_ray.runtime.over_ray.distribution_poll import DistributionPoll
from robonav_ray.runtime.over_ray.league_part import LeagueHandle, LeaguePoll
from robonav_ray.runtime.over_ray.mailbox import ANSWER_S
from robonav_ray.runtime.over_ray.ray_cut import RayCut
from robonav_ray.runtime.over_ray.ray_save import RaySave
from robonav_ray.runtime.over_ray.ray_watch import RayWatch
from robonav_ray.runtime.over_ray.sharing import Sharing
from robonav_ray.runtime.topology import start_parts
from robonav_ray.runtime.wiring import RunSession, WiringFacts
from robonav_ray.weights.remote import RemoteWeights

logger = logging.getLogger(__name__)
STARTING_POLL_S = 0.1
"""Longest wait for the workers in a poll while the learner is coming up: its first word shall not lie long."""


class RayWiring:
    """All parts of a run as Ray actors; implements Wiring. Needs a connected driver."""

    def __init__(self, session: RunSession, plan: Plan, nodes: tuple[NodeFacts, ...] = ()) -> None:
        """Start everything at once and return without waiting for it to be up; ``nodes`` are those that ``plan`` was
        made for.
        """
        self._session = session
        self._stats, self._env_watch, self._lag = RolloutStats(), EnvWatch(session.task.max_episode_steps), 0
        self._closed, self._lengths = False, LengthCounts()
        parts = self.parts = start_parts(session, plan)
        self._watch = RayWatch(session, parts)
        self._distributions = DistributionPoll(
            lambda: parts.mailbox.ask(Describe(), ANSWER_S), parts.replay.ask_priorities
        )
        self._league: LeaguePoll | None = None
        if isinstance(parts.curriculum, LeagueHandle):
            self._league = LeaguePoll(parts.curriculum, RemoteWeights(parts.store), parts.events.note)
        self._sharing = Sharing(session, plan, parts, nodes)
        self._cut = RayCut(session, parts, self._watch, lambda timeout_s: self._take_news(parts.fleet.poll(timeout_s)))
        self.share_out = self._sharing.share_out

    def poll(self, timeout_s: float, until_env_steps: int | None = None) -> WiringFacts:
        """Hear from the workers for up to ``timeout_s``, then take in what the other parts have answered; the parts
        never wait for that.
        """
        try:
            return self._poll(timeout_s)
        except PartLostError as error:
            self._watch.note_end(error)
            self._watch.look_at_ray()  # a new session would find no Ray to begin in
            raise

    def _poll(self, timeout_s: float) -> WiringFacts:
        self._watch.look_at_ray()
        fleet, config = self.parts.fleet, self._session.config
        news = fleet.poll(timeout_s if self._watch.learner.is_up else min(timeout_s, STARTING_POLL_S))
        self._take_news(news)
        if news.fragments:
            self._lag = news.policy_lag
        if self._league is not None:
            self._league.look(self._session.counters.env_steps + self._stats.env_steps, news.missing)
        ledger = self._watch.look()
        fleet.replace_silent(ledger.quiet.get, config.runtime.heartbeat_timeout_s, config.runtime.start_timeout_s)
        self._sharing.look()
        if config.rollout.spares and not self._is_starting:
            fleet.keep_spares()  # not before all else is up
        return self._facts(ledger)

    @property
    def _learner_steps(self) -> int:
        return int(self._watch.learner.metrics.get("learner/learner_step", self._session.counters.learner_steps))

    @property
    def _is_starting(self) -> bool:
        return self._learner_steps <= self._session.counters.learner_steps

    def _facts(self, ledger: LedgerReport) -> WiringFacts:
        watch, fleet, supervisor = self._watch, self.parts.fleet, self._watch.supervisor
        waiting, done = self._sharing.messages
        messages = (
            watch.learner.waiting_text(),
            waiting,
            supervisor.message,
            done,
            self._env_watch.message,
            fleet.last_loss,
        )
        return WiringFacts(
            env_steps=self._session.counters.env_steps + self._stats.env_steps,
            learner_steps=self._learner_steps,
            progress=supervisor.first_answer("curriculum"),
            num_workers=fleet.num_workers,
            num_replaced=fleet.num_replaced + self.parts.replay.num_restarts,
            metrics={
                **watch.learner.metrics,
                **replay_metrics(ledger.stats, supervisor.shard_stats()),
                **rollout_metrics(self._stats, self._lag),
                **self._env_watch.metrics(),
                **self.parts.events.metrics(),
                **({} if self._league is None else self._league.metrics),
                "rollout/workers_running": float(fleet.num_running),
                "rollout/spares_ready": float(fleet.num_spares),
            },
            message=next(filter(None, messages), ""),
            league=() if self._league is None else self._league.lines,
            is_starting=self._is_starting,
        )

    def histograms(self) -> tuple[Histogram, ...] | None:
        """Take in what learner and shards have counted; they are asked again once they have all answered."""
        found = self._distributions.take()
        return None if found is None else (*found, self._lengths.take(self._stats))

    def salvage(self) -> WiringFacts | None:
        """End the workers, one of which may be at fault; learner and shards have been told nothing and stand where they
        stood.
        """
        watch = self._watch
        if (
            self._closed
            or watch.parts_lost
            or not watch.learner.is_up
            or self.parts.learner.ended_because() is not None
        ):
            return None
        watch.ray_died = watch.ray_died or what_died()
        if watch.ray_died == "raylet":  # and with it all its processes
            return None
        if watch.ray_died is None:
            self.parts.fleet.kill()
        return self._facts(watch.supervisor.first_answer("ledger"))

    def begin_save(self, writer: CheckpointWriter, *, last: bool = False) -> RaySave:
        """Cut; see ``RayCut.begin_save``."""
        return self._cut.begin_save(writer, last=last)

    def save(self, writer: CheckpointWriter) -> int:
        """As ``begin_save``, and wait until all is written; return the learner step of the cut."""
        save = self.begin_save(writer)
        while not save.poll(0.1):
            pass
        return save.learner_step

    def networks(self) -> Networks:
        """Have rank 0 copy them at its next look, through the mailbox."""
        try:
            return self.parts.mailbox.call(Copy(), self._watch.learner.patience_s)
        except RayError as error:
            raise LearnerCallError(f"the networks did not come through the mailbox: {error}") from error

    def save_replay(self, directory: Path) -> None:
        """Cut and write the rows; the learner waits meanwhile, as it finds nothing admitted."""
        self._cut.save_replay(directory)

    def tell_budget(self, used_frac: float) -> None:
        """Through the mailbox."""
        self.parts.mailbox.tell_budget(used_frac)

    def take_over(self, donor: Checkpoint, changes: Mapping[str, Any]) -> bool:
        """Go on from ``donor`` (see ``TakesOver``): True.

        Workers begin new lives under the donor's stage. The learner stays paused until the next ``save``, so that just
        what was taken over is committed first.

        Raises:
            LearnerCallError, ValueError: When a part could not; the learner goes on as it can.
        """
        self._cut.take_over(donor, changes)
        return True

    def committed(self, checkpoint: Checkpoint) -> None:
        """From now on a restarted rank or shard comes back from ``checkpoint``."""
        self._cut.committed(checkpoint)

    def close(self) -> None:
        """Stop the learner cooperatively (Ray Train then removes its placement group itself) and end all actors.

        None is left to Ray to end: a handle that the thread of a lost learner still holds would keep it for the
        sessions to come.
        """
        if self._closed:
            return
        self._closed = True
        if self._watch.ray_died is not None:  # no part is left to answer; who has started Ray ends what is left of it
            return
        parts = self.parts
        ends = (
            parts.mailbox.stop, parts.fleet.kill, self._end_learner, parts.replay.shutdown, parts.curriculum.stop,
            parts.mailbox.kill, partial(ray.kill, parts.store),
        )  # fmt: skip
        for end in ends:
            try:
                end()
            except RayError as error:  # one part that is gone already must not keep the others alive
                logger.warning("while closing: %s", error)

    def _end_learner(self) -> None:
        self._watch.learner.end(by_force=self._watch.parts_lost)

    def _take_news(self, news: RolloutStats) -> None:
        self._stats = self._stats.plus(news)
        self._env_watch.add(news)
