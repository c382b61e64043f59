"""Bets on means: against slow twins, exact expectations, and how often bounds that are always looked at are wrong."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from robonav_ray.evaluation.comparing.rates import paired_rates
from robonav_ray.evaluation.comparing.sequential import (
    PAIR_VALUES,
    RunningBounds,
    bounds,
    log_wealth,
    pair_counts,
    refuted,
)
from tests.oracles_sequential import slow_bounds, slow_wealth


def counted(outcomes: np.ndarray) -> np.ndarray:
    return np.array([(outcomes == value).sum() for value in PAIR_VALUES])


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("mean", [-0.3, 0.0, 0.02])
def test_wealth_is_that_of_betting_world_by_world(above: bool, mean: float):
    rng = np.random.default_rng(3)
    for size in (1, 7, 60):
        outcomes = rng.choice(PAIR_VALUES, size, p=(0.2, 0.5, 0.3))
        expected = slow_wealth(outcomes.tolist(), -1.0, 1.0, mean, above=above)
        assert math.exp(log_wealth(counted(outcomes), PAIR_VALUES, mean, above=above)) == pytest.approx(expected)


def test_bounds_are_the_means_that_are_refuted_on_either_side():
    rng = np.random.default_rng(4)
    outcomes = rng.choice(PAIR_VALUES, 80, p=(0.05, 0.55, 0.4))
    found = bounds(counted(outcomes), PAIR_VALUES, 0.05)
    low, high = slow_bounds(outcomes.tolist(), -1.0, 1.0, 0.05, 0.02)
    assert low <= found.low <= low + 0.02 < found.value < high - 0.02 <= found.high <= high
    assert log_wealth(counted(outcomes), PAIR_VALUES, found.low, above=True) >= -math.log(0.05)


@pytest.mark.parametrize("mean", [-0.1, 0.0, 0.1])
def test_no_bet_gains_on_average_while_the_claim_holds(mean: float):
    """Of all courses that four worlds can take, each as probable as it is: a fair game stays one."""
    for true, most in ((mean, 1.0), (mean - 0.05, 1.0)):
        chance = {-1.0: 0.5 - true / 2 - 0.15, 0.0: 0.3, 1.0: 0.5 + true / 2 - 0.15}
        total = 0.0
        for course in itertools.product(PAIR_VALUES, repeat=4):
            probable = math.prod(chance[value] for value in course)
            total += probable * math.exp(log_wealth(counted(np.array(course)), PAIR_VALUES, mean, above=True))
        assert total <= most + 1e-12
    assert total < 1.0  # of the mean that is below what is claimed


def test_on_rounds_of_unlike_scenarios_the_mean_over_the_round_is_what_is_doubted():
    """Good in one scenario by as much as bad in the other: whole rounds are no gain on average."""
    total = 0.0
    for course in itertools.product((-1.0, 1.0), repeat=4):
        probable = math.prod(0.5 + sign * (0.2 if i % 2 else -0.2) for i, sign in enumerate(course))
        total += probable * math.exp(log_wealth(counted(np.array(course)), PAIR_VALUES, 0.0, above=True))
    assert total <= 1.0


def test_what_was_refuted_stays_refuted():
    counts = np.array([[0, 0, 40], [60, 0, 40]])
    assert refuted(counts, PAIR_VALUES, 0.0, 0.05, above=True).tolist() == [True, True]
    assert not refuted(counts[1:], PAIR_VALUES, 0.0, 0.05, above=True).any()


def test_bounds_that_are_looked_at_a_hundred_times_hold_as_often_as_they_say():
    rng = np.random.default_rng(5)
    drawn = rng.multinomial(20, (0.08, 0.8, 0.12), (2000, 100)).cumsum(1)
    for above in (True, False):
        wrong = refuted(drawn, PAIR_VALUES, 0.04, 0.05, above=above)[:, -1].mean()
        assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_running_bounds_never_grow_wider_and_nothing_is_known_without_a_world():
    rng, kept, before = np.random.default_rng(6), RunningBounds(PAIR_VALUES, 0.05), (-1.0, 1.0)
    nothing = bounds(np.zeros(3, np.int64), PAIR_VALUES, 0.05)
    assert math.isnan(nothing.value)
    assert nothing[1:] == before
    for look in rng.multinomial(100, (0.1, 0.7, 0.2), 10).cumsum(0):
        found = kept.look(look)
        assert before[0] <= found.low <= found.high <= before[1]
        before = found[1:]
    assert before[0] > 0.0


def test_where_everything_turns_around_the_last_look_counts():
    kept = RunningBounds(PAIR_VALUES, 0.05)
    kept.look(np.array([0, 0, 100]))
    turned = kept.look(np.array([5000, 0, 100]))
    assert turned.low < turned.value < turned.high < 0.0


def test_counts_of_pairs():
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool)
    assert pair_counts(paired_rates(first, second)).tolist() == [1, 2, 2]
