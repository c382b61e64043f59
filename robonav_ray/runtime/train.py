"""``robonav train``: open a session (fresh or resumed), run it in one of the two wirings, then evaluate, draw and say what is next."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.console import Console
from rich.logging import RichHandler

from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.errors import UserError
from robonav_ray.runtime.checkpoint import Checkpoint, CheckpointError, newest_good_checkpoint, open_checkpoint
from robonav_ray.runtime.controller import Controller, Ending
from robonav_ray.runtime.run_directory import (
    RunDirectory,
    RunDirectoryError,
    check_same_task,
    command_line,
    create_run,
    find_latest_run,
    open_run,
    resume_command,
)
from robonav_ray.runtime.signals import StopRequest, stop_on_signals
from robonav_ray.runtime.sizes import check_sizes
from robonav_ray.runtime.task import describe_task
from robonav_ray.runtime.wiring import Session
from robonav_ray.tracking.fanout import open_trackers
from robonav_ray.tracking.panel import make_panel

EXIT_FAILED, EXIT_RESUME = 1, 75


def train_command(
    config_path: Path | None, overrides: Sequence[str], *, resume: str | None, directory: Path | None, local: bool
) -> int:
    """Train to the end (or to the limit, or to a signal) and return the exit code: 0 finished, 75 resume me, 1 a final save failed."""
    began = time.monotonic() - (time.time() - psutil.Process().create_time())
    console = Console(soft_wrap=True)
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=Console(stderr=True), show_path=False)]
    )
    session = open_session(config_path, overrides, resume, directory, began, console)
    _log_to_file(session.run)
    session.run.add_session(command_line(), "local" if local else "ray")
    console.print(f"[bold]{session.run.path}[/]  {session.task.describe()}", highlight=False)
    session.run.write_status("running")
    with stop_on_signals() as stop:
        try:
            ending = _run_local(session, stop) if local else _run_on_ray(session, stop, console)
        except UserError:  # a cluster that is too small, or cannot be reached: nothing has begun
            if session.checkpoint is None:
                shutil.rmtree(session.run.path)
            raise
        except BaseException:
            session.run.write_status(
                "unfinished" if session.checkpoint or list(session.run.checkpoints.glob("env-*")) else "failed"
            )
            raise
        session.run.write_status("finished" if ending.reason.finished else "unfinished", reason=ending.reason.name)
        console.print(_ending_text(session, ending), highlight=False)
        if not ending.saved:
            console.print("[red]the final checkpoint could not be written; the one before is intact[/]")
            return EXIT_FAILED
        if not ending.reason.finished:
            console.print(f"go on with: [bold]{resume_command(session.run)}[/]", highlight=False)
            return EXIT_RESUME
        from robonav_ray.runtime.judge import finish_run

        finish_run(session, console, stop)
    return 0


def open_session(
    config_path: Path | None, overrides: Sequence[str], resume: str | None, directory: Path | None, began: float, console: Console
) -> Session:
    """Resolve config, run directory and checkpoint; nothing is created when anything is wrong."""
    if resume is not None and resume not in ("auto", "latest") and not Path(resume).exists():
        raise RunDirectoryError(f"--resume {resume}: no such directory; use auto, latest, or a run directory (`ls runs`)")
    config = load_run_config(config_path, overrides)
    found = _find_resumed(config, resume)
    if found is None:
        if resume == "auto":
            console.print("nothing to resume; starting afresh", style="dim")
        task = describe_task(config)
        check_sizes(config, task.spec)
        return Session(config, task, create_run(config, directory), None, began)
    run, checkpoint = found
    if directory is not None:
        raise RunDirectoryError(f"--out {directory}: a resumed run stays in its own directory ({run.path}); leave --out away")
    if config_path is None:
        config = load_run_config(run.path / "config.yaml", overrides)
    check_same_task(run, config)
    console.print(
        f"resuming [bold]{run.path}[/] at {checkpoint.counters.env_steps:,} env steps ({checkpoint.path.name})", highlight=False
    )
    task = describe_task(config)
    check_sizes(config, task.spec)
    return Session(config, task, run, checkpoint, began)


def _find_resumed(config: RunConfig, resume: str | None) -> tuple[RunDirectory, Checkpoint] | None:
    if resume is None:
        return None
    if resume in ("auto", "latest"):
        output_dir = Path(config.output_dir)
        run = find_latest_run(output_dir, unfinished_only=resume == "auto", name=config.name if resume == "auto" else None)
        if run is None:
            if resume == "auto":
                return None
            raise RunDirectoryError(
                f"--resume latest: there is no run with checkpoints under {output_dir}; start one with `robonav train`"
            )
    else:
        path = Path(resume)
        if path.parent.name == "checkpoints":
            return open_run(path.parent.parent), open_checkpoint(path)
        run = open_run(path)
    checkpoint, damaged = newest_good_checkpoint(run.checkpoints)
    for message in damaged:
        logging.getLogger(__name__).warning("%s", message)
    if checkpoint is not None:
        return run, checkpoint
    if resume == "auto" and not damaged:
        return None
    raise CheckpointError(
        f"{run.checkpoints}: holds no whole checkpoint to resume from"
        + (f" ({len(damaged)} damaged: {damaged[0]})" if damaged else "; start a new run with `robonav train`")
    )


def _run_local(session: Session, stop: StopRequest) -> Ending:
    from robonav_ray.runtime.local import LocalWiring

    wiring = LocalWiring(session)
    resume_step = session.counters.env_steps if session.checkpoint else None
    trackers = open_trackers(session.config.tracking, session.run.path, resume_step)
    try:
        with make_panel(session.config.tracking.panel) as panel:
            return Controller(session, wiring, trackers, panel, stop, "local").run()
    finally:
        wiring.close()
        trackers.close()


def _run_on_ray(session: Session, stop: StopRequest, console: Console) -> Ending:
    from robonav_ray.runtime.cluster import connected

    with connected(session.config.runtime) as cluster:
        from robonav_ray.runtime.resources import make_plan
        from robonav_ray.runtime.topology import RayWiring
        from robonav_ray.tracking.remote import PrometheusTracker

        plan = make_plan(session.config, cluster)
        console.print(f"{cluster.describe()}\n{plan.describe()}", highlight=False)
        wiring = RayWiring(session, plan)
        try:
            resume_step = session.counters.env_steps if session.checkpoint else None
            extra = [PrometheusTracker(session.run.path.name)] if session.config.tracking.prometheus else []
            trackers = open_trackers(session.config.tracking, session.run.path, resume_step, extra)
            try:
                with make_panel(session.config.tracking.panel) as panel:
                    return Controller(session, wiring, trackers, panel, stop, "ray").run()
            finally:
                trackers.close()
        finally:
            wiring.close()


def _ending_text(session: Session, ending: Ending) -> str:
    facts = ending.facts
    return (
        f"stopped because {ending.reason.value}: {facts.env_steps:,} env steps, {facts.learner_steps:,} learner steps, "
        f"{ending.train_s:.0f} s of training\n{facts.progress.summary_text()}"
    )


def _log_to_file(run: RunDirectory) -> None:
    handler = logging.FileHandler(run.path / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
