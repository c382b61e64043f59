"""The list of a backup: which files it holds, by name, size and hash, and what may stand in it.

It may come from a stranger: all of it is vetted before any of it is used.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from robonav_ray.errors import UserError
from robonav_ray.files import plain_files
from robonav_ray.files.locations import as_folder, check_location, is_uri, with_lost_slash, without_secrets
from robonav_ray.files.manifest import FileEntry, check_manifest, leads_outside, manifest_entries
from robonav_ray.files.plain_files import sentence
from robonav_ray.files.storage import join, read_bytes
from robonav_ray.text import path_word

LIST, OBJECTS = "backup.json", "objects"
KIND, FORMAT_VERSION = "robonav backup", 1
MOST_FILES = 200_000
SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_NAME = 255


class BackupError(UserError):
    """There can be no backup, or none is there; the message says what to do."""


class BackupFailedError(OSError):
    """A storage or a disk failed; the backup before, and all that was made, are as they were. The same command goes on.

    The message names what was being done, the file, and the remedy.
    """


@dataclass(frozen=True)
class BackupList:
    """A backup's list."""

    id: str
    name: str
    """Of the folder that was backed up."""
    entries: tuple[FileEntry, ...]
    sha256: str
    """Of the list's own bytes."""


def read_list(place: str) -> BackupList | None:
    """Return the list of the backup at ``place``, None where there is none; BackupError when it is damaged or not
    ours.
    """
    shown = f"{shown_place(place)}/{LIST}"
    try:
        data = read_bytes(join(place, LIST))
    except FileNotFoundError:
        return None
    try:
        check_manifest(data)
        document = json.loads(data)
        if document.get("kind") != KIND:
            raise BackupError(f"{shown}: is no list of a backup; name the place that one was made to")
        if document.get("format_version") != FORMAT_VERSION:
            raise BackupError(f"{shown}: was written by another version of robonav_ray; take that one")
        entries = tuple(manifest_entries(document))
        known = BackupList(str(document["id"]), str(document["name"]), entries, hashlib.sha256(data).hexdigest())
    except BackupError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackupError(
            f"{shown}: is damaged ({error}); take another backup, or another place for a new one"
        ) from None
    _check_entries(entries, shown)
    return known


def _check_entries(entries: Sequence[FileEntry], shown: str) -> None:
    folders = {str(parent) for entry in entries for parent in PurePosixPath(entry.name).parents}
    for entry in entries:
        why = odd_name(entry.name)
        if why is None and entry.name in folders:
            why = "is a folder too"
        if why is None and (SHA256.fullmatch(entry.sha256) is None or entry.num_bytes < 0):
            why = "has no size and hash"
        if why is not None:
            raise BackupError(f"{shown}: the file {entry.name[:80]!r} {why}; nothing was restored: take another backup")
    if len(entries) > MOST_FILES:
        raise BackupError(f"{shown}: names more than {MOST_FILES:,} files")


def odd_name(name: str) -> str | None:
    """Return why no file of a backup may be called ``name``, completing "the file NAME ..."; None where it may."""
    parts = PurePosixPath(name).parts
    if not name or leads_outside(name):
        return "leads outside of its folder"
    if any(not character.isprintable() for character in name):
        return "has characters that cannot be shown"
    if any(len(os.fsencode(part)) > _MAX_NAME for part in parts) or len(parts) > plain_files.MAX_DEPTH + 1:
        return "has too long a name, or lies too deep"
    if any(part[1:2] == ":" or part != part.strip() or part.endswith(".") for part in parts):
        return "is called as a drive of Windows is, or begins or ends with a space or a dot"
    return None


def object_name(sha256: str) -> str:
    """Return the name, below a backup, of the file with this hash."""
    return f"{OBJECTS}/{sha256[:2]}/{sha256}"


def place_of(uri: str) -> str:
    """Return where a backup lies: a URI, or an absolute path; BackupError for what is neither."""
    location = with_lost_slash(uri)
    try:
        return check_location(location if is_uri(location) else os.path.abspath(location) if location else "")
    except ValueError as error:
        raise BackupError(f"backup: {error}") from None


def shown_place(place: str) -> str:
    """Return where a backup lies as people are shown it."""
    return without_secrets(place.partition("?")[0]) if is_uri(place) else path_word(place)


@contextmanager
def failing(what: str, place: str, remedy: str) -> Iterator[None]:
    """Make one message of what a storage or a disk cannot do: the step, the file, the remedy."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        mend = "make room there" if error.errno == errno.ENOSPC else "look at it, and at its credentials"
        if as_folder(place) is not None and error.errno != errno.ENOSPC:
            mend = "look at it"
        raise BackupFailedError(f"cannot {what} ({shown_place(place)}): {sentence(error)}; {mend}: {remedy}") from error
