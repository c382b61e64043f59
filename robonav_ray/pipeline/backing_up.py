"""A folder's backup in another folder or a bucket, and the folder back from it.

::

    FOLDER/a/b.json ...  --only what is not there yet-->  URI/objects/ab/abcdef...   each by its SHA-256
                                                          URI/backup.json            names, sizes, hashes; written last
    FOLDER  <--each file held against its hash--          URI

An object is never changed, and the list is replaced whole: a backup that is killed leaves the one before as it was.
What a folder comes from may be a stranger's: a name that leads elsewhere is refused before anything is written.
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.files import plain_files, storage
from robonav_ray.files.locations import arrow_told, as_folder
from robonav_ray.files.manifest import FileEntry, manifest_bytes
from robonav_ray.files.plain_files import PlainFileError, sentence
from robonav_ray.files.storage import DamagedError, check, join, list_folder, open_folder, probe, remove, write_bytes
from robonav_ray.pipeline.backup_list import (
    FORMAT_VERSION,
    KIND,
    LIST,
    MOST_FILES,
    OBJECTS,
    SHA256,
    BackupError,
    BackupFailedError,
    BackupList,
    failing,
    object_name,
    odd_name,
    place_of,
    read_list,
    shown_place,
)
from robonav_ray.pipeline.restoring import RestoreReport, restore
from robonav_ray.text import bytes_text, path_word

__all__ = ["BackupError", "BackupFailedError", "BackupReport", "RestoreReport", "back_up", "restore"]
logger = logging.getLogger(__name__)
MARK = ".robonav-backup"
"""A file of the folder with the id that its backup has too."""
PROBE = ".robonav-probe-"
_BLOCK, _TRIES = 1 << 22, 3


@dataclass(frozen=True)
class BackupReport:
    """What was done."""

    location: str
    """Of the backup, without what is secret in it."""
    num_files: int
    num_bytes: int
    """Of all files."""
    num_sent: int
    """Files whose content was not there before."""
    bytes_sent: int

    def text(self) -> str:
        """Return it in a sentence."""
        return (
            f"backed up to {self.location}: {self.num_files:,} files ({bytes_text(self.num_bytes)}), of which "
            f"{self.num_sent:,} were sent ({bytes_text(self.bytes_sent)})"
        )


def back_up(folder: Path, uri: str, exclude: Sequence[str] = ()) -> BackupReport:
    """Copy what has changed in ``folder`` to ``uri``, a folder or a bucket; links are left out, and so is what matches
    ``exclude``.

    What is sent is read again and held against its hash; the list of the backup is replaced when all of it is there.

    Raises:
        BackupError: When the folder or the place cannot be that of a backup, or holds that of another folder.
        BackupFailedError: When the storage fails, or a disk is full; the backup before is as it was.
    """
    place = place_of(uri)
    _refuse_inside(folder, place)
    with failing(f"back up {path_word(folder)}", place, "the backup before is as it was; mend that, and go on"):
        if as_folder(place) is None:
            probe(place)
        known = read_list(place)
        mark = _marked(folder, known, place)
        names = [name for name in plain_files.list_plain(folder, MOST_FILES) if _is_kept(name, exclude)]
        for name in names:
            if (why := odd_name(name)) is not None:
                raise BackupError(f"{path_word(folder)}: the file {name[:80]!r} {why}; rename it, or leave it out")
        sizes = _objects(place)
        entries, sent = list[FileEntry](), list[FileEntry]()
        for name in names:
            found = _sent(folder, name, place, sizes)
            if found is None:  # removed meanwhile
                continue
            entry, is_new = found
            entries.append(entry)
            sent += [entry] if is_new else []
        head = {"kind": KIND, "format_version": FORMAT_VERSION, "id": mark, "name": folder.absolute().name}
        write_bytes(join(place, LIST), manifest_bytes(head, entries, {}))
        _remove_others(place, sizes, {entry.sha256 for entry in entries})
    return BackupReport(
        shown_place(place),
        len(entries),
        sum(entry.num_bytes for entry in entries),
        len(sent),
        sum(entry.num_bytes for entry in sent),
    )


def _marked(folder: Path, known: BackupList | None, place: str) -> str:
    """Return the id of a folder, which it is given where it has none; BackupError where the backup is another's."""
    try:
        mark = plain_files.read_text(folder / MARK, 100).strip()
    except FileNotFoundError:
        mark = ""
    if known is not None and known.id != mark:
        raise BackupError(
            f"{shown_place(place)}: holds the backup of another folder ({known.name[:80]!r}), which is never "
            "replaced: name another place, or bring that folder back with `robonav pipeline restore`"
        )
    if known is None and (others := _others_at(place)):
        raise BackupError(f"{shown_place(place)}: holds {others[0][:80]!r} already; name a place for this backup alone")
    if not mark:
        mark = uuid.uuid4().hex
        plain_files.replace(folder / MARK, mark + "\n")
    return mark


