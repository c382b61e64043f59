"""Jobs: a run driven on the cluster, from any machine that has the token and reaches the dashboard.

::

    working directory --packed, .gitignore obeyed--> dashboard --> job on the head: robonav train ... --> exit code
    a caller <------------------------------------ log, line by line

Consumes: what ``robonav train`` would. Produces: a Ray job, its log and how it ended. Waits for: the job, where it is
followed. ``verbs/job_commands.py`` prints, and decides on the exit code.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robonav_ray.config.load import load_run_config, load_section_file, load_tuning_config
from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.config.shipped import ConfigKind, find_shipped
from robonav_ray.errors import UserError
from robonav_ray.launch.packing import DEFAULT_LIMIT_MB, Package, collect_package
from robonav_ray.nodes.job import STOP_WAIT, STOP_WAIT_S
from robonav_ray.text import command_text

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
RECONNECT_S = 60.0
"""How long the log may be out of reach before the watching ends; the job goes on."""
_KINDS: dict[str, ConfigKind] = {"train": "run", "tune": "search", "pipeline run": "pipeline"}
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class SubmitError(UserError):
    """A job that cannot be submitted, or is not there; the message says what to do."""


@dataclass(frozen=True)
class Submission:
    """What a job shall run, and with what."""

    verb: str
    """``train``, ``tune`` or ``pipeline run``."""
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
        if self.config is None or find_shipped(self.config, _KINDS[self.verb]) is not None:
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
        words = ["robonav", *self.verb.split()]
        if self.config is not None:
            words.append(self.config.as_posix() if self.config_travels is None else self.config_travels)
        if self.verb == "pipeline run":
            _check_pipeline(self.config, self.overrides)
        else:
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


@dataclass(frozen=True)
class Prepared:
    """A job that can be sent."""

    name: str | None
    entrypoint: str
    env_vars: dict[str, str]
    package: Package


def prepare(submission: Submission) -> Prepared:
    """Return the job with what travels; no cluster is asked.

    Raises:
        SubmitError, PackageError, ConfigError: For a job that cannot run as it is asked for.
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
    return Prepared(submission.name, entrypoint, env_vars, package)


@dataclass(frozen=True)
class JobFacts:
    """A job of a cluster at a glance."""

    job: str
    status: str
    exit_code: int | None
    started: str | None
    """Local time, ``2026-11-22 18:15:00``; None before it has started."""
    command: str


@dataclass(frozen=True)
class JobEnd:
    """How a job has ended."""

    status: str
    """``succeeded``, ``stopped`` or ``failed``."""
    exit_code: int | None
    """Of its command; negative after a signal, None where there is none."""
    message: str
    """Ray's own words, shortened."""


