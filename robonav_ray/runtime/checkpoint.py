"""Committed checkpoints: directories with a manifest of hashes, written aside, renamed, never half there.

``RUN/checkpoints/env-000001234567/`` holds ``learner/`` (safetensors + JSON), ``replay/`` (npy + JSON), ``curriculum.json``,
``counters.json``, in the one-process wiring also ``rollout/``, and ``manifest.json``, which is written last and names every other file
with its size and SHA-256. A directory without a manifest is not a checkpoint. Nothing here is a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.errors import UserError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_ASIDE = ".aside-"


class CheckpointError(UserError):
    """A checkpoint is missing or damaged; the message names the file and what to do."""


@dataclass(frozen=True)
class Counters:
    """How far a run has come."""

    env_steps: int = 0
    learner_steps: int = 0
    train_seconds: float = 0.0
    incarnation: int = 0
    """Lives of the run so far; every life gives its workers and shards fresh identities."""


@dataclass(frozen=True)
class Checkpoint:
    """A committed checkpoint."""

    path: Path
    counters: Counters
    created: float
    """Seconds since the epoch."""

    @property
    def learner(self) -> Path:
        """Directory of nets and optimiser."""
        return self.path / "learner"

    @property
    def replay(self) -> Path:
        """Directory of the shards' rows; absent when ``checkpoint.replay`` was off."""
        return self.path / "replay"

    @property
    def rollout(self) -> Path:
        """Directory of the worlds (one-process wiring only)."""
        return self.path / "rollout"

    def read_json(self, name: str) -> Any:
        """Return the JSON document ``name``."""
        return json.loads((self.path / name).read_text(encoding="utf-8"))


class CheckpointWriter:
    """Writes one checkpoint aside; ``commit`` makes it real, ``discard`` forgets it."""

    def __init__(self, folder: Path, counters: Counters) -> None:
        """Make the directory aside. ``folder`` is ``RUN/checkpoints``."""
        self._folder = folder
        self.counters = counters
        """Written by ``commit``; may be replaced until then."""
        self.final = folder / f"env-{counters.env_steps:012d}"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{_ASIDE}{counters.env_steps:012d}-{os.getpid()}-{time.time_ns()}"
        self.path.mkdir()

    def write_json(self, name: str, data: Any) -> None:
        """Write one JSON document."""
        (self.path / name).write_text(json.dumps(data, indent=1), encoding="utf-8")

    def commit(self) -> Checkpoint:
        """Hash every file, write the manifest, flush to disk and rename; returns the checkpoint."""
        self.write_json("counters.json", vars(self.counters))
        files = sorted(p for p in self.path.rglob("*") if p.is_file())
        created = time.time()
        manifest = {
            "format_version": FORMAT_VERSION,
            "created": created,
            "files": {
                p.relative_to(self.path).as_posix(): {"bytes": p.stat().st_size, "sha256": _sha256(p, sync=True)} for p in files
            },
        }
        manifest_path = self.path / MANIFEST
        manifest_path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _sync(manifest_path)
        for directory in {p.parent for p in files} | {self.path}:
            _sync(directory)
        repeat = 0
        while self.final.exists():  # the same env step again, for instance a final save right after a periodic one
            repeat += 1
            self.final = self._folder / f"env-{self.counters.env_steps:012d}-{repeat:04d}"
        self.path.rename(self.final)
        _sync(self._folder)
        return Checkpoint(self.final, self.counters, created)

    def discard(self) -> None:
        """Remove what was written aside."""
        shutil.rmtree(self.path, ignore_errors=True)


def open_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint at ``path`` after checking every file against the manifest.

    Raises:
        CheckpointError: naming the file that is missing or damaged.
    """
    manifest_path = path / MANIFEST
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint directory; `ls {path.parent}` shows those that exist")
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = manifest["files"]
        version, created = int(manifest["format_version"]), float(manifest["created"])
    except FileNotFoundError:
        raise CheckpointError(
            f"{manifest_path}: is missing, so {path.name} was never committed; use another checkpoint"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{manifest_path}: is damaged ({error}); use another checkpoint") from None
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{manifest_path}: format_version {version} is not {FORMAT_VERSION}; use the release that wrote it")
    for name, entry in files.items():
        file = path / name
        if not file.is_file():
            raise CheckpointError(f"{file}: is missing; use another checkpoint")
        if file.stat().st_size != entry["bytes"] or _sha256(file) != entry["sha256"]:
            raise CheckpointError(f"{file}: does not match its hash in {MANIFEST} (damaged); use another checkpoint")
    counters = Counters(**json.loads((path / "counters.json").read_text(encoding="utf-8")))
    return Checkpoint(path, counters, created)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the committed checkpoints under ``RUN/checkpoints``, oldest first, without opening them."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.name.startswith("env-") and (p / MANIFEST).is_file())


def newest_good_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint that is whole (None when there is none) and a message for each damaged one passed over."""
    damaged: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            return open_checkpoint(path), damaged
        except CheckpointError as error:
            damaged.append(str(error))
    return None, damaged


def set_newer_aside(folder: Path, checkpoint: Path) -> list[Path]:
    """Rename the checkpoints after ``checkpoint``, which a resume from it leaves behind, so that they stop counting; returns them."""
    newer = [path for path in list_checkpoints(folder) if path.name > checkpoint.name]
    return [path.rename(folder / f"superseded-{path.name}-{time.time_ns()}") for path in newer]


def prune_checkpoints(folder: Path, keep: int) -> list[Path]:
    """Remove all but the ``keep`` newest checkpoints, and what crashed writers left aside; returns what was removed."""
    aside = [p for p in folder.iterdir() if p.name.startswith(_ASIDE)] if folder.is_dir() else []
    removed = list_checkpoints(folder)[:-keep] + aside
    for path in removed:
        (path / MANIFEST).unlink(missing_ok=True)  # first it stops being a checkpoint, then it goes
        shutil.rmtree(path)
    return removed


def _sha256(path: Path, sync: bool = False) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        if sync:
            os.fsync(file.fileno())
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