def _others_at(place: str) -> list[str]:
    found = [name for name, _, _ in list_folder(place)]
    return [name for name in found if name not in (OBJECTS, LIST) and not name.startswith((f".{LIST[:-5]}.", PROBE))]


def _is_kept(name: str, exclude: Sequence[str]) -> bool:
    return name == MARK or not any(fnmatch.fnmatchcase(name, pattern) for pattern in exclude)


def _objects(place: str) -> dict[str, int]:
    """Return SHA-256 -> bytes of the files that a backup holds."""
    from pyarrow import fs

    location = join(place, OBJECTS)
    files, path = storage.resolve(location)
    with arrow_told(location):
        found = files.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
    return {info.base_name: info.size for info in found if info.is_file and SHA256.fullmatch(info.base_name)}


def _sent(folder: Path, name: str, place: str, sizes: dict[str, int]) -> tuple[FileEntry, bool] | None:
    """Have a backup hold a file; return its entry, and whether it was sent. None where the file is gone.

    Of a file that grows, as a log does, what stood in it at the beginning is taken.
    """
    path = folder / name
    try:
        for _ in range(_TRIES):
            plain_files.check_way(folder, name)
            entry = FileEntry(name, *_read(path, None, lambda block: None))
            if sizes.get(entry.sha256) == entry.num_bytes:
                return entry, False
            if _copied(path, entry, place):
                sizes[entry.sha256] = entry.num_bytes
                return entry, True
    except FileNotFoundError as error:
        if error.filename in (None, str(path)) and not path.exists():
            return None
        raise
    except DamagedError:
        raise OSError(f"{name}: is read back otherwise than it was written") from None
    except PlainFileError:
        raise
    except OSError as error:
        raise OSError(error.errno or 0, f"{name}: {sentence(error)}") from error
    raise OSError(f"{name}: is written to by another process while it is copied")


def _copied(path: Path, entry: FileEntry, place: str) -> bool:
    """Copy what was hashed, and read it again; False, and nothing is left, where the file has changed meanwhile."""
    name, here = object_name(entry.sha256), as_folder(place)
    try:
        if here is not None:
            plain_files.check_way(here, name)
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            with plain_files.replacing(here / name) as file:
                found = _read(path, entry.num_bytes, file.write)
                if found != entry[1:]:
                    raise _ChangedError
                file.flush()
                os.fsync(file.fileno())
        else:
            with open_folder(place).create(name) as stream:
                if _read(path, entry.num_bytes, stream.write) != entry[1:]:
                    raise _ChangedError
        check(place, {name: entry._replace(name=name)})
    except (_ChangedError, OSError) as error:
        with suppress(OSError):
            remove(join(place, *name.split("/")), folder=False)
        if isinstance(error, _ChangedError):
            return False
        raise
    return True


class _ChangedError(Exception):
    """A file is not what was hashed any more."""


def _read(path: Path, num_bytes: int | None, take: Callable[[bytes], object]) -> tuple[int, str]:
    """Hand the first bytes of a file to ``take``, all that stands in it now by default; return their number and
    hash.
    """
    digest, count = hashlib.sha256(), 0
    with plain_files.open_reading(path) as file:
        left = os.fstat(file.fileno()).st_size if num_bytes is None else num_bytes
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            take(block)
            count, left = count + len(block), left - len(block)
    return count, digest.hexdigest()


def _remove_others(place: str, sizes: Iterable[str], kept: set[str]) -> None:
    """Remove what the list does not name any more."""
    for sha256 in sorted(set(sizes) - kept):
        try:
            remove(join(place, *object_name(sha256).split("/")), folder=False)
        except OSError as error:
            logger.warning("%s: cannot be tidied up (%s); it takes more room than it needs", shown_place(place), error)
            return


def _refuse_inside(folder: Path, place: str) -> None:
    if not folder.is_dir():
        raise BackupError(f"{path_word(folder)}: is no folder, so there is nothing to back up")
    there = as_folder(place)
    if there is None:
        return
    ours, theirs = folder.resolve(), there.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise BackupError(
            f"{shown_place(place)}: one of it and {path_word(folder)} lies in the other; name a place beside it"
        )
