"""One trial of a search, report by report: a whole curriculum run in a directory of its own, through the parts of
``robonav train``.

::

    open --> [ report: train on, commit a checkpoint, judge it on held-out worlds ] --> ... --> close
                  ^
                  +-- take_over: weights, optimiser and curriculum of another trial's checkpoint, and other values

Plain: Tune's trainable (``trial.py``) holds one, and so does a test.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from robonav_ray.config import RunConfig
from robonav_ray.evaluation.statistics import summarize
from robonav_ray.files import plain_files
from robonav_ray.files.plain_files import append, read_json
from robonav_ray.runs.checkpoint import (
    Checkpoint,
    CheckpointWriter,
    Counters,
    list_checkpoints,
    newest_good_checkpoint,
    open_checkpoint,
)
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError, RunHeldError, create_run, open_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.judging.held_out import judge_stage
from robonav_ray.runtime.live import LiveRun, StartWiring
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationStopped, EvaluationWatch
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.screen import Screen
from robonav_ray.tuning.search_records import TrialFacts, tracked
from robonav_ray.tuning.trial_objective import METRIC, judged

logger = logging.getLogger(__name__)
ORDER_FILE = "take_over.json"
"""In a trial's directory: another trial's checkpoint that the trial goes on from when it is opened next."""
TAKE_OVERS_FILE = "take_overs.jsonl"
"""In a trial's directory: what it took over from others, one line each."""
LOCK_WAIT_S = 20.0
"""How long a trial waits for an earlier life of itself, which may still be ending, to let go of the directory."""

__all__ = ["ORDER_FILE", "TAKE_OVERS_FILE", "TrialRun", "order_take_over"]