class JobCluster:
    """The jobs of one cluster, through its dashboard."""

    def __init__(self, address: str | None) -> None:
        """Reach the dashboard; SubmitError or ClusterError within seconds when it does not let us in."""
        self.url, self._client = _connect(address)

    def refuse_taken(self, name: str | None) -> None:
        """SubmitError when a job of that name has run on the cluster."""
        if name is not None and any(job.submission_id == name for job in self._client.list_jobs()):
            raise SubmitError(
                f"--name {name}: a job of that name has run on this cluster; choose another, or leave it out"
            )

    def send(self, prepared: Prepared) -> str:
        """Start the job and return its name; SubmitError when the cluster does not take it."""
        try:
            with tempfile.TemporaryDirectory(prefix="robonav-submit-") as aside:
                archive = Path(aside) / "working_dir.zip"
                prepared.package.write(archive)
                return self._client.submit_job(
                    entrypoint=prepared.entrypoint,
                    submission_id=prepared.name,
                    runtime_env={"working_dir": str(archive), "env_vars": prepared.env_vars},
                )
        except (RuntimeError, ValueError) as error:
            raise SubmitError(
                f"--address {self.url}: the cluster did not take the job: {_shortened(str(error))}"
            ) from None

    def ended(self, job: str) -> JobEnd | None:
        """Return how ``job`` has ended, None while it runs; SubmitError when there is none of that name."""
        info = self._details(job)
        return _end_of(info) if info.status.is_terminal() else None

    def log(self, job: str) -> str:
        """Return what ``job`` has printed."""
        return self._client.get_job_logs(job)

    def stop(self, job: str, wait_s: float) -> bool:
        """Ask ``job`` to stop, which commits a checkpoint; return whether it has within ``wait_s``.

        Raises:
            SubmitError: When there is none of that name, or it has ended already.
        """
        if (end := self.ended(job)) is not None:
            raise SubmitError(f"{job}: has ended already ({end.status})")
        self._client.stop_job(job)
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if self.ended(job) is not None:
                return True
            time.sleep(0.5)
        return False

    def follow(self, job: str, write: Callable[[str], None]) -> JobEnd | None:
        """Write what the log of ``job`` holds and what comes, once, also over a lost connection, until it ends; None
        when the log stays out of reach for ``RECONNECT_S``.
        """
        info = asyncio.run(_follow(self._client, job, write))
        return None if info is None else _end_of(info)

    def _details(self, job: str) -> JobDetails:
        _check_id(job)
        try:
            return self._client.get_job_info(job)
        except RuntimeError as error:
            if "404" not in str(error):
                raise SubmitError(
                    f"{job}: the cluster at {self.url} does not answer about it: {_shortened(str(error))}"
                ) from None
            shown = command_text("robonav", "jobs", "list", "--address", self.url)
            raise SubmitError(f"{job}: there is no such job on {self.url}; `{shown}` shows those there are") from None


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
    from robonav_ray.nodes.connection import prepare_environment
    from robonav_ray.nodes.probe import check_dashboard

    prepare_environment(RuntimeConfig())
    url, where = (address, "--address") if address else _default_address()
    check_dashboard(url, where)
    from ray.job_submission import JobSubmissionClient

    for name in ("ray.dashboard", "ray._private.runtime_env"):  # what is packed and closed is no news to a person
        logging.getLogger(name).setLevel(logging.WARNING)
    with _without("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):  # they would win over the address that was given
        return url, JobSubmissionClient(url)


def _check_pipeline(path: Path | None, overrides: Sequence[str]) -> None:
    """Raise SubmitError or ConfigError for a pipeline that no job can run, or whose folder would go with the job."""
    config = load_section_file(PipelineConfig, path or Path("default"), overrides, "pipeline")
    if not Path(config.output_dir).is_absolute():
        raise SubmitError(
            f"output_dir ({config.output_dir}): a job's own folder goes with the job; name an absolute one that all "
            "nodes share, for instance output_dir=/mnt/robonav/runs/pipelines"
        )


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


def _check_id(job: str) -> None:
    if not _JOB_ID.fullmatch(job):
        raise SubmitError(f"{job!r} is no name of a job: up to 100 letters, digits, '-', '_' and '.'")


async def _follow(client: JobSubmissionClient, job: str, write: Callable[[str], None]) -> JobDetails | None:
    import aiohttp

    shown, reached = 0, time.monotonic()
    while time.monotonic() - reached < RECONNECT_S:
        seen = 0
        try:
            async for text in client.tail_job_logs(job):
                fresh = text[max(0, shown - seen) :]
                seen += len(text)
                if fresh:
                    write(fresh)
                shown, reached = max(shown, seen), time.monotonic()
            info = await asyncio.to_thread(client.get_job_info, job)
            if info.status.is_terminal():
                return info
            reached = time.monotonic()
        except (RuntimeError, OSError, aiohttp.ClientError):  # the head is being replaced, or the network is
            pass
        await asyncio.sleep(1.0)
    return None


def _end_of(info: JobDetails) -> JobEnd:
    return JobEnd(str(info.status).lower(), info.driver_exit_code, _shortened(info.message or ""))


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
