"""The curriculum as one small Ray actor, and the two clients that talk to it."""

from __future__ import annotations

from collections import deque
from typing import Any

import ray

from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.curriculum.ladder import Curriculum
from robonav_ray.curriculum.progress import CurriculumProgress
from robonav_ray.records import Assignment, EpisodeResults


class CurriculumHost(Curriculum):
    """What runs in the actor: the ladder plus two calls that save round trips."""

    def join(self, worker: int) -> Assignment:
        """Return the first assignment of a process that calls itself ``worker``; an earlier one of that number is lost."""
        self.worker_lost(worker)
        return self.next_assignment(worker)

    def exchange(self, results: EpisodeResults) -> Assignment:
        """Take a report and answer with what its worker shall practise now."""
        self.report(results)
        return self.assignment_of(results.worker)


class RemoteAssignmentSource:
    """``AssignmentSource`` for one rollout worker; picklable.

    Every report is answered with the newest assignment, so that ``next_assignment`` waits for a round trip only the first
    time and otherwise returns the newest answer that has come in. At most ``max_in_flight`` calls are under way; ``report``
    waits for the oldest beyond that. An error in the curriculum is raised by the next call.
    """

    def __init__(self, actor: Any, max_in_flight: int = 8):
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, got {max_in_flight}")
        self._actor = actor
        self._max_in_flight = max_in_flight
        self._pending: deque[Any] = deque()
        self._newest: Assignment | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteAssignmentSource, (self._actor, self._max_in_flight)

    def next_assignment(self, worker: int) -> Assignment:
        """Return the newest known assignment."""
        self._take_in()
        if self._newest is None:
            self._note(ray.get(self._actor.join.remote(worker)))
        elif not self._pending:
            self._pending.append(self._actor.assignment_of.remote(worker))
        assert self._newest is not None
        return self._newest

    def report(self, results: EpisodeResults) -> None:
        """Send finished episodes without waiting for an answer."""
        self._take_in()
        while len(self._pending) >= self._max_in_flight:
            self._note(ray.get(self._pending.popleft()))
        self._pending.append(self._actor.exchange.remote(results))

    def _take_in(self) -> None:
        while self._pending and ray.wait([self._pending[0]], timeout=0)[0]:
            self._note(ray.get(self._pending.popleft()))

    def _note(self, assignment: Assignment) -> None:
        """Keep the newest answer."""
        if self._newest is None or assignment.serial >= self._newest.serial:
            self._newest = assignment


class CurriculumHandle:
    """The runtime's grip on the curriculum; every call waits for its answer, ``timeout_s`` at most (``GetTimeoutError``)."""

    def __init__(self, actor: Any, timeout_s: float = 30.0):
        self.actor = actor
        self.timeout_s = timeout_s

    def source(self, max_in_flight: int = 8) -> RemoteAssignmentSource:
        """Return a client for one rollout worker."""
        return RemoteAssignmentSource(self.actor, max_in_flight)

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

    def load(self, state: dict[str, Any]) -> None:
        """Take over a saved state; its workers are gone, so none is waited for."""
        self._call(self.actor.load_state_dict.remote(state))
        self._call(self.actor.forget_workers.remote())

    def stop(self) -> None:
        """End the actor."""
        ray.kill(self.actor)

    def _call(self, ref: Any) -> Any:
        return ray.get(ref, timeout=self.timeout_s)


def start_curriculum(config: CurriculumConfig, has_outcomes: bool = True, **options: Any) -> CurriculumHandle:
    """Start the actor (``num_cpus=0``, never restarted by Ray: its state lives in checkpoints) without waiting for it.

    ``options`` are Ray actor options, for instance a scheduling strategy.
    """
    actor_class: Any = ray.remote(num_cpus=0, max_restarts=0)(CurriculumHost)
    return CurriculumHandle(actor_class.options(**options).remote(config, has_outcomes))
