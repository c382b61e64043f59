"""Do several shards sample as one? Are importance weights unbiased and at most 1? Is beta of the step that uses it?"""

import numpy as np
import pytest

from robonav_ray.config.replay import ReplayConfig
from robonav_ray.records import ReplaySample, unpack_item_id
from robonav_ray.replay.buffer import ReplayBuffer
from robonav_ray.replay.mixing import importance_exponent_at, importance_weight, shard_probability
from robonav_ray.replay.row_layout import RowLayout
from robonav_ray.replay.shard_records import ShardSample
from robonav_ray.replay.shard_view import ShardedDraw
from tests.oracles_replay import SPEC, check_serial_columns, chi_square_p, make_shard, serial_fragment

PRIORITY = np.random.default_rng(5).random(120).astype(np.float32) * 4 + 0.05


def make_buffer(num_shards: int, **options: object) -> ReplayBuffer:
    """Return a buffer of 120 rows in fragments of 5 whose pacing never waits."""
    config = ReplayConfig(
        capacity=120 * num_shards,
        num_shards=num_shards,
        min_size=1,
        samples_per_insert=1.0,
        error_buffer=1e12,
        **options,
    )  # type: ignore[arg-type]
    buffer = ReplayBuffer(config, SPEC, 3, 120, 1_000_000)
    for sequence in range(24):
        buffer.insert(serial_fragment(sequence, 5, priority=PRIORITY[5 * sequence : 5 * sequence + 5]))
    return buffer


def take(buffer: ReplayBuffer, batch_size: int, num_batches: int = 1) -> list[ReplaySample]:
    samples = buffer.sample(batch_size, num_batches)
    assert samples is not None
    return samples


@pytest.mark.parametrize("num_shards", [1, 2, 5])
@pytest.mark.parametrize("stratified", [False, True])
def test_any_number_of_shards_samples_as_one_buffer(num_shards: int, stratified: bool) -> None:
    buffer = make_buffer(num_shards, stratified=stratified)
    leaf = (PRIORITY.astype(np.float64) + 1e-3) ** 0.6
    expected = leaf / leaf.sum()
    first, all_counts = np.zeros(120), np.zeros(120)
    for _ in range(150):
        for sample in take(buffer, 64, 8):
            number = check_serial_columns(sample.columns)
            np.testing.assert_allclose(sample.probability, expected[number], rtol=1e-9)
            all_counts += np.bincount(number, minlength=120)
            # Any position of any batch is distributed like all of them: the order is random.
            first[number[0]] += 1
    assert chi_square_p(all_counts, expected) > 1e-3
    coarse = np.add.reduceat(first, np.arange(0, 120, 10)), np.add.reduceat(expected, np.arange(0, 120, 10))
    assert chi_square_p(*coarse) > 1e-3


@pytest.mark.parametrize("num_shards", [1, 3])
def test_weighted_mean_is_unbiased_at_beta_one(num_shards: int) -> None:
    buffer = make_buffer(num_shards, importance_exponent=1.0)
    value = PRIORITY + np.random.default_rng(0).normal(size=120)
    means, plain = [], []
    for sample in take(buffer, 1000, 200):
        number = check_serial_columns(sample.columns)
        # w = P_min / P, so dividing by N P_min gives 1 / (N P): the mean over draws is the mean over rows.
        weight = sample.importance_weight / (120 * float((sample.probability * sample.importance_weight).max()))
        means.append(np.mean(weight * value[number]))
        plain.append(np.mean(value[number]))
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - value.mean()) < 4 * error
    assert abs(np.mean(plain) - value.mean()) > 4 * np.std(plain) / np.sqrt(len(plain))


def test_weights_are_normalised_by_the_whole_replay() -> None:
    buffer = make_buffer(4, importance_exponent=0.7, importance_exponent_final=0.7)
    leaf = (PRIORITY.astype(np.float64) + 1e-3) ** 0.6
    p = leaf / leaf.sum()
    for sample in take(buffer, 4, 20):
        number = check_serial_columns(sample.columns)
        weight = (120 * p[number]) ** -0.7 / ((120 * p) ** -0.7).max()
        np.testing.assert_allclose(sample.importance_weight, weight, rtol=1e-6)
        assert sample.importance_weight.dtype == np.float32


