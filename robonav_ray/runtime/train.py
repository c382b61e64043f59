"""``robonav train``: open a session (fresh or resumed), run it in one of the two wirings, then evaluate, draw and say what is next."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil
from rich.text import Text

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.errors import PartLostError, RunFaultError, RunInterruptedError, UserError
from robonav_ray.files.locations import as_folder, check_location, is_uri
from robonav_ray.import_ahead import import_ahead
from robonav_ray.interfaces import Tracker
from robonav_ray.nodes.job import place_output
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointError, newest_good_checkpoint, open_checkpoint
from robonav_ray.runs.faults import last_words
from robonav_ray.runs.freeing import refuse_policy_alone
from robonav_ray.runs.located import refuse_uri
from robonav_ray.runs.run_directory import (
    RunDirectory,
    RunDirectoryError,
    check_same_task,
    create_run,
    refuse_existing,
    resume_command,
)
from robonav_ray.runs.session_facts import command_line
from robonav_ray.runs.stored_runs import StoredRunError, bring_run, check_writable, holds_run, stored_checkpoints, stored_run
from robonav_ray.runs.task import Task, check_gates, describe_task
from robonav_ray.runs.which_run import FoundRun, hold_run
from robonav_ray.runtime.auto_sizes import size_to_machine, sizes_of
from robonav_ray.runtime.budget import check_budget
from robonav_ray.runtime.controller import Ending
from robonav_ray.runtime.endings import budget_text, tell_ending
from robonav_ray.runtime.initial_weights import InitialWeights, begin_with, find_initial
from robonav_ray.runtime.live import LiveRun, StartWiring, start_local
from robonav_ray.runtime.signals import EXIT_FAILED, EXIT_RESUME, StopRequest, stop_on_signals
from robonav_ray.runtime.sizes import check_sizes
from robonav_ray.runtime.user_parts import check_user_code
from robonav_ray.runtime.wiring import Session, Wiring
from robonav_ray.screen import Screen, make_screen, say_error, show_warnings
from robonav_ray.text import command_text, message_text

logger = logging.getLogger(__name__)
RESTARTS_WINDOW_S = 3600.0
Wirings = Literal["ray", "local"]
NEEDED_NEXT = (
    "pandas",
    "pyarrow.fs",
    "fsspec",
    "robonav_ray.rollout.worker",
    "robonav_ray.replay.shard",
    "robonav_ray.curriculum.ladder",
)
"""By Ray Train (the first three) and by the parts. None of it imports Ray: Ray imports parts of its own as it starts, and two threads must
not meet in one half-imported module."""


def train_command(
    config_path: Path | None,
    overrides: Sequence[str],
    *,
    resume: str | None,
    directory: Path | None,
    local: bool,
    init_from: str | None = None,
) -> int:
    """Train to the end (or to the limit, or to a signal) and return the exit code.

    0: finished; 75: stopped before the end, resume; 1: a fault, or the last checkpoint could not be written. Mistakes of the user raise
    UserError before anything is made. A stop that takes longer than ``budget.grace_s`` ends the process by force (see ``signals.py``).
    """
    began = time.monotonic() - (time.time() - psutil.Process().create_time())
    console = make_screen()
    show_warnings()
    opening = resolve_opening(config_path, overrides, resume, directory, began, console, init_from)
    budget = opening.config.budget
    try:
        with opening.held, stop_on_signals(budget.grace_s) as stop:
            return _train(opening, stop, console, local)
    except RunInterruptedError as error:
        console.print(Text.assemble(f"{message_text(error)}\ngo on later with the same command and ", ("--resume auto", "bold")))
        return EXIT_RESUME
    except KeyboardInterrupt:
        say_error("ended at once; what was committed before is intact: go on with the same command and --resume auto")
        return EXIT_RESUME
    except RunFaultError as error:
        say_error(error)
        return EXIT_FAILED


def _train(opening: Opening, stop: StopRequest, console: Screen, local: bool) -> int:
    """Run the session, say how it ended, and see to what follows training; return the exit code."""
    if local:
        _check_own_device(opening.config)
        session, ending = _live(opening, stop, console, "local", start_local)
    else:
        session, ending = _live_on_ray(opening, stop, console)
    code = tell_ending(session, ending, stop, console)
    if code is not None:
        return code
    stop.exit_code = 0  # trained and saved: what follows can be had later
    if (limit_s := opening.config.budget.max_time_s) is not None:
        stop.end_within(max(0.0, opening.began + limit_s - time.monotonic()), "training, at the time limit")
    from robonav_ray.runtime.judge import finish_run

    with last_words(
        session.run,
        "it is trained and saved; judge it again with",
        lambda: command_text("robonav", "evaluate", session.run.shown),
    ):
        return 0 if finish_run(session, ending, console, stop) else EXIT_FAILED


@dataclass(frozen=True)
class Opening:
    """What a session will be, before anything is made or started."""

    config: RunConfig
    task: Task
    directory: Path | None
    """Where a fresh run shall be; None for a new name under ``output_dir``."""
    resumed: tuple[RunDirectory, Checkpoint | None] | None
    """The run to go on with; without a checkpoint when it was killed before its first."""
    began: float
    held: contextlib.ExitStack
    """Holds the run's lock, from before it was decided where to go on from until the command has ended."""
    stored_seen: frozenset[str] | None = None
    """What lay in the storage of the run when that was decided."""
    initial: InitialWeights | None = None
    """What a run that has learned nothing yet begins with."""

    @property
    def folder(self) -> tuple[Path, str]:
        """The folder in which the run's own lies or will lie, and the key that names it."""
        if self.resumed is not None:
            return self.resumed[0].path.parent, "--resume"
        if self.directory is not None:
            return self.directory.absolute().parent, "--out"
        return Path(self.config.output_dir).absolute(), "output_dir"

    def begin(self) -> Session:
        """Make the run directory and hold it, unless there is one to go on with."""
        if self.resumed is None:
            storage = self.config.checkpoint.storage
            run = create_run(self.config, self.directory, lambda path: storage is not None and holds_run(storage, path.name))
            self.held.enter_context(run.locked())
            return Session(self.config, self.task, run, self._first_checkpoint(run), self.began)
        run, checkpoint = self.resumed
        checkpoint = checkpoint or self._first_checkpoint(run)
        return Session(
            self.config, self.task, run, checkpoint, self.began, goes_on=checkpoint is None, stored_seen=self.stored_seen
        )

    def _first_checkpoint(self, run: RunDirectory) -> Checkpoint | None:
        return None if self.initial is None else begin_with(self.initial, run, self.config, self.task)


