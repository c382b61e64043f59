"""Judging a policy on held-out worlds: when training has ended (curves and a film go with it), or when a user asks for
it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from robonav_ray.algo.own_network import NoGraphError
from robonav_ray.config import RunConfig
from robonav_ray.config.curriculum import stage_number
from robonav_ray.config.load import ConfigError
from robonav_ray.errors import EnvironmentFailedError, UserError
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.own_metrics import find_metrics, own_means
from robonav_ray.evaluation.picture import draw_curves
from robonav_ray.evaluation.report import EvaluationReport, StageReport, print_report, write_report
from robonav_ray.evaluation.statistics import summarize
from robonav_ray.registry.by_name import located
from robonav_ray.runs.checkpoint import Checkpoint
from robonav_ray.runs.checkpoint_index import Which
from robonav_ray.runs.faults import told_beside
from robonav_ray.runs.located import LocatedRun, find_policy, refuse_judged, refuse_unwritable, refuse_uri
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError
from robonav_ray.runs.task import Task, describe_task
from robonav_ray.runtime.controller import Ending
from robonav_ray.runtime.endings import train_longer_command
from robonav_ray.runtime.filming import NoFilmError, draw_gif
from robonav_ray.runtime.judging import showcase
from robonav_ray.runtime.judging.held_out import judge_stage
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationStopped, EvaluationWatch, stopped_at_once
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.screen import Screen, print_commands
from robonav_ray.text import command_text, path_word
from robonav_ray.tracking.deliveries import told_addresses
from robonav_ray.tracking.fanout import TRACKED
from robonav_ray.tracking.items import Asset
from robonav_ray.tracking.run_facts import flat_items
from robonav_ray.tracking.tracked_run import keep_tracked


@dataclass(frozen=True)
class Exam:
    """What a run is judged on, as far as that is not what its config says."""

    episodes: int | None = None
    """Per stage; None takes ``evaluation.num_episodes``."""
    stages: Sequence[str] | None = None
    """By name or number from 0; None takes ``evaluation.levels``, or all."""
    seed: int | None = None
    """Of the held-out worlds; None takes ``evaluation.seed``."""
    overrides: Sequence[str] = ()
    """``a.b=c`` for the worlds: keys of ``env``, ``curriculum.stages`` and ``evaluation``."""
    which: Which | None = None
    """Checkpoint of a run; None takes the best, and the last where the run has not been judged."""

    def config_of(self, run: RunDirectory) -> RunConfig:
        """Return the config of ``run`` as it is judged; UserError for a stage or an override that there cannot be."""
        for override in self.overrides:
            key = override.partition("=")[0].strip()
            if not any(key == section or key.startswith(f"{section}.") for section in _JUDGED_SECTIONS):
                raise ConfigError(
                    f"override {override!r}: would change nothing here, as the policy is taken as it was trained; an "
                    "evaluation takes those of the worlds and of the judging "
                    f"({', '.join(f'{section}.KEY' for section in _JUDGED_SECTIONS)})"
                )
        asked: dict[str, Any] = {"num_episodes": self.episodes, "seed": self.seed}
        if self.stages is not None:
            asked["levels"] = stage_numbers(self.stages, run.config, "stages")
        words = [f"evaluation.{key}={value}" for key, value in asked.items() if value is not None]
        return run.resumed_config([*self.overrides, *words])


_JUDGED_SECTIONS = ("env", "curriculum.stages", "evaluation")


def evaluate(
    where: str | Path,
    exam: Exam,
    *,
    out: Path | None,
    screen: Screen,
    stopping: Callable[[], AbstractContextManager[StopRequest]],
    told: Callable[[EvaluationReport], None],
) -> tuple[EvaluationReport, list[str]]:
    """Judge the run (or checkpoint, URI of either, NAME@champion) ``where``; keep the report in ``out``, or in a new
    folder of the run.

    ``told`` is given the report before it is written. Returns it, and where each of its files lies, as people are shown
    it.

    Raises:
        EvaluationStopped: When the StopRequest that ``stopping`` gives asks for an end; nothing is written.
        UserError: For what is wrong in ``where``, ``exam`` or ``out``, before the work.
        RunFaultError: When the environment fails.
    """
    refuse_uri(out, "--out", "give the URI of a run that lies there, and the results are stored with it")
    if out is not None:
        refuse_unwritable(out, "--out")
        refuse_judged(out, "--out")
    with located(where, writes=out is None, which=exam.which) as found, told_beside(found.run):
        config = exam.config_of(found.run)
        changes = world_changes(found.run.config, config)
        with stopping() as stop:
            report = evaluate_run(found.run, found.checkpoint, config, screen, config.evaluation.levels, stop)
        report = replace(report, changes=changes)
        told(report)
        written = found.keep(partial(_written, report, found, out, stopping), "evaluations", out)
        return report, written


def _written(
    report: EvaluationReport,
    found: LocatedRun,
    out: Path | None,
    stopping: Callable[[], AbstractContextManager[StopRequest]],
    folder: Path,
) -> Sequence[Path]:
    paths = write_report(report, folder)
    if out is None and found.takes_notes:
        with stopping() as stop:
            keep_tracked(found.run, found.checkpoint.counters.env_steps, paths, asked=lambda: bool(stop))
    return paths


def world_changes(trained: RunConfig, judged: RunConfig) -> tuple[str, ...]:
    """Return which settings of the worlds differ, as ``a.b=c (trained with d)``.

    Raises:
        ConfigError: When a policy that was trained in the one cannot act in the other.
    """
    before, now = _world_settings(trained), _world_settings(judged)
    if before == now:
        return ()
    old, new = describe_task(trained), describe_task(judged)
    if not old.shows_the_same(new, trained.algo) or old.num_actions != new.num_actions:
        raise ConfigError(
            f"overrides: the worlds would show {new.obs_dim} observations and take {new.num_actions} actions, and the "
            f"policy was trained with {old.obs_dim} and {old.num_actions}; change nothing that is seen or done, or "
            "train in such worlds"
        )
    keys = [*now, *(key for key in before if key not in now)]
    return tuple(
        f"{key}={now.get(key)} (trained with {before.get(key)})"
        for key in keys
        if before.get(key, _GONE) != now.get(key, _GONE)
    )


_GONE = object()


def _world_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings of the worlds by dotted key."""
    sections = config.sections_in_use()
    return dict(flat_items({"env": sections["env"], "curriculum.stages": sections["curriculum"]["stages"]}))