def test_uniform_weights_are_exactly_one() -> None:
    for sample in take(make_buffer(3, sampler="uniform"), 50, 4):
        assert (sample.importance_weight == 1.0).all()
        np.testing.assert_allclose(sample.probability, 1 / 120)


def test_beta_is_of_the_step_that_uses_the_batch() -> None:
    assert [importance_exponent_at(s, 0.4, 1.0, 10) for s in (-1, 0, 5, 10, 99)] == pytest.approx(
        [0.4, 0.4, 0.7, 1.0, 1.0]
    )
    buffer = make_buffer(2, importance_exponent=0.0, importance_exponent_final=1.0, importance_anneal_steps=4)

    def betas(num_batches: int) -> list[float]:
        leaf = (PRIORITY.astype(np.float64) + 1e-3) ** 0.6
        log_ratio = [(s, np.log(s.probability / (leaf.min() / leaf.sum()))) for s in take(buffer, 64, num_batches)]
        return [float(-np.log(s.importance_weight).sum() / r.sum()) for s, r in log_ratio]

    assert betas(3) == pytest.approx([0.0, 0.25, 0.5], abs=1e-4)
    assert betas(2) == pytest.approx([0.75, 1.0], abs=1e-4)
    buffer.set_learner_step(1)
    assert betas(1) == pytest.approx([0.25], abs=1e-4)


def test_importance_weight_never_exceeds_one() -> None:
    assert importance_weight(np.array([0.1, 0.099999999]), 0.1, 1.0).max() == 1.0
    with pytest.raises(ValueError, match="no shard"):
        shard_probability(np.zeros(3))


class Shards:
    """Shards behind ``ask``, some of which fall silent."""

    def __init__(self) -> None:
        self.shards = [
            make_shard(50, i, index=i, num_shards=3, priority_exponent=1.0, priority_epsilon=1e-12) for i in range(3)
        ]
        for i, shard in enumerate(self.shards):
            shard.insert(serial_fragment(0, 10, worker=i, priority=np.full(10, i + 1.0)))
        self.silent: set[int] = set()

    def ask(self, wanted: dict[int, int]) -> dict[int, ShardSample]:
        return {i: self.shards[i].sample(n) for i, n in wanted.items() if i not in self.silent}


def test_probability_is_that_of_the_draw_when_masses_are_old() -> None:
    shards, draw = Shards(), ShardedDraw(RowLayout(SPEC), 0)
    assert draw.draw(10, range(3), shards.ask) is not None
    # Shard 0 grows tenfold behind the drawer's back: one call is still split by the old masses, and says so.
    shards.shards[0].insert(serial_fragment(1, 10, priority=np.full(10, 44.0)))
    stale = draw.draw(60_000, range(3), shards.ask)
    assert stale is not None
    shard = unpack_item_id(stale.item_id).shard
    assert np.bincount(shard) / 60_000 == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.01)
    number = check_serial_columns(stale.columns)
    big = (shard == 0) & (number >= 10)
    assert stale.probability[big] == pytest.approx(1 / 6 * 44 / 450)
    assert stale.min_probability == pytest.approx(1 / 6 * 1 / 450)
    fresh = draw.draw(60_000, range(3), shards.ask)
    assert fresh is not None
    assert np.bincount(unpack_item_id(fresh.item_id).shard) / 60_000 == pytest.approx(
        [450 / 500, 20 / 500, 30 / 500], abs=0.01
    )


def test_a_silent_shard_is_left_out_with_its_mass() -> None:
    shards, draw = Shards(), ShardedDraw(RowLayout(SPEC), 0)
    assert draw.draw(10, range(3), shards.ask) is not None
    shards.silent = {1}
    assert draw.draw(1000, range(3), shards.ask) is None
    mixed = draw.draw(1000, [0, 2], shards.ask)
    assert mixed is not None
    assert set(unpack_item_id(mixed.item_id).shard.tolist()) == {0, 2}
    assert sum(mixed.probability[np.unique(mixed.item_id, return_index=True)[1]]) == pytest.approx(1.0)
    shards.silent = {0, 1, 2}
    assert draw.draw(10, range(3), shards.ask) is None
    assert ShardedDraw(RowLayout(SPEC), 0).draw(10, [], shards.ask) is None
