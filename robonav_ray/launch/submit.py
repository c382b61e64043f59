"""``robonav submit`` and ``robonav jobs``: a run driven on the cluster, from any machine that has the token and reaches
the dashboard.

::

    working directory --packed, .gitignore obeyed--> dashboard --> job on the head: robonav train ... --> exit code
    terminal <------------------------------------ log, line by line

Consumes: what ``robonav train`` would. Produces: a Ray job, its log and its exit code. Waits for: the job, unless told
not to; Ctrl-C only stops the watching.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robonav_ray.config.load import load_run_config, load_tuning_config
from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.config.shipped import find_shipped
from robonav_ray.errors import UserError
from robonav_ray.launch.packing import DEFAULT_LIMIT_MB, collect_package
from robonav_ray.nodes.job import STOP_WAIT, STOP_WAIT_S
from robonav_ray.runtime.signals import EXIT_FAILED, EXIT_RESUME
from robonav_ray.screen import Screen
from robonav_ray.text import command_text

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
EXIT_DETACHED = 130
RECONNECT_S = 60.0
"""How long the log may be out of reach before the watching ends; the job goes on."""
STOPPED_TIMEOUT_S = 60.0
"""Longest wait for a job that was told to stop."""
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class SubmitError(UserError):
    """A job that cannot be submitted, or is not there; the message says what to do."""


@dataclass(frozen=True)
class Submission:
    """What a job shall run, and with what."""

    verb: str
    """``train`` or ``tune``."""
    config: Path | None
    overrides: Sequence[str]
    options: Sequence[str] = ()
    """Further options of the verb, for instance ``--resume auto``."""
    working_dir: Path = Path()
    env: Sequence[str] = ()
    """``NAME`` (its value here is handed on) or ``NAME=VALUE``."""
    name: str | None = None
    include: Sequence[Path] = ()
    """Paths in the working directory that travel though they may hold secrets, are ignored, or are links that lead out
    of it."""
    max_mb: int = DEFAULT_LIMIT_MB

    @property
    def config_travels(self) -> str | None:
        """The config as the job finds it in its working directory; None without one, and for a shipped one, which the
        job has already.

        Raises:
            SubmitError: When it lies elsewhere.
        """
        if self.config is None or find_shipped(self.config, "search" if self.verb == "tune" else "run") is not None:
            return None
        root, config = self.working_dir.resolve(), self.config.resolve()
        if not config.is_relative_to(root):
            raise SubmitError(
                f"{self.config}: lies outside of --working-dir {self.working_dir}, so the cluster would not have it: "
                "move it there, or name a working directory that holds it"
            )
        return config.relative_to(root).as_posix()

    def entrypoint(self) -> str:
        """Return the shell command of the job, every word quoted.

        Raises:
            ConfigError, SubmitError: When the config is wrong, or is not part of what the job is given.
        """
        words = ["robonav", self.verb]
        if self.config is not None:
            words.append(self.config.as_posix() if self.config_travels is None else self.config_travels)
        (load_tuning_config if self.verb == "tune" else load_run_config)(self.config, self.overrides)
        return shlex.join([*words, *self.overrides, *self.options])

    def env_vars(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of the job; a bare name takes its value from ``environment``."""
        found: dict[str, str] = {STOP_WAIT: str(STOP_WAIT_S)}
        for given in self.env:
            name, equals, value = given.partition("=")
            if not _ENV_NAME.fullmatch(name):
                raise SubmitError(
                    f"--env {name!r}: write the name of a variable (its value here is handed on), or NAME=VALUE"
                )
            if not equals and name not in environment:
                raise SubmitError(f"--env {name}: is not set here; set it, or write --env {name}=VALUE")
            if name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "PYTHONPATH"):
                raise SubmitError(f"--env {name}: is the cluster's own; leave it out")
            found[name] = value if equals else environment[name]
        return found


