"""The weights of a run's league members, by content: in ``RUN/league``, and below the run in its storage.

None is removed while the run lives: an old checkpoint that is gone back to finds its members, and what a policy has
forgotten can be measured against its earlier selves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from robonav_ray.files.storage import join
from robonav_ray.league.snapshots import MissingSnapshotError, Snapshots
from robonav_ray.records import PolicySnapshot

FOLDER = "league"


class MemberStore:
    """Snapshots in one place, and in others that they are looked for in, too."""

    def __init__(self, run: str, storage: str | None = None, elsewhere: Iterable[str] = ()) -> None:
        """Nothing is read yet.

        Args:
            run: The run's directory.
            storage: Where the run lies besides; None for nowhere.
            elsewhere: Runs that it goes on from, and whose members it may have to bring here.
        """
        self.run, self.storage = run, storage
        self._here = Snapshots(join(run, FOLDER))
        self._storage = None if storage is None else Snapshots(join(storage, FOLDER))
        self._elsewhere = [Snapshots(join(other, FOLDER)) for other in elsewhere]
        self._stored: set[str] | None = None

    def put(self, snapshot: PolicySnapshot) -> str:
        """Keep the weights in the run's directory and return their hash; OSError when that cannot be."""
        return self._here.put(_arrays(snapshot))

    def store(self, state: Mapping[str, Any]) -> None:
        """Bring the weights that a league's ``state`` names to the run's storage; OSError when that cannot be.

        To be called before a checkpoint with that state is committed. A snapshot that is lost here is not brought.
        """
        self.store_all(one for member in state["pool"]["members"] if (one := member["sha256"]) is not None)

    def store_all(self, named: Iterable[str]) -> None:
        """Bring the weights of these hashes to the run's storage; OSError when that cannot be."""
        if self._storage is None:
            return
        if self._stored is None:
            self._stored = self._storage.stored()
        for sha256 in [one for one in named if one not in self._stored]:
            with contextlib.suppress(MissingSnapshotError):
                self._storage.put(self._here.get(sha256))
                self._stored.add(sha256)

    def get(self, sha256: str) -> PolicySnapshot:
        """Return the weights of that hash; what lies elsewhere is brought here.

        Raises:
            MissingSnapshotError: When they are nowhere whole; told of the run's directory.
            OSError: When a place does not answer.
        """
        try:
            return _snapshot(self._here.get(sha256))
        except MissingSnapshotError as error:
            missing = error
        for place in (*([] if self._storage is None else [self._storage]), *self._elsewhere):
            with contextlib.suppress(MissingSnapshotError):
                arrays = place.get(sha256)
                self._here.put(arrays)
                return _snapshot(arrays)
        raise missing


def _arrays(snapshot: PolicySnapshot) -> dict[str, np.ndarray]:
    return dict(zip(snapshot.names, snapshot.arrays, strict=True))


def _snapshot(arrays: Mapping[str, np.ndarray]) -> PolicySnapshot:
    names = sorted(arrays)  # safetensors gives them in another order each time
    return PolicySnapshot(1, 0, tuple(names), tuple(np.asarray(arrays[name], np.float32) for name in names))
