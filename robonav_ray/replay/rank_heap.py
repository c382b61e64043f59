"""Rank-based prioritisation (Schaul et al. 2016, section 3.3): P(i) ~ (1 / rank(i))**alpha, ranks by falling priority.

Ranks are kept as in the paper: a binary heap in an array stands in for the sorted one, and is sorted anew every now and
then. A draw first chooses a place in the array, by its fixed probability, then looks who stands there. So what an item
is drawn with is always known exactly; what is approximate is its rank. Just after a sort all ranks are exact; in
between the first place is, and no item stands behind one of lower priority on the path to the first place.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.compiled import njit

SORT_FRAC = 0.25
"""Sorted anew after this many writes per row: 1 us per write at 200 k rows, and ranks off by little (see tests)."""
_LEAST_WRITES = 256


@njit()
def _sift(priority: np.ndarray, order: np.ndarray, position: np.ndarray, size: int, at: int) -> None:
    """Move the item at place ``at`` up or down until the heap holds again; of equal priorities none moves."""
    slot = order[at]
    mine = priority[slot]
    while at > 0:
        parent = (at - 1) >> 1
        if priority[order[parent]] >= mine:
            break
        order[at] = order[parent]
        position[order[at]] = at
        at = parent
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and priority[order[child + 1]] > priority[order[child]]:
            child += 1
        if priority[order[child]] <= mine:
            break
        order[at] = order[child]
        position[order[at]] = at
        at = child
    order[at] = slot
    position[slot] = at


@njit()
def _set(
    priority: np.ndarray, order: np.ndarray, position: np.ndarray, size: int, slot: np.ndarray, value: np.ndarray
) -> int:
    """Write priorities; slots that are not in the heap yet join it. Return the new size."""
    for i in range(slot.shape[0]):
        s = slot[i]
        priority[s] = value[i]
        if position[s] < 0:
            position[s] = size
            order[size] = s
            size += 1
        _sift(priority, order, position, size, position[s])  # pyright: ignore[reportArgumentType]
    return size


class RankHeap:
    """Priorities in ``capacity`` slots, drawn by rank. Takes the place of a ``SumTree``: leaves are priorities, without
    exponent.
    """

    def __init__(self, capacity: int, exponent: float, num_shards: int = 1) -> None:
        """Allocate; about ``num_bytes(capacity)`` bytes.

        Of ``num_shards`` shards that share all rows evenly, the item of rank r here (from 1) is among the global ranks
        (r - 1) S + 1 .. r S, and is weighted as their mean, (r - 1/2) S + 1/2. With one shard that is r.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self._priority = np.zeros(capacity)
        self._order = np.zeros(capacity, np.int64)
        self._position = np.full(capacity, -1, np.int64)
        self._weight = ((np.arange(capacity) + 0.5) * num_shards + 0.5) ** -exponent
        self._cumulative = np.cumsum(self._weight)
        self.size = 0
        self.num_writes = 0
        """Since the last sort."""

    @staticmethod
    def num_bytes(capacity: int) -> int:
        """Bytes that a heap of ``capacity`` slots takes."""
        return 40 * capacity

    @property
    def total(self) -> float:
        """Sum of the weights of all ranks taken."""
        return float(self._cumulative[self.size - 1]) if self.size else 0.0

    @property
    def min_leaf(self) -> float:
        """Weight of the last rank taken; inf when there is none."""
        return float(self._weight[self.size - 1]) if self.size else np.inf

    @property
    def leaf(self) -> np.ndarray:
        """(capacity,) float64 view of the priorities, in slot order; read only by convention."""
        return self._priority

    @property
    def order(self) -> np.ndarray:
        """(size,) int64 view: the slot at each place, the first rank first; read only by convention."""
        return self._order[: self.size]

    def set(self, slot: np.ndarray, value: np.ndarray) -> None:
        """Set the priorities of slots (B,) int64 to ``value`` (B,) float64 >= 0; of equal slots the last one wins."""
        self.size = _set(self._priority, self._order, self._position, self.size, slot, value)
        self.num_writes += len(slot)
        if self.num_writes >= max(_LEAST_WRITES, SORT_FRAC * self.size):
            self.sort()

    def sort(self) -> None:
        """Make all ranks exact; of equal priorities the lower slot comes first."""
        live = np.flatnonzero(self._position >= 0)
        self.place(live[np.argsort(-self._priority[live], kind="stable")], 0)

    def place(self, order: np.ndarray, num_writes: int) -> None:
        """Take over the places of ``order`` (size,) int64, a heap of the slots it names, made ``num_writes`` after a
        sort.
        """
        self.size, self.num_writes = len(order), num_writes
        self._order[: self.size] = order
        self._position[:] = -1
        self._position[order] = np.arange(self.size)

    def sample(self, uniform: np.ndarray) -> np.ndarray:
        """Return the (B,) int64 slots that ``uniform`` (B,) float64 in [0, 1) fall on; P(slot) = ``weight_of(slot)`` /
        total.

        RuntimeError when there is nothing to draw.
        """
        if not self.size:
            raise RuntimeError("the heap is empty: nothing can be drawn")
        place = np.searchsorted(self._cumulative[: self.size], uniform * self.total, side="right")
        return self._order[np.minimum(place, self.size - 1)]

    def weight_of(self, slot: np.ndarray) -> np.ndarray:
        """Return the (B,) float64 weights that slots (B,) are drawn by."""
        return self._weight[self._position[slot]]

    def check_valid(self) -> None:
        """AssertionError unless the places are a heap, and each slot stands where it says."""
        order, size = self._order[: self.size], self.size
        assert (np.isfinite(self._priority) & (self._priority >= 0.0)).all(), "a priority is negative or not finite"
        assert np.array_equal(self._position[order], np.arange(size)), "a slot does not stand where it says"
        assert np.count_nonzero(self._position >= 0) == size, "a slot stands nowhere"
        parent = (np.arange(1, size) - 1) >> 1
        assert (self._priority[order[parent]] >= self._priority[order[1:]]).all(), "a place holds more than its parent"
