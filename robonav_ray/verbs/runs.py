"""``robonav runs``: look at the runs that are there, and free what finished ones need no more."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robonav_ray.verbs.as_json import Json, print_json, screen_beside

if TYPE_CHECKING:
    from robonav_ray.runs.freeing import Freeable
    from robonav_ray.runs.listing import RunFacts
    from robonav_ray.screen import Screen

RUNS = Path("runs")
runs_app = typer.Typer(
    no_args_is_help=True,
    help="Look at runs, or free what finished ones need no more.",
    epilog="Examples:\n\n`robonav runs list`\n\n`robonav runs show runs/curriculum-20261122-181500`\n\n"
    "`robonav runs gc --yes`",
)
Folder = Annotated[Path, typer.Argument(help="Folder below which runs are looked for.")]


@runs_app.command("list", epilog="Examples:\n\n`robonav runs list`\n\n`robonav runs list /shared/runs --json`")
def runs_list(folder: Folder = RUNS, json: Json = False) -> None:
    """Show all runs below a folder, trials of searches too, the newest last: status, seed, env steps, success of the
    last stage, start.
    """
    from robonav_ray.runs.listing import list_runs
    from robonav_ray.screen import show_warnings

    show_warnings()
    found = [] if folder == RUNS and not folder.exists() else list_runs(folder)
    if json:
        print_json([facts.to_dict() for facts in found])
    elif found:
        _print_runs(found, folder, screen_beside(False, soft_wrap=False))
    else:
        screen_beside(False).print(f"no runs in {folder}; `robonav train` begins one")


@runs_app.command("show", epilog="Example: `robonav runs show runs/curriculum-20261122-181500`")
def runs_show(
    run: Annotated[Path, typer.Argument(help="The directory of a run.")],
    json: Json = False,
) -> None:
    """Show one run: how far it is, its result, who began it with what, and which checkpoints it has."""
    from robonav_ray.runs.listing import describe_run
    from robonav_ray.runs.located import refuse_uri
    from robonav_ray.runs.run_directory import open_run
    from robonav_ray.text import visible

    refuse_uri(run, "RUN", "`robonav evaluate URI` and `robonav plot URI` take one")
    facts = describe_run(open_run(run))
    if json:
        print_json(facts)
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), visible(_shown(name, value)))
    screen_beside(False, soft_wrap=False).print(table)


@runs_app.command(
    "gc",
    epilog="Examples:\n\n`robonav runs gc`\n\n`robonav runs gc runs/curriculum-20261122-181500 --yes`\n\n"
    "`robonav runs gc runs/given-up --force`",
)
def runs_gc(
    where: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN or FOLDER ...]", help="Runs, or folders of runs (default: `runs`)."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also a run named here that has not finished, or is a trial: never to be resumed then."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Free what finished runs need no more: replay rows, older checkpoints, the optimiser's state; also in their
    storage.

    A checkpoint of the policy stays, which evaluate, play and train --init-from take. A run that has not finished, that
    a process is training, or that is a trial of a search is left alone.
    """
    from robonav_ray.runs.freeing import free
    from robonav_ray.screen import show_warnings
    from robonav_ray.text import bytes_text

    show_warnings()
    found, left = _freeable(where or [RUNS], force)
    screen = screen_beside(json, soft_wrap=False)
    total = sum(each.num_bytes for each in found)
    for each in found:
        screen.print(f"{bytes_text(each.num_bytes):>9}  {each.run.shown}", soft_wrap=True)
    if left:
        screen.print(
            f"{left} left alone: not finished, in training, trials of a search, or not to be read", style="dim"
        )
    if not found:
        screen.print("nothing to free")
    elif not yes:
        yes = _asked(
            f"free {bytes_text(total)} of {len(found)} {'runs' if len(found) > 1 else 'run'}, and keep each one's "
            "policy?"
        )
    freed = [free(each, force=force) for each in found] if yes else []
    if json:
        runs = [{"run": str(each.run.path), "bytes": num} for each, num in zip(found, freed, strict=False)]
        print_json({"freed_bytes": sum(freed), "runs": runs, "left_alone": left})
    elif found:
        screen.print(f"freed: {bytes_text(sum(freed))}" if yes else "nothing is freed")


def _freeable(where: Sequence[Path], force: bool) -> tuple[list[Freeable], int]:
    """Return what could be freed of the runs that are named, and of those below the folders that are; and how many of
    these are left alone.

    A run that is named and may not be freed is refused before anything is.
    """
    from robonav_ray.errors import UserError
    from robonav_ray.files.plain_files import is_plain
    from robonav_ray.runs.freeing import freeable
    from robonav_ray.runs.listing import run_folders
    from robonav_ray.runs.run_directory import RunDirectoryError, open_run

    found: dict[Path, Freeable] = {}
    left = 0
    for path in where:
        if is_plain(path / "config.yaml") or path.is_symlink():
            each = freeable(open_run(path), force=force)
            found |= {} if each is None else {each.run.path: each}
            continue
        if not path.is_dir():
            raise RunDirectoryError(
                f"{path}: is neither a run nor a folder of runs (`robonav runs list` shows those that there are)"
            )
        for folder in run_folders(path):
            try:
                each = freeable(open_run(folder))
                found |= {} if each is None else {each.run.path: each}
            except UserError:  # a user who names no run means those that there is no doubt about
                left += 1
    return list(found.values()), left


def _asked(question: str) -> bool:
    """Ask on standard error and return the answer that standard input gives; UserError where there is none."""
    from robonav_ray.errors import UserError
    from robonav_ray.screen import write_to

    write_to(sys.stderr, f"{question} [y/N] ")
    answer = sys.stdin.readline()
    if not answer:
        raise UserError("nothing is freed, because there was no answer; --yes frees without asking")
    return answer.strip().lower() in ("y", "yes")


def _print_runs(found: Sequence[RunFacts], folder: Path, screen: Screen) -> None:
    from rich.table import Table

    from robonav_ray.tracking.panel import format_count

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("name", overflow="fold")
    for name in ("status", "seed", "steps", "success", "started"):
        table.add_column(name, justify="left" if name in ("status", "started") else "right", overflow="fold")
    for facts in found:
        table.add_row(
            str(facts.path.relative_to(folder.absolute())) if facts.path != folder.absolute() else facts.name,
            facts.status,
            "-" if facts.seed is None else str(facts.seed),
            "-" if facts.steps is None else format_count(facts.steps),
            "-" if facts.success is None else f"{facts.success:.1%}",
            "-" if facts.started is None else f"{facts.started:%Y-%m-%d %H:%M}",
        )
    screen.print(table)


def _shown(name: str, value: Any) -> str:
    from robonav_ray.text import bytes_text

    if value is None:
        return "-"
    if name.endswith("bytes"):
        return bytes_text(value)
    if isinstance(value, dict):
        return "\n".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list):
        return "\n".join(map(str, value)) or "-"
    return f"{value:,}" if isinstance(value, int) and name.endswith("steps") else str(value)
