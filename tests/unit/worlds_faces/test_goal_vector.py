"""Goal vector environments: flat observations, what was achieved, and the goal-env's own functions called in
batches."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from robonav_ray.config.worlds import EnvConfig, LevelConfig
from robonav_ray.interfaces import GoalFunctions
from robonav_ray.records import Outcome
from robonav_ray.worlds.bit_flip import BitFlipEnv, BitFlipVectorEnv
from robonav_ray.worlds.goal_vector import ComputedGoals, FlatGoalVector
from robonav_ray.worlds.make import describe_env, make_goal_functions, make_vector_env
from robonav_ray.worlds.told import find_teller

BITS = EnvConfig(id="robonav_ray/BitFlip-v0", kwargs={"num_bits": 5})
SHORT = (LevelConfig(num_static=3, num_dynamic=2, num_goals=2, max_steps=60),)


class RowGoals(BitFlipEnv):
    """Bit flipping whose functions take one transition at a time, and whose reward looks at the info."""

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        return float(np.linalg.norm(achieved_goal - desired_goal) < 0.5) - 2.0 * info.get("is_success", False)

    def compute_terminated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        return bool(np.linalg.norm(achieved_goal - desired_goal) < 0.5)


class Endless(BitFlipEnv):
    """Bit flipping without ``compute_terminated``, as Gymnasium-Robotics' older environments."""

    compute_terminated: Any = None

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._bits[int(action)] = 1.0 - self._bits[int(action)]
        self._step += 1
        return self._observation(), 0.0, False, self._step >= self.num_bits, {}


class NoReward(BitFlipEnv):
    """A Dict of goals, but nothing that says what another goal would have paid."""

    compute_reward: Any = None

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._step += 1
        return self._observation(), 0.0, False, self._step >= self.num_bits, {}


for name, entry in (("RowGoals-v0", RowGoals), ("EndlessGoals-v0", Endless), ("NoReward-v0", NoReward)):
    gym.register(name, entry_point=entry, disable_env_checker=True)


def make(env: EnvConfig, num: int = 6, first: int = 0, seed: int = 3, **options: Any) -> Any:
    return make_vector_env(env, SHORT, num_envs=num, first_world=first, seed=seed, gamma=0.9, **options)


def test_bit_flip_is_a_gymnasium_environment() -> None:
    check_env(gym.make("robonav_ray/BitFlip-v0", num_bits=4).unwrapped, skip_render_check=True)
    with pytest.raises(ValueError, match="num_bits"):
        BitFlipEnv(0)


def test_a_bit_flip_episode() -> None:
    env = BitFlipEnv(num_bits=6)
    obs, info = env.reset(seed=1)
    wrong = np.flatnonzero(obs["observation"] != obs["desired_goal"])
    assert len(wrong) > 1
    assert not info["is_success"]
    for i in wrong[:-1]:
        obs, reward, terminated, truncated, info = env.step(i)
        assert (reward, terminated, truncated, info["is_success"]) == (-1.0, False, False, False)
    obs, reward, terminated, truncated, info = env.step(wrong[-1])
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, True)
    np.testing.assert_array_equal(obs["achieved_goal"], obs["desired_goal"])
    env.reset(seed=2)
    ends = [env.step(0)[2:4] for _ in range(6)]
    assert ends[:-1] == [(False, False)] * 5
    assert ends[-1] == (False, True)


def test_the_batch_of_bit_flips_plays_by_the_rules_of_the_single_one() -> None:
    envs, single = BitFlipVectorEnv(8, num_bits=4, seed=5), BitFlipEnv(num_bits=4)
    obs, _ = envs.reset()
    rng, ended_so_far = np.random.default_rng(0), 0
    starts = [obs["observation"].copy()]
    for _ in range(60):
        action = rng.integers(0, 4, 8)
        before, steps = obs, envs._step.copy()
        obs, reward, terminated, truncated, infos = envs.step(action)
        ended = terminated | truncated
        for lane in range(8):
            single._bits, single._goal = before["observation"][lane].copy(), before["desired_goal"][lane].copy()
            single._step = int(steps[lane])
            alone = single.step(action[lane])
            assert alone[1:4] == (reward[lane], terminated[lane], truncated[lane])
            after = infos["final_obs"] if ended[lane] else obs
            for key, value in alone[0].items():
                np.testing.assert_array_equal(after[key][lane], value)
        ended_so_far += int(ended.sum())
        assert not (obs["observation"] == obs["desired_goal"]).all(axis=1).any()
        starts.append(obs["observation"][ended])
    assert ended_so_far > 100
    np.testing.assert_allclose(np.concatenate(starts).mean(axis=0), 0.5, atol=0.15)


