"""``robonav pipeline``: from nothing to a report and a registered model, by one command."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robonav_ray.errors import EXIT_RESUME
from robonav_ray.verbs.arguments import parse_duration, split_arguments
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

if TYPE_CHECKING:
    from robonav_ray.pipeline.logs import Watcher
    from robonav_ray.pipeline.orchestrator import PipelineOrchestrator
    from robonav_ray.pipeline.planning import StepPlan
    from robonav_ray.screen import Screen

GRACE_S = 60.0
"""Seconds after a signal within which the command has ended, even if a part hangs."""
pipeline_app = typer.Typer(
    no_args_is_help=True,
    help="From nothing to a report and a registered model: steps in an order, each done once.",
    epilog="Examples:\n\n`robonav pipeline run configs/pipeline/quick.yaml`\n\n"
    "`robonav pipeline run quick --dry-run`\n\n`robonav pipeline explain evaluate`",
)
Config = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CONFIG.yaml|DIR] [section.key=value ...]",
        help="A YAML file, the name of a shipped one (`robonav config list`), or the folder of a pipeline; then "
        "overrides.",
    ),
]
Begin = Annotated[
    str | None,
    typer.Option("--from", metavar="STEP", help="Begin with this step: those before it are taken as they are."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="STEP", help="End with this step.")]
Force = Annotated[bool, typer.Option("--force", help="Do these steps again, though nothing changed.")]
AcceptCode = Annotated[bool, typer.Option("--accept-code", help="What was made by other code still holds.")]


@pipeline_app.command(
    epilog="Examples:\n\n`robonav pipeline run configs/pipeline/quick.yaml`\n\n"
    "`robonav pipeline run quick train.seeds=[0,1,2] --time-limit 8h`\n\n"
    "`robonav pipeline run quick --from evaluate --until report --force`"
)
def run(
    config: Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say of each step whether it would be done, and why; touch nothing.")
    ] = False,
    begin: Begin = None,
    until: Until = None,
    force: Force = False,
    accept_code: AcceptCode = False,
    time_limit: Annotated[
        str | None, typer.Option(help="Stop, to go on later, after this long: `90s`, `20m`, `8h`.")
    ] = None,
    json: Json = False,
) -> None:
    """Do each step that is not done yet, or whose inputs changed. Stopped or killed, the same command goes on.

    Exit code 75: stopped before the end.
    """
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.screen import print_commands, say_error
    from robonav_ray.text import command_text, path_word

    limit = None if time_limit is None else parse_duration(time_limit)
    pipeline, screen = _opened(config), screen_beside(json)
    options: dict[str, Any] = {"first": begin, "until": until, "force": force, "accept_code": accept_code}
    steps = pipeline.plan(**options)
    if dry_run:
        _show_plan(steps, screen, json)
        return
    stopping = partial(stop_on_signals, GRACE_S, needs_reader=False, in_session=True)
    try:
        with _watched(steps, screen_beside(json), json) as watcher:
            done = pipeline.run(**options, time_limit_s=limit, watcher=watcher, stopping=stopping)
    except KeyboardInterrupt:
        say_error("ended at once; what is done stays done, and the same command goes on")
        raise typer.Exit(EXIT_RESUME) from None
    if json:
        print_json({**vars(done), "path": done.path})
    if done.status == "unfinished":
        screen.print(f"stopped ({done.why}): what is done stays done, and the same command goes on")
        raise typer.Exit(EXIT_RESUME)
    if not json:
        what = ", ".join(done.done) or "nothing was to be done"
        screen.print(f"{path_word(done.path)}: {what}")
        made = [done.facts.get("report", {}).get(key) for key in ("pdf", "html")]
        for path in filter(None, made):
            screen.print(f"written: {path_word(done.path / str(path))}")
        print_commands(
            [
                (
                    command_text("robonav", "pipeline", "status", path_word(done.path)),
                    "all steps, and what each has made",
                )
            ],
            screen,
        )


@pipeline_app.command(epilog="Examples:\n\n`robonav pipeline status`\n\n`robonav pipeline status quick --json`")
def status(config: Config = None, json: Json = False) -> None:
    """Show all steps of a pipeline (default: the one that was at work last): done or not, and what each has made."""
    from robonav_ray.pipeline.lock_file import LockFile

    pipeline = _opened(config, newest=True)
    steps, lock = pipeline.plan(), LockFile.load(pipeline.folder.path)
    if json:
        records = {name: record.model_dump(mode="json") for name, record in lock.steps.items()}
        found = [{**_facts(step), "record": records.get(step.name)} for step in steps]
        print_json({"path": pipeline.folder.path, "steps": found})
        return
    screen = screen_beside(False, soft_wrap=False)
    screen.print(pipeline.folder.shown, style="bold")
    table = _table("step", "state", "ended", "took", "")
    for step in steps:
        record = lock.steps.get(step.name)
        when, took = "-", "-"
        if record is not None:
            when = time.strftime("%m-%d %H:%M", time.localtime(record.ended_s))
            took = f"{record.took_s:.1f} s"
        table.add_row(
            step.name, step.state, when, took, record.told if record and step.state == "done" else step.reason
        )
    screen.print(table)


@pipeline_app.command(
    epilog="Examples:\n\n`robonav pipeline explain evaluate`\n\n`robonav pipeline explain train quick`"
)
def explain(
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step of the pipeline.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Show on what a step depends, what it has made, and whether it would be done again, and why."""
    from robonav_ray.pipeline.lock_file import LockFile
    from robonav_ray.pipeline.planning import Asked
    from robonav_ray.text import one_line
    from robonav_ray.tracking.run_facts import flat_items

    pipeline = _opened(config, newest=True)
    Asked(until=step).range(pipeline.config.order())
    plan = next(one for one in pipeline.plan() if one.name == step)
    record = LockFile.load(pipeline.folder.path).steps.get(step)
    if json:
        print_json({**_facts(plan), "record": None if record is None else record.model_dump(mode="json")})
        return
    screen = screen_beside(False, soft_wrap=False)
    screen.print(f"{step}: {plan.state}: {plan.reason}")
    rows: list[tuple[str, str, str]] = [("told", key, str(value)) for key, value in flat_items(plan.inputs)]
    rows += [("takes", name, digest[:12]) for name, digest in plan.reads.items()]
    rows += [("code", name, digest[:12]) for name, digest in plan.code.items()]
    if record is not None:
        rows += [("made", key, str(value)) for key, value in flat_items(record.facts)]
        rows += [("file", name, digest[:12]) for name, digest in record.files.items()]
    table = _table("", "what", "is")
    for row in rows:
        table.add_row(*map(one_line, row))
    screen.print(table)