def resolve_opening(
    config_path: Path | None,
    overrides: Sequence[str],
    resume: str | None,
    directory: Path | None,
    began: float,
    console: Screen,
    init_from: str | None = None,
) -> Opening:
    """Resolve config, run and checkpoint. Makes nothing; a run that is to be gone on with is held. UserError for anything that is wrong."""
    with contextlib.ExitStack() as held:
        opening = _resolved(config_path, overrides, resume, directory, began, console, held, init_from)
        return replace(opening, held=held.pop_all())


def _resolved(
    config_path: Path | None,
    overrides: Sequence[str],
    resume: str | None,
    directory: Path | None,
    began: float,
    console: Screen,
    held: contextlib.ExitStack,
    init_from: str | None,
) -> Opening:
    refuse_uri(directory, "--out")
    if init_from is not None and resume not in (None, "auto"):
        raise ConfigError("--init-from begins a new run, and --resume goes on with one: leave one of the two away")
    if resume is not None and resume not in ("auto", "latest") and not is_uri(resume) and not Path(resume).exists():
        raise RunDirectoryError(f"--resume {resume}: no such directory; use auto, latest, or a run directory (`ls runs`)")
    if resume is not None and is_uri(resume):
        try:
            check_location(resume)
        except ValueError as error:
            raise RunDirectoryError(f"--resume: {error}") from None
    config = place_output(load_run_config(config_path, overrides), directory)
    if config.checkpoint.storage is not None:
        check_writable(config.checkpoint.storage)
    found = hold_run(config, resume, directory, held)
    resumed, seen = (None, None) if found is None else _decide(found, config, resume, directory)
    if resumed is None:
        if resume == "auto":
            console.print("nothing to resume; starting afresh", style="dim")
        if (
            directory is not None
            and directory.exists()
            and (resume != "auto" or not directory.is_dir() or any(directory.iterdir()))
        ):
            refuse_existing(directory)
    else:
        run, checkpoint = resumed
        config = run.resumed_config(overrides) if config_path is None else sizes_of(config, run.config)
        check_same_task(run, config)
        where = "from its beginning: it has no checkpoint yet"
        if checkpoint is not None:
            where = f"at {checkpoint.counters.env_steps:,} env steps ({checkpoint.path.name})"
        console.print(Text.assemble("resuming ", (run.shown, "bold"), f" {where}"))
    task = describe_task(config)
    check_sizes(config, task.spec)
    check_user_code(config, task)
    if resumed is None:
        check_gates(config, task)
        check_budget(config)
    initial = None
    if init_from is not None and (resumed is None or resumed[1] is None):
        initial = find_initial(init_from, config, task)
        console.print(initial.describe())
    return Opening(config, task, directory, resumed, began, held, seen, initial)