def finish_run(
    session: RunSession, ending: Ending, console: Screen, stop: StopRequest
) -> tuple[EvaluationReport | None, str]:
    """Evaluate, draw and say what to type next; a stop request skips what is left.

    What is made is stored with the run, where it has a storage. Returns the report, None without one, and why it could
    not be stored, which has been said; empty otherwise.
    """
    notes = session.notes
    if stop:
        return None, ""
    with contextlib.nullcontext() if notes is None else notes.kept_up():
        report = _finish(session, ending, console, stop)
    try:
        if notes is not None:
            notes.update()
    except OSError as error:
        lost = f"evaluation and pictures could not be stored ({error}); they are in {session.run.shown}"
        console.print(lost)
        return report, lost
    return report, ""


def _finish(session: RunSession, ending: Ending, console: Screen, stop: StopRequest) -> EvaluationReport | None:
    try:
        report = _judge_and_draw(session, console, stop)
    except EvaluationStopped:
        console.print("stopped before the evaluation was over; the training is whole")
        return None
    run, config, task = session.run, session.config, session.task
    what = "all stages on held-out worlds" if task.has_stages else "episodes that training never saw"
    lines = [(command_text("robonav", "evaluate", run.shown), what)]
    if task.draws:
        lines.append(
            (command_text("robonav", "play", run.shown), f"another GIF{' (--window to watch live)' * task.is_native}")
        )
    if config.league is not None:
        lines.append((command_text("robonav", "league", "rate", run.shown), "all members against each other"))
    lines.append((train_longer_command(session, ending), "train longer"))
    if config.preset == "navigation" and task.is_native and config.env.world.map is None:
        lines.append(
            (command_text("robonav", "train", "preset=robust"), "for delays, drift, crowds and fast obstacles")
        )
    if config.tracking.tensorboard is not None:
        lines.append((command_text("tensorboard", "--logdir", path_word(run.path.parent)), "all curves"))
    lines += [(address, f"the run at {name}") for name, address in told_addresses(run.path)]
    console.print(
        Text.assemble(
            "\n", (run.shown, "bold"), " holds curves, pictures, evaluation and checkpoints. What to type next:"
        )
    )
    print_commands(lines, console)
    return report


def _judge_and_draw(session: RunSession, console: Screen, stop: StopRequest) -> EvaluationReport:
    if stop:
        raise EvaluationStopped
    config, task = session.config, session.task
    run, checkpoint = find_policy(session.run.path)
    tables: dict[str, EpisodeTable] = {}
    stages = config.evaluation.levels or (len(task.levels) - 1,)
    report = evaluate_run(run, checkpoint, config, console, stages, stop, tables.__setitem__)
    print_report(report, console)
    kept, shown = [*write_report(report, run.path)], list[Asset]()
    try:
        _draw(session, checkpoint, console, stop, tables, kept, shown)
    finally:
        keep_tracked(run, checkpoint.counters.env_steps, kept, config, shown, asked=lambda: bool(stop))
    return report


