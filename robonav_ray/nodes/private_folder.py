"""A folder for Ray's sockets, logs and spilled objects that no other user of the machine can look into or replace.

Ray makes its own folders open to all users (0777). Here they lie below one of mode 0700, in a place where no other user
can rename it, and with a name that is short enough: a socket's path may have 107 bytes, and Ray puts its sockets 64
below its folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from robonav_ray.errors import UserError
from robonav_ray.guarded import is_guarded
from robonav_ray.own_processes import ProcessName, lives

logger = logging.getLogger(__name__)
_SOCKETS_BELOW = len("/session_2026-11-29_21-14-32_123456_4194304/sockets/plasma_store")
_LONGEST_SOCKET = 107 if sys.platform == "linux" else 103
_RANDOM = 8
"""Characters that mkdtemp puts behind its prefix."""
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")
"""Of the names that survive Ray's command lines."""
_OWNER = "owner"


def make_private_folder(prefix: str, below: str) -> Path:
    """Make a folder of mode 0700 with a name that cannot be foreseen, for a Ray whose own folder is called ``below`` in
    it.

    Where RAY_TMPDIR or TMPDIR does not serve (its name is too long, it is missing, may not be written, or others may
    rename what is in it), the next of the system's places for temporary files is taken.

    Raises:
        UserError: When there is none that serves.
    """
    longest = _LONGEST_SOCKET - _SOCKETS_BELOW - len(f"/{prefix}/{below}") - _RANDOM
    roots = [root for root in _roots() if len(os.fsencode(root)) <= longest and _PLAIN.fullmatch(str(root))]
    for root in sorted(roots, key=lambda root: not is_guarded(root)):  # stable: the guarded ones first, in their order
        try:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        except OSError:
            continue
        folder.chmod(0o700)  # also under a strange umask
        if not is_guarded(root):
            logger.warning(
                "%s: others on this machine may rename what is in it: set TMPDIR to a folder that is yours alone", root
            )
        return folder
    raise UserError(
        f"no folder for Ray's sockets: set TMPDIR to one that you may write, of at most {longest} plain characters "
        f"(tried: {', '.join(map(str, _roots())) or 'nothing that is there'})"
    )


def _roots() -> list[Path]:
    """Return the folders that are there, as they are called without links."""
    named = [
        os.environ.get("RAY_TMPDIR"),
        os.environ.get("TMPDIR"),
        "/tmp",
        "/var/tmp",
        os.environ.get("XDG_RUNTIME_DIR"),
        "/dev/shm",
    ]
    found: dict[Path, None] = {}
    for name in filter(None, named):
        with contextlib.suppress(OSError, ValueError):  # a circle of links; a null byte
            root = Path(name).resolve()
            if root.is_dir():
                found[root] = None
    return list(found)


class Claim:
    """Says that a folder is in use, for as long as this process or one that was handed ``descriptor`` lives."""

    def __init__(self, folder: Path, names: Iterable[ProcessName]) -> None:
        """``names`` are the first of those at work in it."""
        self._path = folder / _OWNER
        self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)
        self.add(names)

    def add(self, names: Iterable[ProcessName]) -> None:
        """Say who else is at work in the folder: while one of them lives, it is in use as well."""
        os.write(self.descriptor, "".join(f"{name.pid} {name.started}\n" for name in names).encode())

    def close(self, *, keep: bool = False) -> None:
        """Let go; a folder to ``keep`` is not taken for one that was left behind."""
        if keep:
            self._path.unlink(missing_ok=True)
        os.close(self.descriptor)


def remove_abandoned(root: Path, prefix: str) -> list[Path]:
    """Remove this user's folders in ``root`` that were claimed once and in which no process is at work any more; return
    them.
    """
    removed = []
    for folder in root.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another process removes it, or it may not be looked into
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                with _unclaimed(folder) as abandoned:
                    if abandoned:
                        shutil.rmtree(folder, ignore_errors=True)
                        removed.append(folder)
    return removed


@contextlib.contextmanager
def _unclaimed(folder: Path) -> Iterator[bool]:
    descriptor = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        names = [ProcessName(*map(int, line.split())) for line in os.read(descriptor, 65_536).decode().splitlines()]
        yield bool(names) and not any(lives(name) for name in names)  # without names it is being claimed just now
    except (BlockingIOError, ValueError, TypeError):
        yield False
    finally:
        os.close(descriptor)
