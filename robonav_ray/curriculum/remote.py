"""The curriculum as one small Ray actor, and the two clients that talk to it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import ray

from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.hosted_remote import Host, end
from robonav_ray.records import Assignment, EpisodeResults
from robonav_ray.runs.progress import CurriculumProgress


class CurriculumHost(Curriculum):
    """What runs in the actor: the curriculum and two calls that save round trips."""

    def join(self, worker: int) -> Assignment:
        """Return the first assignment of a process that calls itself ``worker``; an earlier one of that number is
        lost.
        """
        self.worker_lost(worker)
        return self.next_assignment(worker)

    def exchange(self, results: EpisodeResults) -> Assignment:
        """Take a report and answer with what its worker shall practise now."""
        self.report(results)
        return self.assignment_of(results.worker)


def merge_results(results: Sequence[EpisodeResults]) -> EpisodeResults:
    """Return reports of one worker, in the order in which they were made, as one: all episodes, the last watermark."""
    if len(results) == 1:
        return results[0]
    merged = {
        field.name: np.concatenate([getattr(r, field.name) for r in results])
        for field in fields(EpisodeResults)
        if isinstance(getattr(results[-1], field.name), np.ndarray)
    }
    return replace(results[-1], **merged)


class RemoteAssignmentSource:
    """``AssignmentSource`` for one rollout worker; picklable.

    Every call to the actor is answered with the newest assignment, so that ``next_assignment`` waits for a round trip
    only the first time and otherwise returns the newest answer that has come in. There is a call every ``interval_s``
    seconds at most (one costs the worker some 0.8 ms); reports in between travel with the next. At most
    ``max_in_flight`` calls are under way; beyond that ``report`` waits for the oldest. An error in the curriculum is
    raised by a later call.
    """

    def __init__(self, actor: Any, max_in_flight: int = 4, interval_s: float = 0.05):
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, got {max_in_flight}")
        self._actor = actor
        self._max_in_flight = max_in_flight
        self._interval_s = interval_s
        self._held: list[EpisodeResults] = []
        self._in_flight: deque[Any] = deque()
        self._newest: Assignment | None = None
        self._called_s = float("-inf")

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteAssignmentSource, (self._actor, self._max_in_flight, self._interval_s)

    def next_assignment(self, worker: int) -> Assignment:
        """Return the newest known assignment."""
        if self._newest is None:
            first: Assignment = ray.get(self._actor.join.remote(worker))
            self._newest = first
            return first
        if self._is_due():
            self._take_in()
            if self._held:
                self._send()
            elif not self._in_flight:
                self._called_s = time.monotonic()
                self._in_flight.append(self._actor.assignment_of.remote(worker))
        return self._newest

    def report(self, results: EpisodeResults) -> None:
        """Send finished episodes, with the next call that is due, without waiting for an answer."""
        self._held.append(results)
        if self._is_due():
            self._take_in()
            self._send()

    def _is_due(self) -> bool:
        return time.monotonic() - self._called_s >= self._interval_s

    def _send(self) -> None:
        while len(self._in_flight) >= self._max_in_flight:
            self._note(ray.get(self._in_flight.popleft()))
        self._called_s = time.monotonic()
        self._in_flight.append(self._actor.exchange.remote(merge_results(self._held)))
        self._held = []

    def _take_in(self) -> None:
        while self._in_flight and ray.wait([self._in_flight[0]], timeout=0)[0]:
            self._note(ray.get(self._in_flight.popleft()))

    def _note(self, assignment: Assignment) -> None:
        """Keep the newest answer."""
        if self._newest is None or assignment.serial >= self._newest.serial:
            self._newest = assignment


class CurriculumHandle:
    """The runtime's grip on the curriculum; every call waits for its answer, ``timeout_s`` at most
    (``GetTimeoutError``).
    """

    def __init__(self, actor: Any, timeout_s: float = 30.0):
        self.actor = actor
        self.timeout_s = timeout_s

    def source(self, max_in_flight: int = 4, interval_s: float = 0.05) -> RemoteAssignmentSource:
        """Return a client for one rollout worker."""
        return RemoteAssignmentSource(self.actor, max_in_flight, interval_s)

    def progress(self) -> CurriculumProgress:
        """Return where the curriculum stands."""
        return self._call(self.actor.progress.remote())

    def force(self, stage: int | None) -> None:
        """Go to ``stage`` and stay there, or (None) let the gates decide again."""
        self._call(self.actor.force.remote(stage))

    def worker_lost(self, worker: int) -> None:
        """Stop waiting for ``worker``; call it before its replacement starts."""
        self._call(self.actor.worker_lost.remote(worker))

    def state(self) -> dict[str, Any]:
        """Return the curriculum's ``state_dict``."""
        return self._call(self.actor.state_dict.remote())

    def load(self, state: dict[str, Any], timeout_s: float | None = None) -> None:
        """Take over a saved state; its workers are gone, so none is waited for. ``timeout_s`` bounds each call in place
        of the handle's own, where the actor may still be starting.
        """
        self._call(self.actor.load_state_dict.remote(state), timeout_s)
        self._call(self.actor.forget_workers.remote(), timeout_s)

    def stop(self) -> None:
        """End the actor, or its host."""
        end(self.actor)

    def _call(self, ref: Any, timeout_s: float | None = None) -> Any:
        return ray.get(ref, timeout=self.timeout_s if timeout_s is None else timeout_s)


def start_curriculum(
    config: CurriculumConfig, has_outcomes: bool = True, host: Host | None = None, **options: Any
) -> CurriculumHandle:
    """Start it in ``host``, or in an actor of its own, without waiting for it. It is never restarted: its state lives
    in checkpoints.

    ``options`` are Ray's, for instance a scheduling strategy, of an actor of its own.
    """
    if host is not None:
        return CurriculumHandle(host.start(CurriculumHost, config, has_outcomes))
    actor_class: Any = ray.remote(num_cpus=0, max_restarts=0)(CurriculumHost)
    return CurriculumHandle(actor_class.options(**options).remote(config, has_outcomes))