def _decide(
    found: FoundRun, config: RunConfig, resume: str | None, directory: Path | None
) -> tuple[tuple[RunDirectory, Checkpoint | None] | None, frozenset[str] | None]:
    """Choose where to begin in the run, which is held, so that nobody's work falls between; None where there is nothing to go on with.

    Also returns what lay in the run's storage before that.
    """
    run, seen = found.run, None
    try:
        if found.stored_at is not None:
            seen = frozenset(stored_checkpoints(found.stored_at))
            bring_run(found.stored_at, run.path)
        storage = config.checkpoint.storage or run.config.checkpoint.storage
        if storage is not None and (location := stored_run(storage, run)) != found.stored_at:
            seen = frozenset(stored_checkpoints(location))
        if found.checkpoint is not None:
            checkpoint, damaged = open_checkpoint(found.checkpoint), []
        else:
            checkpoint, damaged = newest_good_checkpoint(run.checkpoints, with_rows=True)
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise StoredRunError(
            f"--resume {resume}: the rows of {run.shown} cannot be read ({error}); is its storage there?"
        ) from None
    for message in damaged:
        logger.warning("%s", message)
    if checkpoint is not None:
        refuse_policy_alone(checkpoint)
        return (run, checkpoint), seen
    if resume == "auto" and not damaged:  # killed before its first checkpoint
        return (None if directory is None else (run, None)), seen
    raise CheckpointError(
        f"{run.checkpoints}: holds no whole checkpoint to resume from"
        + (f" ({len(damaged)} damaged: {damaged[0]})" if damaged else "; start a new run with `robonav train`")
    )


def _live_on_ray(opening: Opening, stop: StopRequest, console: Screen) -> tuple[Session, Ending]:
    from robonav_ray.nodes.cluster import connected

    config = opening.config
    import_ahead(*NEEDED_NEXT)
    with connected(config.runtime) as cluster:
        from robonav_ray.nodes.cluster import ClusterError, look_at_cluster
        from robonav_ray.nodes.resources import plan_when_free
        from robonav_ray.runtime.ray_wiring import RayWiring
        from robonav_ray.tracking.remote import PrometheusTracker

        if cluster.num_nodes > 1:
            _check_shared(opening)
        sized = ""
        if opening.resumed is None:
            config, sized = size_to_machine(config, opening.task.spec, cluster.num_cpus)
            opening = replace(opening, config=config)
        plan = plan_when_free(config, cluster)
        _check_device(config, "cuda" if plan.gpus_per_rank else "cpu")
        if not cluster.started_here:
            check_sizes(config, opening.task.spec, cluster.memory_bytes)
        spread = plan.placement.spread_text(cluster.nodes) if plan.placement is not None else ""
        console.print("\n".join(filter(None, (cluster.describe(), plan.describe(), spread, sized))))
        if not cluster.started_here:
            from robonav_ray.runtime.warm_nodes import warm_nodes

            warm_nodes(config, opening.task, cluster.nodes, console.print)

        def start(session: Session) -> tuple[Wiring, list[Tracker]]:
            extra: list[Tracker] = [PrometheusTracker(session.run.path.name)] if config.tracking.prometheus else []
            if session.lost_at is None:
                return RayWiring(session, plan, cluster.nodes), extra
            now = look_at_cluster(started_here=False)  # nodes may have gone with the parts that were lost
            try:
                again = plan_when_free(config, now, at_most=True, wait_s=config.runtime.start_timeout_s)
            except ClusterError as error:
                raise RunInterruptedError(f"too few nodes are left to go on: {error}") from error
            return RayWiring(session, again, now.nodes), extra

        return _live(opening, stop, console, "ray", start)


