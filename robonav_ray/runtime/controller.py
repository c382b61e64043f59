"""The driver's loop around a wiring: progress, tracking, checkpoints, budgets and signals, for both wirings alike.

::

    wiring --poll--> [ controller ] --log--> trackers, panel
           <--save--                --commit--> RUN/checkpoints

The controller waits only in ``poll`` (bounded) and while a checkpoint is cut; it owns no part of the learning. A
checkpoint is written and committed in the background (``saving.py``), except for the last one.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import Enum

from robonav_ray.config.load import ConfigError
from robonav_ray.records import Metrics
from robonav_ray.runs.checkpoint import Checkpoint, Counters
from robonav_ray.runs.progress import PROGRESS_FILE, write_progress
from robonav_ray.runtime.budget import Budget, StopReason
from robonav_ray.runtime.judging.beside_training import TrainingJudge
from robonav_ray.runtime.saving import SaveOutcome, Saver, prune
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.support_watch import SupportWatch
from robonav_ray.runtime.wiring import RunSession, Wiring, WiringFacts
from robonav_ray.tracking.fanout import FanoutTracker
from robonav_ray.tracking.panel import StatusView
from robonav_ray.tracking.status import Pace, RunStatus, WatchedRun, estimate_remaining_s

logger = logging.getLogger(__name__)
POLL_S = 0.25
RETRY_S = 5.0
"""After a checkpoint that failed, the next is tried so soon (or after ``checkpoint.interval_s``, where that is
less)."""


class Kept(Enum):
    """What is kept of what was learned when a session ends."""

    COMMITTED = "a checkpoint was committed"
    NOTHING_NEW = "the newest checkpoint holds it all"
    NOTHING_LEARNED = "nothing has been learned yet"
    FAILED = "the last checkpoint could not be written"


@dataclass(frozen=True)
class Ending:
    """How a session ended."""

    reason: StopReason
    facts: WiringFacts
    train_s: float
    kept: Kept
    newest: Checkpoint | None
    """The newest checkpoint of the run."""

    @property
    def saved(self) -> bool:
        """Whether the newest checkpoint holds all that was learned."""
        return self.kept in (Kept.COMMITTED, Kept.NOTHING_NEW)


class Controller:
    """Drives one session of a run to its end."""

    def __init__(
        self,
        session: RunSession,
        wiring: Wiring,
        trackers: FanoutTracker,
        panel: StatusView,
        stop: StopRequest,
        wiring_name: str,
    ) -> None:
        self._session, self._wiring, self._trackers, self._panel, self._stop = session, wiring, trackers, panel, stop
        task = session.task
        self._watched = WatchedRun(
            session.run.path.name, wiring_name, session.config, task.stage_names, task.has_stages
        )
        self._budget = Budget(session.config.budget)
        self._first_step_at: float | None = None
        self._rates = _Rates()
        self._support = SupportWatch(session.config.algo)
        self._stage = -1
        self._stage_began_s = 0.0
        self._last_save = time.monotonic()
        self._last_log = self._last_histograms = 0.0
        self.facts: WiringFacts | None = None
        """Where the run stood when it was last looked at."""
        self.last_saved: Checkpoint | None = None
        """The newest checkpoint of this session."""
        self._saver = Saver(session, wiring)
        self._judge = TrainingJudge(session)
        self._cut_s = self._save_s = 0.0
        self._failed_saves = 0
        self._has_failed = False
        """Whether the last checkpoint failed: the next is then tried after RETRY_S."""
        self._failed_writes = 0
        before = session.run.read_json("summary.json") if session.checkpoint else {}
        self._passed_at: float | None = before.get("passed_at")
        self._passed_train_s: float | None = before.get("passed_train_s")
        self._env_steps_to_pass: int | None = before.get("env_steps_to_pass")

    def run(self) -> Ending:
        """Poll until there is a reason to stop; then save a last time."""
        while True:
            ending = self.advance()
            if ending is not None:
                return ending

    def advance(self, until_env_steps: int | None = None) -> Ending | None:
        """Poll until there is a reason to stop, then save a last time; or until ``until_env_steps``, then return
        None. Neither comes while the learner has yet to begin, but for a signal and the time limit.
        """
        while True:
            facts = self.facts = self._wiring.poll(POLL_S, until_env_steps)
            self._note(facts)
            if facts.progress.problem is not None:
                raise ConfigError(facts.progress.problem)
            if self._session.config.learner.follows_budget:
                used = self._budget.used_frac(
                    train_s=self._train_s(),
                    env_steps=facts.env_steps,
                    passed_s=self._passed_train_s,
                    is_gated=facts.progress.is_gated,
                )
                self._wiring.tell_budget(used)
            reason = self._reason(facts)
            self._show(facts)
            self._take_in(self._saver.take())
            if reason is None or not reason.finished:  # at the end ``_judge_last`` takes it, and one more
                self._take_judgement(facts)
            now = time.monotonic()
            if reason is not None:
                if reason is StopReason.TIME_LIMIT:
                    self._stop.end_within(self._session.config.budget.grace_s, "the time limit's stop")
                self._log(facts)
                self._log_histograms(facts)  # a run that ends at its first look has its own, too
                return self._end(reason, facts)
            if now - self._last_log >= self._session.config.tracking.interval_s:
                self._log(facts)
            self._log_histograms(facts)
            if self._first_step_at is not None and not self._saver.is_busy:
                self._judge.begin(self._newest, self._wiring.networks, self._counters(facts), facts.progress.stage)
                due = now - self._last_save >= self._session.config.checkpoint.interval_s
                wanted = self._judge.wants_checkpoint(facts.progress.num_episodes)
                if due or (wanted and not self._has_failed):
                    self._begin_save(facts)
            if until_env_steps is not None and facts.env_steps >= until_env_steps and not facts.is_starting:
                return None

    def save(self) -> Checkpoint | None:
        """Cut and commit a checkpoint now and return it; None when that failed, which is said and counted."""
        return self.last_saved if self.facts is not None and self._save(self.facts) else None

    def tell_trackers(self, metrics: Metrics, env_steps: int) -> None:
        """Have trackers log what the caller has found out about the run at ``env_steps``."""
        self._trackers.log(metrics, env_steps)

    def end_after_fault(self, what: str) -> Ending | None:
        """After ``advance`` has raised: commit what learner and replay can still give, where something was learned.

        Returns how the session ended, None when it had not begun. Raises no Exception: the fault that ended the session
        is the one to be told. ``what`` names it, for the case that the process has to be ended by force.
        """
        self._stop.end_within(self._session.config.budget.grace_s, what)
        try:
            facts = self._wiring.salvage()
            if facts is not None:
                self.facts = facts
                self._note(facts)
                return self._end(StopReason.SIGNAL, facts)
        except Exception as error:  # noqa: BLE001  the fault that ended the session is told, not this one
            logger.warning("no checkpoint after the fault (%s); the one before is intact", error)
        return (
            None
            if self.facts is None
            else Ending(StopReason.SIGNAL, self.facts, self._train_s(), Kept.FAILED, self._newest)
        )

    def close(self) -> None:
        """Give up a checkpoint that is being written, and a judgement; to be called before the wiring is closed."""
        self._judge.close()
        self._saver.close()

    @property
    def _newest(self) -> Checkpoint | None:
        return self.last_saved or self._session.checkpoint

    def _end(self, reason: StopReason, facts: WiringFacts) -> Ending:
        """Commit what the newest checkpoint does not hold."""
        if self._has_news(facts):
            kept = Kept.COMMITTED if self._save(facts, last=True) else Kept.FAILED
        else:
            kept = Kept.NOTHING_LEARNED if self._newest is None else Kept.NOTHING_NEW
        if reason.finished and kept in (Kept.COMMITTED, Kept.NOTHING_NEW):
            self._judge_last(facts)
        return Ending(reason, facts, self._train_s(), kept, self._newest)

    def _judge_last(self, facts: WiringFacts) -> None:
        """Have the last checkpoint judged too, so that it can be the best."""
        try:
            found = self._judge.finish(self._newest, self._stop)
        except OSError as error:
            self._count_failed_write(error)
            return
        if found:
            self._log(facts, found[-1])  # trackers take one figure of a name at an env step; the index has all of them
            self._show(facts)
            prune(self._session, self._judge.kept())

    def _take_judgement(self, facts: WiringFacts) -> None:
        """Log a judgement that has come in."""
        try:
            metrics = self._judge.take()
        except OSError as error:
            self._count_failed_write(error)
            return
        if metrics is not None:
            self._log(facts, metrics)

    def _has_news(self, facts: WiringFacts) -> bool:
        """Whether there is something that the last checkpoint does not hold."""
        return self._first_step_at is not None and facts.learner_steps > self._session.counters.learner_steps

    def _train_s(self) -> float:
        here = 0.0 if self._first_step_at is None else time.monotonic() - self._first_step_at
        return self._session.counters.train_seconds + here

    def _reason(self, facts: WiringFacts) -> StopReason | None:
        if self._stop:
            return StopReason.SIGNAL
        reason = self._budget.stop_reason(
            train_s=self._train_s(),
            session_s=time.monotonic() - self._session.began,
            # what worlds do while the learner comes up ends no run: it would end without having learned from them
            env_steps=self._session.counters.env_steps if facts.is_starting else facts.env_steps,
            passed=facts.progress.passed,
            is_open=facts.progress.is_open,
            waited_s=self._train_s() - self._stage_began_s,
        )
        if reason is not None and reason.finished:
            return reason
        if self._judge.has_reached_target:
            return StopReason.TARGET
        return StopReason.NO_GAIN if self._judge.is_spent else reason

    def _note(self, facts: WiringFacts) -> None:
        if self._first_step_at is None and facts.learner_steps > self._session.counters.learner_steps:
            self._first_step_at = time.monotonic()
        if facts.progress.stage != self._stage:
            self._stage, self._stage_began_s = facts.progress.stage, self._train_s()
        if not facts.progress.passed:  # also where the checkpoint that is resumed lies before the passing
            self._passed_train_s = None
        elif self._passed_train_s is None:
            self._passed_train_s = self._train_s()
        if self._passed_at is None and facts.progress.passed:
            self._passed_at, self._env_steps_to_pass = time.time(), facts.env_steps
        self._rates.update(facts)
        self._support.note(facts.metrics)

    def _log(self, facts: WiringFacts, judged: Metrics | None = None) -> None:
        """Log where the run stands, and the figures of a judgement that has just come in."""
        self._last_log = time.monotonic()
        metrics: Metrics = {
            "rollout/info_dropped": 0.0,
            "tracking/backends_failed": 0.0,
            **facts.metrics,
            **facts.progress.metrics(),
            "learner/learner_step": float(facts.learner_steps),
            **(judged or {}),
            "rollout/env_steps_per_s": self._rates.env_steps_per_s,
            "rollout/workers_replaced": float(facts.num_replaced),
            "learner/steps_per_s": self._rates.learner_steps_per_s,
            "runtime/train_s": self._train_s(),
            "runtime/wall_s": self._last_log - self._session.began,
            "runtime/failed_saves": float(self._failed_saves),
            "runtime/save_cut_s": self._cut_s,
            "runtime/save_s": self._save_s,
            "runtime/failed_writes": float(self._failed_writes),
        }
        self._trackers.log(metrics, facts.env_steps)
        try:
            write_progress(facts.progress, self._session.run.path / PROGRESS_FILE)
            self._write_summary(facts)
        except OSError as error:  # a full disk: the training is worth more than its notes
            self._count_failed_write(error)

    def _log_histograms(self, facts: WiringFacts) -> None:
        """Log how the numbers of the parts are distributed, where that is due and the parts have answered."""
        tracking, now = self._session.config.tracking, time.monotonic()
        is_due = now - self._last_histograms >= tracking.histogram_interval_s
        if not (tracking.shows_histograms and is_due) or self._first_step_at is None:
            return
        histograms = self._wiring.histograms()
        if histograms is None:
            return
        self._last_histograms = now
        if histograms:
            self._trackers.add(histograms, facts.env_steps)

    def _count_failed_write(self, error: OSError) -> None:
        self._failed_writes += 1
        if self._failed_writes == 1:
            logger.warning("the run's progress cannot be written (%s); training goes on", error)

    def _write_summary(self, facts: WiringFacts) -> None:
        wall = time.time() - time.monotonic()
        self._session.run.write_json(
            "summary.json",
            {
                "env_steps": facts.env_steps,
                "learner_steps": facts.learner_steps,
                "train_s": self._train_s(),
                "passed": facts.progress.passed,
                "passed_at": self._passed_at,
                "passed_train_s": self._passed_train_s,
                "env_steps_to_pass": self._env_steps_to_pass,
                "session_began_at": wall + self._session.began,
                "first_learner_step_at": None if self._first_step_at is None else wall + self._first_step_at,
                "samples_per_insert": facts.metrics.get("replay/samples_per_insert"),
                "workers_replaced": facts.num_replaced,
            },
        )

    def _begin_save(self, facts: WiringFacts, *, last: bool = False) -> None:
        self._last_save = time.monotonic()
        self._saver.begin(self._counters(facts), last=last, kept=self._judge.kept())

    def _counters(self, facts: WiringFacts) -> Counters:
        life = self._session.counters.incarnation + 1
        return Counters(facts.env_steps, facts.learner_steps, self._train_s(), life)

    def _save(self, facts: WiringFacts, *, last: bool = False) -> bool:
        """Commit a checkpoint of now and wait for it, first for the one under way; return whether it was committed."""
        while self._saver.is_busy:
            self._take_in(self._saver.take(POLL_S))
        self._begin_save(facts, last=last)
        while (outcome := self._saver.take(POLL_S)) is None:
            pass
        self._take_in(outcome)
        return outcome.checkpoint is not None

    def _take_in(self, outcome: SaveOutcome | None) -> None:
        """Note the outcome of a save; one that failed is counted, and does not end the training."""
        if outcome is None:
            return
        self._cut_s, self._save_s = outcome.cut_s, outcome.total_s
        self._has_failed = outcome.checkpoint is None
        if outcome.checkpoint is None:
            self._failed_saves += 1
            interval_s = self._session.config.checkpoint.interval_s
            self._last_save -= max(0.0, interval_s - RETRY_S)  # a part was silent just now: soon again
        else:
            self.last_saved = outcome.checkpoint
            try:
                self._judge.note_commit(outcome.checkpoint)
            except OSError as error:
                self._count_failed_write(error)

    def _show(self, facts: WiringFacts) -> None:
        train_s, progress = self._train_s(), facts.progress
        eta_s = estimate_remaining_s(
            train_s,
            self._session.config.budget.time_s,
            progress.stage,
            progress.num_stages,
            progress.passed,
            self._stage_began_s,
        )
        pace = Pace(train_s, eta_s, self._rates.env_steps_per_s, self._rates.learner_steps_per_s)
        self._panel.update(RunStatus(self._watched, facts, pace, self._judge.index))


class _Rates:
    """Steps per second over the last few seconds."""

    WINDOW_S = 4.0

    def __init__(self) -> None:
        self._points: list[tuple[float, int, int]] = []
        self.env_steps_per_s = 0.0
        self.learner_steps_per_s = 0.0

    def update(self, facts: WiringFacts) -> None:
        now = time.monotonic()
        self._points.append((now, facts.env_steps, facts.learner_steps))
        while len(self._points) > 2 and now - self._points[1][0] >= self.WINDOW_S:
            del self._points[0]
        then, env_steps, learner_steps = self._points[0]
        if now > then:
            self.env_steps_per_s = (facts.env_steps - env_steps) / (now - then)
            self.learner_steps_per_s = (facts.learner_steps - learner_steps) / (now - then)