def test_bit_flip_worlds_depend_on_their_index_only_and_resume() -> None:
    whole, part = make(BITS, 6), make(BITS, 2, 4)
    one, _ = whole.reset()
    other, _ = part.reset()
    np.testing.assert_array_equal(one[4:], other)
    rng = np.random.default_rng(0)
    for t in range(40):
        if t == 17:
            part2 = make(BITS, 2, 4)
            part2.load_state_dict(part.state_dict())
            part = part2
        action = rng.integers(0, 5, 6)
        one, other = whole.step(action)[0], part.step(action[4:])[0]
        np.testing.assert_array_equal(one[4:], other)
    with pytest.raises(ValueError, match="of 3 worlds"):
        make(BITS, 3).load_state_dict(part.state_dict())
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(make(BITS, 6, seed=4).reset()[0], make(BITS, 6).reset()[0])


@pytest.mark.parametrize("env_id", ["robonav_ray/BitFlip-v0", "RowGoals-v0"])
def test_what_was_achieved_and_told_is_of_the_step_and_not_of_the_next_episode(env_id: str) -> None:
    env = EnvConfig(id=env_id, kwargs={"num_bits": 3})
    described = describe_env(env, SHORT)
    assert (described.obs_shape, described.num_actions, described.is_goal_env, described.is_own) == (
        (6,),
        3,
        True,
        False,
    )
    envs = make(env, 4, tell_goals=True)
    assert envs.single_observation_space.shape == (6,)
    obs, infos = envs.reset()
    rng, seen = np.random.default_rng(1), set()
    for _ in range(40):
        np.testing.assert_array_equal(infos["achieved_goal"], obs[:, :3])
        action = rng.integers(0, 3, 4)
        expected = obs.copy()
        expected[np.arange(4), action] = 1 - expected[np.arange(4), action]
        obs, _, terminated, truncated, infos = envs.step(action)
        ended = terminated | truncated
        after = np.where(ended[:, None], infos.get("final_obs", obs), obs)
        np.testing.assert_array_equal(after, expected)
        if ended.any():
            np.testing.assert_array_equal(infos["final_achieved_goal"][ended], expected[ended, :3])
            outcome = find_teller(envs)[0].episode_facts(infos, ended).columns["outcome"].astype(int)
            np.testing.assert_array_equal((outcome == Outcome.SUCCESS)[ended], terminated[ended])
            np.testing.assert_array_equal((outcome == Outcome.TIMEOUT)[ended], truncated[ended])
            seen |= set(outcome.tolist())
        np.testing.assert_array_equal(
            infos["goal_info"]["is_success"], (expected[:, :3] == expected[:, 3:]).all(axis=1)
        )
        np.testing.assert_array_equal(infos["goal_info"]["terminated"], terminated)
    assert seen == {Outcome.NONE, Outcome.SUCCESS, Outcome.TIMEOUT}


@pytest.mark.parametrize(("env_id", "in_rows"), [("robonav_ray/BitFlip-v0", True), ("RowGoals-v0", False)])
def test_the_environments_own_functions_batch_by_batch_or_row_by_row(env_id: str, in_rows: bool) -> None:
    env = gym.make(env_id, num_bits=3).unwrapped
    goals = ComputedGoals(env, env_id)
    assert isinstance(goals, GoalFunctions)
    rng = np.random.default_rng(0)
    achieved, desired = rng.integers(0, 2, (2, 64, 3)).astype(np.float32)
    info = {"is_success": rng.random(64) < 0.5}
    reward, terminated = goals.reward(achieved, desired, info), goals.terminated(achieved, desired, info)
    rows = [{"is_success": told} for told in info["is_success"]]
    expected = [env.compute_reward(a, d, i) for a, d, i in zip(achieved, desired, rows, strict=True)]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(reward, np.array(expected, np.float32))
    np.testing.assert_array_equal(terminated, (achieved == desired).all(axis=1))
    assert (reward.dtype, terminated.dtype) == (np.float32, np.bool_)
    assert set(goals._in_rows.values()) == {in_rows}
    np.testing.assert_array_equal(goals.goal_features(achieved, desired), desired)
    assert goals.columns.tolist() == [3, 4, 5]
    assert goals.reward(achieved[:0], desired[:0], {}).shape == (0,)


def test_without_compute_terminated_only_the_environment_ends_anything() -> None:
    goals = make_goal_functions(EnvConfig(id="EndlessGoals-v0", kwargs={"num_bits": 2}))
    same = np.zeros((3, 2), np.float32)
    told = np.array([True, False, False])
    np.testing.assert_array_equal(goals.terminated(same, same, {"terminated": told}), told)
    assert not goals.terminated(same, same).any()


