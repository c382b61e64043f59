"""Judged while it trains: policies are judged beside the training, and what is kept of them and when it ends follows
from that.

::

    learner --copy of its networks--> controller --begin--> thread: policy --step, sleep, step, ...--> judgement
                                                                    the best so far --> RUN/checkpoints/policy-...
                                      controller <--take----------------------------------+
                                                 --> RUN/checkpoints.json: judgements, the best, numbered ones

A checkpoint that has just been made is judged in place of a copy. The thread has a policy, worlds and random streams of
its own, so the training's bits are the same with it and without. It works for SHARE of the time at most, for any
duration of an env step, and the learner copies for COPY_SHARE.
"""

from __future__ import annotations

import logging
import math
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from robonav_ray.commands import Networks
from robonav_ray.errors import LearnerCallError
from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.records import Metrics
from robonav_ray.runs.checkpoint import Checkpoint, Counters
from robonav_ray.runs.checkpoint_index import Judgement, Numbered, read_index, write_index
from robonav_ray.runtime.judging.candidate import Candidate, Progress, judge_candidate
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationStopped
from robonav_ray.runtime.wiring import RunSession

logger = logging.getLogger(__name__)
SHARE = 0.022
"""Part of the time that judging takes at most."""
COPY_SHARE = 0.003
"""Part of the time that the learner copies its networks for, at most: with the judging less than 3 %."""
FRESH = 0.25
"""A checkpoint that was made within this part of the interval is judged in place of a copy."""
_START_S = 0.05
"""The most that is reckoned of a stage's first step, in which its worlds are made."""
_LOOK_S = 0.1
_LEAST_SLEEP_S = 0.1
"""Shorter ones are put together: on a machine that is busy each wakes late."""
Judge = Callable[[Candidate, RunSession, Progress], Judgement]


@dataclass(frozen=True)
class _Outcome:
    """The outcome of a judgement that was begun."""

    judgement: Judgement | None
    error: Exception | None
    seconds: float
    cpu_s: float
    """CPU time of its thread: what it takes from the training."""


