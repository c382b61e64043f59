"""The versions of a model: found, read, held against their hashes, written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, check_run_config
from robonav_ray.config.yaml_document import read_yaml
from robonav_ray.files.manifest import MANIFEST, FileEntry, manifest_bytes
from robonav_ray.files.place_lock import Hold, write_whole
from robonav_ray.files.plain_files import PlainFileError
from robonav_ray.files.storage import exists, inside, join, list_folder, read_bytes, remove
from robonav_ray.registry.contents import Content
from robonav_ray.registry.names import RegistryError, location_word, version_number
from robonav_ray.runs.checkpoint import CheckpointError
from robonav_ray.runs.run_directory import VERSIONS, WEIGHTS_FILE
from robonav_ray.runs.stored_models import (
    CONFIG_FILE,
    EVALUATION_FILE,
    FORMAT_VERSION,
    PROVENANCE_FILE,
    check_model,
    check_provenance,
    read_manifest,
)
from robonav_ray.runs.vetting import UntrustedError, parse_json


@dataclass(frozen=True)
class Version:
    """A version of a model, as its small files have it; the weights are read by ``located(version.location)``."""

    name: str
    number: int
    location: str
    """Its folder, or the URI of it."""
    content_id: str
    """The same for the same config and weights, however it is called and wherever it lies."""
    manifest_sha256: str
    provenance: Mapping[str, Any]
    """See stored_models.py: run, checkpoint, env_steps, seed, git_revision, versions, created, created_by, ..."""
    evaluation: Mapping[str, Any]
    """``judgement``: of its checkpoint while the run trained; ``report``: of ``robonav evaluate``; None where there is
    none."""
    files: Mapping[str, FileEntry]

    @property
    def ref(self) -> str:
        """``NAME@3``, as every verb takes it."""
        return f"{self.name}@{self.number}"

    @property
    def shown(self) -> str:
        """Where it lies, as people are shown it."""
        return location_word(self.location)

    @cached_property
    def config(self) -> RunConfig:
        """The config that it was trained with; RegistryError when it is none any more."""
        source = f"{self.ref}: {CONFIG_FILE}"
        try:
            return check_run_config(read_yaml(read_file(self, CONFIG_FILE).decode(), source), source)
        except (ConfigError, UnicodeDecodeError) as error:
            raise RegistryError(f"{source}: {error}") from None

    def read_weights(self) -> bytes:
        """Return ``weights.safetensors``; RegistryError when it is not as it was added."""
        return read_file(self, WEIGHTS_FILE)

    def check(self) -> None:
        """Hold all files against their hashes; RegistryError that names the version and the file."""
        try:
            check_model(self.location)
        except CheckpointError as error:
            raise RegistryError(f"{self.ref}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the version as JSON takes it."""
        return {
            "name": self.name,
            "number": self.number,
            "ref": self.ref,
            "location": self.location,
            "content_id": self.content_id,
            "provenance": dict(self.provenance),
            "evaluation": dict(self.evaluation),
            "files": {name: {"bytes": e.num_bytes, "sha256": e.sha256} for name, e in sorted(self.files.items())},
        }


def read_file(version: Version, name: str) -> bytes:
    """Return a file of a version; RegistryError when it is not as it was added."""
    entry = version.files[name]
    place = inside(version.location, name)
    try:
        data = read_bytes(place, entry.num_bytes)
    except (FileNotFoundError, PlainFileError) as error:
        raise RegistryError(f"{version.ref}: {error}") from None
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise RegistryError(f"{version.ref}: {place.partition('?')[0]} does not match its hash in {MANIFEST} (damaged)")
    return data


def version_numbers(location: str) -> list[int]:
    """Return the numbers of the whole versions of the model at ``location``, in order."""
    inside(location, f"{VERSIONS}/number")  # no link may stand in its place
    folder = join(location, VERSIONS)
    found = [version_number(name) for name, is_folder, _ in list_folder(folder) if is_folder]
    return sorted(number for number in found if number and exists(join(folder, str(number), MANIFEST)))


def open_version(location: str, name: str, number: int) -> Version:
    """Return a version of the model ``name`` at ``location``: its small files are vetted, its weights not looked at.

    Raises:
        RegistryError: When it is damaged or missing.
    """
    place, ref = join(location, VERSIONS, str(number)), f"{name}@{number}"
    try:
        inside(location, f"{VERSIONS}/{number}/{MANIFEST}")
        manifest = read_manifest(place)
    except (FileNotFoundError, PlainFileError, CheckpointError) as error:
        raise RegistryError(f"{ref}: {error}") from None
    version = Version(name, number, place, manifest.content_id, manifest.sha256, {}, {}, manifest.files)
    provenance, evaluation = (_read_json(version, file) for file in (PROVENANCE_FILE, EVALUATION_FILE))
    _check_provenance(provenance, ref)
    if not isinstance(evaluation, dict) or not all(
        key in ("judgement", "report") and (value is None or isinstance(value, dict))
        for key, value in evaluation.items()
    ):
        raise RegistryError(f"{ref}: {EVALUATION_FILE}: is no evaluation of ours")
    return replace(version, provenance=provenance, evaluation=evaluation)


def write_version(location: str, name: str, number: int, content: Content, hold: Hold) -> Version:
    """Write a version, its manifest last, in place of what a writer that was killed has left there; the model is held.

    Raises:
        RegistryError: When what it holds could not be read again; nothing is written then.
        OSError: When that fails; there is no such version then.
    """
    files = content.files(name, number)
    _check_provenance(parse_json(files[PROVENANCE_FILE], PROVENANCE_FILE), f"{name}@{number}")
    remove(join(location, VERSIONS, str(number)), folder=True)
    entries = [FileEntry(file, len(data), hashlib.sha256(data).hexdigest()) for file, data in files.items()]
    for file, data in files.items():
        write_whole(inside(location, f"{VERSIONS}/{number}/{file}"), data)
    head = {"format_version": FORMAT_VERSION, "content_id": content.content_id}
    hold.check()
    write_whole(inside(location, f"{VERSIONS}/{number}/{MANIFEST}"), manifest_bytes(head, entries, {}))
    return open_version(location, name, number)


def _check_provenance(provenance: Any, ref: str) -> None:
    try:
        check_provenance(provenance)
    except (ValueError, TypeError) as error:
        raise RegistryError(f"{ref}: {PROVENANCE_FILE}: {error}") from None


def _read_json(version: Version, file: str) -> Any:
    try:
        return parse_json(read_file(version, file), file)
    except UntrustedError as error:
        raise RegistryError(f"{version.ref}: {error}") from None
