"""``robonav jobs``: look at the jobs of a cluster, or stop them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from robonav_ray.verbs.as_json import Json, print_json, screen_beside

jobs_app = typer.Typer(
    no_args_is_help=True, help="Look at jobs on a cluster, or stop them (`robonav submit` starts them)."
)
Address = Annotated[
    str | None,
    typer.Option(
        help="The cluster's dashboard, `http://HEAD:8265` (default: RAY_API_SERVER_ADDRESS, else this machine's)."
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's name, as `robonav jobs list` shows it.")]


@jobs_app.command("list", epilog="Example: `robonav jobs list --json`")
def jobs_list(address: Address = None, json: Json = False) -> None:
    """Show the cluster's jobs, the newest last."""
    from robonav_ray.launch.submit import list_jobs

    url, jobs = list_jobs(address)
    if json:
        print_json([asdict(job) for job in jobs])
        return
    from rich.table import Table

    table = Table(title=f"jobs of {url}", title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("job", "status", "exit code", "started", "command"):
        table.add_column(name, overflow="fold")
    for job in jobs:
        table.add_row(*("-" if value is None else str(value) for value in asdict(job).values()))
    screen_beside(False, soft_wrap=False).print(table)


@jobs_app.command("logs", epilog="Example: `robonav jobs logs nightly --follow`")
def jobs_logs(
    job: JobId,
    address: Address = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on to the end, and end with the run's exit code.")
    ] = False,
) -> None:
    """Print the log of a job."""
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.job_commands import logs_command

    raise typer.Exit(logs_command(job, address, follow=follow, console=make_screen()))


@jobs_app.command("stop", epilog="Example: `robonav jobs stop nightly`")
def jobs_stop(
    job: JobId, address: Address = None, wait: Annotated[bool, typer.Option(help="Return when it has stopped.")] = True
) -> None:
    """Stop a job with a last checkpoint; `robonav submit ... --resume auto` goes on."""
    from robonav_ray.screen import make_screen
    from robonav_ray.verbs.job_commands import stop_command

    raise typer.Exit(stop_command(job, address, wait=wait, console=make_screen()))
