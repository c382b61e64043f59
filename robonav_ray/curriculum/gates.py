"""The gate of a stage: which episodes it looks at, in which order, and when it opens.

The first episodes to finish are the short ones, so a window in order of finishing would judge a stage by its collisions
(or by its easy worlds). Episodes therefore enter in the order in which they *started*: each waits until no worker can
still be running one that began earlier.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from robonav_ray.ranges import MAX_COUNT, MAX_FLOAT32, check_numbers, count, real, require
from robonav_ray.records import Outcome
from robonav_ray.runs.progress import WindowFigures

NO_GATE_EPISODE = 1 << 62
"""Watermarks from here on mean: this worker runs no episode that counts, so it holds nothing back."""

_EPISODE = [MAX_COUNT, MAX_COUNT, MAX_COUNT, MAX_COUNT, max(Outcome), MAX_FLOAT32]
_ORDER = {
    "base": count(),
    "watermark": count(None, 2, high=np.array([MAX_COUNT, NO_GATE_EPISODE])),
    "pending": real(None, len(_EPISODE), low=np.array([0, 0, 0, 0, 0, -MAX_FLOAT32]), high=np.array(_EPISODE)),
    "num_arrived": count(),
    "num_let_go": count(),
    "num_discarded": count(),
}
"""What a saved ``StartOrder`` may hold; an episode is a ``GateEpisode``."""

_COLLISIONS = frozenset(int(outcome) for outcome in Outcome if outcome.is_collision)


class GateEpisode(NamedTuple):
    """What the gate needs to know of one finished episode; tuples sort in the order of starting."""

    started_at: int
    """The world's clock under the level when the episode began."""
    world: int
    """Global index of the world; settles ties."""
    arrival: int
    """Order of being reported; settles what is left (a replaced worker may repeat a clock)."""
    worker: int
    outcome: int
    task_return: float


class GateWindow:
    """The last ``size`` episodes that entered."""

    def __init__(self, size: int):
        self.size = size
        self._episodes: deque[tuple[int, float]] = deque(maxlen=size)

    @property
    def is_full(self) -> bool:
        """Whether ``size`` episodes are in the window."""
        return len(self._episodes) == self.size

    def add(self, outcome: int, task_return: float) -> None:
        """Let one episode enter; the oldest leaves a full window."""
        self._episodes.append((outcome, task_return))

    def clear(self) -> None:
        """Empty the window."""
        self._episodes.clear()

    def figures(self) -> WindowFigures:
        """Return the rates and the mean return of what is in the window."""
        n = len(self._episodes)
        if n == 0:
            return WindowFigures()
        successes = sum(outcome == Outcome.SUCCESS for outcome, _ in self._episodes)
        collisions = sum(outcome in _COLLISIONS for outcome, _ in self._episodes)
        return WindowFigures(n, successes / n, collisions / n, math.fsum(r for _, r in self._episodes) / n)

    def state_dict(self) -> list[list[float]]:
        """Return the episodes, oldest first, as [outcome, task_return]."""
        return [[outcome, task_return] for outcome, task_return in self._episodes]

    def load_state_dict(self, state: Sequence[Sequence[float]]) -> None:
        """Replace the content; ValueError, and nothing changed, when it does not fit."""
        real(None, 2, low=np.array([0.0, -MAX_FLOAT32]), high=np.array([max(Outcome), MAX_FLOAT32])).check(
            "window", state
        )
        if len(state) > self.size:
            raise ValueError(
                f"a window of {self.size} cannot take {len(state)} episodes; curriculum.window was changed"
            )
        self._episodes = deque(((int(outcome), float(task_return)) for outcome, task_return in state), maxlen=self.size)