def _check_shared(opening: Opening) -> None:
    """Refuse a folder, of the run or of its checkpoints, that is another one on every node; a bucket is one for all."""
    from robonav_ray.nodes.shared_storage import check_shared

    storage = opening.config.checkpoint.storage
    if storage is None:
        check_shared(*opening.folder)
    elif (folder := as_folder(storage)) is not None:
        check_shared(folder, "checkpoint.storage")


def _check_own_device(config: RunConfig) -> None:
    """As ``_check_device``, for a learner in this very process, whose device can be asked."""
    from robonav_ray.learner.devices import check_features, pick_device

    check_features(config.learner, pick_device(config.learner.device))


def _check_device(config: RunConfig, kind: str) -> None:
    """Refuse what the learner's device, of a kind that is known by now, cannot do."""
    try:
        config.learner.check_device(kind)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _live(opening: Opening, stop: StopRequest, console: Screen, wiring: Wirings, start: StartWiring) -> tuple[Session, Ending]:
    """The run to its end: one session, or several where a part was lost that cannot be replaced while the others run."""
    session = opening.begin()
    console.print(Text.assemble((session.run.shown, "bold"), f"  {session.task.describe()}"))
    if told := budget_text(session):
        console.print(told, style="dim")
    lost_at: list[float] = []
    with last_words(session.run, "go on with", lambda: resume_command(session.run)):
        while True:
            try:
                with LiveRun(session, start, wiring_name=wiring, stop=stop, command=command_line(), is_held=True) as live:
                    return session, live.finish()
            except PartLostError as error:
                lost_at.append(time.monotonic())
                session = _session_after(session, error, lost_at)
                console.print(f"{message_text(error)}; going on from {session.counters.env_steps:,} env steps")


def _session_after(session: Session, error: PartLostError, lost_at: list[float]) -> Session:
    """Return the session that goes on from the newest whole checkpoint after ``error``; raises ``error`` when that has been tried enough.

    Enough is ``runtime.max_session_restarts`` within an hour, or twice in a row without a checkpoint in between.

    Raises:
        RunInterruptedError: When the storage does not answer, so that nothing is known of its checkpoints.
        CheckpointError: When there are checkpoints and all are damaged.
    """
    recent = [moment for moment in lost_at if lost_at[-1] - moment < RESTARTS_WINDOW_S]
    try:
        checkpoint, damaged = newest_good_checkpoint(session.run.checkpoints, with_rows=True)
    except OSError as away:
        raise RunInterruptedError(f"{error}; and the storage of its checkpoints does not answer ({away})") from error
    for message in damaged:
        logger.warning("%s", message)
    if checkpoint is None and damaged:  # never from the beginning where something had been committed
        raise CheckpointError(f"{error}; and no checkpoint is whole ({damaged[0]})") from error
    stuck = session.lost_at is not None and (checkpoint.path if checkpoint else None) == (
        session.checkpoint.path if session.checkpoint else None
    )
    if len(recent) > session.config.runtime.max_session_restarts or stuck:
        raise error
    return replace(session, checkpoint=checkpoint, goes_on=True, lost_at=lost_at[-1], stored_seen=None)
