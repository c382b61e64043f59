import gymnasium as gym
import numpy as np
import pytest
from goal_driver import straight_to_the_goal
from gymnasium.utils.env_checker import check_env

import robonav_ray.worlds  # noqa: F401  registers the environments
from robonav_ray.config.worlds import LevelConfig, RandomizationConfig, WorldConfig
from robonav_ray.interfaces import GoalFunctions
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.goal_env import LegGoals, NavGoalEnv
from robonav_ray.worlds.gym_env import NavEnv

SMALL = WorldConfig(difficulty="hard")
LEVEL = LevelConfig(num_dynamic=4, num_goals=1, max_steps=60)


def test_env_checker_has_nothing_to_say():
    check_env(gym.make("robonav_ray/NavGoal-v0").unwrapped)
    check_env(gym.make("robonav_ray/NavGoal-v0", world={"walls": False, "arena_size_m": 12.0}).unwrapped)


def play(num_episodes, seed):
    """Whole episodes as a list of (obs after the step, reward, terminated, truncated, info)."""
    env, steps = NavGoalEnv(world=SMALL, levels=LEVEL, seed=seed), []
    rng = np.random.default_rng(seed)
    for _ in range(num_episodes):
        obs, _ = env.reset()
        ended, lazy = False, rng.random() < 0.3
        while not ended:
            flat = env.goals.flat_observation(*(obs[k][None] for k in ("observation", "achieved_goal", "desired_goal")))
            action = 2 if lazy else straight_to_the_goal(flat)[0]
            obs, reward, terminated, truncated, info = env.step(action)
            steps.append((obs, reward, terminated, truncated, info))
            ended = terminated or truncated
    return env, steps


def test_the_three_functions_agree_with_every_step_alone_and_in_batches():
    env, steps = play(40, seed=1)
    achieved = np.stack([s[0]["achieved_goal"] for s in steps])
    desired = np.stack([s[0]["desired_goal"] for s in steps])
    expected = [np.array([s[i] for s in steps]) for i in (1, 2, 3)]
    infos = [s[4] for s in steps]
    as_arrays = {name: np.array([info[name] for info in infos]) for name in ("collided", "step", "max_steps")}
    functions = (env.compute_reward, env.compute_terminated, env.compute_truncated)
    for function, want in zip(functions, expected, strict=True):
        np.testing.assert_array_equal(function(achieved, desired, infos), want)
        np.testing.assert_array_equal(function(achieved, desired, as_arrays), want)
        alone = [function(a, d, i) for a, d, i in zip(achieved, desired, infos, strict=True)]
        np.testing.assert_array_equal(np.array(alone), want)
    outcomes = {info["outcome_name"] for info in infos if "outcome_name" in info}
    assert {"success", "timeout"} <= outcomes
    assert any(name.startswith("collision") for name in outcomes)
    paid = {float(r) for r in expected[0]}
    assert paid == {0.0, 10.0, -5.0}
    assert [i["is_success"] for i in infos] == [i.get("outcome") == Outcome.SUCCESS for i in infos]


def test_a_pose_that_was_reached_can_stand_in_for_the_goal():
    env, steps = play(6, seed=3)
    end = next(i for i, s in enumerate(steps) if s[2] or s[3])
    achieved = np.stack([s[0]["achieved_goal"] for s in steps[: end + 1]])
    desired = np.repeat(achieved[-1:], len(achieved), axis=0)
    infos = [{**s[4], "collided": False} for s in steps[: end + 1]]
    reward = env.compute_reward(achieved, desired, infos)
    assert reward[-1] == 10.0
    assert env.compute_terminated(achieved, desired, infos)[-1]
    near = np.hypot(*(achieved - desired)[:, :2].T) < SMALL.goal_tolerance_m
    np.testing.assert_array_equal(reward > 0, near)


@pytest.mark.parametrize("num_goals", [1, 3])
def test_goal_features_are_those_of_the_observation(num_goals):
    level = LevelConfig(num_dynamic=2, num_goals=num_goals, max_steps=150)
    worlds = BatchedWorlds(SMALL, (level,), 64, seed=2, gamma=0.99)
    goals = LegGoals(SMALL)
    obs = worlds.reset().copy()
    seen_last_leg = 0
    for _ in range(120):
        desired = np.concatenate([worlds.current_goal, np.zeros((64, 1), np.float32)], axis=1)
        features = goals.goal_features(worlds.pose, desired)
        moving = worlds.state.lane[:, 0, 3] == 0
        shown = obs[:, goals.columns]
        np.testing.assert_allclose(features[moving, :3], shown[moving, :3], atol=2e-5)
        last = moving & (np.abs(shown[:, 6] - 0.25) < 1e-6)
        np.testing.assert_allclose(features[last], shown[last], atol=2e-5)
        seen_last_leg += int(last.sum())
        worlds.step(straight_to_the_goal(obs), DISABLED)
        obs = worlds.out.obs.copy()
    assert seen_last_leg > 100


def test_the_parts_put_together_are_the_observation_of_the_plain_env():
    plain, goal = NavEnv(world=SMALL, levels=LEVEL, seed=8), NavGoalEnv(world=SMALL, levels=LEVEL, seed=8)
    flat, parts = plain.reset()[0], goal.reset()[0]
    for _ in range(40):
        put = goal.goals.flat_observation(parts["observation"], parts["achieved_goal"], parts["desired_goal"])
        np.testing.assert_allclose(put, flat, atol=2e-5)
        action = straight_to_the_goal(flat[None])[0]
        flat, _, terminated, truncated, _ = plain.step(action)
        parts = goal.step(action)[0]
        if terminated or truncated:
            flat, parts = plain.reset()[0], goal.reset()[0]


def test_it_is_the_arrow_that_hindsight_is_handed():
    assert isinstance(LegGoals(SMALL), GoalFunctions)
    goals = LegGoals(SMALL)
    achieved = np.array([[0, 0, 0], [1, 0, np.pi / 2], [0, 0, 0]], np.float32)
    desired = np.array([[2, 0, 0], [1, 0.2, 0], [0, -3, 0]], np.float32)
    np.testing.assert_array_equal(goals.reward(achieved, desired), np.float32([0, 10, 0]))
    np.testing.assert_array_equal(goals.terminated(achieved, desired), [False, True, False])
    expected = [[0.2, 1, 0], [0.02, 1, 0], [0.3, 0, -1]]
    np.testing.assert_allclose(goals.goal_features(achieved, desired)[:, :3], expected, atol=1e-6)


def test_what_has_no_goal_to_exchange_is_refused():
    with pytest.raises(ValueError, match="num_goals=1"):
        NavGoalEnv(levels=LevelConfig(num_goals=2))
    with pytest.raises(ValueError, match="lidar observations only"):
        NavGoalEnv(world={"profile": "crowdnav"})


def test_faults_do_not_reach_the_achieved_goal():
    faults = RandomizationConfig(odometry_noise=3)
    env = NavGoalEnv(levels=LevelConfig(num_goals=1, randomization=faults))
    obs, _ = env.reset(seed=3)
    np.testing.assert_array_equal(obs["achieved_goal"], env.nav.worlds.pose[0])
