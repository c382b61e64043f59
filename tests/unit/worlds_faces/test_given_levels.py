"""Every face of the worlds takes world and levels as configs, as mappings, one or several, and says in one message what
is wrong."""

from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest

import robonav_ray.worlds  # noqa: F401  (registers the environments)
from robonav_ray.config.worlds import LevelConfig
from robonav_ray.worlds.parallel_env import NavParallelEnv
from robonav_ray.worlds.play import film_episodes
from robonav_ray.worlds.vector_env import NavVectorEnv

ONE = {"num_static": 0, "num_dynamic": 0, "num_goals": 1, "max_steps": 60}
MAKERS = {
    "make": lambda **o: gym.make("robonav_ray/Nav-v0", **o).unwrapped,
    "make_vec": lambda **o: gym.make_vec("robonav_ray/Nav-v0", num_envs=2, **o),
    "vector": lambda **o: NavVectorEnv(2, **o),
    "goal": lambda **o: gym.make("robonav_ray/NavGoal-v0", **o).unwrapped,
    "pettingzoo": lambda **o: NavParallelEnv(**o),
}


@pytest.mark.parametrize("face", MAKERS)
@pytest.mark.parametrize(
    "levels", [ONE, LevelConfig(**ONE), [ONE, LevelConfig(**ONE)], (LevelConfig(**ONE),), json.loads(json.dumps([ONE]))]
)
def test_levels_are_configs_or_mappings_one_or_several(face, levels):
    env = MAKERS[face](levels=levels, world={"arena_size_m": 12.0})
    worlds = env.nav.worlds if face == "goal" else env.worlds
    assert all(level == LevelConfig(**ONE) for level in worlds.levels)
    assert worlds.config.arena_size_m == 12.0
    env.close()


@pytest.mark.parametrize("face", MAKERS)
@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ({"num_goal": 1}, "levels: num_goal: unknown key; did you mean 'num_goals'"),
        ([ONE, {"num_goals": "many"}], r"levels\[1\]: num_goals"),
        ("easy", "levels: give a LevelConfig"), ([], "levels: give a LevelConfig"), (7, "levels: give a LevelConfig"),
        ([3], r"levels\[0\]: give a config or a mapping"), ({1: 2}, "levels: give a config or a mapping"),
    ],
)  # fmt: skip
def test_bad_levels_are_told_in_one_message(face, levels, says):
    with pytest.raises(ValueError, match=says) as told:
        MAKERS[face](levels=levels)
    assert "\n" not in str(told.value)
    assert "pydantic" not in str(told.value)


def test_a_bad_world_is_told_in_one_message():
    for make in MAKERS.values():
        with pytest.raises(ValueError, match="world: arena_size: unknown key; did you mean 'arena_size_m'"):
            make(world={"arena_size": 3.0})


def test_a_film_takes_them_too():
    frames = list(
        film_episodes(lambda obs: np.array([0]), {}, ONE, level=0, seed=1, gamma=0.99, num_episodes=1, size_px=96)
    )
    assert frames[0].shape[2] == 3
