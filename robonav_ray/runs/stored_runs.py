"""A run in ``checkpoint.storage``: its checkpoints, and the small files that a resume on another machine needs.

::

    STORAGE/RUN/config.yaml status.json metrics.jsonl play.gif tensorboard/ ...  up to date before each commit
                                                                                 (stored_notes.py)
    STORAGE/RUN/env-.../manifest.json                                            written last: commits the checkpoint
    STORAGE/RUN/env-.../learner/ replay/ curriculum.json counters.json
    STORAGE/RUN/ray_train/                                                       Ray Train's own notes
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robonav_ray.config.yaml_document import MAX_BYTES, ConfigError, read_yaml
from robonav_ray.errors import UserError
from robonav_ray.files.manifest import MANIFEST
from robonav_ray.files.plain_files import PlainFileError
from robonav_ray.files.storage import exists, fetch, inside, join, list_folder, probe, read_bytes, remove, write_bytes
from robonav_ray.runs.checkpoint import (
    CheckpointError,
    check_stored_rows,
    fetch_checkpoint,
    list_checkpoints,
    newest_good_checkpoint,
)
from robonav_ray.runs.checkpoint_index import INDEX_FILE, Which, published_name
from robonav_ray.runs.policy_alone import POLICY
from robonav_ray.runs.run_directory import UNFINISHED, RunDirectory
from robonav_ray.runs.stored_notes import LARGEST_NOTE_BYTES, bring_notes, shown

logger = logging.getLogger(__name__)
SUPERSEDED = "manifest.superseded.json"


class StoredRunError(UserError):
    """The storage cannot be used, or holds no such run; the message names the key and what to do."""


def check_writable(
    storage: str, key: str = "checkpoint.storage", instead: str = "name a folder or bucket that you may write"
) -> None:
    """Raise StoredRunError unless a file can be written to ``storage``, read back and removed; ``key`` is what named
    it.
    """
    try:
        probe(storage)
    except OSError as error:
        raise StoredRunError(
            f"{key}: {storage.partition('?')[0]} cannot be written ({error}): {instead}, and give its credentials in "
            "the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS)"
        ) from None


def stored_run(storage: str, run: RunDirectory) -> str:
    """Return where ``run`` lies in ``storage``."""
    return join(storage, run.path.name)


def holds_run(storage: str, name: str) -> bool:
    """Whether there is a run called ``name`` in ``storage``; StoredRunError when that cannot be told."""
    try:
        return exists(join(storage, name, "config.yaml"))
    except OSError as error:
        raise StoredRunError(f"checkpoint.storage: {shown(storage)} cannot be read ({error})") from None


def ray_train_notes(storage: str | None, run: RunDirectory) -> str:
    """Return where Ray Train keeps its notes about ``run``: where all nodes find them."""
    if storage is None:
        return str((run.path / "ray_train").absolute())
    location = stored_run(storage, run)
    inside(location, "ray_train/notes")  # Ray writes there, through a link too
    return join(location, "ray_train")


def find_stored_run(storage: str, *, unfinished_only: bool, name: str | None = None) -> str | None:
    """Return the location of the run in ``storage`` that was started last and has a checkpoint; None when there is
    none.

    ``name`` is ``config.name``, of runs with that very name.
    """
    found: list[tuple[float, str]] = []
    for folder, is_folder, _ in list_folder(storage, follow=True):  # a run may be a link, what is in it may not
        location = join(storage, folder)
        files = {file: changed for file, _, changed in list_folder(location)} if is_folder else {}
        if (
            "config.yaml" not in files
            or (name is not None and not folder.startswith(name))
            or not stored_checkpoints(location)
        ):
            continue
        if name is not None and _stored_name(location) != name:
            continue
        if unfinished_only and "status.json" in files and stored_status(location) not in UNFINISHED:
            continue
        found.append((files["config.yaml"], location))
    return max(found)[1] if found else None


def stored_status(location: str) -> str:
    """Return the status of the run at ``location``; StoredRunError when it cannot be read."""
    with _readable(location):
        place = join(location, "status.json")
        return str(_stored_json(place).get("status", "unfinished")) if exists(place) else "unfinished"


def _stored_name(location: str) -> str | None:
    """Return ``name`` of a stored run's config; None, with a warning, when that is none."""
    place = join(location, "config.yaml")
    try:
        config = read_yaml(read_bytes(place, MAX_BYTES).decode(errors="replace"), place.partition("?")[0])
    except (ConfigError, PlainFileError) as error:
        logger.warning("%s", error)
        return None
    return config.get("name") if isinstance(config, dict) else None


