"""GoalFunctions are pure and vectorised, here and where rollout workers get them: on the other side of Ray."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.worlds import WorldConfig
from robonav_ray.interfaces import GoalFunctions
from robonav_ray.worlds.goal_env import LegGoals

FUNCTIONS = ("reward", "terminated", "goal_features")


@pytest.fixture(params=["plain", pytest.param("ray", marks=pytest.mark.ray)])
def goals(request) -> GoalFunctions:
    goals = LegGoals(WorldConfig())
    if request.param == "plain":
        return goals
    request.getfixturevalue("ray_session")
    import ray

    return ray.get(ray.put(goals))


def poses(seed: int, num: int, spread_m: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (achieved, desired), about half of them nearer than the tolerance; read-only, as out of an object store."""
    rng = np.random.default_rng(seed)
    desired = rng.uniform((-4, -4, -np.pi), (4, 4, np.pi), (num, 3)).astype(np.float32)
    achieved = (desired + rng.uniform(-spread_m, spread_m, (num, 3))).astype(np.float32)
    for array in (achieved, desired):
        array.flags.writeable = False
    return achieved, desired


def test_shapes_and_types(goals):
    assert isinstance(goals, GoalFunctions)
    for num in (0, 1, 17):
        achieved, desired = poses(0, num)
        assert (goals.reward(achieved, desired).shape, goals.reward(achieved, desired).dtype) == ((num,), np.float32)
        assert (goals.terminated(achieved, desired).shape, goals.terminated(achieved, desired).dtype) == (
            (num,),
            np.bool_,
        )
        features = goals.goal_features(achieved, desired)
        assert (features.ndim, features.shape[0], features.dtype) == (2, num, np.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_batch_is_its_rows(goals, name):
    function = getattr(goals, name)
    achieved, desired = poses(1, 64)
    one_by_one = np.concatenate([function(achieved[i : i + 1], desired[i : i + 1]) for i in range(64)])
    np.testing.assert_array_equal(function(achieved, desired), one_by_one)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_question_has_the_same_answer_whatever_was_asked_in_between(goals, name):
    function = getattr(goals, name)
    achieved, desired = poses(2, 32)
    kept = achieved.copy(), desired.copy()
    first = function(achieved, desired)
    answer = first.copy()
    for other in FUNCTIONS:
        getattr(goals, other)(*poses(3, 32))
    np.testing.assert_array_equal(function(achieved, desired), answer)
    np.testing.assert_array_equal(first, answer, err_msg="an answer must not be written over by the next one")
    np.testing.assert_array_equal(achieved, kept[0])
    np.testing.assert_array_equal(desired, kept[1])


def test_the_reward_is_paid_where_it_ends_and_a_goal_is_reached_where_the_robot_stands(goals):
    achieved, desired = poses(4, 400)
    reached = goals.terminated(achieved, desired)
    assert 0.2 < reached.mean() < 0.8, "the test must see both"
    assert set(goals.reward(achieved, desired)[reached].tolist()) == {10.0}
    assert not goals.reward(achieved, desired)[~reached].any()
    near = np.hypot(*(achieved - desired)[:, :2].T) < WorldConfig().goal_tolerance_m
    np.testing.assert_array_equal(reached, near)
    assert goals.terminated(achieved, achieved).all()


def test_features_say_how_far_and_where_as_seen_from_the_robot(goals):
    achieved = np.array([[0, 0, 0], [1, 1, np.pi / 2], [0, 0, -np.pi / 2], [2, 0, np.pi]], np.float32)
    desired = np.array([[2, 0, 9], [1, 4, 9], [3, 0, 9], [2, -1, 9]], np.float32)
    features = goals.goal_features(achieved, desired)
    expected = [[0.2, 1, 0], [0.3, 1, 0], [0.3, 0, 1], [0.1, 0, 1]]  # distance / 10 m, ahead, to the left
    np.testing.assert_allclose(features[:, :3], expected, atol=1e-6)
