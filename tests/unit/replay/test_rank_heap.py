"""Rank-based PER: are ranks exact after a sort, how far off in between and over shards, and is the probability told the
real one?"""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.config.replay import ReplayConfig
from robonav_ray.records import pack_item_id, unpack_item_id
from robonav_ray.replay.buffer import ReplayBuffer
from robonav_ray.replay.memory import shard_bytes
from robonav_ray.replay.rank_heap import SORT_FRAC, RankHeap
from tests.oracles_replay import SPEC, check_serial_columns, chi_square_p, make_shard, serial_fragment

ALPHA = 0.7


def rank_probability(priority: np.ndarray) -> np.ndarray:
    """Return (1 / rank)**alpha / sum, ranks by falling priority (PER, section 3.3)."""
    rank = np.empty(len(priority))
    rank[np.argsort(-priority, kind="stable")] = np.arange(1, len(priority) + 1)
    weight = (1.0 / rank) ** ALPHA
    return weight / weight.sum()


def probability(heap: RankHeap) -> np.ndarray:
    """Return the probability of every slot."""
    return heap.weight_of(np.arange(heap.size)) / heap.total


def distance(p: np.ndarray, q: np.ndarray) -> float:
    """Return the total variation distance."""
    return float(np.abs(p - q).sum() / 2)


def test_sorted_ranks_are_exact() -> None:
    rng = np.random.default_rng(0)
    heap = RankHeap(300, ALPHA)
    priority = rng.random(300)
    heap.set(np.arange(300), priority)
    heap.sort()
    heap.check_valid()
    np.testing.assert_allclose(probability(heap), rank_probability(priority), rtol=1e-12)
    np.testing.assert_array_equal(heap.order, np.argsort(-priority))


def test_frequencies_are_those_of_the_places_even_between_sorts() -> None:
    rng = np.random.default_rng(1)
    heap = RankHeap(64, ALPHA)
    for _ in range(7):
        heap.set(rng.integers(0, 50, 20), rng.random(20))
    live = np.flatnonzero(heap._position >= 0)
    expected = heap.weight_of(live) / heap.total
    counts = np.bincount(heap.sample(rng.random(100_000)), minlength=64)
    assert counts[np.setdiff1d(np.arange(64), live)].sum() == 0
    assert chi_square_p(counts[live], expected) > 1e-3
    assert expected.sum() == pytest.approx(1.0)
    assert heap.sample(np.array([0.0, np.nextafter(1.0, 0.0)])).tolist() == [heap.order[0], heap.order[-1]]


def test_random_writes_keep_a_heap_whose_first_place_is_the_first() -> None:
    rng = np.random.default_rng(2)
    heap, naive = RankHeap(97, ALPHA), np.full(97, -1.0)
    for step in range(400):
        slot = rng.integers(0, min(97, 1 + step), rng.integers(1, 12))
        value = rng.integers(0, 6, len(slot)).astype(float)
        heap.set(slot, value)
        for s, v in zip(slot, value, strict=True):
            naive[s] = v
        heap.check_valid()
        np.testing.assert_array_equal(heap.leaf[naive >= 0], naive[naive >= 0])
        assert heap.size == (naive >= 0).sum()
        assert heap.leaf[heap.order[0]] == naive.max()


