"""trackers.json: how far each backend has been given the spool of a run, and by which ids it knows the run.

::

    {"mlflow": {"ids": {"run_id": "..."}, "position": 81234, "step": 51200}}

One process at a time delivers to a backend: the session that trains, or one that has made something later. It holds
``.tracker-NAME.lock`` meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from robonav_ray.errors import UserError
from robonav_ray.files import plain_files
from robonav_ray.files.plain_files import open_lock, read_json
from robonav_ray.tracking.backend import Point

logger = logging.getLogger(__name__)
TRACKERS_FILE = "trackers.json"
_LOCK = ".trackers.lock"
_DELIVERS = set[Path]()  # locks of trackers that threads of this process hold
_HERE = threading.Lock()  # among the threads of this process, which share a lock on a file


@dataclass(frozen=True)
class Delivered:
    """What one backend has been given of a run."""

    ids: Mapping[str, str] = field(default_factory=dict[str, str])
    position: int | None = None
    """Bytes of the spool; None where nothing has been delivered by this file's account."""
    step: int = -1
    """The highest env step that metrics were delivered for."""
    relived_to: int = -1
    """Metrics up to this step belong to a life that the backend has seen another one of."""
    rewound: tuple[int, int] | None = None
    """(Bytes, position) of the spool that is being rewound: the position holds once the spool has so many bytes."""


class TrackersFile:
    """The file of one run, read and replaced by the processes and threads that deliver for it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / TRACKERS_FILE

    def read(self) -> dict[str, Delivered]:
        """Return what stands there, by backend; UserError when that is not what belongs there."""
        try:
            found = read_json(self.path)
        except FileNotFoundError:
            return {}
        if not isinstance(found, dict):
            raise self._refused()
        return {str(name): self._vetted(entry) for name, entry in found.items()}

    def update(self, change: Callable[[dict[str, Delivered]], None]) -> None:
        """Replace the file by what ``change`` makes of it; OSError when there is no room."""
        with _HERE, open_lock(self.path.with_name(_LOCK)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.read()
            after = dict(before)
            change(after)
            if after != before or not self.path.exists():
                entries = {name: _as_json(one) for name, one in after.items()}
                plain_files.replace(self.path, json.dumps(entries, indent=1))

    def begin(self, names: Iterable[str]) -> None:
        """Write down that nothing has been delivered yet: the session may be killed before anything is."""
        self.update(lambda entries: entries.update({name: Delivered(position=0) for name in names}))

    def prepare_rewind(self, moved: Callable[[int], int], num_bytes: int) -> None:
        """Write down where every position will be when the spool has been rewound to ``num_bytes``."""

        def change(entries: dict[str, Delivered]) -> None:
            for name, one in entries.items():
                if one.position is not None:
                    entries[name] = replace(one, rewound=(num_bytes, moved(one.position)))

        self.update(change)

    def settle(self, num_bytes: int, resume_step: int) -> None:
        """Take over what ``prepare_rewind`` wrote, if the spool, of ``num_bytes``, has been rewound; note what a run
        that goes on from ``resume_step`` lives through again.
        """

        def change(entries: dict[str, Delivered]) -> None:
            for name, one in entries.items():
                at = one.rewound[1] if one.rewound is not None and one.rewound[0] == num_bytes else one.position
                entries[name] = replace(
                    one,
                    position=None if at is None else min(at, num_bytes),
                    step=min(one.step, resume_step),
                    relived_to=max(one.relived_to, one.step if one.step > resume_step else -1),
                    rewound=None,
                )

        if self.path.exists():
            self.update(change)

    def _vetted(self, entry: Any) -> Delivered:
        try:
            ids, position = entry.get("ids", {}), entry.get("position")
            rewound = entry.get("rewound")
            found = Delivered(
                {str(key): str(value) for key, value in ids.items()},
                None if position is None else _count(position),
                _count(entry.get("step", -1)),
                _count(entry.get("relived_to", -1)),
                None if rewound is None else (_count(rewound[0]), _count(rewound[1])),
            )
        except (AttributeError, TypeError, ValueError, IndexError, KeyError):
            raise self._refused() from None
        return found

    def _refused(self) -> UserError:
        return UserError(
            f"{self.path}: does not hold what has been delivered to each tracker; remove it, and every tracker is "
            "given the run anew"
        )


def told_addresses(directory: Path) -> list[tuple[str, str]]:
    """Return where the run is looked at, (backend, address or command), by the backends that have told it."""
    try:
        entries = TrackersFile(directory).read()
    except (OSError, UserError):
        return []
    return [(name, address) for name, one in entries.items() if (address := one.ids.get("address"))]


class Delivery:
    """What is delivered to one backend of a run, while this process is the one that does it."""

    def __init__(self, file: TrackersFile, name: str, *, rewinds: bool, start: int) -> None:
        """``rewinds``: the backend hides what the run lives through again. A backend that has been given nothing by the
        file's account begins at byte ``start`` of the spool.
        """
        self.name, self._file, self._start = name, file, start
        self._rewinds = rewinds
        self._lock: BinaryIO | None = None
        self.position = start
        """Bytes of the spool that were delivered."""
        self.ids: dict[str, str] = {}
        """Ids that the backend has told here."""
        self._relived_to = self._step = -1

    def take(self) -> bool:
        """Become the one that delivers, and read where to begin; False while another does."""
        lock = open_lock(self._lock_path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        _DELIVERS.add(self._lock_path)
        entry = self._file.read().get(self.name, Delivered())
        self.position = self._start if entry.position is None else entry.position
        self._step, self._relived_to = entry.step, -1 if self._rewinds else entry.relived_to
        return True

    @property
    def is_held_here(self) -> bool:
        """Whether this process delivers, by this one or by one that was left behind in a call without an answer."""
        return self._lock_path in _DELIVERS

    @property
    def _lock_path(self) -> Path:
        return self._file.path.absolute().with_name(f".tracker-{self.name}.lock")

    def leave(self) -> None:
        """Let another one deliver."""
        if self._lock is not None:
            _DELIVERS.discard(self._lock_path)
            self._lock.close()
            self._lock = None

    def is_relived(self, point: Point) -> bool:
        """Whether the backend has seen metrics of an earlier life of the run at the point's step, or a later one."""
        return point.step <= self._relived_to

    def note(self, position: int, step: int) -> None:
        """Write down that the spool was delivered up to ``position``, with metrics up to ``step``; raises OSError."""
        self.position, self._step = position, max(step, self._step)
        self._change(lambda one: replace(one, position=self.position, step=self._step))

    def keep_ids(self, ids: Mapping[str, str]) -> None:
        """Write down the backend's own ids of the run; where that cannot be now (no room, a broken file) they are held
        until it can.
        """
        self.ids |= ids
        try:
            self._change(lambda one: one)
        except (OSError, UserError) as error:
            logger.warning("%s: the run's ids at %s cannot be written down yet: %s", self._file.path, self.name, error)

    def _change(self, change: Callable[[Delivered], Delivered]) -> None:
        def changed(entries: dict[str, Delivered]) -> None:
            one = change(entries.get(self.name, Delivered()))
            entries[self.name] = replace(one, ids={**one.ids, **self.ids})

        self._file.update(changed)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -1 <= value < 1 << 53:
        raise ValueError
    return value


def _as_json(one: Delivered) -> dict[str, Any]:
    default = asdict(Delivered())
    return {key: value for key, value in asdict(one).items() if value != default[key] or key == "ids"}
