"""A version of a model as a registry keeps it: a config and the weights of one policy, which are never written again.

::

    MODELS/NAME/versions/3/config.yaml          of the run that it came from
                           weights.safetensors  the parameters that the run is judged by, by name
                           evaluation.json      how it was judged before it was added
                           provenance.json      from which run and checkpoint, by whom, with which versions
                           manifest.json        written last, with the hash of each file; it makes the folder a version

It may come from a stranger, as a checkpoint may: all of it is vetted by value before any of it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load

from robonav_ray.algo.ensemble import HOWS, How
from robonav_ray.files.manifest import MANIFEST, FileEntry, check_manifest, leads_outside, manifest_entries
from robonav_ray.files.plain_files import MAX_DOCUMENT_BYTES, PlainFileError, check_entries, check_folder, read_bytes
from robonav_ray.files.storage import DamagedError, check, exists, fetch, join
from robonav_ray.files.storage import read_bytes as read_stored
from robonav_ray.ranges import MAX_COUNT, MAX_VERSION, count, real, require, within
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointError, Counters
from robonav_ray.runs.run_directory import WEIGHTS_FILE, RunDirectory
from robonav_ray.runs.vetting import UntrustedError, parse_json, vet_files, vet_names

CONFIG_FILE, EVALUATION_FILE, PROVENANCE_FILE = "config.yaml", "evaluation.json", "provenance.json"
MODEL_FILES = (CONFIG_FILE, EVALUATION_FILE, PROVENANCE_FILE, WEIGHTS_FILE)
MEMBERS_FILE = "members.json"
"""Of an ensemble alone: how its members act as one, and the config of each; their weights are named ``0.``, ``1.``."""
CONTENT_FILES = (CONFIG_FILE, WEIGHTS_FILE, MEMBERS_FILE)
"""What the content of a version is told by: all that it acts by."""
FORMAT_VERSION = 1
MAX_WEIGHTS_BYTES = 1 << 32
_MAX_MANIFEST_BYTES = 1_000_000
MAX_MEMBERS = 32
MAX_TEXT = 4096
"""Characters of a text of the provenance: a path may be as long, and a reason."""
_ADVICE = "take another version, or add the run again"


@dataclass(frozen=True)
class ModelCheckpoint(Checkpoint):
    """A version in place of a checkpoint: nothing but the weights of its policy."""

    policy_version: int = 1
    network: Literal["online", "averaged"] = "online"
    """Which network of the run the weights are of."""
    is_ensemble: bool = False
    """Whether there are several networks, with MEMBERS_FILE."""


@dataclass(frozen=True)
class ModelManifest:
    """What makes a folder a version."""

    content_id: str
    """SHA-256 of the names and hashes of CONTENT_FILES: the same for the same policy."""
    files: Mapping[str, FileEntry]
    sha256: str
    """Of the manifest's own bytes."""


def content_id(files: Iterable[FileEntry]) -> str:
    """Return what names the content of a version by: SHA-256, in hexadecimal."""
    lines = [f"{entry.name} {entry.sha256}\n" for entry in sorted(files) if entry.name in CONTENT_FILES]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def parse_manifest(data: bytes, where: str) -> ModelManifest:
    """Return what a manifest says; CheckpointError that names ``where`` unless it is whole and one of a version."""
    try:
        check_manifest(data)
        found = parse_json(data, where)
        require(isinstance(found, dict) and found.get("format_version") == FORMAT_VERSION, "format_version: is not 1")
        files = {entry.name: entry for entry in manifest_entries(found)}
        own = sorted({*files} - {MEMBERS_FILE})
        require(own == sorted(MODEL_FILES), f"files: are not {', '.join(sorted(MODEL_FILES))}")
        for entry in files.values():
            require(not leads_outside(entry.name), f"files: {entry.name!r} leads outside")
            most = MAX_WEIGHTS_BYTES if entry.name == WEIGHTS_FILE else MAX_DOCUMENT_BYTES
            require(0 <= entry.num_bytes <= most, f"{entry.name}: {entry.num_bytes} bytes are too many")
        require(found.get("content_id") == content_id(files.values()), "content_id: is not that of the files")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{where}: is damaged ({error}); {_ADVICE}") from None
    return ModelManifest(content_id(files.values()), files, hashlib.sha256(data).hexdigest())


def read_manifest(location: str) -> ModelManifest:
    """Return the manifest of the version at ``location``, a path or a URI; the files are not looked at.

    Raises:
        FileNotFoundError: When there is no version.
        CheckpointError: When it is damaged.
    """
    place = join(location, MANIFEST)
    try:
        return parse_manifest(read_stored(place, _MAX_MANIFEST_BYTES), place.partition("?")[0])
    except PlainFileError as error:
        raise CheckpointError(f"{error}; {_ADVICE}") from None


def check_model(location: str) -> ModelManifest:
    """Hold all files of the version at ``location`` against their hashes; CheckpointError that names what differs."""
    try:
        manifest = read_manifest(location)
        check(location, dict(manifest.files))
    except FileNotFoundError as error:
        raise CheckpointError(f"{error.filename or location}: is missing; {_ADVICE}") from None
    except (DamagedError, PlainFileError) as error:
        raise CheckpointError(f"{error}; {_ADVICE}") from None
    return manifest


def is_stored_model(location: str) -> bool:
    """Whether a version lies at the URI ``location``; OSError when that cannot be told."""
    return exists(join(location, WEIGHTS_FILE)) and exists(join(location, MANIFEST))


