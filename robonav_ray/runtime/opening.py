"""Opening a run session: which config, which run, which checkpoint; nothing is made or started before all of it is
right.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.text import Text

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.errors import UserError
from robonav_ray.files.locations import check_location, is_uri
from robonav_ray.nodes.job import place_output
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointError, newest_good_checkpoint, open_checkpoint
from robonav_ray.runs.checkpoint_index import read_index
from robonav_ray.runs.located import refuse_uri
from robonav_ray.runs.policy_alone import refuse_policy_alone
from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError, check_same_task, create_run, refuse_existing
from robonav_ray.runs.stored_runs import (
    StoredRunError,
    bring_run,
    check_writable,
    holds_run,
    stored_checkpoints,
    stored_run,
)
from robonav_ray.runs.task import Task, check_gates, check_places, describe_task
from robonav_ray.runs.which_run import FoundRun, hold_run
from robonav_ray.runtime.auto_sizes import sizes_of
from robonav_ray.runtime.budget import check_budget
from robonav_ray.runtime.initial_weights import InitialWeights, begin_with, find_initial
from robonav_ray.runtime.self_play.seeds import check_league
from robonav_ray.runtime.sizes import check_sizes
from robonav_ray.runtime.user_parts import check_user_code
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.screen import Screen
from robonav_ray.tracking.places import check_backends

logger = logging.getLogger(__name__)


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

    def begin(self) -> RunSession:
        """Make the run directory and hold it, unless there is one to go on with."""
        if self.resumed is None:
            storage = self.config.checkpoint.storage
            run = create_run(
                self.config, self.directory, lambda path: storage is not None and holds_run(storage, path.name)
            )
            self.held.enter_context(run.locked())
            return RunSession(self.config, self.task, run, self._first_checkpoint(run), self.began)
        run, checkpoint = self.resumed
        checkpoint = checkpoint or self._first_checkpoint(run)
        return RunSession(
            self.config,
            self.task,
            run,
            checkpoint,
            self.began,
            goes_on=checkpoint is None,
            stored_seen=self.stored_seen,
        )

    def _first_checkpoint(self, run: RunDirectory) -> Checkpoint | None:
        return None if self.initial is None else begin_with(self.initial, run, self.config, self.task)


def resolve_opening(
    asked: Path | RunConfig | None,
    overrides: Sequence[str],
    resume: str | None,
    directory: Path | None,
    began: float,
    console: Screen,
    init_from: str | None = None,
) -> Opening:
    """Resolve config, run and checkpoint. Makes nothing; a run that is to be gone on with is held.

    ``asked`` is a file, or a config as it is (``overrides`` are in it then); None takes the defaults, or the config of
    the run to resume.

    Raises:
        UserError: For anything that is wrong.
    """
    with contextlib.ExitStack() as held:
        opening = _resolved(asked, overrides, resume, directory, began, console, held, init_from)
        return replace(opening, held=held.pop_all())


def _check_resumed(resume: str) -> None:
    """RunDirectoryError unless a path to be gone on with is there, and no version of a model."""
    is_model = RunDirectory(Path(resume).absolute()).is_model
    if is_model or not Path(resume).exists():
        what = "a version of a model holds weights alone" if is_model else "no such directory"
        instead = "use auto, latest, or a run directory (`ls runs`)"
        if is_model or "@" in Path(resume).name:
            instead += f"; --init-from {resume} begins a new run with the weights of a model"
        raise RunDirectoryError(f"--resume {resume}: {what}; {instead}")


def _resolved(
    asked: Path | RunConfig | None,
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
    if resume is not None and resume not in ("auto", "latest") and not is_uri(resume):
        _check_resumed(resume)
    if resume is not None and is_uri(resume):
        try:
            check_location(resume)
        except ValueError as error:
            raise RunDirectoryError(f"--resume: {error}") from None
    given = asked if isinstance(asked, RunConfig) else load_run_config(asked, overrides)
    config = place_output(given, directory)
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
        config = run.resumed_config(overrides) if asked is None else sizes_of(config, run.config)
        check_same_task(run, config)
        where = "from its beginning: it has no checkpoint yet"
        if checkpoint is not None:
            where = f"at {checkpoint.counters.env_steps:,} env steps ({checkpoint.path.name})"
        console.print(Text.assemble("resuming ", (run.shown, "bold"), f" {where}"))
    task = describe_task(config)
    check_sizes(config, task.spec)
    check_places(config, task)
    check_user_code(config, task)
    check_backends(config.tracking)
    if resumed is None:
        check_gates(config, task)
        check_league(config, task)
        check_budget(config)
    initial = None
    if init_from is not None and (resumed is None or resumed[1] is None):
        initial = find_initial(init_from, config, task)
        console.print(initial.describe())
    return Opening(config, task, directory, resumed, began, held, seen, initial)


def _decide(
    found: FoundRun, config: RunConfig, resume: str | None, directory: Path | None
) -> tuple[tuple[RunDirectory, Checkpoint | None] | None, frozenset[str] | None]:
    """Choose where to begin in the run; None where there is nothing to go on with. The run is held, so that no other
    command's work falls between.

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
        read_index(run.path)
        return (run, checkpoint), seen
    if resume == "auto" and not damaged:  # killed before its first checkpoint
        return (None if directory is None else (run, None)), seen
    raise CheckpointError(
        f"{run.checkpoints}: holds no whole checkpoint to resume from"
        + (f" ({len(damaged)} damaged: {damaged[0]})" if damaged else "; start a new run with `robonav train`")
    )
