"""A run's small files in ``checkpoint.storage``, stored as they are made: a machine that goes takes none of them with
it.

::

    RUN/config.yaml status.json metrics.jsonl curves.png play.gif evaluation.json log.txt ...   --> STORAGE/RUN/...
    RUN/tensorboard/ evaluations/                                                                --> STORAGE/RUN/...
    RUN/checkpoints/ ray_train/ .lock                     stored by those who write them, or not at all
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from robonav_ray.files.locations import is_uri
from robonav_ray.files.plain_files import check_way, is_plain, read_bytes
from robonav_ray.files.storage import fetch, inside, join, list_folder, list_tree, write_bytes
from robonav_ray.runs.policy_alone import POLICY

logger = logging.getLogger(__name__)
EVERY_S = 15.0
"""Seconds between two looks at what has changed."""
BUSY_FRAC = 0.05
"""Part of the time that storing may take at most: where a look takes long, the next one comes later."""
LARGEST_NOTE_BYTES = 1 << 28
MOST_NOTES = 10_000
_ELSEWHERE = frozenset({"checkpoints", "ray_train"})


class StoredNotes:
    """Brings the small files of one run up to date in the storage; each file again only when it has changed here.

    May be called from several threads: one brings them up to date at a time.
    """

    def __init__(self, run: Path, location: str) -> None:
        """``run`` is the run's directory here, ``location`` its own in the storage. Nothing is stored yet."""
        self.location = location
        self._run = run
        self._lock = threading.Lock()
        self._stored: dict[str, tuple[int, int]] = {}
        self._too_large: set[str] = set()

    def update(self, below: str = "") -> int:
        """Store what is new or has changed since it was stored last; return how many files that were.

        Args:
            below: A folder of the run: only what lies in it is looked at. The whole run by default.

        Raises:
            OSError: When one cannot be read here or written there; those before it are stored.
        """
        count = 0
        with self._lock:
            for path in _notes(self._run, self._run / below):
                name, found = path.relative_to(self._run).as_posix(), path.lstat()
                mark = found.st_mtime_ns, found.st_size
                if self._stored.get(name) == mark or self._is_too_large(name, found.st_size):
                    continue
                # replaced or removed meanwhile: the next look finds what is there
                with contextlib.suppress(FileNotFoundError):
                    write_bytes(inside(self.location, name), read_bytes(path, LARGEST_NOTE_BYTES))
                    self._stored[name] = mark
                    count += 1
        return count

    @contextlib.contextmanager
    def kept_up(self, every_s: float = EVERY_S) -> Iterator[None]:
        """Have a thread bring the files up to date while the block runs, so that the run does not wait for the
        storage.
        """
        over = threading.Event()
        thread = threading.Thread(target=self._keep_up, args=(over, every_s), name="stored-notes", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(every_s)

    def _keep_up(self, over: threading.Event, every_s: float) -> None:
        wait_s, said = every_s, False
        while not over.wait(wait_s):
            began = time.monotonic()
            try:
                self.update()
                said = False
            except OSError as error:
                if not said:
                    logger.warning("the run's small files could not be stored (%s); it is tried again", error)
                said = True
            wait_s = max(every_s, (time.monotonic() - began) * (1 / BUSY_FRAC - 1))

    def _is_too_large(self, name: str, num_bytes: int) -> bool:
        if num_bytes <= LARGEST_NOTE_BYTES:
            return False
        if name not in self._too_large:
            self._too_large.add(name)
            logger.warning("%s: has more than %d bytes and is not stored; it stays here", name, LARGEST_NOTE_BYTES)
        return True


def _notes(run: Path, folder: Path) -> Iterator[Path]:
    """Give the plain files of ``run`` below ``folder`` that are stored with it, in order; links and hidden files are
    none of them.
    """
    for entry in sorted(folder.iterdir() if folder.is_dir() else (), key=lambda path: path.name):
        if entry.name.startswith(".") or entry.is_symlink() or (folder == run and entry.name in _ELSEWHERE):
            continue
        if entry.is_dir():
            yield from _notes(run, entry)
        elif is_plain(entry):
            yield entry


def bring_notes(location: str, run: Path) -> None:
    """Copy the small files of a stored run into ``run``, those in its folders too; links are none of them.

    Raises:
        OSError: When one cannot be read or written, or there are more than MOST_NOTES.
    """
    names = [name for name, is_folder, _ in list_folder(location) if not is_folder]
    for folder, is_folder, _ in list_folder(location):
        if is_folder and folder not in _ELSEWHERE and not folder.startswith((".", "env-", POLICY)):
            names += [f"{folder}/{name}" for name in list_tree(join(location, folder), MOST_NOTES)]
        if len(names) > MOST_NOTES:
            raise OSError(f"holds {len(names)} files or more, where a run has {MOST_NOTES} at most")
    for name in names:
        if all(
            part not in ("", ".", "..") and os.path.basename(part) == part and not part.startswith(".")
            for part in name.split("/")
        ):
            check_way(run, name)
            fetch(inside(location, name), run / name, limit=LARGEST_NOTE_BYTES)


def shown(location: str) -> str:
    """Return a location as people are shown it: a URI without its options."""
    return location.partition("?")[0] if is_uri(location) else location
