"""One writer at a time in a folder or below a prefix of a bucket, and files that are there whole or not at all.

In a folder the lock is the system's: a process that is killed lets go of it. Pyarrow has no conditional put (apache/
arrow#44281), so in a bucket it is an object with its owner and time: of all that stand there the one that was put first
holds. Times are those of the bucket's own clock, in whole seconds. A holder that is killed is looked past after
``LEASE_S``.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import platform
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from robonav_ray.errors import UserError
from robonav_ray.files import plain_files
from robonav_ray.files.locations import as_folder
from robonav_ray.files.storage import join, list_folder, remove, write_bytes

LOCK, LOCKS = ".lock", ".locks"
"""A file in a folder; a prefix in a bucket, with one object for each that waits."""
WAIT_S = 120.0
"""The longest that a writer waits for others."""
LEASE_S = 120.0
"""After this long the lock object of a writer that has not ended is looked past."""
SETTLE_S = 3.0
"""A lock object counts only this long after it was put: none that was put before is unseen then."""
LONGEST_PUT_S = 1.5
"""A lock object that took longer to put is withdrawn: its time may lie before that of one that holds already."""
MAX_HOLDER_BYTES = 300
"""What is read of the words in a lock that another process holds."""


class HeldError(OSError):
    """Other writers did not end within ``WAIT_S``, or this one took longer than its lease; nothing was changed."""


class Hold:
    """A place that is held; asked before each write that must not be another's."""

    def __init__(self, where: str, until: float | None = None) -> None:
        """``until`` is when the lease ends (``time.monotonic``); None where the system lets go of the lock."""
        self._where, self._until = where, until

    def check(self) -> None:
        """HeldError when the lease may be over."""
        if self._until is not None and time.monotonic() > self._until:
            raise HeldError(f"{self._where}: writing took longer than {LEASE_S / 2:.0f} s, so another may write there")


@contextlib.contextmanager
def held(location: str) -> Iterator[Hold]:
    """Hold what lies at ``location`` (made if missing) against all other writers, of any process and machine.

    Raises:
        HeldError: When others hold it for longer than ``WAIT_S``.
        OSError: When it cannot be written.
    """
    folder = as_folder(location)
    with _held_folder(folder) if folder is not None else _held_prefix(location) as hold:
        yield hold


class TakenError(UserError):
    """Another process holds the folder; the message names it."""


@contextlib.contextmanager
def held_alone(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder (made if missing) while the block runs, and write there who does; no other is waited for.

    Raises:
        TakenError: When another process holds it: the message says ``what`` that is, and gives its pid.
        OSError: When it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain_files.check_folder(folder)
    with plain_files.open_lock(folder / LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = lock.read(MAX_HOLDER_BYTES).decode(errors="replace")
            raise TakenError(f"{folder}: {what} is at work there ({who}): wait for it, or stop it") from None
        lock.truncate(0)
        lock.write(f"pid {os.getpid()} of {owner()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
        yield


def write_whole(location: str, data: bytes) -> None:
    """Write a file that is there whole or not at all, also after the power fails; OSError when that cannot be."""
    here = as_folder(location)
    if here is None:
        return write_bytes(location, data)
    here.parent.mkdir(parents=True, exist_ok=True)
    with plain_files.replacing(here) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    plain_files.flush_folder(here.parent)


@contextlib.contextmanager
def _held_folder(folder: Path) -> Iterator[Hold]:
    folder.mkdir(parents=True, exist_ok=True)
    plain_files.check_folder(folder)
    until = time.monotonic() + WAIT_S
    with plain_files.open_lock(folder / LOCK) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise HeldError(f"{folder}: another process has been writing there for {WAIT_S:.0f} s") from None
            time.sleep(random.uniform(0.002, 0.02))
        yield Hold(str(folder))


@contextlib.contextmanager
def _held_prefix(location: str) -> Iterator[Hold]:
    locks, until = join(location, LOCKS), time.monotonic() + WAIT_S
    while True:
        name = f"{uuid.uuid4().hex}.json"
        began = time.monotonic()
        write_bytes(join(locks, name), json.dumps({"owner": owner(), "time": time.time()}).encode())
        put_at = time.monotonic()
        try:
            if put_at - began <= LONGEST_PUT_S and _comes_first(locks, name, min(until, put_at + LEASE_S / 4)):
                yield Hold(location.partition("?")[0], put_at + LEASE_S / 2)
                return
        finally:
            remove(join(locks, name), folder=False)
        if time.monotonic() > until:
            raise HeldError(f"{location.partition('?')[0]}: others have been writing there for {WAIT_S:.0f} s")


def _comes_first(locks: str, name: str, until: float) -> bool:
    """Wait until the lock object ``name`` is the oldest that has an owner; False when that takes too long."""
    time.sleep(SETTLE_S)
    while True:
        found = {other: changed for other, is_folder, changed in list_folder(locks) if not is_folder}
        if name not in found:  # another took its owner for dead
            return False
        for other in [other for other, changed in found.items() if found[name] - changed > LEASE_S]:
            remove(join(locks, other), folder=False)
            del found[other]
        if min(found, key=lambda other: (int(found[other]), other)) == name:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(random.uniform(0.5, 1.0))


def owner() -> str:
    """Return who writes here: the user, and the machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id that has no name, as in a container
        user = str(os.getuid())
    return f"{user}@{platform.node()}"
