"""Judged while it trains: checkpoints are judged beside the training, and what is kept of them and when it ends follows
from that.

::

    controller --begin(newest checkpoint)--> thread: policy --step, sleep, step, ...--> judgement
               <--take--------------------------------------------------------------------+
               --> RUN/checkpoints.json: judgements, the best, numbered ones

The thread has a policy, worlds and random streams of its own, so the training's bits are the same with it and without.
It works for SHARE of the time at most, for any duration of an env step, and the checkpoints that are made for it take
SAVE_SHARE.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.evaluation.statistics import Rate, summarize, wilson_interval
from robonav_ray.records import Metrics
from robonav_ray.runs.checkpoint import Checkpoint
from robonav_ray.runs.checkpoint_index import Judgement, Numbered, read_index, write_index
from robonav_ray.runs.policies import load_policy
from robonav_ray.runtime.judging.held_out import BESIDE_TRAINING, judge_stage
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationStopped
from robonav_ray.runtime.wiring import RunSession

logger = logging.getLogger(__name__)
SHARE = 0.015
"""Part of the time that judging takes at most."""
SAVE_SHARE = 0.01
"""Part of the time that making checkpoints for judgements takes at most: with the judging less than 3 %."""
_START_S = 0.05
"""The most that is reckoned of a stage's first step, in which its worlds are made."""
_LOOK_S = 0.1
Progress = Callable[[EvaluationProgress], None]
Judge = Callable[[Checkpoint, RunSession, Progress], Judgement]


def judge_checkpoint(checkpoint: Checkpoint, session: RunSession, progress: Progress) -> Judgement:
    """Play ``evaluation.judged_episodes`` greedy episodes in each stage that the run is judged in.

    Raises:
        CheckpointError: When the checkpoint does not hold a policy of the run's config.
        EnvironmentFailedError: When an environment that is not ours fails.
    """
    config, task = session.config, session.task
    asked = config.evaluation.model_copy(update={"num_episodes": config.evaluation.judged_episodes})
    judged, policy = config.model_copy(update={"evaluation": asked}), load_policy(checkpoint, config, task)
    stages = judged_stages(session)
    tables = [judge_stage(policy, judged, task, stage, progress, first_seed=BESIDE_TRAINING) for stage in stages]
    summaries = [summarize(table, config.evaluation.confidence) for table in tables]
    success = _pooled([summary.success for summary in summaries], config.evaluation.confidence)
    collision = _pooled([summary.collision for summary in summaries], config.evaluation.confidence)
    return_mean = float(np.mean(np.concatenate([table.total_return for table in tables]), dtype=np.float64))
    if not math.isfinite(return_mean):
        raise ValueError(f"the mean return of {checkpoint.path.name} is {return_mean}, which cannot be compared")
    held, reached = config.curriculum.force_stage, int(checkpoint.read_json("curriculum.json")["stage"])
    return Judgement(
        checkpoint=checkpoint.path.name,
        env_steps=checkpoint.counters.env_steps,
        learner_steps=checkpoint.counters.learner_steps,
        train_s=checkpoint.counters.train_seconds,
        stage=reached,
        is_last_stage=held is not None or reached == len(task.levels) - 1,
        stages=tuple(task.shown_name(stage) for stage in stages),
        num_episodes=sum(table.num_episodes for table in tables),
        success_frac=None if success is None else success.frac,
        success_low_frac=None if success is None else success.low,
        success_high_frac=None if success is None else success.high,
        collision_frac=None if collision is None else collision.frac,
        return_mean=return_mean,
    )


def judged_stages(session: RunSession) -> tuple[int, ...]:
    """Return the stages that a run is judged in: ``evaluation.levels``, else the one that it is held in, else the
    last.
    """
    config = session.config
    if config.evaluation.levels is not None:
        return config.evaluation.levels
    held = config.curriculum.force_stage
    return (len(session.task.levels) - 1 if held is None else held,)


def _pooled(rates: Sequence[Rate | None], confidence: float) -> Rate | None:
    """Return the rate over the episodes of several tables; None where one does not tell it."""
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates):
        return None
    count, total = sum(rate.count for rate in known), sum(rate.total for rate in known)
    return Rate(count, total, count / total, *wilson_interval(count, total, confidence))


@dataclass(frozen=True)
class _Outcome:
    """The outcome of a judgement that was begun."""

    judgement: Judgement | None
    error: Exception | None
    seconds: float


