"""What a verb is given to work on: the directory of a run or of one of its checkpoints, or the URI of either in a
storage.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.files.locations import above, check_location, is_uri, name_of, with_lost_slash
from robonav_ray.files.storage import exists, join
from robonav_ray.runs.checkpoint import (
    Checkpoint,
    CheckpointError,
    list_checkpoints,
    newest_good_checkpoint,
    open_checkpoint,
)
from robonav_ray.runs.checkpoint_index import Which, published_name
from robonav_ray.runs.run_directory import (
    EVALUATION_JSON,
    EVALUATION_MARKDOWN,
    VERSIONS,
    RunDirectory,
    RunDirectoryError,
    open_run,
)
from robonav_ray.runs.stored_models import bring_model, is_stored_model, open_model
from robonav_ray.runs.stored_notes import StoredNotes, shown
from robonav_ray.runs.stored_runs import StoredRunError, bring_policy, check_writable, stored_run
from robonav_ray.text import path_word

logger = logging.getLogger(__name__)
_CHECKPOINT = re.compile(r"(?:env|policy)-\d{12}")


@dataclass(frozen=True)
class LocatedRun:
    """A run, and the checkpoint of it whose policy is wanted."""

    run: RunDirectory
    checkpoint: Checkpoint
    uri: str | None
    """Where the run lies in a storage, when that is what was given: ``run`` is then a copy of its small files that goes
    with the block."""

    @property
    def shown(self) -> str:
        """The run as a person would type it here."""
        return self.run.shown if self.uri is None else shown(self.uri)

    @property
    def takes_notes(self) -> bool:
        """Whether what is found out about it is noted in the run itself: it lies here, and is no version of a model."""
        return self.uri is None and not self.run.is_model

    def keep(self, write: Callable[[Path], Sequence[Path]], name: str, out: Path | None = None) -> list[str]:
        """Have ``write`` put files into a new folder ``NAME/TIMESTAMP`` of the run; return where each lies, as people
        are shown it.

        ``write`` returns the paths of the files that it has written. They are stored with the run where it has a
        storage. A run that is here keeps them here when its storage does not answer. With ``out``, they are put into
        that folder, made if missing, and nowhere else.

        Raises:
            StoredRunError: When the run lies in a storage alone, and they could not be stored there.
        """
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            return [str(path) for path in write(out)]
        if self.run.is_model:
            name = f"{name}/{self.run.path.name}"
        below = _new_folder(self.run.notes, f"{name}/{time.strftime('%Y%m%d-%H%M%S')}")
        folder = self.run.notes / below
        written = write(folder)
        location = self._storage()
        try:
            if location is not None and (self.uri is not None or exists(join(location, "config.yaml"))):
                StoredNotes(self.run.notes, location).update(below)
        except OSError as error:
            if self.uri is not None:
                raise StoredRunError(
                    f"{self.shown}: the results could not be stored ({error}); --out DIR writes them here"
                ) from None
            logger.warning("%s: is not stored in %s too (%s)", below, shown(location or ""), error)
        base = shown(join(location, below)) if self.uri and location else path_word(folder)
        return [f"{base}/{path.name}" for path in written]

    def _storage(self) -> str | None:
        """Return the location in a storage that belongs to the folder of notes; None where there is none."""
        if self.run.is_model:
            return None if self.uri is None else above(above(self.uri))
        storage = self.run.config.checkpoint.storage
        return self.uri or (None if storage is None else stored_run(storage, self.run))


@contextlib.contextmanager
def located(where: str | Path, *, writes: bool = False, which: Which | None = None) -> Iterator[LocatedRun]:
    """Give the run and the checkpoint that ``where`` names: a run or a checkpoint directory, or the URI of one.

    Args:
        where: ``runs/NAME``, ``runs/NAME/checkpoints/env-...``, ``s3://bucket/NAME`` or ``s3://bucket/NAME/env-...``.
        which: Checkpoint of a run; None takes the best, and the last where the run has not been judged.
        writes: Whether ``keep`` will be called: a storage that cannot be written is then refused before the work.

    Raises:
        RunDirectoryError: When it is neither.
        CheckpointError: When there is no whole checkpoint.
        StoredRunError: When the storage does not answer, or holds no such run.
    """
    text = whole_uri(str(where))
    if not is_uri(text) and not lies_stored(Path(text)):
        found = LocatedRun(*find_policy(Path(text), which), None)
        if writes and not os.access(found.run.notes, os.W_OK):
            raise RunDirectoryError(
                f"{found.shown}: is not yours to write, so the results have no place: --out DIR writes them elsewhere"
            )
        yield found
        return
    try:
        location = check_location(text if is_uri(text) else str(Path(text).absolute()))
    except ValueError as error:
        raise RunDirectoryError(str(error)) from None
    uri, checkpoint = _split_checkpoint(location)
    is_model = checkpoint is None and _holds_model(uri)
    if writes:
        check_writable(
            above(above(uri)) if is_model else uri,
            "the run's storage",
            "--out DIR writes the results to a folder here; to store them, name one that you may write",
        )
    with tempfile.TemporaryDirectory(prefix="robonav-run-") as folder:
        if is_model:
            with _stored_model(uri):
                model = bring_model(uri, Path(folder) / name_of(above(above(uri))) / VERSIONS / name_of(uri))
            yield LocatedRun(*find_policy(model.path, which), uri)
            return
        directory = Path(folder) / name_of(uri)
        if checkpoint is not None:
            _refuse_which(which, shown(uri), checkpoint)
        run = bring_policy(uri, directory, checkpoint, which)
        yield LocatedRun(*find_policy(run.path, "last"), uri)  # the one that was brought


def find_policy(path: Path, which: Which | None = None) -> tuple[RunDirectory, Checkpoint]:
    """Return the run and the checkpoint that ``path`` (a run or a checkpoint directory) names.

    ``which`` checkpoint of a run is meant: None takes the best, and the last where the run has not been judged.

    Raises:
        RunDirectoryError: When it is neither.
        CheckpointError: When there is no whole checkpoint, or no best one that was asked for.
    """
    if path.parent.name == "checkpoints":
        _refuse_which(which, path_word(path.parent.parent), path.name)
        return open_run(path.parent.parent), open_checkpoint(path)
    run = open_run(path)
    if run.is_model:
        _refuse_which_version(which, run)
        return run, open_model(run.path)
    best = published_name(run.path, run.shown, which)
    if best is not None:
        try:
            return run, open_checkpoint(run.checkpoints / best)
        except CheckpointError as error:
            if which == "best":
                raise
            logger.warning("the best checkpoint cannot be used, so the last is taken: %s", error)
    checkpoint, damaged = newest_good_checkpoint(run.checkpoints)
    if checkpoint is None:
        raise CheckpointError(f"{run.checkpoints}: holds no whole checkpoint" + (f": {damaged[0]}" if damaged else ""))
    return run, checkpoint


def _refuse_which(which: Which | None, run: str, checkpoint: str) -> None:
    if which is not None:
        raise CheckpointError(
            f"--checkpoint {which}: {checkpoint} is one already; name the run ({run}), or leave the option away"
        )


def _refuse_which_version(which: Which | None, run: RunDirectory) -> None:
    if which is not None:
        raise CheckpointError(f"--checkpoint {which}: {run.name} is one version of a model; leave the option away")


def whole_uri(text: str) -> str:
    """Return ``text`` with the slash of a URI that was taken for a path put back (``s3:/bucket``); a folder of that
    name wins.
    """
    return text if Path(text).exists() else with_lost_slash(text)


def refuse_uri(
    path: Path | None, key: str, instead: str = "checkpoint.storage=URI stores a run's checkpoints and files there"
) -> None:
    """Raise RunDirectoryError when a path that must be a folder or file of this machine is a URI; ``key`` names the
    option.
    """
    text = None if path is None else whole_uri(str(path))
    if text is not None and is_uri(text):
        raise RunDirectoryError(f"{key} {shown(text)}: must be a path on this machine; {instead}")


def refuse_unwritable(folder: Path, key: str) -> None:
    """Raise RunDirectoryError, before any work, when files cannot be put into ``folder``, which is made if missing."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "may not be written by you" if nearest.is_dir() else "is no folder"
        raise RunDirectoryError(f"{key} {folder}: {nearest} {what}; name a folder that you may write")