def _stored_json(place: str) -> dict[str, Any]:
    """Return a stored JSON object; empty, with a warning, when that is none."""
    try:
        found = json.loads(read_bytes(place))
    except (ValueError, RecursionError) as error:  # a PlainFileError too
        logger.warning("%s: is no note of ours (%s)", place.partition("?")[0], error)
        return {}
    return found if isinstance(found, dict) else {}


def stored_checkpoints(location: str) -> list[str]:
    """Return the names of the committed checkpoints of the run at ``location``, oldest first."""
    return _committed(location, "env-")


def stored_policies(location: str) -> list[str]:
    """Return the names of the policies of the run at ``location`` that were judged while it trained, and kept."""
    return _committed(location, POLICY)


def _committed(location: str, kind: str) -> list[str]:
    names = [name for name, is_folder, _ in list_folder(location) if is_folder and name.startswith(kind)]
    return [name for name in names if exists(join(location, name, MANIFEST))]


def bring_run(location: str, directory: Path) -> RunDirectory:
    """Make ``directory`` hold the run at ``location`` as it was stored last, with its newest whole checkpoint.

    What is in ``directory`` and as new stays. A damaged checkpoint is passed over with a warning.

    Raises:
        StoredRunError: When there is no run there, or it cannot be read.
    """
    with _readable(location):
        run, names = RunDirectory(directory.absolute()), stored_checkpoints(location)
        here = list_checkpoints(run.checkpoints)
        if names and here and names[-1] <= here[-1].name and newest_good_checkpoint(run.checkpoints)[0] is not None:
            return run
        bring_notes(location, run.path)
        _bring_newest(location, names, run)
        best = published_name(run.path, run.shown, None)
        if best is not None and not (run.checkpoints / best).exists() and exists(join(location, best, MANIFEST)):
            _bring_best(location, best, run, is_asked_for=False)
    return run


def bring_policy(location: str, directory: Path, name: str | None = None, which: Which | None = None) -> RunDirectory:
    """Make ``directory`` hold the configs of the run at ``location`` and one checkpoint without its rows, for who wants
    its policy.

    Args:
        location: Of the stored run.
        directory: Is made.
        name: Of the checkpoint; by default the one that ``which`` means.
        which: None takes the best, and the newest whole one where the run has not been judged.

    Raises:
        CheckpointError: When the one that is named is not whole.
        StoredRunError: When there is no run there, none of its checkpoints is whole, or it cannot be read.
    """
    with _readable(location):
        run = RunDirectory(directory.absolute())
        for file in [file for file, is_folder, _ in list_folder(location) if not is_folder]:
            if file.startswith("config") and file.endswith(".yaml"):
                fetch(join(location, file), run.path / file, limit=MAX_BYTES)
        if name is None:
            names = stored_checkpoints(location)
            if not names:
                raise StoredRunError(f"{shown(location)}: holds no checkpoint yet")
            _bring_index(location, run)
            best = published_name(run.path, shown(location), which)
            if best is None or not _bring_best(location, best, run, is_asked_for=which == "best"):
                _bring_newest(location, names, run, with_rows=False)
        else:
            run.checkpoints.mkdir(parents=True)
            fetch_checkpoint(join(location, name), run.checkpoints)
    return run


