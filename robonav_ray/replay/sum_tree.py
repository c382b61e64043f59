"""Sum tree with a fan-out of 16: proportional sampling and the smallest live leaf, both in O(log n).

A node is always recomputed as the sum of its sixteen children in one fixed order, never adjusted by a difference. The
root is therefore a pure function of the leaves: rounding cannot accumulate however many updates were made, and a tree
rebuilt from saved leaves is equal to the bit. Sixteen float64 are two cache lines; 1 M leaves have five levels. Whole
batches move level by level, so that the memory accesses of different draws overlap.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.compiled import njit

_FAN_OUT_BITS = 4
_FAN_OUT = 1 << _FAN_OUT_BITS
_CACHE_LINE_BYTES = 64


@njit()
def _refresh_node(
    sums: np.ndarray, mins: np.ndarray, node: int, first: int, first_is_leaf: bool, num_leaves: int
) -> None:
    """Recompute the sum and the smallest positive leaf of ``node`` from its children at ``first``.. (``mins`` starts
    behind the leaves).
    """
    lane_0 = sums[first] + sums[first + 4] + sums[first + 8] + sums[first + 12]
    lane_1 = sums[first + 1] + sums[first + 5] + sums[first + 9] + sums[first + 13]
    lane_2 = sums[first + 2] + sums[first + 6] + sums[first + 10] + sums[first + 14]
    lane_3 = sums[first + 3] + sums[first + 7] + sums[first + 11] + sums[first + 15]
    sums[node] = (lane_0 + lane_1) + (lane_2 + lane_3)
    smallest = np.inf
    if first_is_leaf:
        for child in range(first, first + _FAN_OUT):
            value = sums[child] if sums[child] > 0.0 else np.inf
            smallest = value if value < smallest else smallest
    else:
        for child in range(first - num_leaves, first - num_leaves + _FAN_OUT):
            smallest = mins[child] if mins[child] < smallest else smallest
    mins[node - num_leaves] = smallest


@njit()
def _set(
    sums: np.ndarray,
    mins: np.ndarray,
    dirty: np.ndarray,
    offset: np.ndarray,
    work: np.ndarray,
    slot: np.ndarray,
    value: np.ndarray,
) -> None:
    """Write leaves and refresh each touched ancestor once; ``work`` has room for one node per slot."""
    num_leaves = offset[1]
    for i in range(slot.shape[0]):
        sums[slot[i]] = value[i]
    num_nodes = slot.shape[0]
    for i in range(num_nodes):
        work[i] = slot[i]
    for level in range(1, offset.shape[0]):
        num_parents = 0
        for i in range(num_nodes):
            parent = work[i] >> _FAN_OUT_BITS
            flag = offset[level] - num_leaves + parent
            if dirty[flag] == 0:
                dirty[flag] = 1
                work[num_parents] = parent
                num_parents += 1
        for i in range(num_parents):
            node = offset[level] + work[i]
            dirty[node - num_leaves] = 0
            _refresh_node(sums, mins, node, offset[level - 1] + (work[i] << _FAN_OUT_BITS), level == 1, num_leaves)
        num_nodes = num_parents


@njit()
def _descend(
    sums: np.ndarray, offset: np.ndarray, uniform: np.ndarray, remaining: np.ndarray, node: np.ndarray
) -> None:
    """Turn ``uniform`` (B,) in [0, 1) into leaves ``node`` (B,); ``remaining`` (B,) is scratch."""
    top = offset.shape[0] - 1
    for i in range(uniform.shape[0]):
        remaining[i] = uniform[i] * sums[offset[top]]
        node[i] = 0
    for level in range(top - 1, -1, -1):
        for i in range(uniform.shape[0]):
            first = offset[level] + (node[i] << _FAN_OUT_BITS)
            target = remaining[i]
            below, child = 0.0, 0
            # First the quarter of the family, then the child: six comparisons in place of fifteen, without branches.
            for step in (4, 1):
                prefix = below
                start = child
                for c in range(start, start + 3 * step, step):
                    for k in range(c, c + step):
                        prefix += sums[first + k]
                    passed = prefix <= target
                    child = c + step if passed else child
                    below = prefix if passed else below
            target -= below
            # Rounding can carry a draw past the last child that has any mass: step back onto it.
            while child > 0 and sums[first + child] <= 0.0:
                child -= 1
                target = 0.0
            remaining[i] = target
            node[i] = (node[i] << _FAN_OUT_BITS) + child


def _aligned_zeros(num: int) -> np.ndarray:
    """Return ``num`` float64 zeros that begin on a cache line, so that sixteen siblings take two lines and not
    three.
    """
    raw = np.zeros(num + _CACHE_LINE_BYTES // 8, np.float64)
    skip = (-raw.ctypes.data % _CACHE_LINE_BYTES) // 8
    return raw[skip : skip + num]


class SumTree:
    """Non-negative leaves in ``capacity`` slots; a slot that was never set, or set to 0, is never drawn.

    Leaves are what is sampled by: the caller has applied the priority exponent already, and the tree never does.
    """

    def __init__(self, capacity: int) -> None:
        """Allocate; about ``num_bytes(capacity)`` bytes, nothing later depends on how many slots are set."""
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self._offset = _level_offsets(capacity)
        num_nodes, num_leaves = int(self._offset[-1]) + 1, int(self._offset[1])
        self._sums = _aligned_zeros(num_nodes)
        self._mins = np.full(num_nodes - num_leaves, np.inf)
        self._dirty = np.zeros(num_nodes - num_leaves, np.uint8)
        self._work = np.empty(0, np.int64)

    @staticmethod
    def num_bytes(capacity: int) -> int:
        """Bytes that a tree of ``capacity`` slots takes."""
        offset = _level_offsets(capacity)
        num_nodes, num_leaves = int(offset[-1]) + 1, int(offset[1])
        return num_nodes * 8 + (num_nodes - num_leaves) * 9

    @property
    def total(self) -> float:
        """Sum of all leaves."""
        return float(self._sums[-1])

    @property
    def min_leaf(self) -> float:
        """Smallest positive leaf; inf when there is none."""
        return float(self._mins[-1])

    @property
    def leaf(self) -> np.ndarray:
        """(capacity,) float64 view of the leaves, in slot order; read only by convention."""
        return self._sums[: self.capacity]

    def set(self, slot: np.ndarray, value: np.ndarray) -> None:
        """Set leaves ``slot`` (B,) int64 to ``value`` (B,) float64 >= 0; of equal slots the last one wins."""
        if len(slot) > len(self._work):
            self._work = np.empty(max(len(slot), 2 * len(self._work)), np.int64)
        _set(self._sums, self._mins, self._dirty, self._offset, self._work, slot, value)

    def sample(self, uniform: np.ndarray) -> np.ndarray:
        """Return the (B,) int64 slots that ``uniform`` (B,) float64 in [0, 1) fall on; P(slot) = leaf / total.

        RuntimeError when the total is 0.
        """
        if self.total <= 0.0:
            raise RuntimeError("the sum tree is empty: nothing can be drawn")
        slot = np.empty(len(uniform), np.int64)
        _descend(self._sums, self._offset, uniform, np.empty(len(uniform)), slot)
        return slot

    def weight_of(self, slot: np.ndarray) -> np.ndarray:
        """Return the (B,) float64 weights that slots (B,) are drawn by."""
        return self.leaf[slot]

    def check_valid(self) -> None:
        """AssertionError unless every node equals its children's sum and minimum, and no leaf is negative or not
        finite.
        """
        leaf = self.leaf
        assert np.isfinite(leaf).all(), "a leaf is not finite"
        assert (leaf >= 0.0).all(), "a leaf is negative"
        assert not self._sums[self.capacity : int(self._offset[1])].any(), "padding behind the last slot is not zero"
        again = SumTree(self.capacity)
        again.set(np.arange(self.capacity), leaf)
        assert np.array_equal(again._sums, self._sums), "an inner sum is not the sum of its children"
        assert np.array_equal(again._mins, self._mins), "an inner minimum is not the minimum of its children"
        assert not self._dirty.any(), "a dirty flag was left behind"


def _level_offsets(capacity: int) -> np.ndarray:
    """Return where each level begins in the flat node array, leaves first, root last; levels are padded to whole
    families.
    """
    offsets, begin, num = [0], 0, capacity
    while True:
        begin += -(-num // _FAN_OUT) * _FAN_OUT
        offsets.append(begin)
        num = -(-num // _FAN_OUT)
        if num == 1:
            return np.array(offsets, np.int64)
