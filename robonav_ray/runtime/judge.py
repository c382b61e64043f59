"""After training: evaluate a run's policy on held-out worlds, draw its curves, let it drive for a picture."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from gymnasium.vector import VectorEnv
from rich.text import Text

from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.config.curriculum import stage_number
from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.errors import EnvironmentFailedError
from robonav_ray.evaluation.episodes import EpisodeTable, EvaluationProgress, evaluate_policy
from robonav_ray.evaluation.picture import draw_curves
from robonav_ray.evaluation.report import EvaluationReport, LevelReport, print_report, write_report
from robonav_ray.evaluation.statistics import summarize
from robonav_ray.interfaces import HasLevels
from robonav_ray.runs.checkpoint import Checkpoint
from robonav_ray.runs.located import find_policy
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError
from robonav_ray.runs.task import Task, describe_task
from robonav_ray.runtime.controller import Ending
from robonav_ray.runtime.endings import train_longer_command
from robonav_ray.runtime.filming import NoFilmError, draw_gif
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationStopped, EvaluationWatch, stopped_at_once
from robonav_ray.runtime.wiring import Session
from robonav_ray.screen import Screen, print_commands
from robonav_ray.text import command_text, path_word
from robonav_ray.worlds.make import make_vector_env


def finish_run(session: Session, ending: Ending, console: Screen, stop: StopRequest) -> bool:
    """Evaluate, draw and say what to type next; a stop request skips what is left.

    What is made is stored with the run, where it has a storage; False when that failed, which has been said.
    """
    notes = session.notes
    if stop:
        return True
    with contextlib.nullcontext() if notes is None else notes.kept_up():
        _finish(session, ending, console, stop)
    try:
        if notes is not None:
            notes.update()
    except OSError as error:
        console.print(f"evaluation and pictures could not be stored ({error}); they are in {session.run.shown}")
        return False
    return True


def _finish(session: Session, ending: Ending, console: Screen, stop: StopRequest) -> None:
    try:
        _judge_and_draw(session, console, stop)
    except EvaluationStopped:
        console.print("stopped before the evaluation was over; the training is whole")
        return
    run, config, task = session.run, session.config, session.task
    what = "all stages on held-out worlds" if task.has_stages else "episodes that training never saw"
    lines = [(command_text("robonav", "evaluate", run.shown), what)]
    if task.draws:
        lines.append((command_text("robonav", "play", run.shown), f"another GIF{' (--window to watch live)' * task.is_native}"))
    lines.append((train_longer_command(session, ending), "train longer"))
    if "tensorboard" in config.tracking.backends:
        lines.append((command_text("tensorboard", "--logdir", path_word(run.path.parent)), "all curves"))
    console.print(
        Text.assemble("\n", (run.shown, "bold"), " holds curves, pictures, evaluation and checkpoints. What to type next:")
    )
    print_commands(lines, console)


def _judge_and_draw(session: Session, console: Screen, stop: StopRequest) -> None:
    if stop:
        raise EvaluationStopped
    config, task = session.config, session.task
    run, checkpoint = find_policy(session.run.path)
    report = evaluate_run(run, checkpoint, config, console, config.evaluation.levels or (len(task.levels) - 1,), stop)
    print_report(report, console)
    write_report(report, run.path)
    with stopped_at_once(stop):
        if "jsonl" in config.tracking.backends:
            draw_curves(run.path)
        films = config.evaluation.gif_episodes
        if films and task.draws:
            policy = load_policy(checkpoint, config, task)
            try:
                draw_gif(run.path / "play.gif", policy, config, task, level=len(task.levels) - 1, num_episodes=films)
            except (NoFilmError, EnvironmentFailedError) as error:
                console.print(f"no play.gif: {error}", markup=False)


def evaluate_run(
    run: RunDirectory,
    checkpoint: Checkpoint,
    config: RunConfig,
    console: Screen,
    levels: tuple[int, ...] | None,
    stop: StopRequest | None = None,
) -> EvaluationReport:
    """Play ``evaluation.num_episodes`` greedy episodes on every one of ``levels`` (None: all).

    Raises:
        EvaluationStopped: As soon as ``stop`` asks for it.
    """
    reports: list[LevelReport] = []
    with stopped_at_once(StopRequest() if stop is None else stop):
        task = describe_task(config)
        policy = load_policy(checkpoint, config, task)
        with EvaluationWatch(console, stop) as watch:
            for level in checked_levels(task, levels):
                name = task.shown_name(level)
                show = watch.begin(f"evaluating {name}", config.evaluation.num_episodes)
                table = judge_stage(policy, config, task, level, show)
                reports.append(LevelReport(name, summarize(table, config.evaluation.confidence)))
    knows = "lidar only" if config.env.world.observation == "lidar" else "true state"
    return EvaluationReport(
        policy=run.path.name,
        knows=knows if task.is_native else "the environment's observation",
        env_id=task.env_id,
        seed=config.evaluation.seed,
        levels=tuple(reports),
        env_steps=checkpoint.counters.env_steps,
        policy_version=policy.version,
    )


def judge_stage(
    policy: Policy, config: RunConfig, task: Task, level: int, progress: Callable[[EvaluationProgress], None] | None = None
) -> EpisodeTable:
    """Play ``evaluation.num_episodes`` greedy episodes of ``policy`` on the held-out worlds of one stage."""
    return evaluate_policy(
        policy.greedy,
        lambda first, count: _held_out(config, task, level, first, count),
        config.evaluation.num_episodes,
        num_worlds=config.evaluation.num_worlds,
        step_s=config.env.world.dt_s if task.is_native else None,
        max_steps=task.levels[level].max_steps if task.is_native else None,
        cut_off_after=task.steps_of(level, config.evaluation.max_episode_steps),
        progress=progress,
    )


def _held_out(config: RunConfig, task: Task, level: int, first: int, count: int) -> VectorEnv[Any, Any, Any]:
    seed = seed_for(config.evaluation.seed, ROLE_EVALUATION, level)
    lanes = count * config.env.world.num_robots
    env = make_vector_env(config.env, task.levels, num_envs=lanes, first_world=first, seed=seed, gamma=config.algo.gamma)
    if isinstance(env, HasLevels):
        env.set_level(level)
    return env


def checked_levels(task: Task, levels: Sequence[int] | None) -> tuple[int, ...]:
    """Return ``levels`` (None: all); RunDirectoryError for one that the task does not have."""
    chosen = tuple(range(len(task.levels))) if levels is None else tuple(levels)
    for level in chosen:
        if not 0 <= level < len(task.levels):
            stages = ", ".join(f"{i} ({name})" for i, name in enumerate(task.level_names))
            raise RunDirectoryError(f"there is no stage {level}; the stages are {stages}")
    return chosen


def stage_numbers(text: str, config: RunConfig, option: str) -> list[int]:
    """Return the numbers of stages that are named or numbered in ``text``, with commas between them."""
    names = [stage.name for stage in config.curriculum.stages_for(config.env.is_native)]
    try:
        return [stage_number(word, names) for word in ([text] if text in names else text.split(","))]
    except ValueError as error:
        raise RunDirectoryError(f"{option}: {error}") from None
