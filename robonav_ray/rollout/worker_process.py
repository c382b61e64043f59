"""The processes of rollout workers as the fleet sees them: what it may ask of one, and how it gets another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from robonav_ray.calls import Call
from robonav_ray.rollout.make_worker import WorkerOrder


class WorkerProcess(Protocol):
    """One life of a worker in its own process, or a spare that waits for one. No call waits."""

    def begin(self, order: WorkerOrder) -> None:
        """Let a spare begin a life."""
        ...

    def run(self, seconds: float) -> Call:
        """Make fragments, at least one, for about ``seconds``; the answer is a RolloutStats."""
        ...

    def rehearse(self, order: WorkerOrder) -> Call:
        """Load all that a life like ``order`` needs."""
        ...

    def ping(self) -> Call:
        """Ask whether it is there."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class WorkerProcesses(Protocol):
    """Where processes come from."""

    def start(self, order: WorkerOrder | None, node: str) -> WorkerProcess:
        """Start a process on ``node`` ("": any) that begins the life ``order``; None starts a spare, which reserves no
        CPU.
        """
        ...

    def wait(self, calls: Sequence[Call], timeout_s: float) -> Sequence[Call]:
        """Wait until all of ``calls`` are done, ``timeout_s`` seconds at most; return those that are."""
        ...
