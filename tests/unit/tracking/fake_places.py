"""A backend that keeps what it is given in memory over the sessions of a run, as a server does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from robonav_ray.tracking.backend import Point, RunEnding
from robonav_ray.tracking.deliveries import Delivery, TrackersFile
from robonav_ray.tracking.feed import Place
from robonav_ray.tracking.items import ALL_KINDS


class Server:
    """``before`` is called with the points of every write, and may wait or raise."""

    name = "server"

    def __init__(self, takes: frozenset[str] = ALL_KINDS) -> None:
        self.takes = takes
        self.points: list[Point] = []
        self.endings: list[RunEnding | None] = []
        self.before: Callable[[Sequence[Point]], None] = lambda points: None
        self._arrived = threading.Condition()

    def write(self, points: Sequence[Point]) -> None:
        self.before(points)
        with self._arrived:
            self.points += points
            self._arrived.notify_all()

    def close(self, ending: RunEnding | None) -> None:
        self.endings.append(ending)

    @property
    def steps(self) -> list[int]:
        return [point.step for point in self.points]

    def wait_for(self, step: int) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: step in self.steps, 30), self.steps


def place(server: Server, directory: Path, *, rewinds: bool = False, gather_s: float = 0.0) -> Place:
    delivery = Delivery(TrackersFile(directory), server.name, rewinds=rewinds, start=0)
    return Place(server.name, lambda: server, delivery, gather_s=gather_s)
