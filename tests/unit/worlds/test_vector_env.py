"""The vector environment: autoreset modes, infos, several robots, other environments in our place."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import robonav_ray.worlds  # noqa: F401  (registers the environment)
from robonav_ray.config.worlds import CROWDNAV_LEVEL, EnvConfig, LevelConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.make import describe_env, make_vector_env
from robonav_ray.worlds.vector_env import EPISODE_INFO, NavVectorEnv

LEVELS = (LevelConfig(num_static=3, num_dynamic=4, num_goals=2, max_steps=60),)


def test_same_step_infos_are_arrays_with_masks() -> None:
    envs = NavVectorEnv(32, levels=LEVELS)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, infos = envs.reset()
    assert obs in envs.observation_space
    assert infos == {}
    total, length, ended = np.zeros(32, np.float64), np.zeros(32, int), 0
    for action in np.random.default_rng(0).integers(0, 15, (150, 32)):
        obs, reward, terminated, truncated, infos = envs.step(action)
        total += reward
        length += 1
        done = terminated | truncated
        if not done.any():
            assert infos == {}
            continue
        np.testing.assert_array_equal(infos["_final_obs"], done)
        assert infos["final_obs"].dtype == np.float32
        assert infos["final_obs"].shape == obs.shape
        final = infos["final_info"]
        assert set(final) == {*EPISODE_INFO, *(f"_{name}" for name in EPISODE_INFO)}
        assert final["outcome"].dtype == np.int8
        np.testing.assert_allclose(final["total_return"][done], total[done], rtol=1e-4, atol=1e-4)
        terms = sum(final[name] for name in EPISODE_INFO if name.startswith("reward_"))
        np.testing.assert_allclose(terms[done], final["total_return"][done], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(final["length"][done], length[done])
        np.testing.assert_array_equal(truncated[done], final["outcome"][done] == Outcome.TIMEOUT)
        task = 5.0 * final["goals_reached"] + 5.0 * (final["outcome"] == Outcome.SUCCESS)
        task = task - 5.0 * (final["outcome"] >= Outcome.COLLISION_STATIC) * (
            final["outcome"] <= Outcome.COLLISION_ROBOT
        )
        np.testing.assert_allclose(final["task_return"][done], task[done])
        assert (final["path_length_m"][done] <= 0.1 * length[done] + 1e-3).all()
        total[done], length[done], ended = 0, 0, ended + int(done.sum())
    assert ended > 30


def test_next_step_mode_shows_the_last_obs_then_resets() -> None:
    same, later = NavVectorEnv(16, levels=LEVELS), NavVectorEnv(16, levels=LEVELS, autoreset_mode="NextStep")
    first = later.reset()[0]
    np.testing.assert_array_equal(first, same.reset()[0])
    previous, resets = np.zeros(16, bool), 0
    for action in np.random.default_rng(0).integers(0, 15, (90, 16)):
        obs, reward, terminated, truncated, infos = later.step(action)
        assert (reward[previous] == 0).all()
        assert not (terminated | truncated)[previous].any()
        # time_left is the last feature: a lane that was reset is at its beginning
        assert (obs[previous, -1] == 1.0).all()
        resets += int(previous.sum())
        previous = terminated | truncated
        assert ("outcome" in infos) == previous.any()
    assert resets > 5


def test_disabled_mode_waits_for_the_mask() -> None:
    envs = NavVectorEnv(8, levels=LEVELS, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset()
    for _ in range(60):
        _, _, terminated, truncated, _ = envs.step(np.full(8, 2))
    assert (truncated | terminated | (envs.worlds.out.parked)).all()
    frozen = envs.worlds.pose
    _, reward, *_ = envs.step(np.full(8, 12))
    np.testing.assert_array_equal(envs.worlds.pose, frozen)
    assert (reward == 0).all()
    mask = np.arange(8) < 3
    obs, _ = envs.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(obs[:, -1] == 1.0, mask)
    with pytest.raises(ValueError, match="reset_mask"):
        envs.reset(options={"reset_mask": np.ones(3, bool)})


def test_seed_begins_anew_and_reset_goes_on() -> None:
    envs = NavVectorEnv(8, levels=LEVELS, seed=1)
    first, second = envs.reset()[0], envs.reset()[0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(envs.reset(seed=1)[0], first)
    assert not np.array_equal(envs.reset(seed=2)[0], first)
    with pytest.raises(ValueError, match="one integer"):
        envs.reset(seed=[1, 2])  # type: ignore[arg-type]


def test_robots_that_ended_are_parked_until_their_world_resets() -> None:
    envs = NavVectorEnv(24, world={"num_robots": 3}, levels=LEVELS)
    envs.reset()
    ended, seen = np.zeros((8, 3), bool), 0
    for action in np.random.default_rng(0).integers(0, 15, (120, 24)):
        _, reward, terminated, truncated, infos = envs.step(action)
        np.testing.assert_array_equal(infos["parked"].reshape(8, 3), ended)
        assert (reward[infos["parked"]] == 0).all()
        done = (terminated | truncated).reshape(8, 3)
        assert not (done & ended).any()
        ended |= done
        ended[ended.all(axis=1)] = False
        np.testing.assert_array_equal(envs.waiting(), ended.ravel())
        seen += int(infos["parked"].sum())
    assert seen > 0


def test_bad_input_is_named() -> None:
    envs = NavVectorEnv(4, levels=LEVELS)
    with pytest.raises(gym.error.ResetNeeded):
        envs.step(np.zeros(4, int))
    envs.reset()
    with pytest.raises(ValueError, match="action 15 of lane 2"):
        envs.step(np.array([0, 1, 15, 3]))
    with pytest.raises(ValueError, match="shape"):
        envs.step(np.zeros(3, int))
    with pytest.raises(ValueError, match="multiple of num_robots"):
        NavVectorEnv(3, world={"num_robots": 2})
    box = NavVectorEnv(1, world={"robot": {"actions": "continuous"}})
    box.reset()
    with pytest.raises(ValueError, match="finite"):
        box.step(np.full((1, 2), np.nan, np.float32))


def test_registered_with_gymnasium() -> None:
    envs = gym.make_vec("robonav_ray/Nav-v0", num_envs=4, vectorization_mode="vector_entry_point", levels=LEVELS)
    assert isinstance(envs, NavVectorEnv)
    envs.reset()
    assert envs.step(np.zeros(4, int))[0].shape == (4, 120)


def test_crowdnav_profile_shows_states_or_a_scan() -> None:
    envs = NavVectorEnv(16, world={"profile": "crowdnav"})
    obs, _ = envs.reset()
    assert obs.shape == (16, 6 + 5 * 7)
    np.testing.assert_allclose(obs[:, :6], np.tile([8.0, 1.0, 0.0, 0.3, 0.0, 0.0], (16, 1)), atol=1e-6)
    distance = obs[:, 6:].reshape(16, 5, 7)[..., 5]
    assert (np.diff(distance, axis=1) >= 0).all()
    np.testing.assert_allclose(
        np.hypot(*np.moveaxis(obs[:, 6:].reshape(16, 5, 7)[..., :2], -1, 0)), distance, rtol=1e-5
    )
    scan = NavVectorEnv(16, world={"profile": "crowdnav", "observation": "lidar"})
    assert scan.reset()[0].shape == (16, 120)
    assert scan.single_action_space == gym.spaces.Discrete(81)


def test_describe_agrees_with_what_is_made() -> None:
    for world in ({}, {"profile": "crowdnav"}, {"lidar": {"num_beams": 180}}, {"robot": {"actions": "increments9"}}):
        env = EnvConfig(world=WorldConfig.model_validate(world))
        levels = (CROWDNAV_LEVEL,) if "profile" in world else LEVELS
        described, envs = (
            describe_env(env, levels),
            make_vector_env(env, levels, num_envs=2, first_world=0, seed=0, gamma=0.99),
        )
        assert described.obs_shape == envs.single_observation_space.shape
        assert described.num_actions == envs.single_action_space.n  # type: ignore[attr-defined]
        assert described.is_own


def test_any_other_environment() -> None:
    env = EnvConfig(id="CartPole-v1")
    assert describe_env(env, LEVELS).obs_shape == (4,)
    whole = make_vector_env(env, LEVELS, num_envs=6, first_world=0, seed=5, gamma=0.99)
    part = make_vector_env(env, LEVELS, num_envs=2, first_world=4, seed=5, gamma=0.99)
    np.testing.assert_array_equal(whole.reset()[0][4:], part.reset()[0])
    finals = 0
    for _ in range(40):
        obs, _, terminated, _, infos = whole.step(np.ones(6, int))
        if terminated.any():
            assert infos["final_obs"].shape == obs.shape
            assert infos["final_obs"].dtype == np.float32
            finals += 1
    assert finals > 0


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("CartPole-v7", "nearest are 'CartPole-v1'"),
        ("Pendulum-v1", "supported is Discrete"),
        ("FrozenLake-v1", "supported is a flat Box"),
    ],
)
def test_unsupported_environments_are_refused(env_id: str, message: str) -> None:
    for call in (
        lambda e: describe_env(e, LEVELS),
        lambda e: make_vector_env(e, LEVELS, num_envs=1, first_world=0, seed=0, gamma=0.9),
    ):
        with pytest.raises(ValueError, match=message):
            call(EnvConfig(id=env_id))


def test_an_environment_that_a_module_registers(tmp_path, monkeypatch) -> None:
    (tmp_path / "my_envs.py").write_text(
        "import gymnasium as gym\n"
        "gym.register('MyCartPole-v0', entry_point='gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=7)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = EnvConfig(id="my_envs:MyCartPole-v0")
    assert describe_env(config, ()).obs_shape == (4,)
    envs = make_vector_env(config, (), num_envs=2, first_world=0, seed=0, gamma=0.99)
    try:
        envs.reset()
        ended = [bool((envs.step(np.array([i % 2, i % 2]))[3]).all()) for i in range(7)]
        assert ended == [False] * 6 + [True]
    finally:
        envs.close()
        del gym.registry["MyCartPole-v0"]
