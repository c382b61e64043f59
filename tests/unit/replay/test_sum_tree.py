"""Is the fast tree the slow one? Does nothing drift? Are draws distributed as the leaves say?"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robonav_ray.replay.sum_tree import SumTree
from tests.oracles_replay import NaiveSumTree, chi_square_p


@pytest.mark.parametrize("capacity", [1, 2, 15, 16, 17, 255, 257, 5000])
def test_agrees_with_the_naive_tree(capacity: int) -> None:
    rng = np.random.default_rng(capacity)
    fast, slow = SumTree(capacity), NaiveSumTree(capacity)
    for _ in range(20):
        slot = rng.integers(0, capacity, rng.integers(1, 40))
        # Small integers are exact in float64, so that both trees must give the very same slots.
        value = rng.integers(0, 9, len(slot)).astype(np.float64)
        fast.set(slot, value)
        slow.set(slot, value)
        fast.check_valid()
        assert fast.total == slow.total
        assert fast.min_leaf == slow.min_leaf
        if slow.total:
            uniform = rng.integers(0, int(slow.total), 50) / slow.total
            np.testing.assert_array_equal(fast.sample(uniform), slow.sample(uniform))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=1, max_size=300),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1),
)
def test_never_draws_an_empty_slot(leaf: list[float], uniform: list[float]) -> None:
    tree = SumTree(len(leaf))
    tree.set(np.arange(len(leaf)), np.array(leaf))
    if tree.total > 0:
        assert (tree.leaf[tree.sample(np.array([*uniform, np.nextafter(1.0, 0.0)]))] > 0).all()


def test_root_is_the_sum_of_the_leaves_after_a_million_updates() -> None:
    rng = np.random.default_rng(0)
    tree = SumTree(3000)
    for _ in range(1000):
        tree.set(rng.integers(0, 3000, 1000), 10.0 ** rng.uniform(-8, 8, 1000))
    tree.set(np.arange(3000), np.full(3000, 1e-8))
    assert tree.total == pytest.approx(3000 * 1e-8, rel=1e-12)
    tree.check_valid()


def test_frequencies_follow_the_leaves() -> None:
    rng = np.random.default_rng(1)
    leaf = rng.random(400) ** 3
    tree = SumTree(400)
    tree.set(np.arange(400), leaf)
    counts = np.bincount(tree.sample(rng.random(200_000)), minlength=400)
    keep = leaf / leaf.sum() * 200_000 > 5
    observed = np.append(counts[keep], counts[~keep].sum())
    expected = np.append(leaf[keep], leaf[~keep].sum()) / leaf.sum()
    assert chi_square_p(observed, expected) > 1e-3


def test_last_of_equal_slots_wins() -> None:
    tree = SumTree(40)
    tree.set(np.array([3, 3, 20, 3]), np.array([1.0, 2.0, 5.0, 7.0]))
    assert tree.total == 12.0
    assert tree.min_leaf == 5.0


def test_empty_tree_refuses_to_draw() -> None:
    with pytest.raises(RuntimeError, match="empty"):
        SumTree(4).sample(np.array([0.5]))
    with pytest.raises(ValueError, match="at least 1"):
        SumTree(0)


def test_num_bytes_is_what_is_allocated() -> None:
    tree = SumTree(10_000)
    assert SumTree.num_bytes(10_000) == tree._sums.nbytes + tree._mins.nbytes + tree._dirty.nbytes
