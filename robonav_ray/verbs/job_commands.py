"""What ``robonav submit`` and ``robonav jobs`` do: a function for each verb, which prints and returns an exit code."""

from __future__ import annotations

from robonav_ray.errors import EXIT_DETACHED, EXIT_FAILED, EXIT_RESUME
from robonav_ray.launch.submit import RECONNECT_S, JobCluster, JobEnd, Submission, prepare
from robonav_ray.screen import Screen
from robonav_ray.text import command_text

STOPPED_TIMEOUT_S = 60.0
"""Longest wait for a job that was told to stop."""
_NO_PROGRAM = 127


def submit_command(
    submission: Submission, address: str | None, *, follow: bool, console: Screen, dry_run: bool = False
) -> int:
    """Submit the job and return its exit code: that of the run (0, 1, 2, 75), or 0 when it is not waited for.

    With ``dry_run`` the command and what travels are printed, and nothing is sent: no cluster is asked.
    """
    prepared = prepare(submission)
    if dry_run:
        package = prepared.package
        console.print(f"{prepared.entrypoint}\n{package.table_text()}\n{package.summary_text()}\nnothing was sent")
        return 0
    cluster = JobCluster(address)
    cluster.refuse_taken(prepared.name)
    console.print(prepared.package.summary_text())
    job = cluster.send(prepared)
    console.print(f"job {job}: {prepared.entrypoint}")
    if not follow:
        console.print(_how_to(cluster.url, job))
        return 0
    return _watch(cluster, job, console)


def logs_command(job: str, address: str | None, *, follow: bool, console: Screen) -> int:
    """Print the log of a job; with ``follow`` to its end, and return the run's exit code."""
    cluster = JobCluster(address)
    end = cluster.ended(job)
    if follow:
        return _watch(cluster, job, console)
    console.write(cluster.log(job))
    return 0 if end is None or end.exit_code is None else exit_code_of(end)


def stop_command(job: str, address: str | None, *, wait: bool, console: Screen) -> int:
    """Ask a job to stop, which commits a checkpoint, and return when it has."""
    cluster = JobCluster(address)
    if cluster.stop(job, STOPPED_TIMEOUT_S if wait else 0.0):
        console.print(f"job {job} has stopped; the end of its log:")
        console.write("\n".join(cluster.log(job).splitlines()[-4:]) + "\n")
        return 0
    console.print(f"job {job} was asked to stop\n{_how_to(cluster.url, job)}")
    return EXIT_FAILED if wait else 0


def exit_code_of(end: JobEnd) -> int:
    """Return the exit code of the run; 75 for a job that was stopped, because it can be resumed."""
    if end.exit_code is not None:
        return end.exit_code if end.exit_code >= 0 else 128 - end.exit_code
    return {"succeeded": 0, "stopped": EXIT_RESUME}.get(end.status, EXIT_FAILED)


def _watch(cluster: JobCluster, job: str, console: Screen) -> int:
    """Print the log until the job ends and return the exit code of its run; Ctrl-C leaves the job alone."""
    try:
        end = cluster.follow(job, console.write)
    except KeyboardInterrupt:
        console.print(f"\nno longer watching; the job goes on\n{_how_to(cluster.url, job)}")
        return EXIT_DETACHED
    if end is None:
        console.print(f"the log has been out of reach for {RECONNECT_S:.0f} s\n{_how_to(cluster.url, job)}")
        return EXIT_FAILED
    code = exit_code_of(end)
    if end.exit_code == _NO_PROGRAM:
        console.print(
            "the nodes have no `robonav` on their PATH: install robonav_ray there, or start Ray from its environment"
        )
    elif end.exit_code is None and code == EXIT_RESUME:
        console.print("the job was stopped; submit it again with `--resume auto`")
    elif end.exit_code is None:
        console.print(f"the job {end.status}: {end.message}")
    return code


def _how_to(url: str, job: str) -> str:
    logs, stop = command_text("robonav", "jobs", "logs", job, "--follow"), command_text("robonav", "jobs", "stop", job)
    return f"  {logs} --address {command_text(url)}\n  {stop} --address {command_text(url)}"
