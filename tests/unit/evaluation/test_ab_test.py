"""The paired test of an A/B: how often it promotes what is no better, how soon it finds what is, when it gives up."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.errors import UserError
from robonav_ray.evaluation.ab.paired_test import Decision, PairedTest, Rules, look_at, more_worlds
from tests.ab_worlds import BATCH, correlation, joint, running_totals

CHAMPION = (0.85, 0.10)
"""Success and collisions."""
NUM_TESTS = 1000
MOST_PROMOTED = 64
"""5 % of a thousand tests, and two standard errors."""


def promoted(
    cells: np.ndarray, num_tests: int = NUM_TESTS, seed: int = 0, num_worlds: int = 6000, rules: Rules | None = None
):
    totals = running_totals(np.random.default_rng(seed), cells, num_tests, num_worlds)
    return look_at(*totals, rules or Rules())


@pytest.mark.parametrize("shared", [0.0, 0.6])
def test_a_against_a_promotes_in_at_most_64_of_a_thousand_tests_though_every_batch_is_looked_at(shared: float):
    looks = promoted(joint(CHAMPION, CHAMPION, shared))
    assert int(looks.wins.sum()) <= MOST_PROMOTED
    assert int(looks.better[:, -1].sum()) <= MOST_PROMOTED  # of the success row alone


def test_a_against_a_is_no_better_where_collisions_are_surely_fewer_too():
    """The collisions' row is open for this one: what is left is the row of success."""
    looks = promoted(joint((0.85, 0.10), (0.85, 0.01), 0.5))
    assert int(looks.wins.sum()) <= MOST_PROMOTED < int(looks.not_worse[:, -1].sum())


def test_a_challenger_at_the_margin_of_collisions_is_promoted_as_seldom():
    cells = joint((0.80, 0.10), (0.85, 0.10 + Rules().collision_margin), 0.5)
    looks = promoted(cells)
    assert looks.better[:, -1].mean() > 0.95
    assert int(looks.wins.sum()) <= MOST_PROMOTED


@pytest.mark.parametrize("shared", [0.0, 0.6])
def test_a_challenger_three_points_better_wins_within_6000_worlds_in_at_least_80_percent(shared: float):
    looks = promoted(joint(CHAMPION, (0.88, 0.08), shared))
    assert looks.wins.mean() >= 0.8


def test_worlds_in_common_make_a_test_shorter():
    ends = []
    for shared in (0.0, 0.6):
        cells = joint(CHAMPION, (0.88, 0.08), shared)
        assert (correlation(cells) > 0.2) == (shared > 0.0)
        ends.append(np.median(promoted(cells).decided + 1) * BATCH)
    assert ends[1] < 0.8 * ends[0]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_the_figures_hold_in_twenty_thousand_tests(shared: float, seed: int, capsys: pytest.CaptureFixture[str]):
    same, better, alike = (
        promoted(joint(CHAMPION, one, shared), 20_000, seed) for one in (CHAMPION, (0.88, 0.08), (0.88, 0.10))
    )
    phi = correlation(joint(CHAMPION, (0.88, 0.08), shared))
    with capsys.disabled():
        print(
            f"\nphi {phi:.2f}: A/A promotes {same.wins.mean():.2%} (success alone {same.better[:, -1].mean():.2%}); 3 "
            f"points better wins {better.wins.mean():.1%}, after {np.median(better.decided + 1) * BATCH:.0f} worlds; "
            f"with as many collisions {alike.wins.mean():.1%}"
        )
    assert same.better[:, -1].mean() <= 0.05
    assert better.wins.mean() >= 0.8


def batch(rng: np.random.Generator, cells: np.ndarray, size: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    pair = rng.choice(9, size, p=cells.ravel())
    mine, theirs = np.divmod(pair, 3)
    return np.stack([mine == 0, mine == 1]), np.stack([theirs == 0, theirs == 1])


def test_world_by_world_the_test_says_what_the_vectors_say():
    rng, cells = np.random.default_rng(7), joint(CHAMPION, (0.9, 0.07), 0.5)
    test = PairedTest()
    drawn = [batch(rng, cells) for _ in range(12)]
    for pair in drawn:
        test.add(*pair)
    last = test.standings[-1]
    assert last.num_worlds == 12 * BATCH
    assert test.rates == pytest.approx(np.stack([np.concatenate([p[i] for p in drawn], 1).mean(1) for i in (0, 1)]))
    assert last.success.value == pytest.approx(test.rates[0, 0] - test.rates[1, 0])
    assert [one.decision for one in test.standings].index(Decision.BETTER) < 12
    for one in test.standings:  # a decision and its bounds never contradict each other
        assert one.is_better == (one.success.low > -1e-9)
        assert one.is_not_worse == (one.collisions.high < 0.02 + 1e-9)


def test_the_same_policy_twice_is_given_up_soon():
    test, rng = PairedTest(), np.random.default_rng(8)
    mine, _ = batch(rng, joint(CHAMPION, CHAMPION, 0.0))
    while test.add(mine, mine).decision is Decision.NOT_YET:
        assert len(test.standings) < 4
    assert test.standings[-1].decision is Decision.FUTILE
    assert more_worlds(test.standings[-1]) is None


def test_a_challenger_that_surely_collides_more_is_given_up():
    cells, rng, test = joint(CHAMPION, (0.85, 0.15), 0.5), np.random.default_rng(9), PairedTest()
    for _ in range(24):
        if test.add(*batch(rng, cells)).decision is not Decision.NOT_YET:
            break
    assert test.standings[-1].decision is Decision.FUTILE
    assert test.standings[-1].collisions.low > Rules().collision_margin


def test_a_gain_that_is_not_sure_yet_says_how_many_worlds_it_takes():
    test, rng = PairedTest(), np.random.default_rng(10)
    standing = test.add(*batch(rng, joint(CHAMPION, (0.88, 0.10), 0.5)))
    assert standing.decision is Decision.NOT_YET
    needed = more_worlds(standing)
    assert needed is not None
    assert needed % BATCH == 0
    assert needed > BATCH


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.5}, {"alpha": 0.0}, {"collision_margin": -0.1}, {"least_gain": float("nan")}]
)
def test_rules_that_cannot_be_are_refused_by_name(wrong: dict[str, float]):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Rules(**wrong)


def test_a_batch_is_of_the_same_worlds():
    with pytest.raises(ValueError, match="a batch"):
        PairedTest().add(np.zeros((2, 3), bool), np.zeros((2, 4), bool))
