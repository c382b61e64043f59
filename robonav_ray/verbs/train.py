"""``robonav train``: a run from its beginning, or from a checkpoint, to its end, evaluated and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.verbs.arguments import Overrides, parse_duration, split_arguments

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav train`\n\n`robonav train quick seed=3`\n\n`robonav train env.id=CartPole-v1 --local`\n\n"
    "`robonav train --resume latest --time-limit 20m`\n\n`robonav train fast --init-from runs/curriculum-20261122-181500`"
)
def train(
    arguments: Overrides = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="`auto` (the newest unfinished run, else a fresh one), `latest` (the newest run), or a run or checkpoint directory."
        ),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Be over, with a checkpoint, after this long: `90s`, `20m`, `1.5h`.")
    ] = None,
    grace: Annotated[
        str | None, typer.Option(help="Be over this long after a signal, whatever hangs (default: budget.grace_s): `30s`.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for `seed=N`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of this run; must not exist yet.")] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Begin a new run with the weights of another: its directory, one of its checkpoints, or a URI."
        ),
    ] = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="One process, without Ray: the same bits every time, unless the learning rate follows the clock."
        ),
    ] = False,
) -> None:
    """Train the curriculum, evaluate the result and draw it."""
    path, overrides = split_arguments(arguments)
    if seed is not None:
        overrides.append(f"seed={seed}")
    if time_limit is not None:
        overrides.append(f"budget.max_time_s={parse_duration(time_limit)}")
    if grace is not None:
        overrides.append(f"budget.grace_s={parse_duration(grace, '--grace')}")
    from robonav_ray.runtime.train import train_command

    raise typer.Exit(train_command(path, overrides, resume=resume, directory=out, local=local, init_from=init_from))
