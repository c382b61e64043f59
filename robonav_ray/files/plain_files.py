"""Every file that is opened by name is opened here: never through a link, only if it is a plain file, read whole only
within a bound.

A run directory may come from a stranger. What lies in place of one of its files (a link to another file, a FIFO, a
device, a folder, a sparse file of terabytes) ends in one message that names it: nothing hangs, nothing else is written,
and no memory is taken for it.

The last part of a path is what must not be a link: a folder on the way to it may be one (``runs -> /data/runs``). A
file that the user names for this call, such as a config, may be a link to a plain file: ``follow=True``.
``docs/security.md`` has the rule.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from robonav_ray.errors import UserError

MAX_DOCUMENT_BYTES = 64_000_000
"""The largest document of a run that is read whole."""
MAX_DEPTH = 16
"""How many folders may lie in each other where all that is below one is listed."""
MAX_LINE_BYTES = 4_000_000
"""The longest line of a file that is read by lines."""
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_REFUSED = {
    errno.EACCES: "may not be opened by you",
    errno.EPERM: "may not be opened by you",
    errno.EROFS: "lies on a file system that may only be read",
    errno.EISDIR: "is a folder, where a plain file belongs",
    errno.ENOTDIR: "lies below something that is no folder",
    errno.ELOOP: "is a link, where a plain file belongs",
    errno.ENXIO: "is a pipe or a device, where a plain file belongs",
    errno.ENODEV: "is a pipe or a device, where a plain file belongs",
    errno.ENAMETOOLONG: "has too long a name",
}
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}


class PlainFileError(OSError, UserError):
    """What lies at a path is not the plain file that belongs there, or is too large, or may not be opened; the message
    names it.
    """


def read_bytes(path: Path, limit: int = MAX_DOCUMENT_BYTES, *, follow: bool = False) -> bytes:
    """Return the whole of a plain file of at most ``limit`` bytes.

    Raises:
        FileNotFoundError: When there is none.
        PlainFileError: When it is no plain file, is larger (the size is looked at first), or may not be read.
    """
    with open_reading(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(limit + 1) if size <= limit else b""
    if max(size, len(data)) > limit:
        raise PlainFileError(
            f"{path}: is larger than {limit} bytes ({max(size, len(data))}), the most that is read of such a file"
        )
    return data


def read_text(path: Path, limit: int = MAX_DOCUMENT_BYTES, *, follow: bool = False, errors: str = "strict") -> str:
    """Return the whole of a plain UTF-8 file of at most ``limit`` bytes; raises as ``read_bytes`` does, and for other
    bytes.
    """
    try:
        return read_bytes(path, limit, follow=follow).decode(errors=errors)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise PlainFileError(f"{path}:{line}: is not UTF-8 text (byte {error.object[error.start]:#04x})") from None


def read_json(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> Any:
    """Return the JSON document in a plain file of at most ``limit`` bytes; raises as ``read_text`` does, and for what
    is no JSON.
    """
    try:
        return json.loads(read_text(path, limit))
    except (json.JSONDecodeError, RecursionError) as error:
        raise PlainFileError(f"{path}: is not the JSON that belongs there ({error})") from None


def read_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """Give the lines of a plain file from byte ``start`` on, each with its end; the last may have none.

    Raises:
        FileNotFoundError: When there is none.
        PlainFileError: When it is no plain file, may not be read, or holds a line of more than MAX_LINE_BYTES.
    """
    with open_reading(path) as file:
        file.seek(start)
        while line := file.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                raise PlainFileError(
                    f"{path}: holds a line of more than {MAX_LINE_BYTES} bytes, which nothing of ours writes"
                )
            yield line


def open_reading(path: Path, *, follow: bool = False) -> BinaryIO:
    """Open a plain file to be read in parts; raises as ``read_bytes`` does."""
    return os.fdopen(_opened(path, os.O_RDONLY, follow=follow), "rb")


def open_appending(path: Path) -> BinaryIO:
    """Open a plain file, made if missing, to write unbuffered behind what it holds; PlainFileError when that cannot
    be.
    """
    return os.fdopen(_opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab", buffering=0)


def open_writing(path: Path, *, buffering: int = -1) -> BinaryIO:
    """Open a plain file, made if missing, to write it anew; it is emptied once it has been looked at."""
    file = os.fdopen(_opened(path, os.O_WRONLY | os.O_CREAT), "wb", buffering)
    file.truncate(0)
    return file


def open_new(path: Path, mode: int = 0o666) -> BinaryIO:
    """Make a file that was not there; FileExistsError when anything is, be it a link that leads nowhere."""
    return os.fdopen(_opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")


def open_lock(path: Path, *, make: bool = True) -> BinaryIO:
    """Open a plain file to be locked; what it holds stays. Unless ``make``, it is only read, and FileNotFoundError says
    it is missing.
    """
    flags = os.O_RDWR | os.O_CREAT if make else os.O_RDONLY
    return os.fdopen(_opened(path, flags), "r+b" if make else "rb", buffering=0)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a new file that takes the place of ``path`` when the block ends without an error: a reader finds the old one
    or the new one.

    A link to a plain file is replaced, not followed.

    Raises:
        PlainFileError: When something else than a plain file stands there, or the folder may not be written.
        OSError: Also when there is no room; the old file is as it was.
    """
    with replacing_path(path) as aside, open_writing(aside) as file:
        yield file


