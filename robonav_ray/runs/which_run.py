"""Which run a command goes on with, and that no other command does: it is found, and held before anything of it is
looked at.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.config import RunConfig
from robonav_ray.files.locations import is_uri, name_of
from robonav_ray.runs.run_directory import (
    UNFINISHED,
    RunDirectory,
    RunDirectoryError,
    RunHeldError,
    find_latest_run,
    open_run,
)
from robonav_ray.runs.stored_runs import StoredRunError, find_stored_run, holds_run, stored_run, stored_status


@dataclass(frozen=True)
class FoundRun:
    """A run to go on with; nothing of it has been looked at yet."""

    run: RunDirectory
    stored_at: str | None = None
    """Where it is to be brought from first."""
    checkpoint: Path | None = None
    """The checkpoint to begin at, where one was named."""

    def hold(self, held: contextlib.ExitStack) -> None:
        """Have ``held`` hold the run's lock; its folder, made if missing, goes with it again when nothing was brought
        into it.

        Raises:
            RunHeldError: When another process holds it.
            RunDirectoryError: When its folder cannot be made.
        """
        made = list[Path]()
        if self.stored_at is not None:
            made = [path for path in (self.run.path, *self.run.path.parents) if not path.exists()]
            try:
                self.run.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunDirectoryError(
                    f"{self.run.shown}: the run cannot be brought there ({error.strerror}); --out names another folder"
                ) from None
        held.enter_context(self.run.locked())
        held.callback(_remove_unused, made)

    @property
    def is_unfinished(self) -> bool:
        """Whether there is something left to do, by what was written down last."""
        return (self.run.status if self.stored_at is None else stored_status(self.stored_at)) in UNFINISHED


def _remove_unused(made: list[Path]) -> None:
    """Remove the folders that were made for a run, the innermost first, where they hold nothing but its lock."""
    with contextlib.suppress(OSError):
        if made and [path.name for path in made[0].iterdir()] == [".lock"]:
            (made[0] / ".lock").unlink()
            for path in made:
                path.rmdir()


def hold_run(
    config: RunConfig, resume: str | None, directory: Path | None, held: contextlib.ExitStack
) -> FoundRun | None:
    """Return the run that ``resume`` means, which ``held`` holds from now on; None to begin a new one.

    Where any unfinished run would do, one that another command has taken, or finished, since it was found is looked
    past.
    """
    any_run = resume == "auto" and directory is None
    while (found := _find_run(config, resume, directory)) is not None:
        with contextlib.ExitStack() as lock:
            try:
                found.hold(lock)
            except RunHeldError:
                if any_run:
                    continue
                raise
            if any_run and not found.is_unfinished:
                continue
            held.push(lock.pop_all())
            return found
    return None


def _find_run(config: RunConfig, resume: str | None, directory: Path | None) -> FoundRun | None:
    """Return the run that ``resume`` means; None to begin a new one."""
    if resume is None:
        return None
    storage = config.checkpoint.storage
    if is_uri(resume):
        name = name_of(resume)
        if (
            directory is not None
            and storage is not None
            and directory.name != name
            and holds_run(storage, directory.name)
        ):
            raise StoredRunError(
                f"--out {directory}: checkpoint.storage holds another run of that name; choose a new one"
            )
        return FoundRun(_run_at(directory or Path(config.output_dir) / name), resume)
    if directory is None and resume in ("auto", "latest") and (stored := _find_stored(config, resume)) is not None:
        return FoundRun(_run_at(Path(config.output_dir) / name_of(stored)), stored)
    if resume == "auto" and directory is not None:  # the same command again and again, as a job queue would
        if storage is not None and holds_run(storage, directory.absolute().name):
            return FoundRun(_run_at(directory), stored_run(storage, _run_at(directory)))
        return FoundRun(open_run(directory)) if (directory / "config.yaml").is_file() else None
    if directory is not None:
        raise RunDirectoryError(f"--out {directory}: a resumed run stays in its own directory; leave --out away")
    if resume in ("auto", "latest"):
        auto = resume == "auto"
        latest = find_latest_run(Path(config.output_dir), unfinished_only=auto, name=config.name if auto else None)
        if latest is None and not auto:
            raise RunDirectoryError(
                f"--resume latest: there is no run with checkpoints under {config.output_dir}; start one with `robonav "
                "train`"
            )
        return None if latest is None else FoundRun(latest)
    path = Path(resume).absolute()
    return (
        FoundRun(open_run(path.parent.parent), checkpoint=path)
        if path.parent.name == "checkpoints"
        else FoundRun(open_run(path))
    )


def _run_at(path: Path) -> RunDirectory:
    return RunDirectory(path.absolute())


def _find_stored(config: RunConfig, resume: str) -> str | None:
    """Return the newest run in ``checkpoint.storage``; None when there is none, or another process of this machine is
    training it.
    """
    if config.checkpoint.storage is None:
        return None
    auto = resume == "auto"
    found = find_stored_run(config.checkpoint.storage, unfinished_only=auto, name=config.name if auto else None)
    if found is not None:
        run = RunDirectory(Path(config.output_dir).absolute() / name_of(found))
        if run.path.is_dir() and run.is_locked:
            return None
    return found
