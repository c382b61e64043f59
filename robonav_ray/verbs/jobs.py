"""``robonav jobs``: look at the jobs of a cluster, or stop them."""

from __future__ import annotations

from typing import Annotated

import typer

jobs_app = typer.Typer(no_args_is_help=True, help="Look at jobs on a cluster, or stop them (`robonav submit` starts them).")
Address = Annotated[
    str | None,
    typer.Option(help="The cluster's dashboard, `http://HEAD:8265` (default: RAY_API_SERVER_ADDRESS, else this machine's)."),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's name, as `robonav jobs list` shows it.")]


@jobs_app.command("list")
def jobs_list(address: Address = None) -> None:
    """Show the cluster's jobs."""
    from robonav_ray.launch.submit import list_command
    from robonav_ray.screen import make_screen

    raise typer.Exit(list_command(address, make_screen()))


@jobs_app.command("logs", epilog="Example: `robonav jobs logs nightly --follow`")
def jobs_logs(
    job: JobId,
    address: Address = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on to the end, and end with the run's exit code.")] = False,
) -> None:
    """Print the log of a job."""
    from robonav_ray.launch.submit import logs_command
    from robonav_ray.screen import make_screen

    raise typer.Exit(logs_command(job, address, follow=follow, console=make_screen()))


@jobs_app.command("stop", epilog="Example: `robonav jobs stop nightly`")
def jobs_stop(
    job: JobId, address: Address = None, wait: Annotated[bool, typer.Option(help="Return when it has stopped.")] = True
) -> None:
    """Stop a job with a last checkpoint; `robonav submit ... --resume auto` goes on."""
    from robonav_ray.launch.submit import stop_command
    from robonav_ray.screen import make_screen

    raise typer.Exit(stop_command(job, address, wait=wait, console=make_screen()))