def _draw(
    session: RunSession,
    checkpoint: Checkpoint,
    console: Screen,
    stop: StopRequest,
    tables: Mapping[str, EpisodeTable],
    kept: list[Path],
    shown: list[Asset],
) -> None:
    """Draw curves and film, which are added to ``kept``, and write what else the run shows of itself, added to
    ``shown``.
    """
    run, config, task = session.run, session.config, session.task
    folder, last = run.path / TRACKED, len(task.levels) - 1
    with stopped_at_once(stop):
        kept.append(draw_curves(run.path))
        if config.league is not None:
            from robonav_ray.runtime.self_play.kept_league import keep_league  # a run without one needs none of it

            try:
                kept += keep_league(run)
            except (UserError, OSError) as error:
                console.print(f"no picture of the league: {error}", markup=False)
        shown.append(showcase.write_episodes(tables, folder / "episodes.csv"))
        try:
            shown.append(showcase.write_graph(config, task, folder / "network.json"))
        except NoGraphError as error:
            console.print(f"no graph of the network: {error}", markup=False)
        policy, name = load_policy(checkpoint, config, task), task.shown_name(last)
        try:
            if name in tables:
                path = folder / "embedding.npz"
                shown.append(showcase.write_embedding(policy, config, task, last, tables[name], path))
        except EnvironmentFailedError as error:
            console.print(f"no embedding: {error}", markup=False)
        films = config.evaluation.gif_episodes
        if films and task.draws:
            film = run.path / "play.gif"
            try:
                draw_gif(film, policy, config, task, stage=last, num_episodes=films)
                kept.append(film)
                shown.append(showcase.write_top_view(film, folder / "top_view.png"))
            except (NoFilmError, EnvironmentFailedError) as error:
                console.print(f"no play.gif: {error}", markup=False)


def evaluate_run(
    run: RunDirectory,
    checkpoint: Checkpoint,
    config: RunConfig,
    console: Screen,
    stages: tuple[int, ...] | None,
    stop: StopRequest | None = None,
    told: Callable[[str, EpisodeTable], None] | None = None,
) -> EvaluationReport:
    """Play ``evaluation.num_episodes`` greedy episodes on every one of ``stages`` (None: all); ``told`` is given the
    episodes of each.

    Raises:
        EvaluationStopped: As soon as ``stop`` asks for it.
    """
    reports: list[StageReport] = []
    with stopped_at_once(StopRequest() if stop is None else stop):
        task = describe_task(config)
        policy = load_policy(checkpoint, config, task)
        metrics = find_metrics(config.evaluation.metrics)
        with EvaluationWatch(console, stop) as watch:
            for stage in checked_stages(task, stages):
                name = task.shown_name(stage)
                show = watch.begin(f"evaluating {name}", config.evaluation.num_episodes)
                table = judge_stage(policy, config, task, stage, show)
                if told is not None:
                    told(name, table)
                confidence = config.evaluation.confidence
                reports.append(StageReport(name, summarize(table, confidence), own_means(metrics, table, confidence)))
    knows = "lidar only" if config.env.world.observation == "lidar" else "true state"
    return EvaluationReport(
        policy=run.name,
        knows=knows if task.is_native else "the environment's observation",
        env_id=task.env_id,
        seed=config.evaluation.seed,
        levels=tuple(reports),
        env_steps=checkpoint.counters.env_steps,
        policy_version=policy.version,
    )


def checked_stages(task: Task, stages: Sequence[int] | None) -> tuple[int, ...]:
    """Return ``stages`` (None: all); RunDirectoryError for one that the task does not have."""
    chosen = tuple(range(len(task.levels))) if stages is None else tuple(stages)
    for stage in chosen:
        if not 0 <= stage < len(task.levels):
            known = ", ".join(f"{i} ({name})" for i, name in enumerate(task.stage_names))
            raise RunDirectoryError(f"there is no stage {stage}; the stages are {known}")
    return chosen


def stage_numbers(words: Sequence[str], config: RunConfig, option: str) -> list[int]:
    """Return the numbers of stages that are named, or numbered from 0; of one word also with commas between them."""
    names = [stage.name for stage in config.curriculum.stages_for(config.env.is_native)]
    if len(words) == 1 and words[0] not in names:
        words = words[0].split(",")
    try:
        return [stage_number(word, names) for word in words]
    except ValueError as error:
        raise RunDirectoryError(f"{option}: {error}") from None
