"""The wiring in one process, without Ray: deterministic to the bit, and where bugs are reproduced first.

::

    repeat: worker.collect()   while the ledger admits a fragment
            learner.advance()  until the ledger admits no batch

One round depends on what is in the parts and on nothing else (no clock, no thread), and a checkpoint is cut between two
rounds; so the same seed gives the same bits, and stop + resume gives the same bits as not stopping. The one exception
is asked for by name: a learning rate that follows the run's budget (``learner.lr_schedule`` without
``lr_schedule_steps``) hangs on the clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from robonav_ray.commands import Copy, Describe, Networks, Refused, Save
from robonav_ray.counter_rng import ROLE_NETWORK, seed_for
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.errors import LearnerCallError
from robonav_ray.files.plain_files import replace
from robonav_ray.histograms import Histogram
from robonav_ray.interfaces import AssignmentSource
from robonav_ray.learner.devices import check_features, pick_device, set_threads
from robonav_ray.learner.loop import LearnerLoop
from robonav_ray.learner.state import LearnerState
from robonav_ray.ranges import MAX_FLOAT32, RangeError, check_numbers, count, like, require, within
from robonav_ray.records import PolicySnapshot
from robonav_ray.replay.buffer import ReplayBuffer
from robonav_ray.rollout.env_watch import EnvWatch
from robonav_ray.rollout.make_worker import WorkerOrder, make_worker
from robonav_ray.rollout.rollout_stats import RolloutStats
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointError, CheckpointWriter
from robonav_ray.runs.taking_up import taking_up
from robonav_ray.runtime.local_mailbox import LocalMailbox
from robonav_ray.runtime.metrics import (
    LearnerHistograms,
    LengthCounts,
    priority_histogram,
    replay_metrics,
    rollout_metrics,
)
from robonav_ray.runtime.self_play.run_league import LeagueAssignments
from robonav_ray.runtime.self_play.start_league import save_league, start_league
from robonav_ray.runtime.sizes import max_fragment_rows, max_sample_rows
from robonav_ray.runtime.wiring import RunSession, Saved, WiringFacts
from robonav_ray.weights.store import WeightStore

WORKER_FILE = "worker.npz"


class LocalWiring:
    """All parts of a run as plain objects; implements Wiring."""

    def __init__(self, session: RunSession) -> None:
        """Build everything, or take it up from the session's checkpoint.

        Raises:
            UserError: When the learner's device cannot do what the config asks of it.
        """
        config, task = session.config, session.task
        device = pick_device(config.learner.device)
        check_features(config.learner, device)
        set_threads(config.learner.torch_threads)
        self._session = session
        self._mailbox = LocalMailbox()
        self._weights = WeightStore()
        self.curriculum = Curriculum(config.curriculum, task.has_outcomes)
        self._max_rows = max_fragment_rows(config, config.rollout.num_worlds)
        self.replay = ReplayBuffer(config.replay, task.spec, config.seed, self._max_rows, max_sample_rows(config))
        self.learner_state = LearnerState(
            task.obs_dim, task.num_actions, config.algo, config.learner, seed_for(config.seed, ROLE_NETWORK),
            device, task.structure,
        )  # fmt: skip
        self.loop = LearnerLoop(
            self.learner_state, config.algo, config.learner, task.spec,
            source=self.replay, priorities=self.replay, weights=self._weights, commands=self._mailbox,
            dump_directory=session.run.path,
        )  # fmt: skip
        if session.checkpoint is None:
            self.loop.publish()
        else:
            self._load_shared(session.checkpoint)
            if not _has_worker(session.checkpoint):
                self.curriculum.forget_workers()  # the gate would wait for workers that are gone
        self.league = start_league(session, self.curriculum)
        assignments: AssignmentSource = self.curriculum
        if self.league is not None:
            assignments = LeagueAssignments(self.curriculum, self.league)
        self.worker = make_worker(
            WorkerOrder(
                config=config, levels=task.levels, worker=0, life=0, first_world=0,
                num_worlds=config.rollout.num_worlds, assignments=assignments, sink=self.replay,
                weights=self._weights, pool=self.league,
            )
        )  # fmt: skip
        if session.checkpoint is not None:
            self._load_worker(session.checkpoint)
        self._stats, self._env_watch = RolloutStats(), EnvWatch(task.max_episode_steps)
        self._lengths, self._histograms = LengthCounts(), LearnerHistograms()
        self._at_work: Literal["worlds", "learner"] | None = None

    @property
    def env_steps(self) -> int:
        """Env steps over all sessions of the run."""
        return self._session.counters.env_steps + self._stats.env_steps

    def poll(self, timeout_s: float, until_env_steps: int | None = None) -> WiringFacts:
        """Work for about ``timeout_s``, but not beyond the round that reaches ``until_env_steps`` or what the budget
        has in env steps.
        """
        until, budget = time.monotonic() + timeout_s, self._session.config.budget
        limits = [until_env_steps, budget.max_env_steps]
        # else it goes on until the curriculum is passed
        if budget.env_steps is not None and budget.env_steps > self.env_steps:
            limits.append(budget.env_steps)
        most = min((limit for limit in limits if limit is not None), default=None)
        while True:
            if self._waits_for_match(max(0.0, until - time.monotonic())):
                break
            self.round()
            if time.monotonic() >= until or (most is not None and self.env_steps >= most):
                break
        self.loop.look()
        return self._facts()

    def _facts(self) -> WiringFacts:
        ledger = self.replay.ledger.stats()
        return WiringFacts(
            env_steps=self.env_steps,
            learner_steps=self.learner_state.learner_step,
            progress=self.curriculum.progress(),
            num_workers=1,
            metrics={
                **self._mailbox.metrics,
                **replay_metrics(ledger, self.replay.stats()),
                **rollout_metrics(self._stats, self._stats.policy_lag),
                **self._env_watch.metrics(),
                **({} if self.league is None else self.league.metrics()),
            },
            message=self._env_watch.message or self._match_message(),
            league=() if self.league is None else self.league.lines(),
        )

    def _match_message(self) -> str:
        awaited = "" if self.league is None else self.league.awaited(self.env_steps)
        return f"waiting for {awaited}" if awaited else ""

    def histograms(self) -> tuple[Histogram, ...]:
        """Count now, between two rounds."""
        answer = self._mailbox.post(Describe())
        self.loop.look()
        try:
            found = self._histograms.of(answer())
        except LearnerCallError as error:
            found = self._histograms.of(Refused(str(error)))
        priorities = priority_histogram([shard.priority_counts() for shard in self.replay.shards])
        return (*found, priorities, self._lengths.take(self._stats))

    def _waits_for_match(self, wait_s: float) -> bool:
        """Whether the outcomes of a match count from here on, and it is still played after ``wait_s``."""
        if self.league is None:
            return False
        self.league.start_matches()
        if self.league.awaited(self.env_steps):
            self.league.take_matches(wait_s, self.env_steps)
        return self.league.awaited(self.env_steps) != ""

    def round(self) -> None:
        """One fragment if it is admitted, then every update that is; a match whose outcomes count from here on is
        waited for first.
        """
        while self._waits_for_match(1.0):
            pass
        if self.replay.can_insert(self._max_rows):
            self._at_work = "worlds"
            news = self.worker.collect()
            self._env_watch.add(news)
            self._stats = self._stats.plus(news)
            if self.league is not None:
                self.league.lose(news.missing)
                self.league.maybe_snapshot(self.env_steps, self._weights.newer_than(-1))
        self._at_work = "learner"
        while self.loop.advance(self._session.config.learner.batches_per_call):
            pass
        self._at_work = None

    def salvage(self) -> WiringFacts | None:
        """Of a fault in the worlds nothing else has seen anything yet: a fragment is handed over whole, or not at all.

        The worlds themselves may be half stepped, so they are left out of what is saved, and a resume begins new
        episodes. A learner that failed within an update may be half updated: None.
        """
        return None if self._at_work == "learner" else self._facts()

    def begin_save(self, writer: CheckpointWriter, *, last: bool = False) -> Saved:
        """Write every part, between two rounds, and return when that is done."""
        return Saved(self.save(writer))

    def save(self, writer: CheckpointWriter) -> int:
        """Write every part, between two rounds; return the learner step. Without the worlds, where a fault has left
        them half stepped.
        """
        answer = self._mailbox.post(Save(str(writer.path / "learner")))
        self.loop.look()
        writer.add(file.below("learner") for file in answer().files)
        newest = self._weights.newer_than(-1)
        assert newest is not None
        rollout = writer.path / "rollout"
        rollout.mkdir()
        try:
            save_file(dict(zip(newest.names, newest.arrays, strict=True)), rollout / "weights.safetensors")
        except SafetensorError as error:
            raise OSError(f"{rollout}: {error}") from error
        header = {"version": newest.version, "learner_step": newest.learner_step, "names": newest.names}
        replace(rollout / "weights.json", json.dumps(header))
        if self._at_work != "worlds":
            np.savez(rollout / WORKER_FILE, allow_pickle=False, **self.worker.state_dict())
        if self._session.config.checkpoint.replay:
            writer.add(entry.below("replay") for entry in self.replay.save(writer.path / "replay"))
        writer.write_json("curriculum.json", self.curriculum.state_dict())
        if self.league is not None:
            save_league(self.league, writer)
        return self.learner_state.learner_step

    def networks(self) -> Networks:
        """Copy them, between two rounds."""
        answer = self._mailbox.post(Copy())
        self.loop.look()
        return answer()

    def save_replay(self, directory: Path) -> None:
        """Write the rows alone, between two rounds."""
        self.replay.save(directory)

    def tell_budget(self, used_frac: float) -> None:
        """Hand it over at the next look."""
        self._mailbox.budget_frac = used_frac

    def take_over(self, donor: Checkpoint, changes: Mapping[str, Any]) -> bool:
        """Return False: starting the parts anew costs nothing here."""
        return False

    def committed(self, checkpoint: Checkpoint) -> None:
        """Do nothing: no part here is ever started again from a checkpoint."""

    def close(self) -> None:
        """End a match that is played; all parts run in this process, and only in ``poll``."""
        if self.league is not None:
            self.league.close()

    def _load_shared(self, checkpoint: Checkpoint) -> None:
        """Take up nets, curriculum, replay and the published weights."""
        with taking_up(checkpoint):
            with within("learner/"):
                self.learner_state.load(checkpoint.learner)
            with within("curriculum.json: "):
                self.curriculum.load_state_dict(checkpoint.read_json("curriculum.json"))
            if checkpoint.rows is not None:
                self.replay.load(checkpoint.rows)
                if not _has_worker(checkpoint):
                    self.replay.forget_writers()  # the new worker begins its fragments at 0 again
        weights = checkpoint.rollout / "weights.safetensors"
        if not weights.is_file():  # saved by the Ray wiring, which has no exact continuation
            self.loop.publish()
            return
        with taking_up(checkpoint):
            header, arrays = checkpoint.read_json("rollout/weights.json"), load_file(weights)
            self._weights.publish(self._checked_weights(header, arrays))

    def _checked_weights(self, header: Any, arrays: dict[str, np.ndarray]) -> PolicySnapshot:
        """Return the published weights that were saved; ValueError unless workers can act with them, and the next are
        newer.
        """
        own = self.learner_state.snapshot()
        with within("rollout/weights.json: "):
            newest = count(low=own.version, high=own.version)
            check_numbers(
                "weights", {**header, "names": 0}, {"version": newest, "learner_step": count(), "names": count()}
            )
            require(header["names"] == list(own.names), "names: are not those of this network's parameters")
        with within("rollout/weights.safetensors: "):
            form = {
                name: like(array, -MAX_FLOAT32, MAX_FLOAT32) for name, array in zip(own.names, own.arrays, strict=True)
            }
            check_numbers("weights", arrays, form)
        return PolicySnapshot(header["version"], header["learner_step"], own.names, tuple(arrays[n] for n in own.names))

    def _load_worker(self, checkpoint: Checkpoint) -> None:
        path = checkpoint.rollout / WORKER_FILE
        if not _has_worker(checkpoint):
            return
        with taking_up(checkpoint), np.load(path, allow_pickle=False) as arrays:
            try:
                with within(f"rollout/{WORKER_FILE}: "):
                    self.worker.load_state_dict({name: arrays[name] for name in arrays.files})
                    stored = self.replay.newest_sequence(0, 0)
                    require(self.worker.sequence > stored, f"sequence: fragment {stored} has been stored already")
                require(
                    self.curriculum.workers in ((), (0,)),
                    "curriculum.json: joined_at: names workers that there are none of",
                )
            except RangeError:
                raise
            except ValueError as error:
                raise CheckpointError(
                    f"{path}: does not fit this config ({error}); resume with the rollout section it was saved under"
                ) from None


def _has_worker(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint holds running worlds; one of the Ray wiring, or made after a fault in them, does not."""
    return (checkpoint.rollout / WORKER_FILE).is_file()
