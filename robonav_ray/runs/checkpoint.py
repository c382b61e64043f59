"""Committed checkpoints: directories with a manifest of hashes, written aside, renamed, never half there.

``RUN/checkpoints/env-000001234567/`` holds ``learner/`` (safetensors + JSON), ``replay/`` (npy + JSON),
``curriculum.json``, ``counters.json``, in the one-process wiring also ``rollout/``, and ``manifest.json``, which is
written last and names every other file with its size and SHA-256, and itself with a hash of its own. A directory
without a manifest is not a checkpoint. Nothing here is a pickle.

With ``checkpoint.storage`` the same checkpoint lies there too, under the same name: learner and shards write their
parts straight to it, and its manifest, written last, commits it. The directory of this machine then holds all but the
rows, and its own manifest says where those are.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.errors import UserError
from robonav_ray.files import plain_files
from robonav_ray.files.locations import as_folder, check_location, name_of
from robonav_ray.files.manifest import MANIFEST, FileEntry, check_manifest, manifest_bytes, manifest_entries
from robonav_ray.files.plain_files import PlainFileError, check_folder, flush_folder, is_plain, open_reading
from robonav_ray.files.storage import (
    DamagedError,
    check,
    fetch,
    inside,
    join,
    open_folder,
    read_bytes,
    write_bytes,
    write_file,
)
from robonav_ray.ranges import MAX_COUNT, MAX_VERSION, check_numbers, count, real
from robonav_ray.runs.vetting import UntrustedError, parse_json, read_json, vet_files, vet_names

FORMAT_VERSION = 2
ASIDE = ".aside-"
"""Begins the name of what is being written or removed."""
SUPERSEDED = "superseded-"
"""Begins the name of a checkpoint that a resume has left behind."""


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


_COUNTERS = {
    "env_steps": count(high=10**12 - 1),  # the digits that a checkpoint's name has
    "learner_steps": count(),
    "train_seconds": real(low=0.0, high=float(MAX_COUNT)),
    "incarnation": count(high=MAX_VERSION),
}


@dataclass(frozen=True)
class Checkpoint:
    """A committed checkpoint."""

    path: Path
    counters: Counters
    created: float
    """Seconds since the epoch."""
    stored_at: str | None = None
    """Where it lies in ``checkpoint.storage``; None when it is on this machine alone."""
    stored_rows: bool = False
    """Whether the rows of the replay lie there, and not here."""

    @property
    def location(self) -> str:
        """Where every node that may hold a part of the run finds the checkpoint: a path or a URI."""
        return self.stored_at or str(self.path)

    @property
    def rows(self) -> str | None:
        """Where every node finds the shards' rows; None when ``checkpoint.replay`` was off."""
        if self.stored_at is not None and self.stored_rows:
            return join(self.stored_at, "replay")
        return str(self.replay) if self.replay.is_dir() else None

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
        """Return the JSON document ``name``; CheckpointError when there is none that can be read."""
        try:
            return read_json(self.path / name)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path / name}: cannot be read ({error}); use another checkpoint") from None