class StartOrder:
    """Puts finished episodes into the order in which they started.

    Every live worker has a watermark: no episode that it will still report started earlier. An episode is ready when it
    started before the smallest watermark. At most ``max_pending`` wait; beyond that the oldest are let go without
    waiting (a frozen worker must not hold the gate without end) and counted in ``num_let_go``.
    """

    def __init__(self, max_pending: int):
        self.max_pending = max_pending
        self.num_let_go = 0
        self.num_discarded = 0
        self._base = 0
        self._watermark: dict[int, int] = {}
        self._heap: list[GateEpisode] = []
        self._num_arrived = 0

    @property
    def num_pending(self) -> int:
        """Finished episodes that wait for earlier ones."""
        return len(self._heap)

    @property
    def clock(self) -> int:
        """Where a worker that joins now begins: nothing that has entered, or is ready to, started later."""
        return max((w for w in self._watermark.values() if w < NO_GATE_EPISODE), default=self._base)

    @property
    def workers(self) -> tuple[int, ...]:
        """Live workers."""
        return tuple(sorted(self._watermark))

    def begin_stage(self, clock: int) -> None:
        """Drop what waits and put every live worker back to ``clock``."""
        self._heap.clear()
        self._base = clock
        self._watermark = dict.fromkeys(self._watermark, clock)

    def join(self, worker: int) -> int:
        """Count ``worker`` as live from now on; returns the clock at which it begins."""
        clock = self.clock
        self._watermark[worker] = clock
        return clock

    def leave(self, worker: int) -> None:
        """Take ``worker`` out.

        Its waiting episodes that began at or after its watermark go too: the longer ones beside them died with it, and
        to count only the short ones is the bias that the order is there to avoid.
        """
        watermark = self._watermark.pop(worker, None)
        if watermark is None:
            return
        kept = [e for e in self._heap if e.worker != worker or e.started_at < watermark]
        self.num_discarded += len(self._heap) - len(kept)
        heapq.heapify(kept)
        self._heap = kept

    def add(self, worker: int, started_at: int, world: int, outcome: int, task_return: float) -> None:
        """Take one finished episode; one that began before this visit of the stage, or of an unknown worker, is
        ignored.
        """
        if worker in self._watermark and started_at >= self._base:
            heapq.heappush(self._heap, GateEpisode(started_at, world, self._num_arrived, worker, outcome, task_return))
            self._num_arrived += 1

    def advance(self, worker: int, watermark: int) -> None:
        """Note a live worker's new watermark."""
        if worker in self._watermark:
            self._watermark[worker] = watermark

    def pop_ready(self) -> Iterator[GateEpisode]:
        """Yield the episodes that are ready, in order; the caller may stop at any of them and call ``begin_stage``."""
        while self._heap and (len(self._heap) > self.max_pending or self._heap[0].started_at < self._low()):
            self.num_let_go += self._heap[0].started_at >= self._low()
            yield heapq.heappop(self._heap)

    def _low(self) -> int:
        return min(self._watermark.values(), default=NO_GATE_EPISODE)

    def state_dict(self) -> dict[str, object]:
        """Return everything, as JSON takes it."""
        return {
            "base": self._base,
            "watermark": sorted([worker, mark] for worker, mark in self._watermark.items()),
            "pending": [list(e) for e in sorted(self._heap)],
            "num_arrived": self._num_arrived,
            "num_let_go": self.num_let_go,
            "num_discarded": self.num_discarded,
        }

    def load_state_dict(self, state: dict) -> None:
        """Replace everything by what ``state_dict`` gave; ValueError, and nothing changed, when it does not fit."""
        check_numbers("state of the start order", state, _ORDER, "order: ")
        pending = [GateEpisode(*map(int, e[:-1]), task_return=float(e[-1])) for e in state["pending"]]
        require(pending == sorted(pending), "order: pending: not in the order of starting")
        require(
            all(e.arrival < state["num_arrived"] for e in pending),
            "order: num_arrived: below that of an episode that waits",
        )
        self._base = state["base"]
        self._watermark = dict(state["watermark"])
        self._heap = pending
        self._num_arrived = state["num_arrived"]
        self.num_let_go = state["num_let_go"]
        self.num_discarded = state["num_discarded"]