@contextlib.contextmanager
def replacing_path(path: Path) -> Iterator[Path]:
    """As ``replacing``, for writers that open files themselves: gives the path of an empty file, with the same
    suffix.
    """
    check_replaceable(path)
    aside = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    with _naming(path, aside):
        open_new(aside).close()
        try:
            yield aside
            with _refusals(path):
                os.replace(aside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise


@contextlib.contextmanager
def _naming(path: Path, aside: Path) -> Iterator[None]:
    """Have an error of the system name ``path``: that of a write names no file, another one ``aside``."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(aside)) and error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise


def replace(path: Path, content: bytes | str) -> None:
    """Write a whole file aside and rename it, as ``replacing`` does. Text becomes UTF-8; what has no place there is
    written as escapes.
    """
    with replacing(path) as file:
        file.write(content if isinstance(content, bytes) else content.encode(errors="backslashreplace"))


def append(path: Path, content: bytes | str, *, sync: bool = False) -> None:
    """Write behind what a plain file holds, made if missing; with ``sync`` it is on the disk when this returns.

    Raises:
        PlainFileError: As for ``open_appending``; OSError when there is no room.
    """
    data = memoryview(content if isinstance(content, bytes) else content.encode(errors="backslashreplace"))
    with open_appending(path) as file:
        while data.nbytes:
            data = data[file.write(data) :]
        if sync:
            os.fsync(file.fileno())


def append_whole(file: BinaryIO, content: bytes) -> int:
    """Write behind what an open file of ``open_appending`` holds, whole or not at all; return the byte that it begins
    at.

    Raises:
        OSError: When there is no room; the file is as it was.
    """
    size = os.fstat(file.fileno()).st_size
    try:
        if file.write(content) != len(content):
            raise OSError(errno.ENOSPC, "no space left for all of it")
    except OSError:
        os.ftruncate(file.fileno(), size)
        raise
    return file.tell() - len(content)


def flush_folder(folder: Path) -> None:
    """Have the disk hold what stands in ``folder``, by name; OSError when that cannot be."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sentence(error: OSError) -> str:
    """Return in words what the system could not do, with the name of the file where that is known."""
    if isinstance(error, PlainFileError) or not error.strerror:
        return str(error) or type(error).__name__
    return ": ".join(str(part) for part in (error.filename, error.strerror) if part is not None)


def check_entries(folder: Path, files: Collection[str], folders: Collection[str]) -> None:
    """Look at what lies in ``folder`` under these names; nothing need be there.

    Raises:
        FileNotFoundError: When there is no ``folder``.
        PlainFileError: Naming the first of ``files`` that is no plain file, or of ``folders`` that is no folder; a link
            is neither.
    """
    with _refusals(folder):
        names = sorted(os.listdir(folder))
    for name in names:
        if name in folders:
            check_folder(folder / name)
        elif name in files:
            mode = (folder / name).lstat().st_mode
            if not stat.S_ISREG(mode):
                raise PlainFileError(f"{folder / name}: is {_kind(mode)}, where a plain file belongs")


def list_plain(folder: Path, most: int) -> list[str]:
    """Return the names of all plain files below a folder, with slashes, in order; links, and what they lead to, are
    none of them.

    Raises:
        PlainFileError: When there are more than ``most`` files and folders, or more than MAX_DEPTH folders in each
            other.
    """
    names, left, count = list[str](), [""], 0
    while left:
        below = left.pop()
        with contextlib.suppress(FileNotFoundError), _refusals(folder / below), os.scandir(folder / below) as entries:
            for entry in entries:
                count += 1
                if count > most or below.count("/") > MAX_DEPTH:
                    raise PlainFileError(
                        f"{folder}: holds more than {most} files, or more than {MAX_DEPTH} folders in each other"
                    )
                if entry.is_dir(follow_symlinks=False):
                    left.append(f"{below}{entry.name}/")
                elif entry.is_file(follow_symlinks=False):
                    names.append(below + entry.name)
    return sorted(names)


def refusal(error: OSError) -> str | None:
    """Return in words what a file was refused for, by the system or by this module; None for an error that may pass."""
    if isinstance(error, PlainFileError):
        return str(error)
    return f"{error.filename}: {_REFUSED[error.errno]}" if error.errno in _REFUSED and error.filename else None


def check_replaceable(path: Path) -> None:
    """Raise PlainFileError when something stands at ``path`` that is neither a plain file nor a link to one."""
    with contextlib.suppress(FileNotFoundError), _refusals(path):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise PlainFileError(f"{path}: is {_kind(mode)}, where a plain file belongs")


def check_folder(path: Path) -> None:
    """Raise PlainFileError when something stands at ``path`` that is no folder, or is a link to one."""
    with contextlib.suppress(FileNotFoundError), _refusals(path):
        mode = path.lstat().st_mode
        if not stat.S_ISDIR(mode):
            raise PlainFileError(f"{path}: is {_kind(mode)}, where a folder belongs")


def check_way(base: Path, name: str) -> None:
    """Raise PlainFileError when what stands for a folder between ``base`` and ``name``, a path below it, is none, or is
    a link to one.
    """
    for folder in reversed((base / name).relative_to(base).parents[:-1]):
        check_folder(base / folder)


def is_plain(path: Path) -> bool:
    """Whether a plain file, and no link, stands at ``path``."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _opened(path: Path, flags: int, mode: int = 0o666, *, follow: bool = False) -> int:
    """Return a descriptor of a plain file."""
    with _refusals(path):
        descriptor = os.open(path, flags | (_SAFELY & ~os.O_NOFOLLOW if follow else _SAFELY), mode)
    found = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(found):
        os.close(descriptor)
        raise PlainFileError(f"{path}: is {_kind(found)}, where a plain file belongs")
    return descriptor


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Make a PlainFileError of what a path is refused for; an error that may pass (no room, no answer) is raised as it
    is.
    """
    try:
        yield
    except PlainFileError:
        raise
    except ValueError as error:  # a NUL in the name, or characters that this locale has no bytes for
        raise PlainFileError(f"{str(path)!r}: is no name that a file can have here ({error})") from None
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise PlainFileError(f"{path}: {_REFUSED[error.errno]}") from None


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "a plain file")
