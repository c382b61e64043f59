"""Observations of encounters, and levels that draw how many robots take part."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robonav_ray.algo.neighbor_set import NeighborSet, neighbor_set
from robonav_ray.config.worlds import EVERETT_LEVEL, EnvConfig, WorldConfig
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from tests.oracles_worlds import encounter_items

OWN, ITEM = lay.ENCOUNTER_OWN, lay.ENCOUNTER_PART


def encounters(num_robots: int, num_worlds: int, level: dict) -> BatchedWorlds:
    world = WorldConfig(profile="everett", num_robots=num_robots, observation="encounters", arena_size_m=16.0)
    worlds = BatchedWorlds(world, (EVERETT_LEVEL.model_copy(update=level),), num_worlds, 0, 0.99)
    worlds.reset()
    return worlds


def test_what_an_observation_of_encounters_says() -> None:
    worlds = encounters(4, 4, {"num_robots": 3, "num_static": 1, "num_dynamic": 1})
    for _ in range(6):
        worlds.step(np.random.default_rng(0).integers(0, 11, worlds.num_lanes), DISABLED)
    assert worlds.obs_dim == OWN + ITEM * (3 + 2)
    assert neighbor_set(EnvConfig(world=worlds.config), worlds.obs_dim) == NeighborSet(OWN, 3 + 2, ITEM, presence=0)
    assert worlds.observation_space.contains(worlds.out.obs[0])
    state = worlds.state
    for w in range(4):
        others = [
            {"p": c[[lay.C_X, lay.C_Y]], "v": c[[lay.C_VX, lay.C_VY]], "radius": c[lay.C_RADIUS]}
            for c in state.circle[w, :, : state.world[w, lay.NUM_CIRCLES]].T.astype(float)
        ]
        robots = [
            {
                "p": a[[lay.X, lay.Y]], "v": a[[lay.VX, lay.VY]], "radius": a[lay.OWN_RADIUS], "yaw": a[lay.YAW],
                "speed": a[lay.OWN_SPEED], "goal": goal,
            }
            for a, goal in zip(state.robot[w].astype(float), state.goal[w, :, 0, :2].astype(float), strict=True)
        ]  # fmt: skip
        for r in range(3):
            if state.lane[w, r, lay.ENDED]:
                continue
            obs, robot = worlds.out.obs[4 * w + r], robots[r]
            want = encounter_items(robot, [*others, *(robots[q] for q in range(3) if q != r)])
            got = obs[OWN:].reshape(-1, ITEM)
            got = got[got[:, 0] > 0]
            by_place = [np.lexsort(items[:, 1:3].round(4).T) for items in (want, got)]
            np.testing.assert_allclose(got[by_place[1]], want[by_place[0]], atol=2e-3)
            ahead, speed = robot["goal"] - robot["p"], np.linalg.norm(robot["v"])
            far, bearing = np.linalg.norm(ahead), math.atan2(ahead[1], ahead[0]) - robot["yaw"]
            left = 1.0 - state.lane[w, r, lay.STEP] / state.lane[w, r, lay.STEP_LIMIT]
            own = [far / 10, 1 / (1 + far), math.cos(bearing), math.sin(bearing), robot["speed"], speed, 0.0]
            np.testing.assert_allclose(obs[:OWN], [*own, robot["radius"], left], atol=1e-4)


def test_a_level_draws_how_many_robots_take_part() -> None:
    worlds = encounters(5, 600, {"min_robots": 2, "num_robots": 4})
    there = (worlds.state.lane[..., lay.STEP_LIMIT] > 0).sum(axis=1)
    assert np.bincount(there, minlength=6).tolist() == pytest.approx([0, 0, 200, 200, 200, 0], abs=60)
    absent = worlds.out.obs.reshape(600, 5, -1)[:, 4]
    assert not absent.any(), "the fifth is never there"
    for level, named in (({"min_robots": 6}, "min_robots"), ({"min_robots": 3, "num_robots": 2}, "min_robots")):
        with pytest.raises(ValueError, match=named):
            encounters(5, 1, level)
