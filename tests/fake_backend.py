"""A tracker that does as it is told: waits for an event, fails for a while, remembers what it was given."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from robonav_ray.records import Metrics


class FakeBackend:
    """Remembers points in order; ``before`` is called with every step first and may wait or raise."""

    def __init__(self, before: Callable[[int], None] = lambda step: None):
        self.points: list[tuple[int, Metrics]] = []
        self.files: list[Path] = []
        self.calls = 0
        self.closed = False
        self._before = before
        self._arrived = threading.Condition()

    @property
    def steps(self) -> list[int]:
        return [step for step, _ in self.points]

    def log(self, metrics: Metrics, step: int) -> None:
        self.calls += 1
        self._before(step)
        with self._arrived:
            self.points.append((step, dict(metrics)))
            self._arrived.notify_all()

    def save(self, path: Path) -> None:
        self.files.append(path)

    def close(self) -> None:
        self.closed = True

    def wait_for(self, count: int) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.points) >= count, 30), (
                f"{len(self.points)} of {count} points"
            )
