import subprocess
import sys
import warnings

import numpy as np
import pytest
from goal_driver import straight_to_the_goal
from gymnasium.error import ResetNeeded

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.parallel_env import NavParallelEnv

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # PettingZoo's tests import its old environments
    from pettingzoo.test import parallel_api_test, parallel_seed_test

SHORT = LevelConfig(num_dynamic=2, num_goals=1, max_steps=80)


@pytest.mark.parametrize("world", [None, {"num_robots": 2, "robot": {"actions": "continuous"}}, {"num_robots": 1}])
def test_pettingzoo_has_nothing_to_say(world):
    parallel_api_test(NavParallelEnv(world=world, levels=SHORT), num_cycles=300)


def test_seeds():
    parallel_seed_test(lambda: NavParallelEnv(world={"num_robots": 3}, levels=SHORT), num_cycles=60)


def test_agents_leave_when_they_end_and_say_how():
    env = NavParallelEnv(world=WorldConfig(num_robots=4, difficulty="hard"), levels=SHORT, seed=1)
    outcomes, left_early = [], 0
    for _ in range(8):
        obs, _ = env.reset()
        assert env.agents == env.possible_agents == ["robot_0", "robot_1", "robot_2", "robot_3"]
        while env.agents:
            before = list(env.agents)
            actions = {a: int(straight_to_the_goal(obs[a][None])[0]) for a in before}
            obs, reward, terminated, truncated, info = env.step(actions)
            assert list(obs) == list(reward) == list(terminated) == list(truncated) == list(info) == before
            for agent in before:
                ended = terminated[agent] or truncated[agent]
                assert ended == ("outcome" in info[agent]) == (agent not in env.agents)
                assert env.observation_space(agent).contains(obs[agent])
                if ended:
                    outcomes.append(Outcome(info[agent]["outcome"]))
                    assert info[agent]["outcome_name"] == outcomes[-1].name.lower()
            left_early += 0 < len(env.agents) < len(before)
    assert len(outcomes) == 8 * 4
    assert left_early > 5
    assert Outcome.SUCCESS in outcomes


def test_a_step_needs_one_action_per_agent():
    env = NavParallelEnv(levels=SHORT)
    with pytest.raises(ResetNeeded):
        env.step({})
    env.reset(seed=0)
    with pytest.raises(ValueError, match="robot_3"):
        env.step({"robot_0": 0, "robot_1": 0, "robot_2": 0})


def test_it_renders_all_robots():
    env = NavParallelEnv(levels=SHORT, render_mode="rgb_array", size_px=240)
    env.reset(seed=0)
    frame = env.render()
    assert frame is not None
    assert frame.shape[1] == 240
    env.close()


def test_spaces_are_seeded_one_by_one():
    env = NavParallelEnv(levels=SHORT)
    assert env.action_space("robot_0") is env.action_space("robot_0")
    assert env.action_space("robot_0") is not env.action_space("robot_1")
    assert np.prod(env.observation_space("robot_0").shape) > 0


def test_without_pettingzoo_it_says_what_to_install():
    code = (
        "import sys; sys.modules['pettingzoo'] = None; import robonav_ray.worlds; "
        "import robonav_ray.worlds.parallel_env"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "pip install robonav_ray[multiagent]" in done.stderr
