"""A folder back from its backup: it appears when all of it is there and as hashed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from robonav_ray.files import plain_files
from robonav_ray.files.locations import as_folder
from robonav_ray.files.manifest import FileEntry
from robonav_ray.files.plain_files import PlainFileError
from robonav_ray.files.storage import DamagedError, check, fetch, inside
from robonav_ray.pipeline.backup_list import (
    LIST,
    MOST_FILES,
    BackupError,
    BackupList,
    failing,
    object_name,
    place_of,
    read_list,
    shown_place,
)
from robonav_ray.text import bytes_text, path_word

_ROOM = 32_000_000
"""Bytes that a restored folder leaves free on its disk."""
_ANSWER_S = 60.0
"""How long a bucket may take to give the list of a backup."""


@dataclass(frozen=True)
class RestoreReport:
    """What was brought back."""

    folder: Path
    num_files: int
    num_bytes: int
    num_fetched: int
    """Files that an earlier try had not brought yet."""


def restore(uri: str, folder: Path) -> RestoreReport:
    """Bring the folder back whose backup lies at ``uri``; ``folder`` appears when all of it is there and as hashed.

    What a try that was killed has brought is taken up.

    Raises:
        BackupError: When there is no backup, it is damaged or names a file outside of it, or ``folder`` holds something
            else.
        BackupFailedError: When the storage fails, or the disk is full; the same call goes on.
    """
    place = place_of(uri)
    remedy = "what has been brought stays for the same command, which goes on"
    with failing(f"restore {path_word(folder)}", place, remedy):
        known = read_list(place) if as_folder(place) is not None else _read_within(place, _ANSWER_S)
        if known is None:
            raise BackupError(
                f"{shown_place(place)}: holds no backup (no {LIST}); name the place that a backup was made to"
            )
        total = sum(entry.num_bytes for entry in known.entries)
        if _is_there(folder, known):
            return RestoreReport(folder, len(known.entries), total, 0)
        with _held_aside(folder, known) as aside:
            num_fetched = _bring(aside, place, known)
            with suppress(FileNotFoundError):
                folder.rmdir()  # it is empty, as _is_there has found
            aside.rename(folder)
            plain_files.flush_folder(folder.absolute().parent)
    return RestoreReport(folder, len(known.entries), total, num_fetched)


def _is_there(folder: Path, known: BackupList) -> bool:
    """Whether a folder is as the backup has it; False where there is none, or an empty one; BackupError where it holds
    something else.
    """
    if not os.path.lexists(folder):
        return False
    plain_files.check_folder(folder)
    if not any(folder.iterdir()):
        return False
    wanted = {entry.name: entry for entry in known.entries}
    if set(plain_files.list_plain(folder, MOST_FILES)) == wanted.keys():
        with suppress(FileNotFoundError, DamagedError):
            check(str(folder), wanted)
            return True
    raise BackupError(
        f"{path_word(folder)}: holds something else than the backup already, which is never replaced; name a folder "
        "that is to be made"
    )


@contextmanager
def _held_aside(folder: Path, known: BackupList) -> Iterator[Path]:
    """Give the folder beside ``folder`` in which what is brought is put together, held against other processes."""
    aside = folder.absolute().with_name(f".{folder.absolute().name}.restoring-{known.sha256[:12]}")
    aside.parent.mkdir(parents=True, exist_ok=True)
    place = aside.with_name(f"{aside.name}.lock")
    with plain_files.open_lock(place) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"{path_word(folder)}: another process is restoring it; wait for that one") from None
        plain_files.check_folder(aside)
        aside.mkdir(exist_ok=True)
        yield aside
        with suppress(FileNotFoundError):
            place.unlink()


def _bring(aside: Path, place: str, known: BackupList) -> int:
    """Fetch what ``aside`` has not yet; return how many files that were."""
    wanted = {entry.name: entry for entry in known.entries}
    _clear(aside, wanted)
    missing = [entry for entry in known.entries if not _is_whole(aside, entry)]
    needed, free = sum(entry.num_bytes for entry in missing), shutil.disk_usage(aside).free
    if needed + _ROOM > free:
        raise OSError(
            errno.ENOSPC, f"{bytes_text(needed)} are needed, and {bytes_text(free)} are free", str(aside.parent)
        )
    for entry in missing:
        plain_files.check_way(aside, entry.name)
        name = object_name(entry.sha256)
        try:
            fetch(inside(place, name), aside / entry.name, entry)
            check(str(aside), {entry.name: entry})
        except (FileNotFoundError, DamagedError) as error:
            why = "is missing" if isinstance(error, FileNotFoundError) else "is not as it was written"
            raise BackupError(
                f"{shown_place(place)}/{name}: {why}, so {entry.name} cannot be brought back; take another "
                "backup, or back the folder up again where it still is"
            ) from None
    return len(missing)


def _clear(aside: Path, wanted: Mapping[str, FileEntry]) -> None:
    """Remove all that does not belong to the backup: files half written by a try before, and links."""
    for folder, folders, files in os.walk(aside, topdown=False, followlinks=False):
        for path in (Path(folder, name) for name in (*files, *folders)):
            if path.is_symlink() or (not path.is_dir() and path.relative_to(aside).as_posix() not in wanted):
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _is_whole(folder: Path, entry: FileEntry) -> bool:
    with suppress(FileNotFoundError, DamagedError, PlainFileError):
        check(str(folder), {entry.name: entry})
        return True
    return False


def _read_within(place: str, seconds: float) -> BackupList | None:
    """As ``read_list``, of a bucket that may not answer."""
    found, failed = list[BackupList | None](), list[Exception]()

    def ask() -> None:
        try:
            found.append(read_list(place))
        except Exception as error:  # noqa: BLE001  handed on to the caller
            failed.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise OSError(f"no answer within {seconds:.0f} s")
    return found[0]
