"""Relabelled transitions against a walk through the episode; which goals stand in, and how often."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.algo.hindsight import EPISODE, FINAL, FUTURE, Rows, Steps, choose_goals, relabel
from robonav_ray.interfaces import GoalFunctions
from tests.oracles_hindsight import LineGoals, naive_relabel
from tests.oracles_replay import chi_square_p

KEY = np.uint64(12345)


def random_steps(rng: np.random.Generator, lengths: list[int]) -> tuple[Steps, np.ndarray]:
    """Walks on a line with few places, so that goals are reached often and by chance; returns the steps and each
    episode's begin."""
    total = sum(lengths) + len(lengths)
    place = rng.integers(0, 4, (total, 1)).astype(np.float32)
    obs = np.concatenate([place, np.full((total, 2), 99.0)], axis=1).astype(np.float32)
    steps = Steps(
        obs, place, rng.integers(0, 5, total).astype(np.int32), rng.integers(0, 9, total).astype(np.int32),
        {"hit": rng.random(total) < 0.1},
    )  # fmt: skip
    return steps, np.cumsum([0, *(n + 1 for n in lengths)])[:-1]


@pytest.mark.parametrize("n_step", [1, 3, 5])
def test_rows_equal_a_walk_through_the_episode(n_step: int) -> None:
    rng = np.random.default_rng(n_step)
    lengths = [1, 2, 3, 7, 12, 5]
    steps, begins = random_steps(rng, lengths)
    at, last, goal = [], [], []
    for begin, length in zip(begins, lengths, strict=True):
        for t in range(length):
            for _ in range(6):
                at.append(begin + t)
                last.append(begin + length)
                goal.append(begin + rng.integers(0, length + 1))
    rows = Rows(np.array(at), np.array(last), np.array(goal))
    new = relabel(steps, rows, LineGoals(), n_step, 0.9, 0.5)
    expected = naive_relabel(steps, rows, LineGoals(), n_step, 0.9, 0.5)
    discounts = set()
    for i, row in enumerate(expected):
        np.testing.assert_array_equal(new.obs[i], row[0])
        np.testing.assert_array_equal(new.next_obs[i], row[3])
        assert (new.action[i], new.policy_version[i]) == (row[1], row[5])
        np.testing.assert_allclose([new.reward[i], new.discount[i]], [row[2], row[4]], rtol=1e-6)
        discounts.add(round(float(new.discount[i]), 4))
    # Whole windows, windows cut by the end of the episode, and windows that reached their goal must all have been seen.
    assert discounts == {0.0, *(round(0.9**m, 4) for m in range(1, n_step + 1))}
    assert steps.obs.max() == 99.0, "the episode itself must not be written to"


def test_a_goal_reached_inside_the_window_ends_it_there() -> None:
    place = np.array([[0], [1], [2], [3]], np.float32)
    obs = np.concatenate([place, place, place], axis=1)
    steps = Steps(obs, place, np.zeros(4, np.int32), np.zeros(4, np.int32), {"hit": np.zeros(4, np.bool_)})
    new = relabel(steps, Rows(np.array([0, 0]), np.array([3, 3]), np.array([2, 3])), LineGoals(), 3, 0.5, 1.0)
    np.testing.assert_allclose(new.reward, [-0.25 + 0.5 * 1.0, -0.25 - 0.125 + 0.25])
    np.testing.assert_array_equal(new.discount, [0.0, 0.0])
    np.testing.assert_array_equal(new.next_obs[:, 0], [2.0, 3.0])
    np.testing.assert_array_equal(new.obs[:, 1:], [[2.0, 2.0], [3.0, 3.0]])


def test_a_goal_never_reached_bootstraps_at_the_end_of_the_episode() -> None:
    place = np.array([[0], [1], [0], [1]], np.float32)
    steps = Steps(
        np.repeat(place, 3, axis=1), place, np.zeros(4, np.int32), np.zeros(4, np.int32), {"hit": np.zeros(4, np.bool_)}
    )
    new = relabel(steps, Rows(np.array([1, 2]), np.array([3, 3]), np.array([2, 2])), LineGoals(), 5, 0.5, 1.0)
    np.testing.assert_array_equal(new.discount, [0.0, 0.5])
    np.testing.assert_array_equal(new.next_obs[:, 0], [0.0, 1.0])


def test_line_goals_are_goal_functions() -> None:
    assert isinstance(LineGoals(), GoalFunctions)


@pytest.mark.parametrize("strategy", [FUTURE, EPISODE, FINAL])
def test_goals_come_from_where_the_strategy_says_and_evenly(strategy: int) -> None:
    first, last, k = 10, 15, 4
    at = np.arange(first, last)
    counts = np.zeros((5, 6))
    for episode in range(400):
        goal = choose_goals(strategy, KEY, 3, 5 * episode, first, last, at, k).reshape(5, k)
        for t in range(5):
            np.add.at(counts[t], goal[t] - first, 1)
    for t in range(5):
        allowed = {FUTURE: range(t + 1, 6), EPISODE: range(1, 6), FINAL: range(5, 6)}[strategy]
        assert counts[t, [i for i in range(6) if i not in allowed]].sum() == 0
        assert (
            len(allowed) == 1 or chi_square_p(counts[t, list(allowed)], np.full(len(allowed), 1 / len(allowed))) > 1e-3
        )


def test_a_goal_depends_on_world_and_step_and_not_on_who_asks() -> None:
    at = np.arange(10, 30)
    whole = choose_goals(FUTURE, KEY, 7, 100, 10, 30, at, 4)
    parts = [choose_goals(FUTURE, KEY, 7, 100, 10, 30, part, 4) for part in (at[:3], at[3:11], at[11:])]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    moved = choose_goals(FUTURE, KEY, 7, 100, 1010, 1030, at + 1000, 4)
    np.testing.assert_array_equal(whole, moved - 1000)
    for other in ((KEY, 8, 100), (KEY, 7, 101), (np.uint64(1), 7, 100)):
        assert (choose_goals(FUTURE, *other, 10, 30, at, 4) != whole).mean() > 0.3
