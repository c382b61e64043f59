"""One training of an ablation, in this process: trained to its end, however often it is taken up, then judged."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robonav_ray.config import RunConfig
from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.errors import RunInterruptedError
from robonav_ray.evaluation.entrants import EntrantError
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.exam import ExamPlan, play, questions_of
from robonav_ray.evaluation.find_entrants import find_entrants
from robonav_ray.evaluation.statistics import summarize
from robonav_ray.runs.checkpoint import Checkpoint, newest_good_checkpoint
from robonav_ray.runs.located import find_policy
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import RunDirectory, create_run, open_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.judging.held_out import judge_stage
from robonav_ray.runtime.live import LiveRun, start_local
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationStopped, stopped_at_once
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.tuning.ablation.arms import Cell
from robonav_ray.tuning.ablation.results import CellResult

RUNS = "runs"
"""Folder of the trainings, below that of the ablation."""
LOCK_WAIT_S = 20.0
"""How long a training waits for an earlier life of itself, which may still be ending."""


@dataclass(frozen=True)
class CellOrder:
    """What one training is told."""

    cell: Cell
    folder: Path
    """Of the ablation; absolute."""
    command: tuple[str, ...]
    """What began the ablation."""

    @property
    def run(self) -> str:
        """Directory of the training, below ``folder``."""
        return f"{RUNS}/{self.cell.name}"


def work_off(order: CellOrder, stop: StopRequest) -> CellResult | None:
    """Train to the end and judge; None when ``stop`` asked for an end before that, and it is to be gone on with.

    Raises:
        RunHeldError: When another process goes on working on the training, an earlier life of it that has no driver any
            more for instance, for longer than LOCK_WAIT_S.
        RunInterruptedError: When the training ended without having been saved.
        UserError, RunFaultError: As training raises them.
    """
    with contextlib.ExitStack() as held:
        session = _session(order, held)
        if session.run.status != "finished":
            with LiveRun(
                session, start_local, wiring_name="local", stop=stop, command=order.command, is_held=True
            ) as live:
                ending = live.finish()
            if not ending.saved:
                raise RunInterruptedError(f"{session.run.shown}: was not saved ({ending.kept.value})")
            if not ending.reason.finished:
                return None
        return _judged(order, session.run, stop)


def _session(order: CellOrder, held: contextlib.ExitStack) -> RunSession:
    """Return the session to go on with, whose run ``held`` holds."""
    config, directory = order.cell.config, order.folder / order.run
    checkpoint = None
    if (directory / "config.yaml").exists():
        with contextlib.ExitStack() as lock:
            lock.enter_context(open_run(directory).locked(LOCK_WAIT_S))
            checkpoint, _ = newest_good_checkpoint(RunDirectory(directory).checkpoints)
            if checkpoint is not None:
                held.push(lock.pop_all())
    if checkpoint is None:  # nothing of it was learned
        if directory.exists():
            shutil.rmtree(directory)
        held.enter_context(create_run(config, directory).locked())
    return RunSession(config, describe_task(config), RunDirectory(directory), checkpoint, time.monotonic())


def _judged(order: CellOrder, run: RunDirectory, stop: StopRequest) -> CellResult | None:
    config, cell = order.cell.config, order.cell
    _, checkpoint = find_policy(run.path)
    try:
        with stopped_at_once(stop):
            tables = _played(cell, checkpoint) if cell.suite is None else _examined(cell.suite, config, run)
    except EvaluationStopped:
        return None
    summaries = [summarize(table) for table in tables]
    success = [summary.success.frac for summary in summaries if summary.success is not None]
    collision = [summary.collision.frac for summary in summaries if summary.collision is not None]
    return CellResult(
        key=cell.key,
        arm=cell.arm,
        seed=cell.seed,
        run=order.run,
        env_steps=checkpoint.counters.env_steps,
        learner_steps=checkpoint.counters.learner_steps,
        train_s=checkpoint.counters.train_seconds,
        num_episodes=sum(table.num_episodes for table in tables),
        success_frac=float(np.mean(success)) if len(success) == len(tables) else None,
        collision_frac=float(np.mean(collision)) if len(collision) == len(tables) else None,
        return_mean=float(np.mean([table.total_return.mean(dtype=np.float64) for table in tables])),
    )


def _played(cell: Cell, checkpoint: Checkpoint) -> list[EpisodeTable]:
    """Return the episodes of each stage."""
    task = describe_task(cell.config)
    policy = load_policy(checkpoint, cell.config, task)
    return [judge_stage(policy, cell.config, task, stage) for stage in cell.stages]


def _examined(suite: Suite, config: RunConfig, run: RunDirectory) -> list[EpisodeTable]:
    """Return the episodes of each scenario, as ``robonav compare`` plays them.

    Raises:
        EntrantError: When the policy does not fit a scenario.
    """
    questions = questions_of([suite], config.evaluation.num_episodes)
    plan = ExamPlan.of(find_entrants([str(run.path)], foreign=lambda *_: None), questions)
    if plan.missing:
        (_, number), why = next(iter(plan.missing.items()))
        raise EntrantError(f"{run.shown}: cannot play {suite.name}:{questions[number].scenario.name}: {why}")
    return [play(plan.entrants[0], plan.seats[0, number]).episodes for number in range(len(questions))]
