"""Priority updates that wait to be sent, by shard, with a bound."""

from __future__ import annotations

from collections import deque

import numpy as np

from robonav_ray.records import unpack_item_id


class PriorityOutbox:
    """Splits updates by shard and keeps at most ``max_waiting`` of them per shard; beyond that the oldest are dropped."""

    def __init__(self, max_waiting: int) -> None:
        """Start empty."""
        self._max_waiting = max_waiting
        self._waiting: dict[int, deque[tuple[np.ndarray, np.ndarray]]] = {}
        self.num_dropped_rows = 0

    def add(self, item_id: np.ndarray, priority: np.ndarray) -> None:
        """Take priorities (B,) for items (B,)."""
        shard = unpack_item_id(item_id).shard
        for index in np.unique(shard).tolist():
            mine = shard == index
            waiting = self._waiting.setdefault(index, deque())
            waiting.append((item_id[mine], priority[mine]))
            while len(waiting) > self._max_waiting:
                self.num_dropped_rows += len(waiting.popleft()[0])

    def shards(self) -> list[int]:
        """Return the shards for which something waits."""
        return [index for index, waiting in self._waiting.items() if waiting]

    def take(self, shard: int) -> tuple[np.ndarray, np.ndarray]:
        """Return and forget all that waits for ``shard``: items (B,) and priorities (B,), oldest first."""
        item_id, priority = (np.concatenate(parts) for parts in zip(*self._waiting.pop(shard), strict=True))
        return item_id, priority

    def drop(self, shard: int) -> None:
        """Forget what waits for ``shard``, and count it."""
        self.num_dropped_rows += len(self.take(shard)[0])