@pipeline_app.command(
    epilog="Examples:\n\n`robonav pipeline restore s3://bucket/pipelines/quick`\n\n"
    "`robonav pipeline restore /mnt/backup/quick --out pipelines/quick`"
)
def restore(
    uri: Annotated[str, typer.Argument(metavar="URI", help="Folder or bucket that a pipeline was backed up to.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to be made (default: below pipelines/, called as the last part of URI).")
    ] = None,
    json: Json = False,
) -> None:
    """Bring a pipeline's folder back from its backup, each file held against its hash; a name that leads outside is
    refused.
    """
    from robonav_ray.config.pipeline import PipelineConfig
    from robonav_ray.files.locations import name_of
    from robonav_ray.pipeline.restoring import restore as bring_back
    from robonav_ray.screen import print_commands
    from robonav_ray.text import bytes_text, command_text, path_word

    done = bring_back(uri, out or Path(PipelineConfig().output_dir) / name_of(uri))
    screen, where = screen_beside(json), path_word(done.folder)
    screen.print(f"{where}: {done.num_files:,} files ({bytes_text(done.num_bytes)}), {done.num_fetched:,} brought now")
    if json:
        print_json(vars(done))
        return
    print_commands([(command_text("robonav", "pipeline", "run", where), "go on with it")], screen)


def _opened(arguments: list[str] | None, *, newest: bool = False) -> PipelineOrchestrator:
    from robonav_ray.config.load import load_section_file
    from robonav_ray.config.pipeline import PipelineConfig
    from robonav_ray.pipeline.folder import is_pipeline, newest_folder
    from robonav_ray.pipeline.orchestrator import PipelineOrchestrator

    path, overrides = split_arguments(arguments)
    if path is None and newest and not overrides:
        path = newest_folder(Path(PipelineConfig().output_dir))
    if path is not None and is_pipeline(path) and not overrides:
        return PipelineOrchestrator(path)
    return PipelineOrchestrator(load_section_file(PipelineConfig, path or Path("default"), overrides, "pipeline"))


def _show_plan(steps: list[StepPlan], screen: Screen, json: bool) -> None:
    if json:
        print_json([_facts(step) for step in steps])
        return
    table = _table("step", "state", "why")
    for step in steps:
        table.add_row(step.name, step.state, step.reason)
    screen.print(table)


def _facts(step: StepPlan) -> dict[str, Any]:
    return {"name": step.name, "state": step.state, "reason": step.reason, "inputs": step.inputs, "reads": step.reads}


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


@contextlib.contextmanager
def _watched(steps: list[StepPlan], screen: Screen, json: bool) -> Iterator[Watcher]:
    """Give what shows the steps: rows on a terminal, else lines."""
    from robonav_ray.pipeline.logs import PlainWatcher
    from robonav_ray.screen import Screen
    from robonav_ray.verbs.pipelines.live import LiveWatcher

    file = sys.stderr if json else sys.stdout
    if not screen.is_terminal:
        yield PlainWatcher(Screen(file=file, soft_wrap=True))
        return
    with LiveWatcher(steps, Screen(file=file)) as watcher:
        yield watcher
