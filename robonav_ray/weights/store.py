"""The plain weight store: one snapshot, a version that only rises."""

from __future__ import annotations

from robonav_ray.records import PolicySnapshot


class WeightStore:
    """Implements WeightSink and WeightSource within one process."""

    def __init__(self) -> None:
        self._newest: PolicySnapshot | None = None

    @property
    def version(self) -> int:
        """Version of the newest snapshot; -1 before the first."""
        return -1 if self._newest is None else self._newest.version

    def publish(self, snapshot: PolicySnapshot) -> None:
        """Make ``snapshot`` the newest; ValueError when its version does not rise."""
        if snapshot.version <= self.version:
            raise ValueError(f"version {snapshot.version} does not rise above {self.version}")
        self._newest = snapshot

    def newer_than(self, version: int) -> PolicySnapshot | None:
        """Return the newest snapshot if it is newer than ``version``, else None."""
        if self._newest is None or self._newest.version <= version:
            return None
        return self._newest

    def wait_newer_than(self, version: int) -> PolicySnapshot | None:
        """The same: here the caller does not wait for the answer."""
        return self.newer_than(version)