class TrainingJudge:
    """Judges the policies of one session, one at a time, and keeps the run's index of its checkpoints. All methods are
    called by one thread.
    """

    def __init__(
        self, session: RunSession, judge: Judge = judge_candidate, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Take up the index as it was at the session's checkpoint.

        Raises:
            CheckpointError: When the index is damaged.
        """
        self._session, self._judge, self._now = session, judge, now
        self._run, config = session.run.path, session.config
        self._interval_s, self._patience = config.evaluation.interval_s, config.evaluation.patience
        self._target = config.evaluation.target_success
        self._interval_episodes, self._keep_best = config.checkpoint.interval_episodes, config.checkpoint.keep_best
        self._keep_numbered = config.checkpoint.keep_numbered
        found = read_index(self._run)
        self.index = found.until(None if session.checkpoint is None else session.checkpoint.path.name)
        """What is known of the run's checkpoints."""
        if self.index != found:
            write_index(self._run, self.index)
        self._began: float | None = None
        """When the judgement before was begun, or learning where there was none; None before that."""
        self._judged: Candidate | None = None
        self._copied_at, self._copied_s = -math.inf, 0.0
        self._thread: threading.Thread | None = None
        self._outcome: _Outcome | None = None
        self._closing, self._hurry = threading.Event(), threading.Event()
        self.num_failed = 0
        """Judgements that failed."""

    @property
    def is_spent(self) -> bool:
        """Whether as many judgements in a row brought no gain as ``evaluation.patience`` says."""
        return self._patience is not None and self.index.without_gain >= self._patience

    @property
    def has_reached_target(self) -> bool:
        """Whether the newest judgement, made in the last stage, has the success of ``evaluation.target_success``."""
        newest = self.index.judgements[-1] if self.index.judgements else None
        if self._target is None or newest is None or not newest.is_last_stage:
            return False
        return newest.success_frac is not None and newest.success_frac >= self._target

    def kept(self) -> frozenset[str]:
        """Return the names of the checkpoints that stay: the best, the numbered ones, and the one that is being
        judged.
        """
        names = self.index.kept(keep_best=self._keep_best)
        return names if self._judged is None or not self._keep_best else names | {self._judged.name}

    def wants_checkpoint(self, num_episodes: int) -> bool:
        """Whether a checkpoint should be made for its number; ``num_episodes`` are the finished ones of the run."""
        every = self._interval_episodes
        return every is not None and num_episodes // every > self.index.newest_number

    def begin(self, newest: Checkpoint | None, copy: Callable[[], Networks], counters: Counters, stage: int) -> None:
        """Begin to judge the policy of now where a judgement is due. Not while a checkpoint is being written.

        Args:
            newest: The newest checkpoint.
            copy: Asks the learner for its networks; LearnerCallError puts the judgement off to the next interval.
            counters: How far the run is.
            stage: Of its curriculum.
        """
        if self._interval_s is None:
            return
        if self._began is None:
            self._began = self._now()
        if not self._is_due:
            return
        if newest is not None and self._is_new(newest) and time.time() - newest.created <= FRESH * self._interval_s:
            self._start(Candidate.of_checkpoint(newest))
        elif self._has_news(counters) and (self._now() - self._copied_at) * COPY_SHARE >= self._copied_s:
            try:
                networks = copy()
            except LearnerCallError as error:
                self._began = self._now()
                self._count_failure(error)
                return
            self._copied_at, self._copied_s = self._now(), networks.copied_s
            self._start(Candidate.of_networks(networks, counters, stage, self._session))

    def take(self) -> Metrics | None:
        """Return the figures of a judgement that has come in, once, when the index holds it; None when there is none.

        Raises:
            OSError: When the index cannot be written.
        """
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread.join()
        outcome, self._thread, self._judged, self._outcome = self._outcome, None, None, None
        if outcome is None:
            return None
        if outcome.judgement is None:
            self._count_failure(outcome.error)
            return {"evaluation/failed_judgements": float(self.num_failed)}
        self.index = self.index.with_one(outcome.judgement)
        write_index(self._run, self.index)
        return self._metrics(outcome.judgement, outcome)

    def note_commit(self, checkpoint: Checkpoint) -> None:
        """Number a checkpoint that was committed, where one is due.

        Raises:
            OSError: When the index cannot be written.
        """
        if self._interval_episodes is None:
            return
        num_episodes = sum(int(stage["num_episodes"]) for stage in checkpoint.read_json("curriculum.json")["totals"])
        number = num_episodes // self._interval_episodes
        if number > self.index.newest_number:
            numbered = Numbered(number, num_episodes, checkpoint.path.name)
            all_numbered = (*self.index.numbered, numbered)
            self.index = replace(self.index, numbered=all_numbered[-(self._keep_numbered or len(all_numbered)) :])
            write_index(self._run, self.index)

    def finish(self, newest: Checkpoint | None, stop: StopRequest) -> list[Metrics]:
        """At the end of training, judge what is being judged and the last checkpoint to the end, without sleeping.

        Returns the figures of the judgements that came in. Returns early when ``stop`` asks for an end.

        Raises:
            OSError: When the index cannot be written.
        """
        if self._interval_s is None:
            return []
        self._hurry.set()
        found, failed = list[Metrics](), self.num_failed
        for _ in range(2):
            while self._thread is not None and self._thread.is_alive():
                if stop:
                    return found
                self._thread.join(_LOOK_S)
            if (metrics := self.take()) is not None:
                found.append(metrics)
            if newest is None or not self._is_new(newest) or self.num_failed > failed:
                break
            self._start(Candidate.of_checkpoint(newest))
        return found

    def close(self) -> None:
        """End a judgement that is under way; it is made again when the run goes on."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(5.0)

    @property
    def _is_due(self) -> bool:
        is_over = self._began is not None and self._now() - self._began >= (self._interval_s or 0.0)
        return self._interval_s is not None and self._thread is None and is_over

    def _has_news(self, counters: Counters) -> bool:
        """Whether something has been learned since the newest judgement."""
        judged = self.index.judgements[-1].learner_steps if self.index.judgements else 0
        return counters.learner_steps > judged

    def _is_new(self, newest: Checkpoint | None) -> bool:
        """Whether the newest checkpoint has learned something and has not been judged."""
        return newest is not None and newest.counters.learner_steps > 0 and self.index.judged(newest.path.name) is None

    def _count_failure(self, error: Exception | None) -> None:
        self.num_failed += 1
        if self.num_failed == 1:
            logger.warning("a judgement failed (%s); training goes on", error)

    def _start(self, candidate: Candidate) -> None:
        self._began, self._judged = self._now(), candidate
        self._thread = threading.Thread(target=self._work, args=(candidate,), name="judgement", daemon=True)
        self._thread.start()

    def _work(self, candidate: Candidate) -> None:
        began, cpu_began = self._now(), time.thread_time()

        def outcome(judgement: Judgement | None, error: Exception | None = None) -> _Outcome:
            return _Outcome(judgement, error, self._now() - began, time.thread_time() - cpu_began)

        try:
            judgement = self._judge(candidate, self._session, _Pacing(self._closing, self._hurry))
            if self._keep_best and not candidate.is_written and self.index.with_one(judgement).best is judgement:
                shutil.rmtree(self._session.run.checkpoints / candidate.name, ignore_errors=True)  # of a life before
                candidate.write(self._session)
            self._outcome = outcome(judgement)
        except EvaluationStopped:
            pass
        except Exception as error:  # noqa: BLE001  a thread's only way to hand it on; ``take`` counts it
            self._outcome = outcome(None, error)

    def _metrics(self, judgement: Judgement, outcome: _Outcome) -> Metrics:
        best = self.index.best
        assert best is not None
        rates = {
            "evaluation/success_frac": judgement.success_frac,
            "evaluation/success_low_frac": judgement.success_low_frac,
            "evaluation/success_high_frac": judgement.success_high_frac,
            "evaluation/collision_frac": judgement.collision_frac,
            "evaluation/best_success_frac": best.success_frac,
        }
        return {
            **{name: value for name, value in rates.items() if value is not None},
            "evaluation/return_mean": judgement.return_mean,
            "evaluation/best_return_mean": best.return_mean,
            "evaluation/best_env_steps": float(best.env_steps),
            "evaluation/env_steps": float(judgement.env_steps),
            "evaluation/episodes": float(judgement.num_episodes),
            "evaluation/judgements": float(len(self.index.judgements)),
            "evaluation/judgements_without_gain": float(self.index.without_gain),
            "evaluation/judgement_s": outcome.seconds,
            "evaluation/judgement_cpu_s": outcome.cpu_s,
            "evaluation/failed_judgements": float(self.num_failed),
        }


class _Pacing:
    """Sleeps between steps of a judgement, so that it works for SHARE of the time; raises EvaluationStopped when it
    is to end.
    """

    def __init__(self, closing: threading.Event, hurry: threading.Event) -> None:
        self._closing, self._hurry = closing, hurry
        self._woke = time.thread_time()
        self._steps = 0
        self._owed_s = 0.0

    def __call__(self, progress: EvaluationProgress) -> None:
        worked_s = time.thread_time() - self._woke  # waiting for a core is no work
        if progress.num_steps < self._steps or not self._steps:
            worked_s = min(worked_s, _START_S)
        self._steps = progress.num_steps
        self._owed_s += worked_s * (1.0 / SHARE - 1.0)
        sleep_s = self._owed_s if self._owed_s >= _LEAST_SLEEP_S else 0.0
        self._owed_s -= sleep_s
        until = time.monotonic() + sleep_s
        while not self._closing.is_set() and not self._hurry.is_set() and (left_s := until - time.monotonic()) > 0.0:
            self._closing.wait(min(left_s, _LOOK_S))
        if self._closing.is_set():
            raise EvaluationStopped
        self._woke = time.thread_time()