def _bring_index(location: str, run: RunDirectory) -> None:
    if exists(join(location, INDEX_FILE)):
        fetch(join(location, INDEX_FILE), run.path / INDEX_FILE, limit=LARGEST_NOTE_BYTES)


def _bring_best(location: str, name: str, run: RunDirectory, *, is_asked_for: bool) -> bool:
    """Fetch the best checkpoint; False, with a warning, when it is not whole (CheckpointError where it
    ``is_asked_for``).
    """
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    try:
        fetch_checkpoint(join(location, name), run.checkpoints)
    except CheckpointError as error:
        if is_asked_for:
            raise
        logger.warning("the best checkpoint cannot be used, so the last is taken: %s", error)
        return False
    return True


def bring_curves(location: str, directory: Path) -> None:
    """Copy what the curves of a stored run are drawn from into ``directory``, which is made; StoredRunError when it
    cannot be.
    """
    with _readable(location):
        directory.mkdir(parents=True)
        for name in ("metrics.jsonl", "curriculum_progress.json", INDEX_FILE):
            if exists(join(location, name)):
                fetch(join(location, name), directory / name, limit=LARGEST_NOTE_BYTES)


@contextlib.contextmanager
def _readable(location: str) -> Iterator[None]:
    """Make a StoredRunError of what keeps the run at ``location`` from being read."""
    try:
        if not exists(join(location, "config.yaml")):
            raise StoredRunError(
                f"{shown(location)}: is not a stored run (it has no config.yaml); name the folder of a run"
            )
        yield
    except OSError as error:
        raise StoredRunError(
            f"{shown(location)}: cannot be read ({error}); look at its credentials in the environment"
        ) from None


def _bring_newest(location: str, names: list[str], run: RunDirectory, *, with_rows: bool = True) -> None:
    """Fetch the newest of the checkpoints ``names`` that is whole; StoredRunError when there are some, and none is."""
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    for name in reversed(names):
        try:
            checkpoint = fetch_checkpoint(join(location, name), run.checkpoints)
            if with_rows:
                check_stored_rows(checkpoint)
            return
        except CheckpointError as error:
            # an OSError is a storage that does not answer: nothing is known of the checkpoint then
            logger.warning("%s", error)
    if names:
        raise StoredRunError(f"{shown(location)}: none of its {len(names)} checkpoints is whole (see above)")


def set_newer_aside_stored(location: str, name: str) -> None:
    """Have the stored checkpoints after ``name``, which a resume from it leaves behind, stop counting."""
    for newer in [other for other in stored_checkpoints(location) if other > name]:
        write_bytes(join(location, newer, SUPERSEDED), read_bytes(join(location, newer, MANIFEST)))
        remove(join(location, newer, MANIFEST), folder=False)


def prune_stored(location: str, keep: int, kept: frozenset[str] = frozenset()) -> None:
    """Remove all but the ``keep`` newest committed checkpoints and those named in ``kept``, judged policies but for
    those named, and what killed writers left behind.

    OSError when that fails.
    """
    committed = stored_checkpoints(location)
    newest = committed[-1] if committed else ""
    for name, is_folder, _ in list_folder(location):
        old = (name in committed[:-keep] or name.startswith(POLICY)) and name not in kept
        left_behind = name.startswith("env-") and name not in committed and name < newest
        if is_folder and (old or left_behind) and not _is_kept_aside(join(location, name), committed[-keep:], keep):
            remove(join(location, name, MANIFEST), folder=False)  # first it stops being a checkpoint, then it goes
            remove(join(location, name), folder=True)


def _is_kept_aside(place: str, newest: list[str], keep: int) -> bool:
    """Whether a stored checkpoint was set aside, and not as many as are kept have been committed since."""
    since = [changed for name, _, changed in list_folder(place) if name == SUPERSEDED]
    if not since:
        return False
    made = [int(name.rpartition("-")[2], 16) / 1e9 for name in newest]
    return len(made) < keep or min(made) < since[0]