def test_between_two_sorts_the_distribution_is_off_by_little() -> None:
    """The worst moment: just before a sort, a quarter of the rows written since the last one, up or down by any
    amount."""
    rng = np.random.default_rng(3)
    num, worst = 20_000, 0.0
    heap, priority = RankHeap(num, ALPHA), rng.exponential(size=num)
    heap.set(np.arange(num), priority)
    heap.sort()
    for _ in range(3):
        for _ in range(19):
            slot = rng.choice(num, num // 80, replace=False)
            priority[slot] = rng.exponential(size=len(slot))
            heap.set(slot, priority[slot])
        assert heap.num_writes > 0.9 * SORT_FRAC * num
        worst = max(worst, distance(probability(heap), rank_probability(priority)))
        slot = rng.choice(num, num // 50, replace=False)
        heap.set(slot, priority[slot])
        assert heap.num_writes == 0
        assert distance(probability(heap), rank_probability(priority)) < 1e-12
    assert 0.01 < worst < 0.1


def make_buffer(num_shards: int, priority: np.ndarray, **options: object) -> ReplayBuffer:
    """Return a buffer that holds ``priority`` in fragments of 5, its ranks freshly sorted."""
    config = ReplayConfig(
        capacity=len(priority), num_shards=num_shards, min_size=1, samples_per_insert=1.0, error_buffer=1e12,
        sampler="rank", priority_exponent=ALPHA, **options,
    )  # type: ignore[arg-type]  # fmt: skip
    buffer = ReplayBuffer(config, SPEC, 3, 5, 1_000_000)
    for sequence in range(len(priority) // 5):
        buffer.insert(serial_fragment(sequence, 5, priority=priority[5 * sequence : 5 * sequence + 5]))
    for shard in buffer.shards:
        assert isinstance(shard._index, RankHeap)
        shard._index.sort()
        shard.check_valid()
    return buffer


def global_probability(buffer: ReplayBuffer, num: int) -> np.ndarray:
    """Return the probability of every row by its number, from the shards' masses and weights."""
    mass = sum(shard.stats().mass for shard in buffer.shards)
    out = np.zeros(num)
    for shard in buffer.shards:
        assert isinstance(shard._index, RankHeap)
        out[shard._rows["action"][: shard.size]] = shard._index.weight_of(np.arange(shard.size)) / mass
    return out


@pytest.mark.parametrize(("num_shards", "bound"), [(1, 1e-12), (2, 0.06), (5, 0.1)])
def test_shards_are_near_to_one_buffer(num_shards: int, bound: float) -> None:
    """Over S shards a row of local rank r has the mean weight of the global ranks around it: near by total variation,
    exact for S = 1."""
    priority = np.random.default_rng(4).exponential(size=2000).astype(np.float32)
    buffer = make_buffer(num_shards, priority)
    p, exact = global_probability(buffer, 2000), rank_probability(priority)
    assert p.sum() == pytest.approx(1.0)
    assert distance(p, exact) < bound
    # Where the first ranks lie is luck, and theirs are the large errors; nine rows in ten are drawn within a fifth of
    # what they should be.
    assert np.abs(np.quantile(p / exact, [0.05, 0.95]) - 1.0).max() < 0.2


@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.parametrize("stratified", [False, True])
def test_rows_are_drawn_as_told_and_their_weighted_mean_is_unbiased(num_shards: int, stratified: bool) -> None:
    priority = np.random.default_rng(5).exponential(size=120).astype(np.float32)
    buffer = make_buffer(num_shards, priority, importance_exponent=1.0, stratified=stratified)
    expected = global_probability(buffer, 120)
    value = priority + np.random.default_rng(0).normal(size=120)
    counts, means, plain = np.zeros(120), [], []
    samples = buffer.sample(1000, 150)
    assert samples is not None
    for sample in samples:
        number = check_serial_columns(sample.columns)
        np.testing.assert_allclose(sample.probability, expected[number], rtol=1e-9)
        np.testing.assert_allclose(sample.importance_weight, expected.min() / expected[number], rtol=1e-5)
        counts += np.bincount(number, minlength=120)
        means.append(np.mean(sample.importance_weight / expected.min() / 120 * value[number]))
        plain.append(np.mean(value[number]))
    assert chi_square_p(counts, expected) > 1e-3
    assert abs(np.mean(means) - value.mean()) < 4 * np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(plain) - value.mean()) > 4 * np.std(plain) / np.sqrt(len(plain))


def test_a_new_row_takes_the_place_of_no_old_one() -> None:
    shard = make_shard(10, sampler="rank", priority_exponent=1.0)
    shard.insert(serial_fragment(0, 10, priority=np.arange(10.0, 0.0, -1.0)))
    old = pack_item_id(0, 0, np.arange(10))
    shard.insert(serial_fragment(1, 1, priority=np.array([0.5])))
    assert shard.update_priorities(old, np.full(10, 100.0, np.float32)) == 1
    shard._index.sort()  # type: ignore[union-attr]
    sample = shard.sample(5000)
    new = unpack_item_id(sample.item_id).sequence == 10
    assert sample.probability[new][0] == pytest.approx(0.1 / (1.0 / np.arange(1, 11)).sum())
    shard.check_valid()


@pytest.mark.parametrize("sampler", ["prioritized", "rank"])
def test_with_max_entry_a_new_row_comes_first_whatever_its_priority(sampler: str) -> None:
    shard = make_shard(50, sampler=sampler, priority_exponent=0.5, priority_epsilon=1e-9, initial_priority="max")
    shard.insert(serial_fragment(0, 20, priority=np.linspace(0.0, 9.0, 20)))
    assert len(set(shard.sample(3000).probability.tolist())) == (1 if sampler == "prioritized" else 20), (
        "p_1 = 1 for all"
    )
    shard.update_priorities(pack_item_id(0, 0, np.arange(20)), np.arange(0.0, 5.0, 0.25, dtype=np.float32))
    shard.insert(serial_fragment(1, 1, priority=np.zeros(1)))
    sample = shard.sample(3000)
    newest = unpack_item_id(sample.item_id).sequence == 20
    if sampler == "prioritized":  # the highest ever written is 4.75; the exponent is applied to it once
        assert sample.probability[newest][0] * shard.stats().mass == pytest.approx(4.75**0.5)
    else:
        assert shard._index.leaf[20] == 4.75  # type: ignore[union-attr]
        assert sample.probability[newest][0] >= 3.0**-0.5 / shard.stats().mass


def test_memory_is_counted_and_what_has_no_effect_is_refused() -> None:
    heap = RankHeap(1000, ALPHA)
    arrays = (heap._priority, heap._order, heap._position, heap._weight, heap._cumulative)
    assert RankHeap.num_bytes(1000) == sum(a.nbytes for a in arrays)
    assert shard_bytes(SPEC, 1000, "rank") == 1000 * (SPEC.row_bytes + 8 + 40)
    with pytest.raises(ValueError, match="capacity"):
        RankHeap(0, ALPHA)
    with pytest.raises(RuntimeError, match="empty"):
        heap.sample(np.zeros(1))
    with pytest.raises(ConfigError, match=r"replay\.priority_epsilon .* replay\.sampler is rank"):
        load_run_config(None, ["replay.sampler=rank", "replay.priority_epsilon=0.1"])
    with pytest.raises(ConfigError, match=r"replay\.initial_priority"):
        load_run_config(None, ["replay.sampler=uniform", "replay.initial_priority=max"])
