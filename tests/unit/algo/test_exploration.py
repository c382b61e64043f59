"""The ladder, the gate and epsilon-greedy."""

from __future__ import annotations

import numpy as np

from robonav_ray.algo.exploration import epsilon_greedy, exploration_key, is_on_gate, ladder_epsilon


def choose(q, epsilon, world, step, seed=0):
    n = len(q)
    action, taken, best = np.zeros(n, np.int32), np.zeros(n, np.float32), np.zeros(n, np.float32)
    epsilon_greedy(q, epsilon, exploration_key(seed), world, step, action, taken, best)
    return action, taken, best


def test_ladder_is_the_published_one():
    got = ladder_epsilon(0.4, np.arange(8), 8, 7.0)
    np.testing.assert_allclose(got, [0.4 ** (1 + 7 * i / 7) for i in range(8)], rtol=1e-12)
    np.testing.assert_allclose(ladder_epsilon(0.4, np.array([0]), 1, 7.0), [0.4])
    np.testing.assert_array_equal(ladder_epsilon(0.0, np.arange(3), 3, 7.0), 0.0)
    np.testing.assert_array_equal(ladder_epsilon(1.0, np.arange(3), 3, 7.0), 1.0)


def test_gate_takes_the_least_exploring_worlds():
    worlds = np.arange(10)
    assert is_on_gate(worlds, 10, 0.3).tolist() == [False] * 7 + [True] * 3
    assert is_on_gate(worlds, 10, 0.31).sum() == 4
    assert is_on_gate(worlds, 10, 0.01).tolist() == [False] * 9 + [True]
    assert is_on_gate(worlds, 10, 1.0).all()
    epsilon = ladder_epsilon(0.5, worlds, 10, 7.0)
    assert epsilon[is_on_gate(worlds, 10, 0.5)].max() < epsilon[~is_on_gate(worlds, 10, 0.5)].min()


def test_greedy_takes_the_lowest_of_equal_best():
    q = np.array([[0.0, 2.0, 2.0], [1.0, 1.0, 1.0]], np.float32)
    action, taken, best = choose(q, np.zeros(2), np.arange(2), np.zeros(2, np.int64))
    assert action.tolist() == [1, 0]
    np.testing.assert_array_equal(taken, best)


def test_random_share_and_uniformity():
    num, num_actions = 40_000, 4
    q = np.zeros((num, num_actions), np.float32)
    q[:, 0] = 1.0
    action, taken, best = choose(q, np.full(num, 0.5), np.arange(num) % 200, np.arange(num) // 200)
    counts = np.bincount(action, minlength=num_actions)
    expected = np.array([0.625, 0.125, 0.125, 0.125]) * num
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 degrees of freedom, p = .001
    np.testing.assert_array_equal(taken, q[np.arange(num), action])
    np.testing.assert_array_equal(best, 1.0)


def test_splitting_worlds_changes_no_choice():
    rng = np.random.default_rng(0)
    q, world, step = rng.standard_normal((64, 5)).astype(np.float32), np.arange(64), rng.integers(0, 999, 64)
    whole, _, _ = choose(q, np.full(64, 0.7), world, step)
    parts = [choose(q[s], np.full(16, 0.7), world[s], step[s])[0] for s in (slice(i, i + 16) for i in range(0, 64, 16))]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert (whole != choose(q, np.full(64, 0.7), world, step, seed=1)[0]).any()
    assert (whole != choose(q, np.full(64, 0.7), world, step + 1)[0]).any()