def bring_model(location: str, folder: Path) -> RunDirectory:
    """Copy the version at a URI into ``folder``, which is made.

    Raises:
        CheckpointError: When it is not whole.
        OSError: When the storage does not answer.
    """
    try:
        place = join(location, MANIFEST)
        data = read_stored(place, _MAX_MANIFEST_BYTES)
        for entry in parse_manifest(data, place.partition("?")[0]).files.values():
            fetch(join(location, entry.name), folder / entry.name, entry)
        fetch(place, folder / MANIFEST, FileEntry(MANIFEST, len(data), hashlib.sha256(data).hexdigest()))
    except (DamagedError, FileNotFoundError, PlainFileError) as error:
        raise CheckpointError(f"{error}; {_ADVICE}") from None
    return RunDirectory(folder)


def open_model(path: Path) -> ModelCheckpoint:
    """Return the version in ``path`` after all its files were held against their hashes and vetted.

    Raises:
        CheckpointError: Naming what is missing, damaged or not ours.
    """
    try:
        check_folder(path)
        check_entries(path, (*MODEL_FILES, MEMBERS_FILE, MANIFEST), ())
        manifest = check_model(str(path))
        vet_names(path, (*manifest.files, MANIFEST))
        vet_files(path, sorted(manifest.files))
        provenance = parse_json(read_bytes(path / PROVENANCE_FILE), str(path / PROVENANCE_FILE))
    except (OSError, UntrustedError) as error:
        raise CheckpointError(f"{error}; {_ADVICE}") from None
    try:
        check_provenance(provenance)
        require(provenance["content_id"] == manifest.content_id, "content_id: is that of another version")
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path / PROVENANCE_FILE}: {error}; {_ADVICE}") from None
    counters = Counters(provenance["env_steps"], provenance["learner_steps"], provenance["train_s"])
    return ModelCheckpoint(
        path,
        counters,
        provenance["created_s"],
        policy_version=provenance["policy_version"],
        network=provenance["network"],
        is_ensemble=MEMBERS_FILE in manifest.files,
    )


def read_weights(model: ModelCheckpoint) -> dict[str, np.ndarray]:
    """Return name -> parameter of a version that was opened, by name; ValueError, or SafetensorError, when they are
    none.
    """
    return dict(sorted(load(read_bytes(model.path / WEIGHTS_FILE, MAX_WEIGHTS_BYTES)).items()))


def read_members(path: Path) -> tuple[How, list[dict[str, Any]]]:
    """Return how the members of a version act as one, and of each its name, config and facts; RangeError, or a
    PlainFileError, when that is not so.
    """
    found = parse_json(read_bytes(path / MEMBERS_FILE), str(path / MEMBERS_FILE))
    with within(f"{MEMBERS_FILE}: "):
        require(isinstance(found, dict) and set(found) == {"how", "members"}, "has not the keys how and members")
        require(found["how"] in HOWS, f"how: is none of {', '.join(HOWS)}")
        members = found["members"]
        require(isinstance(members, list) and 2 <= len(members) <= MAX_MEMBERS, f"members: are not 2 to {MAX_MEMBERS}")
        for item in members:
            require(isinstance(item, dict) and set(item) == {"name", "config", "facts"}, "members: are none")
            require(isinstance(item["name"], str) and len(item["name"]) <= MAX_TEXT, "members: name: is no text")
            require(isinstance(item["config"], dict), "members: config: is no mapping")
            check_facts(item["facts"])
    return found["how"], members


def check_facts(found: Any) -> None:
    """RangeError unless ``found`` says where a member is from."""
    require(isinstance(found, dict) and set(found) == {*_FACTS, "run", "checkpoint"}, "facts: are none of a member")
    for key in _FACTS:
        _NUMBERS[key].check(f"facts.{key}", found[key])
    for key in ("run", "checkpoint"):
        require(isinstance(found[key], str) and len(found[key]) <= MAX_TEXT, f"facts.{key}: is no text")


_FACTS = ("env_steps", "learner_steps", "train_s", "policy_version", "seed")
_NUMBERS = {
    "env_steps": count(high=10**12 - 1),
    "learner_steps": count(),
    "train_s": real(low=0.0, high=float(MAX_COUNT)),
    "policy_version": count(low=1, high=MAX_VERSION),
    "created_s": real(low=0.0, high=1e12),
    "seed": count(),
    "number": count(low=1, high=10**9),
}
_TEXTS = ("name", "run", "run_path", "checkpoint", "which", "created", "created_by", "content_id", "env_id", "reason")
_OTHERS = ("format_version", "network", "git_revision", "project", "versions")


def check_provenance(found: Any) -> None:
    """RangeError unless ``found`` is the provenance of a version: just its keys, each number in its range."""
    require(isinstance(found, dict) and found.get("format_version") == FORMAT_VERSION, "format_version: is not 1")
    known = {*_NUMBERS, *_TEXTS, *_OTHERS}
    require(set(found) == known, f"has not the keys {', '.join(sorted(known))}")
    for key, numbers in _NUMBERS.items():
        numbers.check(key, found[key])
    for key in (*_TEXTS, *(["git_revision"] if found["git_revision"] is not None else [])):
        require(isinstance(found[key], str) and len(found[key]) <= MAX_TEXT, f"{key}: is no text")
    require(found["network"] in ("online", "averaged"), "network: is neither online nor averaged")
    require(isinstance(found["versions"], dict), "versions: is no mapping")
    require(found["project"] is None or isinstance(found["project"], dict), "project: is no mapping")