class TrainingJudge:
    """Judges the checkpoints of one session, one at a time, and keeps the run's index of them. All methods are called
    by one thread.
    """

    def __init__(
        self, session: RunSession, judge: Judge = judge_checkpoint, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Take up the index as it was at the session's checkpoint.

        Raises:
            CheckpointError: When the index is damaged.
        """
        self._session, self._judge, self._now = session, judge, now
        self._run, config = session.run.path, session.config
        self._interval_s, self._patience = config.evaluation.interval_s, config.evaluation.patience
        self._interval_episodes, self._keep_best = config.checkpoint.interval_episodes, config.checkpoint.keep_best
        found = read_index(self._run)
        self.index = found.until(None if session.checkpoint is None else session.checkpoint.path.name)
        """What is known of the run's checkpoints."""
        if self.index != found:
            write_index(self._run, self.index)
        self._began: float | None = None
        """When the judgement before was begun, or learning where there was none; None before that."""
        self._judged: Checkpoint | None = None
        self._thread: threading.Thread | None = None
        self._outcome: _Outcome | None = None
        self._closing, self._hurry = threading.Event(), threading.Event()
        self.num_failed = 0
        """Judgements that failed."""

    @property
    def is_spent(self) -> bool:
        """Whether as many judgements in a row brought no gain as ``evaluation.patience`` says."""
        return self._patience is not None and self.index.without_gain >= self._patience

    def kept(self) -> frozenset[str]:
        """Return the names of the checkpoints that stay: the best, the numbered ones, and the one that is being
        judged.
        """
        names = self.index.kept(keep_best=self._keep_best)
        return names if self._judged is None or not self._keep_best else names | {self._judged.path.name}

    def wants_checkpoint(
        self, newest: Checkpoint | None, num_episodes: int, last_save_s: float, since_save_s: float
    ) -> bool:
        """Whether a checkpoint should be made for the next judgement, or for its number.

        Args:
            newest: The newest checkpoint.
            num_episodes: Finished episodes of the run.
            last_save_s: Seconds that the last checkpoint took.
            since_save_s: Seconds since it was begun.
        """
        if self._interval_episodes is not None and num_episodes // self._interval_episodes > self.index.newest_number:
            return True
        can_pay = since_save_s * SAVE_SHARE >= last_save_s
        return can_pay and self._is_due and not self._is_new(newest)

    def begin(self, newest: Checkpoint | None) -> None:
        """Begin to judge the newest checkpoint where a judgement is due and it has none yet. Not while a checkpoint is
        being written.
        """
        if self._interval_s is None:
            return
        if self._began is None:
            self._began = self._now()
        if newest is not None and self._is_due and self._is_new(newest):
            self._start(newest)

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
            self.num_failed += 1
            if self.num_failed == 1:
                logger.warning("a judgement failed (%s); training goes on", outcome.error)
            return {"evaluation/failed_judgements": float(self.num_failed)}
        self.index = replace(self.index, judgements=(*self.index.judgements, outcome.judgement))
        write_index(self._run, self.index)
        return self._metrics(outcome.judgement, outcome.seconds)

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
            self.index = replace(self.index, numbered=(*self.index.numbered, numbered))
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
            self._start(newest)
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

    def _is_new(self, newest: Checkpoint | None) -> bool:
        """Whether the newest checkpoint has learned something and has not been judged."""
        return newest is not None and newest.counters.learner_steps > 0 and self.index.judged(newest.path.name) is None

    def _start(self, checkpoint: Checkpoint) -> None:
        self._began, self._judged = self._now(), checkpoint
        self._thread = threading.Thread(target=self._work, args=(checkpoint,), name="judgement", daemon=True)
        self._thread.start()

    def _work(self, checkpoint: Checkpoint) -> None:
        began = self._now()
        try:
            judgement = self._judge(checkpoint, self._session, _Pacing(self._closing, self._hurry))
            self._outcome = _Outcome(judgement, None, self._now() - began)
        except EvaluationStopped:
            pass
        except Exception as error:  # noqa: BLE001  a thread's only way to hand it on; ``take`` counts it
            self._outcome = _Outcome(None, error, self._now() - began)

    def _metrics(self, judgement: Judgement, seconds: float) -> Metrics:
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
            "evaluation/judgement_s": seconds,
            "evaluation/failed_judgements": float(self.num_failed),
        }


class _Pacing:
    """Sleeps after each step of a judgement, so that it works for SHARE of the time; raises EvaluationStopped when it
    is to end.
    """

    def __init__(self, closing: threading.Event, hurry: threading.Event) -> None:
        self._closing, self._hurry = closing, hurry
        self._woke = time.thread_time()
        self._steps = 0

    def __call__(self, progress: EvaluationProgress) -> None:
        worked_s = time.thread_time() - self._woke  # waiting for a core is no work
        if progress.num_steps < self._steps or not self._steps:
            worked_s = min(worked_s, _START_S)
        self._steps = progress.num_steps
        until = time.monotonic() + worked_s * (1.0 / SHARE - 1.0)
        while not self._closing.is_set() and not self._hurry.is_set() and (left_s := until - time.monotonic()) > 0.0:
            self._closing.wait(min(left_s, _LOOK_S))
        if self._closing.is_set():
            raise EvaluationStopped
        self._woke = time.thread_time()
