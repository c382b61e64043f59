"""``robonav plot``: the curves of a run, also of one that was stopped or is still training."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.verbs.as_json import Json, print_json, screen_beside

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav plot runs/curriculum-20261122-181500`\n\n"
    "`robonav plot s3://bucket/runs/NAME --output curves.png`"
)
def plot(
    run: Annotated[str, typer.Argument(help="A run directory, or the URI of a stored run (`s3://bucket/runs/NAME`).")],
    output: Annotated[
        Path | None,
        typer.Option(help="Picture to write (default: curves.png in the run; for a URI NAME-curves.png here)."),
    ] = None,
    json: Json = False,
) -> None:
    """Draw the curves of a run, stopped or training, from what it has logged."""
    from robonav_ray.config.load import ConfigError
    from robonav_ray.evaluation.picture import CURVES_FILE, draw_curves
    from robonav_ray.files.locations import is_uri
    from robonav_ray.files.plain_files import check_replaceable
    from robonav_ray.runs.located import refuse_unwritable, refuse_uri, whole_uri
    from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.text import path_word
    from robonav_ray.tracking.jsonl import env_steps_of
    from robonav_ray.tracking.tracked_run import keep_tracked

    refuse_uri(output, "--output", "the curves of a run in a storage are drawn into the folder that you are in")
    where = whole_uri(run)
    with _curves_of(where) as folder:
        target = output or (Path(f"{folder.name}-{CURVES_FILE}") if is_uri(where) else folder / CURVES_FILE)
        refuse_unwritable(target.parent, "--output")
        check_replaceable(target)
        if target.suffix.lower() not in (".png", ".pdf", ".svg"):
            raise ConfigError(f"--output {target}: name a picture: .png, .pdf or .svg")
        try:
            draw_curves(folder, target)
        except ValueError as error:
            raise RunDirectoryError(
                str(error).replace(str(folder), path_word(folder) if not is_uri(where) else where)
            ) from None
        if not is_uri(where):
            run_directory = RunDirectory(folder)
            env_steps = env_steps_of(run_directory.read_json("summary.json"))
            with stop_on_signals(needs_reader=False) as stop:
                keep_tracked(run_directory, env_steps, [target], asked=lambda: bool(stop))
    screen_beside(json).print(f"written: {path_word(target)}")
    if json:
        print_json({"written": [target]})


@contextlib.contextmanager
def _curves_of(where: str) -> Iterator[Path]:
    """Give a folder, named after the run, that holds what its curves are drawn from."""
    from robonav_ray.files.locations import check_location, is_uri, name_of
    from robonav_ray.registry.by_name import version_named
    from robonav_ray.registry.names import location_word
    from robonav_ray.runs.run_directory import RunDirectoryError, open_run
    from robonav_ray.runs.stored_runs import bring_curves

    if (version := version_named(where)) is not None:
        raise RunDirectoryError(
            f"{version.ref}: a version of a model has no curves; name the run that it came from "
            f"({location_word(version.provenance['run_path'])})"
        )
    if not is_uri(where):
        yield open_run(Path(where)).path
        return
    try:
        location = check_location(where)
    except ValueError as error:
        raise RunDirectoryError(str(error)) from None
    with tempfile.TemporaryDirectory(prefix="robonav-run-") as aside:
        folder = Path(aside) / name_of(location)
        bring_curves(location, folder)
        yield folder
