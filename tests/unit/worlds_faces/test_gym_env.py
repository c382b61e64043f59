import gymnasium as gym
import numpy as np
import pytest
from goal_driver import straight_to_the_goal
from gymnasium.utils.env_checker import check_env

import robonav_ray.worlds  # noqa: F401  registers the environments
from robonav_ray.config.worlds import LevelConfig, RandomizationConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import SAME_STEP, BatchedWorlds
from robonav_ray.worlds.gym_env import NavEnv
from robonav_ray.worlds.vector_env import EPISODE_INFO

SHORT = LevelConfig(num_static=1, num_dynamic=2, num_goals=1, max_steps=60)
SMALL = WorldConfig(difficulty="hard")


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"world": {"robot": {"actions": "continuous"}, "dt_s": 0.02}, "levels": {"num_goals": 1}},
        {"world": {"profile": "crowdnav"}, "size_px": 200},
        {
            "levels": {
                "num_dynamic": 2,
                "randomization": {"observation_latency": 2, "range_noise": 3, "odometry_drift": 2},
            }
        },
    ],
)
def test_env_checker_has_nothing_to_say(kwargs):
    # it makes "human" and "rgb_array" environments of its own
    check_env(gym.make("robonav_ray/Nav-v0", **kwargs).unwrapped)


def test_frames_per_second_are_steps_per_second():
    assert gym.make("robonav_ray/Nav-v0").unwrapped.metadata["render_fps"] == 10
    assert NavEnv(world={"profile": "crowdnav"}).metadata["render_fps"] == 4


def test_vector_environments_by_id():
    for mode in ("vector_entry_point", "sync"):
        envs = gym.make_vec("robonav_ray/Nav-v0", num_envs=3, vectorization_mode=mode)
        obs, _ = envs.reset(seed=4)
        assert obs.shape == (3, *envs.single_observation_space.shape)
        envs.close()


def rollout(env, obs, num_steps=200):
    rows = [obs]
    for _ in range(num_steps):
        obs, reward, terminated, truncated, _ = env.step(int(straight_to_the_goal(obs[None])[0]))
        rows.append(np.append(obs, reward))
        if terminated or truncated:
            break
    return np.concatenate(rows)


def test_same_seed_same_episodes_and_reset_goes_on_to_the_next():
    first, second = NavEnv(world=SMALL, levels=SHORT), NavEnv(world=SMALL, levels=SHORT)
    runs = []
    for env in (first, second):
        episodes = [rollout(env, env.reset(seed=11)[0]), rollout(env, env.reset()[0]), rollout(env, env.reset()[0])]
        runs.append(episodes)
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(runs[0][0], runs[0][1])
    np.testing.assert_array_equal(rollout(first, first.reset(seed=11)[0]), runs[0][0])
    obs, info = second.reset(seed=11, options={"episode": 2})
    assert info["episode_index"] == 2
    np.testing.assert_array_equal(rollout(second, obs), runs[0][2])


def test_without_a_seed_environments_differ_and_the_seed_argument_fixes_that():
    assert not np.array_equal(NavEnv().reset()[0], NavEnv().reset()[0])
    np.testing.assert_array_equal(NavEnv(seed=5).reset()[0], NavEnv().reset(seed=5)[0])


def test_it_is_one_world_of_the_batch():
    worlds = BatchedWorlds(SMALL, (SHORT,), 4, seed=9, gamma=0.97)
    batch = worlds.reset().copy()
    env = NavEnv(world=SMALL, levels=SHORT, seed=9, world_index=2, gamma=0.97)
    obs, _ = env.reset()
    num_ended = 0
    for _ in range(150):
        np.testing.assert_array_equal(obs, batch[2])
        action = straight_to_the_goal(batch)
        worlds.step(action, SAME_STEP)
        batch = worlds.out.obs.copy()
        obs, reward, terminated, truncated, _ = env.step(action[2])
        assert (reward, terminated, truncated) == (
            worlds.out.reward[2],
            worlds.out.terminated[2],
            worlds.out.truncated[2],
        )
        if terminated or truncated:
            np.testing.assert_array_equal(obs, worlds.out.final_obs[2])
            num_ended += 1
            obs, _ = env.reset()
    assert num_ended >= 3


def test_the_end_says_how_it_came():
    env = NavEnv(world=SMALL, levels=SHORT, seed=0)
    names = set()
    for _ in range(30):
        obs, info = env.reset()
        assert "outcome" not in info
        total, ended = 0.0, False
        while not ended:
            obs, reward, terminated, truncated, info = env.step(straight_to_the_goal(obs[None])[0])
            total, ended = total + reward, terminated or truncated
            assert ended == ("outcome" in info)
        assert set(EPISODE_INFO) <= set(info)
        assert info["outcome_name"] == Outcome(info["outcome"]).name.lower()
        assert truncated == (info["outcome_name"] == "timeout")
        assert info["total_return"] == pytest.approx(total, abs=1e-3)
        assert all(isinstance(value, int | float | str) for value in info.values())
        names.add(info["outcome_name"])
    assert {"success", "collision_dynamic"} <= names
    with pytest.raises(gym.error.ResetNeeded, match="episode is over"):
        env.step(0)


def test_options_choose_the_level():
    levels = (SHORT, LevelConfig(num_dynamic=5, num_goals=3))
    env = NavEnv(levels=levels)
    assert env.reset(seed=1, options={"level": 1})[1]["level"] == 1
    assert env.worlds.scene(0).goals.shape == (1, 3, 2)
    assert env.reset()[1]["level"] == 1
    assert env.reset(options={"level": 0})[1]["level"] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NavEnv(world={"num_robots": 2}), "NavParallelEnv"),
        (lambda: NavEnv(render_mode="ansi"), "render_mode"),
        (lambda: NavEnv(levels=LevelConfig(num_goals=9, max_steps=20)), "cannot be passed"),
        (lambda: NavEnv().reset(options={"stage": 1}), "stage"),
        (lambda: NavEnv().reset(options={"episode": -1}), "episode"),
        (lambda: NavEnv().reset(options={"level": 3}), "level 3"),
        (lambda: NavEnv(size_px=10), "size_px"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_reset_comes_first():
    with pytest.raises(gym.error.ResetNeeded):
        NavEnv().step(0)
    with pytest.raises(gym.error.ResetNeeded):
        NavEnv(render_mode="rgb_array").render()


def test_randomised_levels_keep_within_the_space():
    faults = RandomizationConfig(
        range_noise=3, beam_dropout=2, odometry_noise=3, odometry_drift=3, action_latency=3, slip=3
    )
    env = NavEnv(levels=LevelConfig(num_goals=2, randomization=faults))
    obs, _ = env.reset(seed=2)
    for i in range(300):
        assert env.observation_space.contains(obs)
        obs, _, terminated, truncated, _ = env.step(i % 15)
        if terminated or truncated:
            obs, _ = env.reset()
