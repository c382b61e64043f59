"""The wiring over Ray, on one screen: which actors there are, and who holds a handle to whom.

::

    curriculum <--assignments, episodes-- rollout workers --fragments--> shards --batches--> learner ranks (TorchTrainer)
        ^                                     |     ^                     ^  ^                  |   |        ^
        | progress                reservations|     |weights              |  +--- priorities ---+   |        | commands
        |                                     v     |                     |                         v        |
     driver ---- polls ---------------->  ledger    +------------------------------- weight store   |     mailbox <--> driver
                                                                                           ^-----publish

Everything that can block has a bound: rollouts and learner wait at the ledger (long polls), the driver waits in ``poll`` for its workers
and for nobody else. A rollout worker or shard that dies or goes silent is fenced, replaced and counted; ranks are brought back by Ray
Train from the last committed checkpoint; when nodes join or leave, the worlds are shared out anew. The mailbox, the ledger, the
curriculum and the weight store are small actors without a CPU of their own, on the driver's node: when one of the first three is gone,
PartLostError ends the session, and the run goes on in a new one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from robonav_ray.commands import Committed, Cut, Resume, TakeOver
from robonav_ray.counter_rng import ROLE_NETWORK, seed_for
from robonav_ray.curriculum.remote import start_curriculum
from robonav_ray.errors import LearnerCallError, PartLostError, ToldError
from robonav_ray.files.storage import join
from robonav_ray.learner.remote import LearnerWiring, start_learner
from robonav_ray.nodes.own_ray import what_died
from robonav_ray.nodes.placement import NodeFacts
from robonav_ray.nodes.resources import Plan
from robonav_ray.ranges import within
from robonav_ray.records import PartEvent
from robonav_ray.replay.ledger_service import LedgerReport
from robonav_ray.replay.remote import ReplaySave, start_replay
from robonav_ray.rollout.env_watch import EnvWatch
from robonav_ray.rollout.make_worker import RolloutWiring
from robonav_ray.rollout.remote import RolloutFleet
from robonav_ray.rollout.worker import RolloutStats
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, taking_up
from robonav_ray.runs.policies import read_policy
from robonav_ray.runs.stored_runs import ray_train_notes
from robonav_ray.runtime.elastic import Elasticity
from robonav_ray.runtime.events import EventLog
from robonav_ray.runtime.learner_watch import LearnerWatch
from robonav_ray.runtime.mailbox import MailboxHandle
from robonav_ray.runtime.metrics import replay_metrics, rollout_metrics
from robonav_ray.runtime.ray_save import CALL_TIMEOUT_S, RaySave
from robonav_ray.runtime.sizes import max_fragment_rows, max_sample_rows
from robonav_ray.runtime.supervision import ASK_INTERVAL_S, Supervisor, here, near
from robonav_ray.runtime.wiring import Session, WiringFacts
from robonav_ray.weights.remote import start_weight_store

logger = logging.getLogger(__name__)
SILENT_S = 2.0
"""With a shard that has been silent for so long nobody is asked to stand still for a checkpoint."""
LAST_WAIT_S = 20.0
"""Longest wait of the last checkpoint for parts that are silent, or being replaced."""
DRAIN_S = 1.0
"""Longest wait for inserts under way when a checkpoint is cut; the learner stands meanwhile."""
LIVES_PER_SESSION = 1 << 16
"""Identities of workers rise by this much from session to session; so many deaths of one worker keep them apart."""


class RayWiring:
    """All parts of a run as Ray actors; implements Wiring. Needs a connected driver."""

    def __init__(self, session: Session, plan: Plan, nodes: tuple[NodeFacts, ...] = ()) -> None:
        """Start everything at once and return without waiting for it to be up; ``nodes`` are those that ``plan`` was made for."""
        config, task, checkpoint = session.config, session.task, session.checkpoint
        self._session, self._plan = session, plan
        self._stats, self._env_watch = RolloutStats(), EnvWatch(task.max_episode_steps)
        self._lag = 0
        self._message = ""
        self.events = EventLog(session.run.path)
        self._elasticity = Elasticity(config, plan, self.events.note, nodes=nodes)
        self._last_commit = checkpoint
        self._closed = self._parts_lost = False
        self._ray_died: str | None = None

        self._mailbox = MailboxHandle(scheduling_strategy=here())
        self._store, self._weights = start_weight_store(scheduling_strategy=here())
        self.curriculum = start_curriculum(config.curriculum, task.has_outcomes, scheduling_strategy=here())
        self.replay = start_replay(
            config.replay, task.spec, config.seed,
            max_insert_rows=max_fragment_rows(config, max(n for _, n in plan.worlds)),
            max_sample_rows=max_sample_rows(config), cpus_per_shard=plan.cpus_per_shard,
            strategies=[near(node) for node in plan.placement.shards] if plan.placement else (),
        )  # fmt: skip
        if checkpoint is not None:
            self._take_up(checkpoint)
        self.learner = start_learner(
            LearnerWiring(
                algo=config.algo,
                learner=config.learner,
                spec=task.spec,
                obs_dim=task.obs_dim,
                num_actions=task.num_actions,
                lidar=task.lidar,
                seed=seed_for(config.seed, ROLE_NETWORK),
                sources=tuple(self.replay.batch_source(rank, config.learner.prefetch_calls) for rank in range(plan.num_ranks)),
                priorities=self.replay.priority_sink(),
                weights=self._weights,
                commands=self._mailbox.channel(),
                device="cuda" if plan.gpus_per_rank else "cpu",
                resume_from=join(checkpoint.location, "learner") if checkpoint else None,
                dump_directory=str(session.run.path.absolute()),
            ),
            run_name=f"session-{session.counters.incarnation}-{time.time_ns()}",
            storage_path=ray_train_notes(config.checkpoint.storage, session.run),
            notes=ray_train_notes(None, session.run),
            num_ranks=plan.num_ranks,
            cpus_per_rank=plan.cpus_per_rank,
            gpus_per_rank=plan.gpus_per_rank,
            max_restarts=config.learner.max_restarts,
            start_timeout_s=config.runtime.start_timeout_s / 2,
        )
        self._mailbox.watch(self.learner.ended_because)
        self._watch = LearnerWatch(self.learner, self.events.note, session.lost_at, config.runtime.start_timeout_s)
        self.fleet = RolloutFleet(
            self._rollout_wirings(plan),
            cpus_per_worker=plan.cpus_per_worker,
            max_restarts=config.rollout.max_restarts,
            on_lost=self._worker_lost,
            note=self.events.note,
            strategies=[near(node) for node in plan.placement.workers] if plan.placement else (),
        )
        self._supervisor = Supervisor(
            self.replay,
            {
                "curriculum": (self.curriculum.actor.progress.remote, 0.0),
                "mailbox": (self._mailbox.actor.latest.remote, 0.0),
                "ledger": (self.replay.ledger.report.remote, ASK_INTERVAL_S),
                "weight store": (self._store.version.remote, ASK_INTERVAL_S),
            },
            timeout_s=config.runtime.heartbeat_timeout_s,
            start_timeout_s=config.runtime.start_timeout_s,
            note=self.events.note,
        )

    def poll(self, timeout_s: float, until_env_steps: int | None = None) -> WiringFacts:
        """Hear from the workers for up to ``timeout_s``, then take in what everybody else has answered; the parts never wait for that."""
        try:
            return self._poll(timeout_s)
        except PartLostError as error:
            self._note_end(error)
            self._look_at_ray()  # a new session would find no Ray to begin in
            raise

    def _look_at_ray(self) -> None:
        self._ray_died = what_died()
        if self._ray_died is not None:
            raise ToldError(f"the {self._ray_died} of the run's own Ray has died")

    def _note_end(self, error: PartLostError) -> None:
        self._parts_lost = True
        self.events.note(PartEvent("failed", "session", str(error).splitlines()[0]))

    def _poll(self, timeout_s: float) -> WiringFacts:
        self._look_at_ray()
        supervisor = self._supervisor
        news = self.fleet.poll(timeout_s)
        self._take_news(news)
        if news.fragments:
            self._lag = news.policy_lag
        self._watch.look()
        supervisor.look(self._saved_replay())
        self._watch.take_in(supervisor.answer("mailbox"))
        ledger: LedgerReport = supervisor.first_answer("ledger")
        quiet = ledger.quiet
        limits = self._session.config.runtime
        self.fleet.replace_silent(quiet.get, limits.heartbeat_timeout_s, limits.start_timeout_s)
        self._follow_the_nodes()
        if self._session.config.rollout.spares and self._learner_steps > self._session.counters.learner_steps:
            self.fleet.keep_spares()  # not before all else is up
        return self._facts(ledger)

    @property
    def _learner_steps(self) -> int:
        return int(self._watch.metrics.get("learner/learner_step", self._session.counters.learner_steps))

    def _facts(self, ledger: LedgerReport) -> WiringFacts:
        supervisor = self._supervisor
        messages = (
            self._watch.waiting_text(),
            self._elasticity.message,
            supervisor.message,
            self._message,
            self._env_watch.message,
            self.fleet.last_loss,
        )
        return WiringFacts(
            env_steps=self._session.counters.env_steps + self._stats.env_steps,
            learner_steps=self._learner_steps,
            progress=supervisor.first_answer("curriculum"),
            num_workers=self.fleet.num_workers,
            num_replaced=self.fleet.num_replaced + self.replay.num_restarts,
            metrics={
                **self._watch.metrics,
                **replay_metrics(ledger.stats, supervisor.shard_stats()),
                **rollout_metrics(self._stats, self._lag),
                **self._env_watch.metrics(),
                **self.events.metrics(),
                "rollout/workers_running": float(self.fleet.num_running),
                "rollout/spares_ready": float(self.fleet.num_spares),
            },
            message=next(filter(None, messages), ""),
        )

    def salvage(self) -> WiringFacts | None:
        """End the workers, one of which may be at fault; learner and shards have been told nothing and stand where they stood."""
        if self._closed or self._parts_lost or not self._watch.is_up or self.learner.ended_because() is not None:
            return None
        self._ray_died = self._ray_died or what_died()
        if self._ray_died == "raylet":  # and with it all its processes
            return None
        if self._ray_died is None:
            self.fleet.kill()
        return self._facts(self._supervisor.first_answer("ledger"))

    def begin_save(self, writer: CheckpointWriter, *, last: bool = False) -> RaySave:
        """Cut: the learner pauses at a step boundary, the ledger admits nothing, everybody sets a mark; then both go on (not if ``last``).

        At the cut are: nets, optimiser and counters of the learner after its step N; in every shard the rows of all inserts that were
        settled when the ledger closed, their ids and priorities, and its rng; the ledger's counts of just those rows, and of the rows
        handed to the learner; the curriculum's state while both stand. After the cut, so lost with a crash: prefetched batches,
        priorities under way, fragments that workers hold back meanwhile, episodes not yet reported. The env steps of
        ``writer.counters`` are those that workers had told the driver before it. An insert that is not settled within DRAIN_S may be in its
        shard and not in the ledger's count (see ``LedgerService.pause``).
        """
        try:
            self._await_all(LAST_WAIT_S if last else 0.0)
            rows: ReplaySave | None = None
            try:
                timeout_s = CALL_TIMEOUT_S if last else min(CALL_TIMEOUT_S, self._watch.patience_s)
                standing = self._mailbox.call(Cut(writer.part("learner")), timeout_s)
                self.replay.pause(DRAIN_S)
                if self._session.config.checkpoint.replay:
                    rows = self.replay.begin_save(writer.part("replay"))
                curriculum = self.curriculum.state()
            finally:
                if not last:
                    self._go_on()
        except RayError as error:
            raise LearnerCallError(f"a part did not answer while the checkpoint was cut: {error}") from error
        return RaySave(writer, self._mailbox, rows, curriculum, standing.learner_step)

    def save(self, writer: CheckpointWriter) -> int:
        """As ``begin_save``, and wait until all is written; return the learner step of the cut."""
        save = self.begin_save(writer)
        while not save.poll(0.1):
            pass
        return save.learner_step

    def save_replay(self, directory: Path) -> None:
        """Cut and write the rows; the learner waits meanwhile, as it finds nothing admitted."""
        try:
            self._await_all(LAST_WAIT_S)
            self.replay.pause()
            try:
                self.replay.save(directory)
            finally:
                self.replay.resume()
        except RayError as error:
            raise LearnerCallError(f"a part did not answer while the rows were saved: {error}") from error

    def _go_on(self) -> None:
        """Undo the pauses, whatever became of the save; asking twice does no harm."""
        try:
            self.replay.resume()
        finally:  # a ledger that does not answer must not keep the learner paused, nor one that is frozen the driver
            self._mailbox.send(Resume(), self._session.config.runtime.start_timeout_s)

    def tell_budget(self, used_frac: float) -> None:
        """Through the mailbox."""
        self._mailbox.tell_budget(used_frac)

    def take_over(self, donor: Checkpoint, changes: Mapping[str, Any]) -> bool:
        """Go on from ``donor`` (see ``TakesOver``): True.

        Workers begin new lives under the donor's stage. The learner stays paused until the next ``save``, so that just what was taken
        over is committed first.

        Raises:
            LearnerCallError, ValueError: When a part could not; the learner goes on as it can.
        """
        try:
            self._mailbox.call(TakeOver(join(donor.location, "learner"), dict(changes)), CALL_TIMEOUT_S)
            self.curriculum.load(donor.read_json("curriculum.json"))
            self.fleet.restart()
            return True
        except BaseException as error:
            self._go_on()
            if isinstance(error, RayError):
                raise LearnerCallError(f"a part did not answer while another run's checkpoint was taken over: {error}") from error
            raise

    def committed(self, checkpoint: Checkpoint) -> None:
        """From now on a restarted rank or shard comes back from ``checkpoint``."""
        self._last_commit = checkpoint
        self.events.note(PartEvent("saved", "session", checkpoint.path.name))
        try:
            self._mailbox.call(Committed(checkpoint.location), CALL_TIMEOUT_S)
        except LearnerCallError as error:  # it is restarting; the checkpoint stays valid for the next session
            logger.warning("the learner has not heard of the checkpoint %s: %s", checkpoint.path.name, error)

    def close(self) -> None:
        """Stop the learner cooperatively (Ray Train then removes its placement group itself) and end all actors.

        None is left to Ray to end: a handle that the thread of a lost learner still holds would keep it for the sessions to come.
        """
        if self._closed:
            return
        self._closed = True
        if self._ray_died is not None:  # nobody is left to answer; who has started Ray ends what is left of it
            return
        ends = (
            self._mailbox.stop, self.fleet.kill, self._end_learner, self.replay.shutdown, self.curriculum.stop, self._mailbox.kill,
            partial(ray.kill, self._store),
        )  # fmt: skip
        for end in ends:
            try:
                end()
            except RayError as error:  # one part that is gone already must not keep the others alive
                logger.warning("while closing: %s", error)

    def _end_learner(self) -> None:
        self._watch.end(self._session.run.path, by_force=self._parts_lost)

    def _take_up(self, checkpoint: Checkpoint) -> None:
        """Load curriculum and replay, and publish the policy, so that no worker acts without one while the learner comes up."""
        with taking_up(checkpoint):
            with within("curriculum.json: "):
                self.curriculum.load(checkpoint.read_json("curriculum.json"))
            if checkpoint.rows is not None:
                self.replay.load(checkpoint.rows)
        self._weights.publish(read_policy(checkpoint, "online"))

    def _rollout_wirings(self, plan: Plan) -> list[RolloutWiring]:
        session, config = self._session, self._session.config
        return [
            RolloutWiring(
                config=config, levels=session.task.levels, worker=worker, incarnation=session.counters.incarnation * LIVES_PER_SESSION,
                first_world=first, num_worlds=num_worlds, assignments=self.curriculum.source(),
                sink=self.replay.transition_sink(config.rollout.max_in_flight), weights=self._weights,
            )
            for worker, (first, num_worlds) in enumerate(plan.worlds)
        ]  # fmt: skip

    def _worker_lost(self, worker: int, incarnation: int) -> int:
        """Forget a worker's life everywhere, so that nothing waits for it and nothing that it may still send is taken."""
        try:
            [rows] = ray.get([self.replay.ledger.fence.remote(worker, incarnation)], timeout=CALL_TIMEOUT_S)
            self.curriculum.worker_lost(worker)
        except RayError as error:
            raise PartLostError(f"a part did not answer while rollout worker {worker} was replaced: {error}") from error
        return int(rows)

    def _saved_replay(self) -> str | None:
        return self._last_commit.rows if self._last_commit else None

    def _await_all(self, wait_s: float) -> None:
        """Wait, bounded, until learner and shards answer: without one of them nothing is cut, and nobody has to stand for it.

        Workers go on meanwhile. A checkpoint without a shard would lose its rows for good.
        """
        until = time.monotonic() + wait_s
        while True:
            try:
                self._supervisor.look(self._saved_replay())
            except PartLostError as error:
                self._note_end(error)
                raise
            self._watch.take_in(self._supervisor.answer("mailbox"))
            silent = self._supervisor.silent_parts(SILENT_S)
            if self._watch.is_silent:
                silent.append("the learner")
            if not silent:
                return
            if time.monotonic() > until:
                raise LearnerCallError(f"{', '.join(silent)} did not answer just now")
            self._take_news(self.fleet.poll(0.05))

    def _take_news(self, news: RolloutStats) -> None:
        self._stats = self._stats.plus(news)
        self._env_watch.add(news)

    def _follow_the_nodes(self) -> None:
        plan = self._elasticity.look()
        if plan is not None:
            self.share_out(plan)

    def share_out(self, plan: Plan) -> None:
        """Give the worlds to as many workers as ``plan`` has, one after the other while the rest goes on acting.

        They stay as they are when fragments would be larger than a given ``replay.error_buffer`` allows, which is logged.
        """
        rows = max_fragment_rows(self._session.config, max(self.fleet.most_worlds, *(n for _, n in plan.worlds)))
        try:
            ray.get(self.replay.ledger.announce.remote(rows), timeout=CALL_TIMEOUT_S)
        except RayTaskError as error:
            logger.warning("the worlds stay with the workers that they have: %s", error.cause)
            return
        except RayError as error:
            raise PartLostError(f"the ledger did not answer: {error}") from error
        before, self._plan = self._plan.num_workers, plan
        self._message = f"{plan.num_workers} rollout workers in place of {before}, as the nodes allow"
        self.events.note(PartEvent("restarted", "rollout", self._message))
        self.fleet.resize(self._rollout_wirings(plan), [near(node) for node in plan.placement.workers] if plan.placement else ())
