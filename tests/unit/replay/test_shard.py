"""Is an item what its id says? Is the exponent applied once? Does a shard come back bit for bit?"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.records import pack_item_id, unpack_item_id
from robonav_ray.replay.shard import ReplayShard
from robonav_ray.replay.shard_records import PRIORITY_EDGES
from tests.oracles_replay import SPEC, check_serial_columns, chi_square_p, make_shard, serial_fragment


def columns_of(shard: ReplayShard, num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sample = shard.sample(num)
    return check_serial_columns(tuple(sample.rows[name] for name in SPEC.names)), sample.item_id, sample.probability


def test_rows_stay_together_through_many_laps_of_the_ring() -> None:
    shard = make_shard(61)
    for sequence in range(60):
        shard.insert(serial_fragment(sequence, 7))
        shard.check_valid()
        number, item_id, _ = columns_of(shard, 32)
        np.testing.assert_array_equal(number, unpack_item_id(item_id).sequence)
        assert number.min() > sequence * 7 + 6 - 61


def test_exponent_is_applied_once() -> None:
    shard = make_shard(priority_exponent=0.6, priority_epsilon=0.01)
    priority = np.linspace(0, 5, 20)
    shard.insert(serial_fragment(0, 20, priority=priority))
    leaf = (priority.astype(np.float32).astype(np.float64) + 0.01) ** 0.6
    item_id, probability = columns_of(shard, 500)[1:]
    np.testing.assert_allclose(probability, (leaf / leaf.sum())[unpack_item_id(item_id).sequence], rtol=1e-12)
    assert shard.stats().min_leaf == pytest.approx(leaf.min(), rel=1e-12)
    shard.update_priorities(item_id, np.full(500, 2.0, np.float32))
    leaf[np.unique(unpack_item_id(item_id).sequence)] = 2.01**0.6
    assert shard.stats().mass == pytest.approx(leaf.sum(), rel=1e-12)


@pytest.mark.parametrize("sampler", ["prioritized", "rank", "uniform"])
def test_priorities_are_counted_before_the_exponent(sampler: str) -> None:
    shard = make_shard(64, priority_exponent=0.6, priority_epsilon=0.01, sampler=sampler)
    priority = np.array([0.0, 1e-5, 0.5, 0.5, 3.0, 1e6])
    shard.insert(serial_fragment(0, 6, priority=priority))
    expected = np.histogram(np.minimum(priority, PRIORITY_EDGES[-1]), PRIORITY_EDGES)[0]
    np.testing.assert_array_equal(shard.priority_counts(), 0 * expected if sampler == "uniform" else expected)


@pytest.mark.parametrize("stratified", [False, True])
def test_frequencies_are_priority_to_the_exponent(stratified: bool) -> None:
    shard = make_shard(priority_epsilon=1e-9, stratified=stratified)
    priority = np.arange(1, 65)
    shard.insert(serial_fragment(0, 64, priority=priority))
    counts = np.zeros(64, np.int64)
    for _ in range(200):
        counts += np.bincount(columns_of(shard, 512)[0], minlength=64)
    p_value = chi_square_p(counts, priority**0.6 / (priority**0.6).sum())
    # Strata make the counts more even than independent draws, never less.
    assert p_value > 1e-3


def test_uniform_ignores_priorities() -> None:
    shard = make_shard(sampler="uniform")
    shard.insert(serial_fragment(0, 50, priority=np.arange(50)))
    number, item_id, probability = columns_of(shard, 20_000)
    assert chi_square_p(np.bincount(number, minlength=50), np.full(50, 0.02)) > 1e-3
    assert (probability == 1 / 50).all()
    assert shard.stats()[2:5] == (50.0, 1.0, 50)
    assert shard.update_priorities(item_id, np.ones(20_000, np.float32)) == 0
    shard.check_valid()


def test_late_priority_never_lands_on_the_newer_item() -> None:
    shard = make_shard(10, priority_exponent=1.0, priority_epsilon=1e-12)
    shard.insert(serial_fragment(0, 10))
    old = pack_item_id(0, 0, np.arange(10))
    shard.insert(serial_fragment(1, 4))
    assert shard.update_priorities(old, np.full(10, 100.0, np.float32)) == 4
    assert shard.stats().num_stale == 4
    assert shard.stats().mass == pytest.approx(4 * 1.0 + 6 * 100.0)
    shard.check_valid()


def test_inf_enters_at_the_highest_priority_so_far() -> None:
    shard = make_shard(priority_exponent=0.5, priority_epsilon=1e-12)
    shard.insert(serial_fragment(0, 2, priority=np.array([np.inf, 4.0])))
    assert shard.stats().mass == pytest.approx(2.0 + 2.0)
    shard.update_priorities(pack_item_id(0, 0, np.array([0])), np.array([25.0], np.float32))
    shard.insert(serial_fragment(1, 1, priority=np.array([np.inf])))
    assert shard.stats().mass == pytest.approx(5.0 + 2.0 + 5.0)


def test_a_retried_fragment_is_stored_once() -> None:
    shard = make_shard(1000)
    order = [0, 2, 1, 2, 0, 5, 1, 3]
    stored = [shard.insert(serial_fragment(s, 3)) for s in order]
    assert stored == [3, 3, 3, 0, 0, 3, 0, 3]
    assert shard.stats().num_duplicates == 3
    assert shard.insert(serial_fragment(0, 3, life=1)) == 3
    assert shard.insert(serial_fragment(0, 3, worker=1)) == 3
    assert shard.insert(serial_fragment(7, 3, life=0)) == 3
    assert shard.insert(serial_fragment(0, 3, life=2)) == 3
    assert shard.insert(serial_fragment(8, 3, life=0)) == 0


def test_memory_of_fragments_is_bounded() -> None:
    shard = make_shard(8)
    for sequence in range(0, 5000, 2):
        assert shard.insert(serial_fragment(sequence, 1)) == 1
    assert shard.insert(serial_fragment(4997, 1)) == 1
    assert shard.insert(serial_fragment(3, 1)) == 0
    assert len(json.dumps(shard.state_dict()["seen"])) < 6 * 1024


def play(shard: ReplayShard, seed: int, first: int) -> list[bytes]:
    rng, log = np.random.default_rng(seed), []
    for k in range(20):
        shard.insert(serial_fragment(first + k, 5, priority=rng.random(5)))
        sample = shard.sample(16)
        log += [sample.rows.tobytes(), sample.item_id.tobytes(), sample.probability.tobytes()]
        shard.update_priorities(sample.item_id, rng.random(16).astype(np.float32))
    return log


@pytest.mark.parametrize("sampler", ["prioritized", "rank", "uniform"])
@pytest.mark.parametrize("through", ["state_dict", "disk"])
def test_round_trip_continues_bit_for_bit(sampler: Any, through: str, tmp_path: Path) -> None:
    shard, again = make_shard(sampler=sampler), make_shard(seed=99, sampler=sampler)
    play(shard, 0, 0)
    if through == "disk":
        files = shard.save(str(tmp_path / "s"))
        assert sorted(file.name for file in files) == sorted(p.name for p in (tmp_path / "s").iterdir())
        again.load(str(tmp_path / "s"))
    else:
        again.load_state_dict(shard.state_dict())
    again.check_valid()
    assert play(again, 1, 20) == play(shard, 1, 20)
    assert again.stats() == shard.stats()


def test_state_dict_is_a_copy() -> None:
    shard = make_shard()
    shard.insert(serial_fragment(0, 64))
    state = shard.state_dict()
    before = state["rows"].copy()
    shard.insert(serial_fragment(1, 64))
    np.testing.assert_array_equal(state["rows"], before)


def test_a_restored_shard_never_uses_an_id_twice(tmp_path: Path) -> None:
    shard = make_shard()
    shard.insert(serial_fragment(0, 10))
    shard.save(str(tmp_path))
    shard.insert(serial_fragment(1, 10))
    lost = pack_item_id(0, 0, np.arange(10, 20))
    again = make_shard(life=1)
    assert again.restore(str(tmp_path), 1) == 1
    kept = pack_item_id(0, 0, np.arange(10))
    assert again.update_priorities(kept, np.ones(10, np.float32)) == 0
    again.insert(serial_fragment(2, 10))
    assert again.update_priorities(lost, np.ones(10, np.float32)) == 10
    ids = np.unique(again.sample(2000).item_id)
    np.testing.assert_array_equal(ids, np.sort(np.concatenate([kept, pack_item_id(0, 1, np.arange(10, 20))])))
    again.check_valid()
    assert make_shard().restore(str(tmp_path), 5) == 5
    with pytest.raises(ValueError, match="life must be above"):
        make_shard().load(str(tmp_path), 0)


def test_bad_input_is_refused_and_changes_nothing() -> None:
    shard = make_shard()
    shard.insert(serial_fragment(0, 5))
    good, before = serial_fragment(1, 5), shard.stats()
    nan = np.array([1, np.nan, 1, 1, 1], np.float32)
    bad = [
        (replace(good, priority=nan), "finite"),
        (replace(good, priority=-good.priority), "finite"),
        (replace(good, priority=good.priority[:3]), "priorities"),
        (replace(good, columns=good.columns[:2]), "expected 6 columns"),
        (serial_fragment(1, 65), r"replay\.capacity"),
    ]
    for fragment, message in bad:
        with pytest.raises(ValueError, match=message):
            shard.insert(fragment)
    ids = shard.sample(5).item_id
    for priority in (nan, np.full(5, np.inf, np.float32), -np.ones(5, np.float32)):
        with pytest.raises(ValueError, match="NaN or Inf"):
            shard.update_priorities(ids, priority)
    with pytest.raises(ValueError, match="shards \\[4\\]"):
        shard.update_priorities(pack_item_id(4, 0, np.arange(5)), np.ones(5, np.float32))
    assert shard.stats() == before
    assert shard.insert(good) == 5


def test_a_state_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    shard = make_shard()
    shard.insert(serial_fragment(0, 20))
    state = shard.state_dict()
    with pytest.raises(ValueError, match="capacity = 64, this shard has 32"):
        make_shard(32).load_state_dict(state)
    with pytest.raises(ValueError, match="priority_exponent"):
        make_shard(priority_exponent=0.5).load_state_dict(state)
    with pytest.raises(ValueError, match=r"missing keys \['rng'\]"):
        make_shard().load_state_dict({k: v for k, v in state.items() if k != "rng"})
    with pytest.raises(ValueError, match="20 live rows"):
        make_shard().load_state_dict(state | {"leaf": state["leaf"][:3]})
    shard.save(str(tmp_path))
    for damage in ("rows.npy", "leaf.npy", "shard.json"):
        path = tmp_path / damage
        content = path.read_bytes()
        for bad in (content[:40], b"", b"nonsense"):
            path.write_bytes(bad)
            with pytest.raises(ValueError, match=damage):
                make_shard().load(str(tmp_path))
        path.unlink()
        with pytest.raises(ValueError, match=damage):
            make_shard().load(str(tmp_path))
        path.write_bytes(content)
    make_shard().load(str(tmp_path))


def test_empty_shard_answers_with_no_rows() -> None:
    sample = make_shard().sample(5)
    assert len(sample.rows) == len(sample.item_id) == len(sample.probability) == 0
    assert sample.stats.mass == 0.0
    assert sample.stats.min_leaf == np.inf