class CheckpointWriter:
    """Writes one checkpoint aside; ``commit`` makes it real, ``discard`` forgets it."""

    def __init__(self, folder: Path, counters: Counters, storage: str | None = None, name: str | None = None) -> None:
        """Make the directory aside. ``folder`` is ``RUN/checkpoints``, ``storage`` where the run's checkpoints lie
        besides, ``name`` another one than that of a checkpoint to go on from.
        """
        self._folder = folder
        self.counters = counters
        """Written by ``commit``; may be replaced until then."""
        # Never the same name twice where others may still be writing: in a bucket nothing is renamed.
        unique = "" if storage is None else f"-{time.time_ns():x}"
        self.final = folder / (name or f"env-{counters.env_steps:012d}{unique}")
        self.stored_at = None if storage is None else join(storage, self.final.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{ASIDE}{name or f'{counters.env_steps:012d}'}-{os.getpid()}-{time.time_ns()}"
        self.path.mkdir()
        self._entries: dict[str, FileEntry] = {}

    def part(self, name: str) -> str:
        """Return where a part of the run, on any node, writes its files."""
        return str(self.path / name) if self.stored_at is None else join(self.stored_at, name)

    def write_json(self, name: str, data: Any) -> None:
        """Write one JSON document."""
        self.add([write_file(open_folder(str(self.path)), name, json.dumps(data, indent=1).encode())])

    def add(self, entries: Iterable[FileEntry]) -> None:
        """Take over the entries, as seen from ``path``, of files that another process has written, hashed and flushed
        to the disk.
        """
        self._entries |= {entry.name: entry for entry in entries}

    def commit(self) -> Checkpoint:
        """Write the manifest, flush to disk and rename; returns the checkpoint. Files without a hash are hashed now.

        Raises:
            OSError: Also when a file that another process has written cannot be seen from here.
        """
        self.write_json("counters.json", vars(self.counters))
        files = {p.relative_to(self.path).as_posix(): p for p in sorted(self.path.rglob("*")) if p.is_file()}
        self.add(
            FileEntry(name, p.stat().st_size, _sha256(p, sync=True))
            for name, p in files.items()
            if name not in self._entries
        )
        rows = set[str]() if self.stored_at is None else self._store(self.stored_at, files)
        files = {p.relative_to(self.path).as_posix(): p for p in sorted(self.path.rglob("*")) if p.is_file()}
        for entry in (e for e in self._entries.values() if e.name not in rows):
            if entry.name not in files or files[entry.name].stat().st_size != entry.num_bytes:
                raise OSError(
                    f"{self.path / entry.name}: what another process wrote is not visible from the driver; output_dir "
                    "must be on storage that all nodes share"
                )
        created = time.time()
        here = [e for e in self._entries.values() if e.name not in rows]
        if self.stored_at is not None:
            write_bytes(join(self.stored_at, MANIFEST), _manifest_bytes(created, self._entries.values()))
        write_file(open_folder(str(self.path)), MANIFEST, _manifest_bytes(created, here, self.stored_at, bool(rows)))
        for directory in {p.parent for p in files.values()} | {self.path}:
            flush_folder(directory)
        repeat, wanted = 0, self.final.name
        while self.final.exists():  # the same env step again, for instance a final save right after a periodic one
            repeat += 1
            self.final = self._folder / f"{wanted}-{repeat:04d}"
        self.path.rename(self.final)
        flush_folder(self._folder)
        return Checkpoint(self.final, self.counters, created, self.stored_at, bool(rows))

    def _store(self, stored_at: str, files: dict[str, Path]) -> set[str]:
        """Bring what others have stored here, all but rows, and store what is here; return the names of the rows."""
        stored = {name: entry for name, entry in self._entries.items() if name not in files}
        rows = {name for name in stored if name.startswith("replay/")}
        for name in stored.keys() - rows:
            fetch(inside(stored_at, name), self.path / name, stored[name])
        folder = open_folder(stored_at)
        for name, path in files.items():
            with folder.create(name) as copy, open_reading(path) as file:
                while block := file.read(1 << 22):
                    copy.write(block)
            if copy.entry != self._entries[name]:
                raise OSError(f"{path}: has changed since it was hashed")
        return rows

    def discard(self) -> None:
        """Remove what was written aside."""
        shutil.rmtree(self.path, ignore_errors=True)


def open_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint at ``path`` after checking every file against the manifest, and the manifest against
    itself.

    Raises:
        CheckpointError: naming the file that is missing or damaged.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint directory; `ls {path.parent}` shows those that exist")
    try:
        check_folder(path)
        data = plain_files.read_bytes(path / MANIFEST)
    except PlainFileError as error:
        raise CheckpointError(f"{error}; use another checkpoint") from None
    except FileNotFoundError:
        raise CheckpointError(
            f"{path / MANIFEST}: is missing, so {path.name} was never committed; use another checkpoint"
        ) from None
    created, files, stored_at, stored_rows = _read_manifest(data, str(path / MANIFEST))
    names = [entry.name for entry in files]
    try:
        vet_names(path, [*names, MANIFEST])
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            for message in pool.map(lambda entry: _damage(path / entry.name, entry), files):
                if message is not None:
                    raise CheckpointError(message)
        vet_files(path, names)
        counters = _counters(path / "counters.json")
    except (OSError, UntrustedError) as error:
        raise CheckpointError(f"{error}; use another checkpoint") from None
    return Checkpoint(path, counters, created, stored_at, stored_rows)


def fetch_checkpoint(stored_at: str, folder: Path) -> Checkpoint:
    """Bring the checkpoint at ``stored_at``, all but its rows, into ``folder`` (``RUN/checkpoints``) and return it.

    Raises:
        CheckpointError: When it is not whole.
        OSError: When the storage does not answer.
    """
    place = join(stored_at, MANIFEST).partition("?")[0]
    try:
        if (local := as_folder(stored_at)) is not None:
            check_folder(local)
        data = read_bytes(join(stored_at, MANIFEST))
    except PlainFileError as error:
        raise CheckpointError(f"{error}; use another checkpoint") from None
    except FileNotFoundError:
        raise CheckpointError(f"{place}: is missing, so it was never committed; use another checkpoint") from None
    created, entries, _, _ = _read_manifest(data, place)
    here = [entry for entry in entries if not entry.name.startswith("replay/")]
    aside = folder / f"{ASIDE}fetched-{os.getpid()}-{time.time_ns()}"
    aside.mkdir(parents=True)
    try:
        vet_names(aside, [entry.name for entry in entries])
        places = {entry: inside(stored_at, entry.name) for entry in here}
    except (UntrustedError, PlainFileError) as error:
        raise CheckpointError(f"{place}: {error}; use another checkpoint") from None
    try:
        for entry, source in places.items():
            fetch(source, aside / entry.name, entry)
    except (DamagedError, FileNotFoundError) as error:
        raise CheckpointError(f"{error}; use another checkpoint") from None
    write_file(open_folder(str(aside)), MANIFEST, _manifest_bytes(created, here, stored_at, len(here) < len(entries)))
    final = folder / name_of(stored_at)
    if final.exists():
        final.rename(folder / f"{SUPERSEDED}{final.name}-{time.time_ns()}")
    aside.rename(final)
    return open_checkpoint(final)


def _counters(path: Path) -> Counters:
    """Return how far the checkpoint is; UntrustedError for what no run counts."""
    found = read_json(path)
    try:
        check_numbers("counters", found, _COUNTERS)
    except ValueError as error:
        raise UntrustedError(f"{path}: {error}") from None
    return Counters(**found)


def _manifest_bytes(
    created: float, entries: Iterable[FileEntry], stored_at: str | None = None, stored_rows: bool = False
) -> bytes:
    """Return the manifest of a checkpoint of ours."""
    stored = {} if stored_at is None else {"stored_at": stored_at, "stored_rows": stored_rows}
    return manifest_bytes({"format_version": FORMAT_VERSION, "created": created}, entries, stored)


def _read_manifest(data: bytes, path: str) -> tuple[float, list[FileEntry], str | None, bool]:
    """Return when the checkpoint was made, its files, where it is stored, and whether its rows lie only there.

    CheckpointError that names ``path`` unless the manifest is whole.
    """
    try:
        manifest = parse_json(data, MANIFEST)
        version, created = int(manifest["format_version"]), float(manifest["created"])
        files = manifest_entries(manifest)
        stored_at, stored_rows = manifest.get("stored_at"), manifest.get("stored_rows") is True
        if stored_at is not None:
            check_location(stored_at)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); use another checkpoint") from None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format_version {version} is not {FORMAT_VERSION}; use the release that wrote it"
        )
    try:
        check_manifest(data)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; use another checkpoint") from None
    return created, files, stored_at, stored_rows


