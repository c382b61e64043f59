"""The weight store as a Ray actor.

The actor owns the object that holds the newest snapshot, so it outlives the learner that published it; readers fetch
the object itself, zero-copy on the same node. A store that dies comes back empty, and the next publish fills it.
"""

from __future__ import annotations

from typing import Any

import ray
from ray.exceptions import ObjectLostError

from robonav_ray.own_processes import SERVES, step_back
from robonav_ray.records import PolicySnapshot


class _Store:
    """Holds a reference to the newest snapshot, not the arrays."""

    def __init__(self) -> None:
        step_back(SERVES)
        self._version = -1
        self._ref: ray.ObjectRef | None = None

    def publish(self, snapshot: PolicySnapshot) -> bool:
        if snapshot.version == self._version:  # Ray retried the call
            return True
        if snapshot.version < self._version:
            return False
        self._ref, self._version = ray.put(snapshot), snapshot.version
        return True

    def newer_than(self, version: int) -> list[ray.ObjectRef]:
        # Inside a list the reference travels as a reference; bare, Ray would fetch it for us.
        return [self._ref] if self._ref is not None and self._version > version else []

    def version(self) -> int:
        return self._version


class RemoteWeights:
    """Client of the store; implements WeightSink and WeightSource; may be sent to other actors.

    Both directions are pipelined: ``newer_than`` answers from the request that the previous call sent, so a reader
    never waits for a round trip, and sees a version at most one call later than it could.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._asked: ray.ObjectRef | None = None
        self._publishing: ray.ObjectRef | None = None

    def __reduce__(self) -> tuple[type[RemoteWeights], tuple[Any]]:
        return (RemoteWeights, (self._actor,))

    def publish(self, snapshot: PolicySnapshot) -> None:
        """Send the snapshot and return at once; ValueError if the previous one was refused because its version did not
        rise.
        """
        if self._publishing is not None and not ray.get(self._publishing):
            self._publishing = None
            raise ValueError(f"the version before {snapshot.version} did not rise above the store's")
        self._publishing = self._actor.publish.remote(snapshot)

    def newer_than(self, version: int) -> PolicySnapshot | None:
        """Return a newer snapshot if the store had one when it was last asked; asks again for the next call."""
        found: PolicySnapshot | None = None
        if self._asked is not None:
            ready, _ = ray.wait([self._asked], timeout=0)
            if not ready:
                return None
            found = _fetch(ray.get(self._asked), version)
        self._asked = self._actor.newer_than.remote(found.version if found else version)
        return found

    def wait_newer_than(self, version: int) -> PolicySnapshot | None:
        """Ask now and wait for the answer (one round trip); for those who have nothing to act with yet."""
        return _fetch(ray.get(self._actor.newer_than.remote(version)), version)

    def version(self) -> int:
        """Return the newest version in the store, -1 when empty (one round trip)."""
        return ray.get(self._actor.version.remote())


def _fetch(refs: list[Any], version: int) -> PolicySnapshot | None:
    """Return what the store's answer refers to if it is newer than ``version``."""
    try:
        snapshot: PolicySnapshot | None = ray.get(refs[0]) if refs else None
    except ObjectLostError:  # the store died after it had answered; its next life is filled by the next publish
        return None
    return snapshot if snapshot is not None and snapshot.version > version else None


def start_weight_store(**options: Any) -> tuple[Any, RemoteWeights]:
    """Start the actor (no CPU reserved) and return it with its client; ``options`` are Ray's, for instance a scheduling
    strategy.
    """
    actor_class: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Store)
    actor = actor_class.options(**options).remote()
    return actor, RemoteWeights(actor)
