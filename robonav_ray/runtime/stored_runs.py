"""A run in ``checkpoint.storage``: its checkpoints, and the small files that a resume on another machine needs.

::

    STORAGE/RUN/config.yaml run.json status.json summary.json metrics.jsonl ...      brought up to date before every commit
    STORAGE/RUN/env-.../manifest.json                                               written last: that commits the checkpoint
    STORAGE/RUN/env-.../learner/ replay/ curriculum.json counters.json
    STORAGE/RUN/ray_train/                                                          Ray Train's own notes
"""

from __future__ import annotations

import json
import logging
from pathlib import Path, PurePosixPath

from robonav_ray.config.load import ConfigError, read_yaml
from robonav_ray.errors import UserError
from robonav_ray.manifest import MANIFEST
from robonav_ray.runtime.checkpoint import (
    CheckpointError,
    check_stored_rows,
    fetch_checkpoint,
    list_checkpoints,
    newest_good_checkpoint,
)
from robonav_ray.runtime.run_directory import RunDirectory
from robonav_ray.storage import exists, fetch, join, list_folder, probe, read_bytes, remove, write_bytes

logger = logging.getLogger(__name__)
SUPERSEDED = "manifest.superseded.json"
_LARGEST_NOTE_BYTES = 1 << 28


class StoredRunError(UserError):
    """The storage cannot be used, or holds no such run; the message names the key and what to do."""


def check_writable(storage: str) -> None:
    """Raise StoredRunError unless a file can be written to ``storage``, read back and removed."""
    try:
        probe(storage)
    except OSError as error:
        raise StoredRunError(
            f"checkpoint.storage: {storage.partition('?')[0]} cannot be written ({error}): name a folder or bucket that you may write, and "
            "give its credentials in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS)"
        ) from None


def stored_run(storage: str, run: RunDirectory) -> str:
    """Return where ``run`` lies in ``storage``."""
    return join(storage, run.path.name)


def stored_notes(storage: str | None, run: RunDirectory) -> str:
    """Return where Ray Train keeps its notes about ``run``: where all nodes find them."""
    return str((run.path / "ray_train").absolute()) if storage is None else join(stored_run(storage, run), "ray_train")


def store_notes(run: RunDirectory, location: str) -> None:
    """Bring the small files of a run up to date in the storage; OSError when that fails."""
    for path in sorted(run.path.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.stat().st_size <= _LARGEST_NOTE_BYTES:
            write_bytes(join(location, path.name), path.read_bytes())


def find_stored_run(storage: str, *, unfinished_only: bool, name: str | None = None) -> str | None:
    """Return the location of the run in ``storage`` that was started last and has a checkpoint; None when there is none.

    ``name`` is ``config.name``, of runs with that very name.
    """
    found: list[tuple[float, str]] = []
    for folder, is_folder, _ in list_folder(storage):
        location = join(storage, folder)
        files = {file: changed for file, _, changed in list_folder(location)} if is_folder else {}
        if "config.yaml" not in files or (name is not None and not folder.startswith(name)) or not stored_checkpoints(location):
            continue
        if name is not None and _stored_name(location) != name:
            continue
        if unfinished_only and "status.json" in files:
            status = json.loads(read_bytes(join(location, "status.json"))).get("status")
            if status not in ("running", "unfinished"):
                continue
        found.append((files["config.yaml"], location))
    return max(found)[1] if found else None


def _stored_name(location: str) -> str | None:
    """Return ``name`` of a stored run's config; None, with a warning, when that is none."""
    place = join(location, "config.yaml")
    try:
        config = read_yaml(read_bytes(place).decode(errors="replace"), place.partition("?")[0])
    except ConfigError as error:
        logger.warning("%s", error)
        return None
    return config.get("name") if isinstance(config, dict) else None


def stored_checkpoints(location: str) -> list[str]:
    """Return the names of the committed checkpoints of the run at ``location``, oldest first."""
    names = [name for name, is_folder, _ in list_folder(location) if is_folder and name.startswith("env-")]
    return [name for name in names if exists(join(location, name, MANIFEST))]


def bring_run(location: str, directory: Path) -> RunDirectory:
    """Make ``directory`` hold the run at ``location`` as it was stored last, with its newest whole checkpoint.

    What is in ``directory`` and as new stays. A damaged checkpoint is passed over with a warning.

    Raises:
        StoredRunError: When there is no run there, or it cannot be read.
    """
    shown = location.partition("?")[0]
    try:
        if not exists(join(location, "config.yaml")):
            raise StoredRunError(f"{shown}: is not a stored run (it has no config.yaml); name the folder of a run")
        run, names = RunDirectory(directory.absolute()), stored_checkpoints(location)
        here = list_checkpoints(run.checkpoints)
        if names and here and names[-1] <= here[-1].name and newest_good_checkpoint(run.checkpoints)[0] is not None:
            return run
        for name, is_folder, _ in list_folder(location):
            if not is_folder and PurePosixPath(name).name == name:
                fetch(join(location, name), run.path / name)
        _bring_newest(location, names, run)
    except OSError as error:
        raise StoredRunError(f"{shown}: cannot be read ({error}); look at its credentials in the environment") from None
    return run


def _bring_newest(location: str, names: list[str], run: RunDirectory) -> None:
    """Fetch the newest of the checkpoints ``names`` that is whole; StoredRunError when there are some, and none is."""
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    for name in reversed(names):
        try:
            check_stored_rows(fetch_checkpoint(join(location, name), run.checkpoints))
            return
        except CheckpointError as error:  # an OSError is a storage that does not answer: nothing is known of the checkpoint then
            logger.warning("%s", error)
    if names:
        raise StoredRunError(f"{location.partition('?')[0]}: none of its {len(names)} checkpoints is whole (see above)")


def set_newer_aside_stored(location: str, name: str) -> None:
    """Have the stored checkpoints after ``name``, which a resume from it leaves behind, stop counting."""
    for newer in [other for other in stored_checkpoints(location) if other > name]:
        write_bytes(join(location, newer, SUPERSEDED), read_bytes(join(location, newer, MANIFEST)))
        remove(join(location, newer, MANIFEST), folder=False)


def prune_stored(location: str, keep: int) -> None:
    """Remove all but the ``keep`` newest committed checkpoints, and what killed writers left behind; OSError when that fails."""
    committed = stored_checkpoints(location)
    newest = committed[-1] if committed else ""
    for name, is_folder, _ in list_folder(location):
        old = name in committed[:-keep]
        left_behind = name.startswith("env-") and name not in committed and name < newest
        if is_folder and (old or left_behind) and not exists(join(location, name, SUPERSEDED)):
            remove(join(location, name, MANIFEST), folder=False)  # first it stops being a checkpoint, then it goes
            remove(join(location, name), folder=True)