class TrialRun:
    """Holds the run of one trial."""

    def __init__(
        self,
        directory: Path,
        config: RunConfig,
        report_env_steps: int,
        start: StartWiring,
        *,
        wiring_name: Literal["ray", "local"],
        command: Sequence[str],
        stop: StopRequest | None = None,
        metric: str = METRIC,
    ) -> None:
        """Nothing is made or started yet.

        Args:
            directory: The run directory; one that is there already is gone on with from its newest whole checkpoint.
            config: Of the run; ``budget.max_env_steps`` ends the trial.
            report_env_steps: Env steps between two reports.
            start: Starts the parts.
            wiring_name: What the parts are, for ``run.json``.
            command: What began the search, for ``run.json``.
            stop: Asks the trial to end; it is looked at while the trial trains and while its policy is judged.
            metric: What is maximised, as ``trial.metric``.
        """
        self.directory, self.config, self._metric = directory, config, metric
        self._report_env_steps = report_env_steps
        self._start, self._command = start, command
        self._stop = StopRequest() if stop is None else stop
        self._wiring_name: Literal["ray", "local"] = wiring_name
        self._live: LiveRun | None = None
        self._held: contextlib.ExitStack | None = None
        """Holds the directory's lock, from before it is decided where to go on from."""
        self._began = time.monotonic()

    def open(self) -> None:
        """Start the parts: afresh, from the newest whole checkpoint, or as ``take_over.json`` says.

        Raises:
            RunDirectoryError: When another process still holds the directory.
        """
        own, order = self._newest_checkpoint(), self.directory / ORDER_FILE
        if own is None or not order.exists():
            self._begin(own)
            return
        donor = open_checkpoint(Path(read_json(order)["checkpoint"]))
        self._begin(self._crossed(own.counters, donor, own.replay))
        order.unlink()

    def report(self) -> TrialFacts:
        """Train to the next multiple of the report's interval, commit a checkpoint, and judge it.

        Raises:
            EvaluationStopped: When it was asked to end; what had been learned by then is committed.
            RuntimeError: When a part has failed for good, no checkpoint could be written, or the mean return is not
                finite.
        """
        live = self._opened()
        env_steps = live.controller.facts.env_steps if live.controller.facts else live.session.counters.env_steps
        target = (env_steps // self._report_env_steps + 1) * self._report_env_steps
        ending = live.advance(target)
        last = live.controller.last_saved
        checkpoint = last if ending is not None and ending.saved and last is not None else self._saved(live)
        return self._judged(checkpoint, done=ending is not None)

    def take_over(self, donor: Path, config: RunConfig, in_flight: Mapping[str, Any] | None) -> None:
        """Go on from another trial's checkpoint with ``config``.

        Weights, optimiser and curriculum are the donor's, and so are the rows where its checkpoint holds them; env
        steps go on being counted. What goes on is committed as this trial's own checkpoint before this returns.

        Args:
            donor: A committed checkpoint.
            config: The values to go on with.
            in_flight: The learner's settings in which ``config`` differs from the donor's, when all of them may change
                while it runs; None when the parts have to be started anew.
        """
        checkpoint, live = open_checkpoint(donor), self._live
        self.config = config
        if live is None:
            own = self._newest_checkpoint()
            counters, rows = (Counters(), None) if own is None else (own.counters, own.replay)
            if own is None:
                create_run(config, self.directory)
            self._begin(self._crossed(counters, checkpoint, rows))
            return
        if in_flight is None or config.checkpoint.replay or not live.wiring.take_over(checkpoint, in_flight):
            self._restart_from(live, checkpoint)
            return
        live.session.run.keep_config(config)
        self._note_take_over(checkpoint, self._saved(live))

    def newest_path(self) -> Path:
        """Return the directory of the trial's newest checkpoint; RuntimeError before the first."""
        paths = list_checkpoints(RunDirectory(self.directory).checkpoints)
        if not paths:
            raise RuntimeError(f"{self.directory.name}: has no checkpoint yet")
        return paths[-1]

    def close(self) -> None:
        """End the parts, with a checkpoint of what was learned since the last one; a second call does nothing."""
        live, self._live = self._live, None
        if live is None:
            self._let_go()
            return
        try:
            last, facts = live.controller.last_saved, live.controller.facts
            if (
                live.ending is None
                and facts is not None
                and last is not None
                and facts.learner_steps > last.counters.learner_steps
            ):
                live.controller.save()
        finally:
            live.__exit__(None, None, None)
            self._let_go()

    def _opened(self) -> LiveRun:
        if self._live is None:
            self.open()
        assert self._live is not None
        return self._live

    def _begin(self, checkpoint: Checkpoint | None) -> None:
        task = describe_task(self.config)
        run = create_run(self.config, self.directory) if checkpoint is None else open_run(self.directory)
        self._hold()
        session = RunSession(self.config, task, run, checkpoint, time.monotonic())
        self._live = LiveRun(
            session, self._start, wiring_name=self._wiring_name, stop=self._stop, command=self._command, is_held=True
        ).__enter__()

    def _hold(self) -> None:
        """Take the directory's lock, unless it is ours already; waits for an earlier life of the trial to let go of
        it.
        """
        if self._held is not None:
            return
        run = RunDirectory(self.directory)
        try:
            with contextlib.ExitStack() as held:
                held.enter_context(run.locked(LOCK_WAIT_S))
                self._held = held.pop_all()
        except RunHeldError:
            raise RunDirectoryError(
                f"{run.shown}: another process is still working on this trial; end it, then resume"
            ) from None

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def _newest_checkpoint(self) -> Checkpoint | None:
        """Return what to go on from; a directory without any checkpoint is removed, as nothing in it was learned."""
        if not self.directory.is_dir():
            return None
        self._hold()
        checkpoint, _ = newest_good_checkpoint(RunDirectory(self.directory).checkpoints)
        if checkpoint is None:
            shutil.rmtree(self.directory)
            self._let_go()  # of a lock that is no more
        return checkpoint

    def _restart_from(self, live: LiveRun, donor: Checkpoint) -> None:
        """Start the parts anew from the donor's learner and curriculum, with the rows that there are now or with the
        donor's.
        """
        counters = live.session.counters if live.controller.facts is None else self._saved(live).counters
        with tempfile.TemporaryDirectory(dir=self.directory, prefix=".rows-") as directory:
            rows = Path(directory) / "replay"
            if live.controller.facts is not None and not self.config.checkpoint.replay:
                live.wiring.save_replay(rows)
            self._live = None
            live.__exit__(None, None, None)
            crossed = self._crossed(counters, donor, rows)
        self._begin(crossed)

    def _crossed(self, counters: Counters, donor: Checkpoint, rows: Path | None) -> Checkpoint:
        """Commit a checkpoint of this trial with the donor's learner and curriculum; its rows too where it holds them,
        else ``rows``.
        """
        checkpoints = RunDirectory(self.directory).checkpoints
        writer = CheckpointWriter(checkpoints, replace(counters, learner_steps=donor.counters.learner_steps))
        try:
            shutil.copytree(donor.learner, writer.path / "learner")
            shutil.copy(donor.path / "curriculum.json", writer.path / "curriculum.json")
            source = donor.replay if self.config.checkpoint.replay else rows
            if source is not None and source.is_dir():
                shutil.copytree(source, writer.path / "replay")
            crossed = writer.commit()
        except BaseException:
            writer.discard()
            raise
        self._note_take_over(donor, crossed)
        return crossed

    def _note_take_over(self, donor: Checkpoint, own: Checkpoint) -> None:
        """Append to ``take_overs.jsonl`` what was taken over: hashes of the donor's learner and of what goes on, and
        both stages.
        """
        document = {
            "time": time.time(),
            "donor": str(donor.path),
            "checkpoint": own.path.name,
            "donor_sha256": _learner_hash(donor),
            "sha256": _learner_hash(own),
            "donor_stage": donor.read_json("curriculum.json")["stage"],
            "stage": own.read_json("curriculum.json")["stage"],
            "learner": self.config.learner.model_dump(mode="json"),
        }
        append(self.directory / TAKE_OVERS_FILE, json.dumps(document) + "\n")

    def _saved(self, live: LiveRun) -> Checkpoint:
        checkpoint = live.controller.save()
        if checkpoint is None:
            raise RuntimeError(
                f"{self.directory.name}: no checkpoint could be written; {self.directory}/log.txt says why"
            )
        return checkpoint

    def _judged(self, checkpoint: Checkpoint, *, done: bool) -> TrialFacts:
        live = self._opened()
        facts, task = live.controller.facts, live.session.task
        assert facts is not None
        stage = facts.progress.stage
        if self._stop:
            raise EvaluationStopped
        policy = load_policy(checkpoint, self.config, task)
        with EvaluationWatch(Screen(file=_LoggedLines(), force_terminal=False, soft_wrap=True), self._stop) as watch:
            show = watch.begin(f"evaluating {task.shown_name(stage)}", self.config.evaluation.num_episodes)
            summary = summarize(judge_stage(policy, self.config, task, stage, show))
        success = None if summary.success is None else summary.success.frac
        collision = None if summary.collision is None else summary.collision.frac
        mean_return = float(summary.task_return.value if summary.task_return.value is not None else 0.0)
        if not math.isfinite(mean_return):
            raise RuntimeError(
                f"{self.directory.name}: the mean return of {checkpoint.path.name} is {mean_return}, which cannot be "
                "compared"
            )
        judgement = TrialFacts(
            env_steps=checkpoint.counters.env_steps,
            learner_steps=checkpoint.counters.learner_steps,
            life_s=time.monotonic() - self._began,
            stage=stage,
            stage_name=facts.progress.stage_name,
            passed=facts.progress.passed,
            success_frac=success,
            collision_frac=collision,
            mean_return=mean_return,
            objective=judged(self._metric, stage, success, collision, mean_return),
            checkpoint=checkpoint.path.name,
            done=done,
        )
        live.controller.tell_trackers(tracked(judgement), judgement.env_steps)
        return judgement


class _LoggedLines(io.StringIO):
    """Where a trial shows its evaluation: lines of its ``log.txt``, since the terminal is the search's."""

    def write(self, text: str) -> int:
        if text.strip():
            logger.info("%s", text.strip())
        return len(text)


def _learner_hash(checkpoint: Checkpoint) -> str:
    """Return the SHA-256 of weights, target weights and the optimiser's moments, as the manifest has it."""
    return checkpoint.read_json("manifest.json")["files"]["learner/learner.safetensors"]["sha256"]


def order_take_over(directory: Path, checkpoint: Path) -> None:
    """Have the trial in ``directory`` go on from ``checkpoint`` when it is opened next."""
    plain_files.replace(directory / ORDER_FILE, json.dumps({"checkpoint": str(checkpoint)}))
