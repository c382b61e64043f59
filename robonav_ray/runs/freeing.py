"""What a finished run needs no more (rows, older checkpoints, the optimiser) is freed; its policy stays, in a
checkpoint of its own, which is made first (``policy_alone.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load_file

from robonav_ray.errors import UserError
from robonav_ray.files import plain_files
from robonav_ray.files.manifest import MANIFEST
from robonav_ray.files.storage import join, read_bytes, write_bytes
from robonav_ray.runs.checkpoint import (
    Checkpoint,
    CheckpointError,
    CheckpointWriter,
    newest_good_checkpoint,
    open_checkpoint,
)
from robonav_ray.runs.checkpoint_index import INDEX_FILE, CheckpointIndex, read_index, write_index
from robonav_ray.runs.policy_alone import holds_policy_alone, write_policy_alone
from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError, search_of
from robonav_ray.runs.saved_learner import COUNTERS_FILE, NETWORKS, TENSORS_FILE
from robonav_ray.runs.stored_notes import shown
from robonav_ray.runs.stored_runs import (
    StoredRunError,
    holds_run,
    prune_stored,
    stored_checkpoints,
    stored_policies,
    stored_run,
)
from robonav_ray.runs.superseded import bytes_below, prune_checkpoints
from robonav_ray.runs.taking_up import taking_up


@dataclass(frozen=True)
class Freeable:
    """What could be freed of one run."""

    run: RunDirectory
    num_bytes: int
    """On this machine, and in the run's storage where it has one."""
    stored_at: str | None
    """Where its checkpoints lie besides; they are freed too."""


def freeable(run: RunDirectory, *, force: bool = False) -> Freeable | None:
    """Return what could be freed of ``run``; None where there is nothing. Changes nothing.

    Args:
        run: The run.
        force: Whether one that has not finished, or is a trial of a search, may be taken too; it can then never be
            resumed.

    Raises:
        RunDirectoryError: When the run is a link, is held by a process (also with ``force``), or is not to be taken
            without ``force``.
        CheckpointError: When none of its checkpoints is whole: what is left of them stays.
        StoredRunError: When its storage does not answer.
    """
    _refuse(run, force)
    checkpoint = _newest(run)
    if checkpoint is None:
        return None
    location = _stored_at(run)
    held = bytes_below(run.checkpoints) + (0 if location is None else sum(_stored_sizes(location)))
    policy = sum(array.nbytes for array in _networks(checkpoint).values())
    is_done = holds_policy_alone(checkpoint) and _is_only(run, location, checkpoint)
    return None if is_done else Freeable(run, max(0, held - policy * (1 if location is None else 2)), location)


def free(found: Freeable, *, force: bool = False) -> int:
    """Free it, and return the bytes that went; at every moment there is a whole checkpoint of the policy.

    Raises:
        RunDirectoryError: As ``freeable`` does: the run is held meanwhile.
        OSError: When the checkpoint cannot be written or the rest not be removed; a second call goes on.
    """
    run, location = found.run, found.stored_at
    with run.locked():
        _refuse(run, force, is_held=True)
        before = bytes_below(run.checkpoints) + (0 if location is None else sum(_stored_sizes(location)))
        newest = _newest(run)
        if newest is not None and not holds_policy_alone(newest):
            published = _published(run, newest)
            name = _write_policy(run, published, newest, location)
            index = read_index(run.path)
            if index != CheckpointIndex():
                write_index(run.path, index.renamed(published.path.name, name))
                if location is not None:
                    write_bytes(join(location, INDEX_FILE), plain_files.read_bytes(run.path / INDEX_FILE))
        prune_checkpoints(run.checkpoints, 1)
        if location is not None:
            prune_stored(location, 1)
        return before - bytes_below(run.checkpoints) - (0 if location is None else sum(_stored_sizes(location)))


def _refuse(run: RunDirectory, force: bool, *, is_held: bool = False) -> None:
    if run.path.is_symlink():
        raise RunDirectoryError(f"{run.shown}: is a link, which is not followed here; name the run itself")
    if not is_held and run.is_locked:
        raise RunDirectoryError(
            f"{run.shown}: a process is training this run, so nothing of it is freed; stop it first"
        )
    if force:
        return
    if run.status != "finished":
        raise RunDirectoryError(
            f"{run.shown}: has not finished ({run.status}), so it is kept whole to be resumed; name it with --force to "
            "free it all the same"
        )
    if search_of(run) is not None:
        raise RunDirectoryError(
            f"{run.shown}: is a trial of a search, which may go on from its checkpoints; name it with --force to free "
            "it all the same"
        )


def _newest(run: RunDirectory) -> Checkpoint | None:
    """Return the newest whole checkpoint, None where there is none at all; CheckpointError when all are damaged."""
    checkpoint, damaged = newest_good_checkpoint(run.checkpoints)
    if checkpoint is None and damaged:
        raise CheckpointError(f"{run.checkpoints}: holds no whole checkpoint, so what is left stays: {damaged[0]}")
    return checkpoint


def _published(run: RunDirectory, newest: Checkpoint) -> Checkpoint:
    """Return the checkpoint whose policy stands for the run: the best where it is here and whole, else the newest."""
    best = read_index(run.path).best
    if best is None or best.checkpoint == newest.path.name:
        return newest
    try:
        return open_checkpoint(run.checkpoints / best.checkpoint)
    except CheckpointError:
        return newest


def _write_policy(run: RunDirectory, checkpoint: Checkpoint, newest: Checkpoint, location: str | None) -> str:
    """Commit a checkpoint of the policy of ``checkpoint`` alone, named to come after the ``newest``; return its
    name.
    """
    writer = CheckpointWriter(run.checkpoints, newest.counters, location)
    writer.counters = (
        checkpoint.counters
    )  # the name says when it was made, the counters what training is behind the policy
    try:
        if location is None:
            writer.final = newest.path.with_name(f"{newest.path.name}-policy")
        document = checkpoint.read_json(f"learner/{COUNTERS_FILE}")
        return write_policy_alone(writer, document, _networks(checkpoint), {"of": checkpoint.path.name}).path.name
    finally:
        writer.discard()


def _networks(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    with taking_up(checkpoint):
        tensors = load_file(checkpoint.learner / TENSORS_FILE)
    return {name: array for name, array in tensors.items() if name.startswith(NETWORKS)}


def _stored_at(run: RunDirectory) -> str | None:
    storage = run.config.checkpoint.storage
    return None if storage is None or not holds_run(storage, run.path.name) else stored_run(storage, run)


def _is_only(run: RunDirectory, location: str | None, checkpoint: Checkpoint) -> bool:
    """Whether nothing lies beside a checkpoint, here and in the storage."""
    beside = [path for path in run.checkpoints.iterdir() if path.name != checkpoint.path.name]
    return not beside and (location is None or stored_checkpoints(location) == [checkpoint.path.name])


def _stored_sizes(location: str) -> Iterator[int]:
    """Give the bytes of each stored checkpoint and judged policy, by its manifest."""
    try:
        for name in (*stored_checkpoints(location), *stored_policies(location)):
            files = json.loads(read_bytes(join(location, name, MANIFEST)))["files"]
            yield sum(int(entry["bytes"]) for entry in files.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise StoredRunError(f"{shown(location)}: cannot be read ({error})") from None
