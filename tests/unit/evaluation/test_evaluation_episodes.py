"""Evaluation plays the first episode of each world, exactly once, however many run side by side."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from fake_worlds import DT_S, MAX_STEPS, FakeWorlds, act, plan

from robonav_ray.evaluation.episodes import MAX_EPISODE_STEPS, evaluate_policy
from robonav_ray.records import Outcome


def play(num_episodes: int, num_worlds: int, **kwargs):
    envs = []

    def make_env(first, count):
        envs.append(FakeWorlds(first, count, **kwargs))
        return envs[-1]

    seen = []
    table = evaluate_policy(
        act, make_env, num_episodes, num_worlds=num_worlds, step_s=DT_S, max_steps=MAX_STEPS,
        progress=seen.append,
    )  # fmt: skip
    return table, envs, seen


def test_rows_are_the_first_episode_of_each_world():
    table, envs, seen = play(100, 100)
    length, outcome, task_return = (np.array(column) for column in zip(*(plan(w, 0) for w in range(100)), strict=True))
    np.testing.assert_array_equal(table.world, np.arange(100))
    np.testing.assert_array_equal(table.length, length)
    np.testing.assert_array_equal(table.outcome, outcome)
    np.testing.assert_array_equal(table.task_return, task_return)
    np.testing.assert_array_equal(table.total_return, length)
    np.testing.assert_allclose(table.min_clearance_m, 0.01 * length, rtol=1e-6)
    np.testing.assert_array_equal(table.extra["danger_frac"], 2.0)
    assert "_length" not in table.extra
    assert seen[-1] == (100, 100, length.sum())
    assert all(a[0] <= b[0] and a[2] < b[2] for a, b in itertools.pairwise(seen))
    assert envs[0].was_closed


@pytest.mark.parametrize("num_worlds", [1, 7, 64, 1000])
def test_the_set_does_not_depend_on_the_worlds_side_by_side(num_worlds):
    expected, _, _ = play(50, 50)
    got, envs, seen = play(50, num_worlds)
    assert sum(e.num_envs for e in envs) == 50
    for name in ("world", "outcome", "length", "task_return", "goals_reached", "path_length_m", "min_clearance_m"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    assert [p.num_done for p in seen] == sorted(p.num_done for p in seen)
    assert seen[-1] == (50, 50, expected.length.sum())


def test_the_first_to_finish_would_have_been_the_short_ones():
    table, _, _ = play(300, 300)
    first_to_finish = np.sort(table.length)[:100]
    assert table.length[:100].mean() > 2 * first_to_finish.mean()


def test_an_environment_without_outcomes_gives_return_and_length():
    table, _, _ = play(30, 8, outcomes=False)
    assert not table.has_outcomes
    np.testing.assert_array_equal(table.length, [plan(w, 0)[0] for w in range(30)])
    np.testing.assert_array_equal(table.total_return, table.length)
    np.testing.assert_array_equal(table.task_return, table.length)
    assert np.isnan(table.path_length_m).all()


class SharedWorlds(FakeWorlds):
    """Two robots a world; the second one of each is parked for five steps before it begins."""

    def __init__(self, first_world, num_worlds):
        super().__init__(first_world * 2, num_worlds * 2)

    def _parked(self):
        return (np.arange(self.num_envs) % 2 == 1) & (self.num_steps < 5)

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed, options=options)
        return obs, {**info, "parked": self._parked()}

    def step(self, actions):
        waiting = self._parked()
        self.steps[waiting] = -1
        obs, reward, terminated, truncated, info = super().step(actions)
        return obs, reward, terminated, truncated, {**info, "parked": self._parked()}


def test_several_robots_a_world_and_lanes_that_wait():
    table = evaluate_policy(act, SharedWorlds, 31, num_worlds=4)
    assert table.num_episodes == 31
    np.testing.assert_array_equal(table.length, [plan(w, 0)[0] for w in range(31)])
    np.testing.assert_array_equal(table.outcome, [plan(w, 0)[1] for w in range(31)])


def test_an_episode_that_does_not_end_in_time_is_cut_off_and_no_success():
    table = evaluate_policy(act, FakeWorlds, 20, cut_off_after=20)
    plans = [plan(w, 0) for w in range(20)]
    np.testing.assert_array_equal(table.length, [min(p[0], 20) for p in plans])
    np.testing.assert_array_equal(table.outcome, [p[1] if p[0] <= 20 else Outcome.CUT_OFF for p in plans])
    late = table.outcome == Outcome.CUT_OFF
    assert 0 < late.sum() < 20
    np.testing.assert_array_equal(table.total_return[late], 20.0)


class Endless(FakeWorlds):
    """Nothing ever ends."""

    def step(self, actions):
        self.num_steps += 1
        nothing = np.zeros(self.num_envs, bool)
        return self._obs(), np.ones(self.num_envs, np.float32), nothing, nothing, {}


def test_episodes_that_never_end_end_by_default():
    table = evaluate_policy(act, Endless, 3, num_worlds=2)
    np.testing.assert_array_equal(table.length, MAX_EPISODE_STEPS)
    assert (table.outcome == Outcome.CUT_OFF).all()
    assert not table.has_outcomes


def test_what_progress_raises_ends_the_evaluation():
    def stop(progress):
        if progress.num_steps >= 8:
            raise KeyboardInterrupt

    envs = []
    with pytest.raises(KeyboardInterrupt):
        evaluate_policy(act, lambda *args: envs.append(Endless(*args)) or envs[-1], 4, progress=stop)
    assert envs[0].num_steps == 2
    assert envs[0].was_closed


def test_the_environment_is_closed_when_the_policy_fails():
    envs = []

    def make_env(first, count):
        envs.append(FakeWorlds(first, count))
        return envs[-1]

    def broken(obs):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate_policy(broken, make_env, 5)
    assert envs[0].was_closed
    with pytest.raises(ValueError, match="at least 1"):
        evaluate_policy(act, make_env, 0)
