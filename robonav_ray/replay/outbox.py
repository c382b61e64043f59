"""Priority updates that wait to be sent or answered, by shard, with bounds."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container

import numpy as np

from robonav_ray.records import unpack_item_id


class PriorityOutbox:
    """Splits updates by shard and keeps at most ``max_waiting`` of them per shard; beyond that the oldest are dropped.

    At most ``max_in_flight`` sends per shard are under way; what they carry has left the outbox.
    """

    def __init__(self, max_waiting: int, max_in_flight: int) -> None:
        """Start empty."""
        self._max_waiting, self._max_in_flight = max_waiting, max_in_flight
        self._in_flight: Counter[int] = Counter()
        self._waiting: dict[int, deque[tuple[np.ndarray, np.ndarray]]] = {}
        self.num_dropped_rows = 0

    def add(self, item_id: np.ndarray, priority: np.ndarray) -> None:
        """Take priorities (B,) for items (B,)."""
        shard = unpack_item_id(item_id).shard
        for index in np.flatnonzero(np.bincount(shard)).tolist():
            mine = shard == index
            waiting = self._waiting.setdefault(index, deque())
            waiting.append((item_id[mine], priority[mine]))
            while len(waiting) > self._max_waiting:
                self.num_dropped_rows += len(waiting.popleft()[0])

    def shards(self) -> list[int]:
        """Return the shards for which something waits."""
        return [index for index, waiting in self._waiting.items() if waiting]

    def take_due(self, live: Container[int]) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Return and forget what may be sent now, per shard: index, items (B,), priorities (B,), oldest first.

        What waits for shards that are not ``live`` is dropped and counted. Each send that is returned must be
        ``answered``.
        """
        due = []
        for index in self.shards():
            if index in live and self._in_flight[index] >= self._max_in_flight:
                continue
            item_id, priority = (np.concatenate(parts) for parts in zip(*self._waiting.pop(index), strict=True))
            if index in live:
                self._in_flight[index] += 1
                due.append((index, item_id, priority))
            else:
                self.num_dropped_rows += len(item_id)
        return due

    def answered(self, shard: int, rows: int, stale: int | None) -> int:
        """Close one send of ``rows``: ``stale`` of them came too late, or all are lost (None); return the stale
        ones.
        """
        self._in_flight[shard] -= 1
        if stale is None:
            self.num_dropped_rows += rows
        return stale or 0