def refuse_judged(folder: Path, key: str) -> None:
    """Raise RunDirectoryError, before any work, when ``folder`` holds an evaluation already: none is ever replaced."""
    for name in (EVALUATION_JSON, EVALUATION_MARKDOWN):
        if os.path.lexists(folder / name):
            raise RunDirectoryError(
                f"{key} {folder}: holds {folder / name} already, which is never replaced; name another folder"
            )


def _new_folder(parent: Path, below: str) -> str:
    """Make the folder ``below``, or with a number behind it where there is one already, in ``parent`` and return it."""
    for number in itertools.count(1):
        name = below if number == 1 else f"{below}-{number}"
        with contextlib.suppress(FileExistsError):
            (parent / name).mkdir(parents=True)
            return name
    raise AssertionError("numbers do not end")


def lies_stored(path: Path) -> bool:
    """Whether a folder is a run, or a checkpoint of one, as ``checkpoint.storage=FOLDER`` holds it: checkpoints lie
    beside the config.
    """
    run = path.parent if _CHECKPOINT.match(path.name) else path
    return (run / "config.yaml").is_file() and not (run / "checkpoints").exists() and bool(list_checkpoints(run))


def _holds_model(uri: str) -> bool:
    if uri.partition("?")[0].rstrip("/").split("/")[-2] != VERSIONS:
        return False
    with _stored_model(uri):
        return is_stored_model(uri)


@contextlib.contextmanager
def _stored_model(uri: str) -> Iterator[None]:
    """Make a StoredRunError of a storage that does not answer."""
    try:
        yield
    except OSError as error:
        raise StoredRunError(
            f"{shown(uri)}: cannot be read ({error}); look at its credentials in the environment"
        ) from None


def _split_checkpoint(uri: str) -> tuple[str, str | None]:
    """Tell the URI of a run from the name of its checkpoint, when it names one."""
    base, mark, options = uri.partition("?")
    upper, _, last = base.rstrip("/").rpartition("/")
    return (f"{upper}{mark}{options}", last) if _CHECKPOINT.match(last) else (uri, None)
