"""``robonav submit``: a run, a search or a pipeline on a cluster, from any machine that has its token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.verbs.arguments import Overrides, parse_duration, split_arguments
from robonav_ray.verbs.jobs import Address

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav submit configs/run/cluster.yaml --address http://head:8265`\n\n"
    "`robonav submit configs/run/cluster.yaml seed=3 --resume auto --env WANDB_API_KEY --no-follow`\n\n"
    "`robonav submit --tune configs/tuning/asha.yaml`\n\n"
    "`robonav submit --pipeline configs/pipeline/default.yaml output_dir=/mnt/robonav/runs/pipelines`"
)
def submit(
    arguments: Overrides = None,
    address: Address = None,
    working_dir: Annotated[
        Path,
        typer.Option(
            help="Directory that the job is given; what .gitignore names and what may hold a secret stays here."
        ),
    ] = Path(),
    include: Annotated[
        list[Path] | None,
        typer.Option(help="File or folder in it that travels though it would be left out; may be repeated."),
    ] = None,
    max_mb: Annotated[int, typer.Option(min=1, max=500, help="Most megabytes that are sent.")] = 100,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: list what would travel, and what stays and why.")
    ] = False,
    env: Annotated[
        list[str] | None,
        typer.Option(help="Variable for the job: `NAME` hands on its value here, `NAME=VALUE` sets it."),
    ] = None,
    follow: Annotated[bool, typer.Option(help="Show the log to the end, and end with the run's exit code.")] = True,
    name: Annotated[str | None, typer.Option(help="Name of the job; must be new to the cluster.")] = None,
    tune: Annotated[bool, typer.Option("--tune", help="A search (`robonav tune`) instead of a run.")] = False,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="A pipeline (`robonav pipeline run`) instead; it goes on by itself.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(help="As for the run: `auto`, `latest`, or a directory on the cluster.")
    ] = None,
    time_limit: Annotated[str | None, typer.Option(help="As for the run: `90s`, `20m`, `1.5h`.")] = None,
) -> None:
    """Run on a cluster from any machine with its token: packs the directory, starts `robonav train` there, shows its
    log.
    """
    from robonav_ray.errors import UserError
    from robonav_ray.launch.submit import Submission, options_of
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.job_commands import submit_command

    path, overrides = split_arguments(arguments)
    if time_limit is not None:
        parse_duration(time_limit)
    if pipeline and (tune or resume is not None):
        raise UserError(
            "--pipeline goes with neither --tune nor --resume: it has its own search, and goes on by itself"
        )
    submission = Submission(
        verb="pipeline run" if pipeline else "tune" if tune else "train", config=path, overrides=overrides,
        options=options_of(resume=resume, time_limit=time_limit), working_dir=working_dir, env=env or (), name=name,
        include=include or (), max_mb=max_mb,
    )  # fmt: skip
    raise typer.Exit(submit_command(submission, address, follow=follow, console=make_screen(), dry_run=dry_run))