def submit_command(
    submission: Submission, address: str | None, *, follow: bool, console: Screen, dry_run: bool = False
) -> int:
    """Submit the job and return its exit code: that of the run (0, 1, 2, 75), or 0 when it is not waited for.

    With ``dry_run`` the command and what travels are printed, and nothing is sent: no cluster is asked.
    """
    if submission.name is not None:
        _check_id(submission.name)
    entrypoint = submission.entrypoint()
    env_vars = submission.env_vars(os.environ)
    package = collect_package(submission.working_dir, submission.include, submission.max_mb)
    name = submission.config_travels
    if name is not None and name not in package.files:
        raise SubmitError(
            f"{submission.config}: would stay here ({package.left_out.get(name, 'its folder is left out')}); --include "
            "it"
        )
    if dry_run:
        console.print(f"{entrypoint}\n{package.table_text()}\n{package.summary_text()}\nnothing was sent")
        return 0
    url, client = _connect(address)
    if submission.name is not None and any(job.submission_id == submission.name for job in client.list_jobs()):
        raise SubmitError(
            f"--name {submission.name}: a job of that name has run on this cluster; choose another, or leave it out"
        )
    console.print(package.summary_text())
    try:
        with tempfile.TemporaryDirectory(prefix="robonav-submit-") as aside:
            archive = Path(aside) / "working_dir.zip"
            package.write(archive)
            job = client.submit_job(
                entrypoint=entrypoint,
                submission_id=submission.name,
                runtime_env={"working_dir": str(archive), "env_vars": env_vars},
            )
    except (RuntimeError, ValueError) as error:
        raise SubmitError(f"--address {url}: the cluster did not take the job: {_shortened(str(error))}") from None
    console.print(f"job {job}: {entrypoint}")
    if not follow:
        console.print(_how_to(url, job))
        return 0
    return _watch(client, url, job, console)


def logs_command(job: str, address: str | None, *, follow: bool, console: Screen) -> int:
    """Print the log of a job; with ``follow`` to its end, and return the run's exit code."""
    url, client = _connect(address)
    info = _details(client, url, job)
    if follow:
        return _watch(client, url, job, console)
    console.write(client.get_job_logs(job))
    return 0 if info.driver_exit_code is None else _exit_code(info)


def stop_command(job: str, address: str | None, *, wait: bool, console: Screen) -> int:
    """Ask a job to stop, which commits a checkpoint, and return when it has."""
    url, client = _connect(address)
    if _details(client, url, job).status.is_terminal():
        raise SubmitError(f"{job}: has ended already ({client.get_job_status(job).lower()})")
    client.stop_job(job)
    until = time.monotonic() + (STOPPED_TIMEOUT_S if wait else 0.0)
    while time.monotonic() < until:
        if _details(client, url, job).status.is_terminal():
            console.print(f"job {job} has stopped; the end of its log:")
            console.write("\n".join(client.get_job_logs(job).splitlines()[-4:]) + "\n")
            return 0
        time.sleep(0.5)
    console.print(f"job {job} was asked to stop\n{_how_to(url, job)}")
    return EXIT_FAILED if wait else 0


@dataclass(frozen=True)
class JobFacts:
    """A job of a cluster at a glance."""

    job: str
    status: str
    exit_code: int | None
    started: str | None
    """Local time, ``2026-11-22 18:15:00``; None before it has started."""
    command: str


def list_jobs(address: str | None) -> tuple[str, list[JobFacts]]:
    """Return the URL of the cluster's dashboard, and its jobs, the newest last."""
    url, client = _connect(address)
    jobs = [job for job in client.list_jobs() if job.submission_id is not None]
    return url, [
        JobFacts(
            job=job.submission_id or "",
            status=job.status.lower(),
            exit_code=job.driver_exit_code,
            started=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.start_time / 1000))
            if job.start_time
            else None,
            command=job.entrypoint,
        )
        for job in sorted(jobs, key=lambda job: job.start_time or 0)
    ]