@pytest.mark.parametrize("num_robots", [1, 2])
def test_our_worlds_are_the_same_with_and_without_goals(num_robots: int) -> None:
    env = EnvConfig.model_validate(
        {"world": {"num_robots": num_robots, "reward": {"mode": "sparse"}, "lidar": {"num_beams": 12}}}
    )
    plain, goals = make(env, 32), make(env, 32, tell_goals=True)
    functions = make_goal_functions(env)
    before, _ = plain.reset()
    obs, infos = goals.reset()
    np.testing.assert_array_equal(obs, before)
    rng, collided = np.random.default_rng(0), 0
    for _ in range(200):
        action = rng.integers(0, 15, 32)
        one, other = plain.step(action), goals.step(action)
        for a, b in zip((*one[:4], plain.waiting()), (*other[:4], goals.waiting()), strict=True):  # type: ignore[attr-defined]
            np.testing.assert_array_equal(a, b)
        ended, info, told = one[2] | one[3], one[4], other[4]
        if ended.any():
            np.testing.assert_array_equal(info["final_obs"][ended], told["final_obs"][ended])
            for name, value in info["final_info"].items():
                np.testing.assert_array_equal(value, told["final_info"][name])
            moved = np.abs(told["final_achieved_goal"] - infos["achieved_goal"])[ended, :2]
            assert moved.max() < 0.2, "the last pose is one step from the one before"
        hit = told["goal_info"]["collided"]
        far = np.full((32, 3), 50.0, np.float32)
        paid = functions.reward(infos["achieved_goal"], far, told["goal_info"])
        np.testing.assert_array_equal(paid, np.where(hit, np.float32(-5), np.float32(0)))
        np.testing.assert_array_equal(functions.terminated(infos["achieved_goal"], far, told["goal_info"]), hit)
        np.testing.assert_array_equal(other[1][hit], np.float32(-5))
        collided += int(hit.sum())
        infos = told
    assert collided > 20
    state = goals.state_dict()
    make(env, 32, tell_goals=True).load_state_dict(state)


def test_hindsight_with_the_goal_really_desired_is_what_happened() -> None:
    """NavGoal-v0, a goal-env of ours seen as a user's: its own functions through infos say what the environment
    said."""
    env = EnvConfig(
        id="robonav_ray/NavGoal-v0",
        kwargs={"levels": {"num_static": 4, "num_dynamic": 0, "num_goals": 1, "max_steps": 50}},
    )
    goals, envs = make_goal_functions(env), make(env, 3, tell_goals=True)
    obs, _ = envs.reset()
    rng, paid = np.random.default_rng(5), set()
    for _ in range(150):
        desired = obs[:, goals.columns]
        obs, reward, terminated, truncated, infos = envs.step(rng.integers(5, 15, 3))
        ended = (terminated | truncated)[:, None]
        achieved = np.where(ended, infos.get("final_achieved_goal", infos["achieved_goal"]), infos["achieved_goal"])
        np.testing.assert_allclose(goals.reward(achieved, desired, infos["goal_info"]), reward, rtol=1e-6)
        np.testing.assert_array_equal(goals.terminated(achieved, desired, infos["goal_info"]), terminated)
        paid |= set(reward.tolist())
    assert paid >= {0.0, -5.0}


def test_what_is_no_goal_env_is_refused() -> None:
    with pytest.raises(ValueError, match="no goal-env"):
        make_goal_functions(EnvConfig(id="CartPole-v1"))
    assert not describe_env(EnvConfig(id="NoReward-v0"), SHORT).is_goal_env, (
        "hindsight is refused at load, not in the worker"
    )
    dicts = gym.spaces.Dict({"image": gym.spaces.Box(0, 1, (2,)), "state": gym.spaces.Box(0, 1, (2,))})
    gym.register("OddDict-v0", entry_point=lambda: _odd(dicts), disable_env_checker=True)
    with pytest.raises(
        ValueError, match=r"env\.id='OddDict-v0' has observation space Dict\('image'.*FlattenObservation"
    ):
        describe_env(EnvConfig(id="OddDict-v0"), SHORT)
    box = gym.spaces.Box(0, 1, (2,))
    for bad, message in (
        (
            {"observation": gym.spaces.Discrete(3), "achieved_goal": box, "desired_goal": box},
            "supported are Box and MultiBinary",
        ),
        ({"observation": box, "achieved_goal": gym.spaces.Box(0, 1, (3,)), "desired_goal": box}, "one shape"),
    ):
        env = _odd(gym.spaces.Dict(bad))
        envs = gym.vector.SyncVectorEnv([lambda env=env: env], autoreset_mode=AutoresetMode.SAME_STEP)
        with pytest.raises(ValueError, match=message):
            FlatGoalVector(envs, "x", False)


def _odd(space: gym.Space) -> BitFlipEnv:
    env = BitFlipEnv(2)
    env.observation_space = space
    return env
