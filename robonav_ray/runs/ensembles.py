"""``ensemble.json``: runs that act as one, each named by its path, relative to the file, and the hash of its weights.

::

    pipelines/quick/select/ensemble.json    {"kind": "robonav ensemble", "format_version": 1, "how": "mean", "members":
                                             [{"path": "../train/seed-0/checkpoints/env-...", "weights_sha256": ...}]}

What its members act with is looked at when it is opened: another one than was chosen is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from robonav_ray.algo.ensemble import HOWS, How
from robonav_ray.files.locations import is_uri
from robonav_ray.files.plain_files import PlainFileError, is_plain, read_bytes, replace
from robonav_ray.runs.checkpoint import CheckpointError
from robonav_ray.runs.located import LocatedRun, located
from robonav_ray.runs.policies import Ensemble, Member, read_policy
from robonav_ray.runs.stored_models import MAX_MEMBERS, MAX_TEXT
from robonav_ray.runs.task import Task, describe_task
from robonav_ray.runs.vetting import UntrustedError, parse_json
from robonav_ray.text import path_word

ENSEMBLE_FILE = "ensemble.json"
KIND, FORMAT_VERSION = "robonav ensemble", 1
_MAX_BYTES = 1_000_000
Locate = Callable[[str], AbstractContextManager[LocatedRun]]


class EnsembleError(CheckpointError):
    """There is no such ensemble; the message names the member and what is wrong with it."""


def ensemble_file(path: Path) -> Path | None:
    """Return the ``ensemble.json`` that ``path`` is, or that the folder holds; None where there is none."""
    file = path if path.name == ENSEMBLE_FILE else path / ENSEMBLE_FILE
    return file if is_plain(file) else None


def write_ensemble(path: Path, how: How, members: Sequence[str | Path]) -> Ensemble:
    """Write the file at ``path``, which names ``members``, runs or checkpoints of this machine or in a storage; return
    the ensemble.

    Of a run the checkpoint is named that is its best now, else its last.

    Raises:
        EnsembleError: When a member cannot be opened, or does not fit the first one.
        OSError: When the file cannot be written.
    """
    words = list[str]()
    found = open_members(how, [str(member) for member in members], words_found=words)
    folder = path.absolute().parent
    told = [
        {
            "path": word if is_uri(word) else Path(os.path.relpath(word, folder)).as_posix(),
            "weights_sha256": member.sha256,
        }
        for word, member in zip(words, found.members, strict=True)
    ]
    document = {"kind": KIND, "format_version": FORMAT_VERSION, "how": how, "members": told}
    folder.mkdir(parents=True, exist_ok=True)
    replace(path, json.dumps(document, indent=1) + "\n")
    return found


def open_ensemble(path: Path) -> Ensemble:
    """Return the ensemble of a file; EnsembleError when it is none, or a member is not the one that was chosen."""
    shown = path_word(path)
    how, told = _read(path, shown)
    folder = path.absolute().parent
    words = [place if is_uri(place) else os.path.normpath(folder / place) for place, _ in told]
    try:
        found = open_members(how, words)
    except EnsembleError as error:
        raise EnsembleError(f"{shown}: {error}") from None
    for (place, sha256), member in zip(told, found.members, strict=True):
        if member.sha256 != sha256:
            raise EnsembleError(
                f"{shown}: the member {place} has other weights than it was chosen with; choose anew, or bring that "
                "run back"
            )
    return found


def open_members(
    how: How, words: Sequence[str], locate: Locate = located, *, words_found: list[str] | None = None
) -> Ensemble:
    """Return the ensemble of the runs that ``words`` name; EnsembleError that names the member that does not fit."""
    if not 2 <= len(words) <= MAX_MEMBERS:
        raise EnsembleError(f"an ensemble has 2 to {MAX_MEMBERS} members, not {len(words)}; name several runs")
    members = list[Member]()
    first: tuple[Member, Task] | None = None
    for word in words:
        try:
            with locate(word) as found:
                member = _member(found)
                task = first[1] if first is not None and _is_alike(first[0], member) else describe_task(member.config)
                if words_found is not None:
                    words_found.append(word if found.uri is not None else str(found.checkpoint.path))
        except (CheckpointError, PlainFileError, ValueError) as error:
            raise EnsembleError(f"the member {_shown(word)}: {error}") from None
        if first is None:
            first = member, task
        elif (why := _misfit(first, (member, task))) is not None:
            whose = f"of {_shown(words[0])}; take runs of one robot and sensor"
            raise EnsembleError(f"the member {_shown(word)} {why} {whose}")
        if member.sha256 in {other.sha256 for other in members}:
            raise EnsembleError(f"the member {_shown(word)} has the weights of another one; name each once")
        members.append(member)
    return Ensemble(how, tuple(members))


def _member(found: LocatedRun) -> Member:
    config, counters = found.run.config, found.checkpoint.counters
    snapshot = read_policy(found.checkpoint, config.evaluation.weights)
    facts = {
        "run": found.run.path.name if not found.run.is_model else found.run.name,
        "checkpoint": found.checkpoint.path.name,
        "env_steps": counters.env_steps,
        "learner_steps": counters.learner_steps,
        "train_s": counters.train_seconds,
        "policy_version": snapshot.version,
        "seed": config.seed,
    }
    return Member(found.shown, config, snapshot, facts)


def _is_alike(a: Member, b: Member) -> bool:
    """Whether two members are of the very same worlds, as the seeds of one config are: what they see is the same."""
    return a.config.env == b.config.env and a.config.curriculum == b.config.curriculum


def _misfit(first: tuple[Member, Task], other: tuple[Member, Task]) -> str | None:
    """Return in what another member differs from the first one; None where both see and can do the same."""
    (a, first_task), (b, task) = first, other
    if task.env_id != first_task.env_id:
        return f"was trained on env.id={task.env_id}, not on the {first_task.env_id}"
    ours, theirs = a.config.env.world, b.config.env.world
    if task.obs_dim != first_task.obs_dim or (task.is_native and ours.observation != theirs.observation):
        kinds = f" ({theirs.observation}, not {ours.observation})" if task.is_native else ""
        return f"sees {task.obs_dim} numbers{kinds}, not the {first_task.obs_dim}"
    if task.num_actions != first_task.num_actions:
        return f"has {task.num_actions} actions, not the {first_task.num_actions}"
    for part in ("lidar", "robot", "dt_s") if task.is_native else ():
        if getattr(ours, part) != getattr(theirs, part):
            return f"has another env.world.{part} than that"
    if task.table.to_dict() != first_task.table.to_dict():
        return "has observations or actions of another meaning than those"
    return None


def _read(path: Path, shown: str) -> tuple[How, list[tuple[str, str]]]:
    try:
        found = parse_json(read_bytes(path, _MAX_BYTES), shown)
    except (PlainFileError, UntrustedError) as error:
        raise EnsembleError(str(error)) from None
    try:
        if found["kind"] != KIND or found["format_version"] != FORMAT_VERSION or found["how"] not in HOWS:
            raise ValueError("is none of this version")
        told = [(item["path"], item["weights_sha256"]) for item in found["members"]]
        if not all(isinstance(text, str) and 0 < len(text) <= MAX_TEXT for pair in told for text in pair):
            raise ValueError("names members otherwise than by path and weights_sha256")
        absolute = [place for place, _ in told if "\0" in place or (Path(place).is_absolute() and not is_uri(place))]
        if absolute:
            raise ValueError(f"names {absolute[0][:60]!r}, which is no path relative to it")
    except (ValueError, KeyError, TypeError) as error:
        raise EnsembleError(f"{shown}: is no ensemble of ours ({error}); have it written again") from None
    return cast("How", found["how"]), told


def _shown(word: str) -> str:
    return word if is_uri(word) else path_word(word)