def _connect(address: str | None) -> tuple[str, JobSubmissionClient]:
    """Return the dashboard's URL and a client; SubmitError or ClusterError within seconds when it does not let us
    in.
    """
    from robonav_ray.nodes.cluster import prepare_environment
    from robonav_ray.nodes.probe import check_dashboard

    prepare_environment(RuntimeConfig())
    url, where = (address, "--address") if address else _default_address()
    check_dashboard(url, where)
    from ray.job_submission import JobSubmissionClient

    for name in ("ray.dashboard", "ray._private.runtime_env"):  # what is packed and closed is no news to a person
        logging.getLogger(name).setLevel(logging.WARNING)
    with _without("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):  # they would win over the address that was given
        return url, JobSubmissionClient(url)


def _default_address() -> tuple[str, str]:
    given = os.environ.get("RAY_API_SERVER_ADDRESS")
    return (given, "RAY_API_SERVER_ADDRESS") if given else (DEFAULT_ADDRESS, "--address (its default)")


@contextlib.contextmanager
def _without(*names: str) -> Iterator[None]:
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def _details(client: JobSubmissionClient, url: str, job: str) -> JobDetails:
    _check_id(job)
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        if "404" not in str(error):
            raise SubmitError(
                f"{job}: the cluster at {url} does not answer about it: {_shortened(str(error))}"
            ) from None
        raise SubmitError(
            f"{job}: there is no such job on {url}; `{command_text('robonav', 'jobs', 'list', '--address', url)}` "
            "shows those there are"
        ) from None


def _check_id(job: str) -> None:
    if not _JOB_ID.fullmatch(job):
        raise SubmitError(f"{job!r} is no name of a job: up to 100 letters, digits, '-', '_' and '.'")


def _watch(client: JobSubmissionClient, url: str, job: str, console: Screen) -> int:
    """Print the log until the job ends and return the exit code of its run; Ctrl-C leaves the job alone."""
    try:
        info = asyncio.run(_follow(client, job, console))
    except KeyboardInterrupt:
        console.print(f"\nno longer watching; the job goes on\n{_how_to(url, job)}")
        return EXIT_DETACHED
    if info is None:
        console.print(f"the log has been out of reach for {RECONNECT_S:.0f} s\n{_how_to(url, job)}")
        return EXIT_FAILED
    code = _exit_code(info)
    if info.driver_exit_code == 127:
        console.print(
            "the nodes have no `robonav` on their PATH: install robonav_ray there, or start Ray from its environment"
        )
    elif info.driver_exit_code is None and code == EXIT_RESUME:
        console.print("the job was stopped; submit it again with `--resume auto`")
    elif info.driver_exit_code is None:
        console.print(f"the job {info.status.lower()}: {_shortened(info.message or '')}")
    return code


async def _follow(client: JobSubmissionClient, job: str, console: Screen) -> JobDetails | None:
    """Print what the log holds and what comes, once, also over a lost connection; None when it stays lost."""
    import aiohttp

    shown, reached = 0, time.monotonic()
    while time.monotonic() - reached < RECONNECT_S:
        seen = 0
        try:
            async for text in client.tail_job_logs(job):
                fresh = text[max(0, shown - seen) :]
                seen += len(text)
                if fresh:
                    console.write(fresh)
                shown, reached = max(shown, seen), time.monotonic()
            info = await asyncio.to_thread(client.get_job_info, job)
            if info.status.is_terminal():
                return info
            reached = time.monotonic()
        except (RuntimeError, OSError, aiohttp.ClientError):  # the head is being replaced, or the network is
            pass
        await asyncio.sleep(1.0)
    return None


def _exit_code(info: JobDetails) -> int:
    """Return the exit code of the run; 75 for a job that was stopped, because it can be resumed."""
    code = info.driver_exit_code
    if code is not None:
        return code if code >= 0 else 128 - code
    return {"SUCCEEDED": 0, "STOPPED": EXIT_RESUME}.get(str(info.status), EXIT_FAILED)


def _how_to(url: str, job: str) -> str:
    logs, stop = command_text("robonav", "jobs", "logs", job, "--follow"), command_text("robonav", "jobs", "stop", job)
    return f"  {logs} --address {command_text(url)}\n  {stop} --address {command_text(url)}"


def _shortened(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return " / ".join(lines[:1] + lines[-1:] if len(lines) > 1 else lines)[:600]


def options_of(**given: Any) -> list[str]:
    """Return ``--name value`` for every argument that is not None."""
    return [
        word
        for name, value in given.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