def _damage(file: Path, entry: FileEntry) -> str | None:
    """Return what is wrong with ``file``, None when it is as its entry says."""
    if not is_plain(file):
        return f"{file}: is missing, or no plain file; use another checkpoint"
    if file.stat().st_size != entry.num_bytes or _sha256(file) != entry.sha256:
        return f"{file}: does not match its hash in {MANIFEST} (damaged); use another checkpoint"
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the committed checkpoints under ``RUN/checkpoints``, oldest first, without opening them."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folders_in(folder) if p.name.startswith("env-") and os.path.lexists(p / MANIFEST))


def newest_good_checkpoint(folder: Path, *, with_rows: bool = False) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint that is whole (None when there is none) and a message for each damaged one passed
    over.

    Rows that lie in a storage are read and held against their hashes only ``with_rows``, as who goes on from them wants
    it; OSError then when the storage does not answer.
    """
    damaged: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            checkpoint = open_checkpoint(path)
            if with_rows:
                check_stored_rows(checkpoint)
            return checkpoint, damaged
        except CheckpointError as error:
            damaged.append(str(error))
    return None, damaged


def check_stored_rows(checkpoint: Checkpoint) -> None:
    """Return when the rows that ``checkpoint`` has in a storage are whole; nothing is done for those that lie here.

    Raises:
        CheckpointError: When a file is damaged or missing.
        OSError: When the storage does not answer.
    """
    if checkpoint.stored_at is None or not checkpoint.stored_rows:
        return
    place = join(checkpoint.stored_at, MANIFEST).partition("?")[0]
    try:
        _, entries, _, _ = _read_manifest(read_bytes(join(checkpoint.stored_at, MANIFEST)), place)
        check(checkpoint.stored_at, {entry.name: entry for entry in entries if entry.name.startswith("replay/")})
    except (DamagedError, FileNotFoundError, PlainFileError) as error:
        raise CheckpointError(f"{error}; use another checkpoint") from None


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in ``folder``; a link to one is none of ours."""
    return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]


def _sha256(path: Path, sync: bool = False) -> str:
    digest = hashlib.sha256()
    with open_reading(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
        if sync:
            os.fsync(file.fileno())
    return digest.hexdigest()
