"""Robots that the worlds drive themselves, and states that were saved before there were any."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.worlds import EVERETT_LEVEL, LevelConfig, WorldConfig
from robonav_ray.interfaces import HasDrivers
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.vector_env import NavVectorEnv

WORLD = WorldConfig(profile="everett", num_robots=3)


def make(num_worlds: int = 8, world: WorldConfig = WORLD, level: LevelConfig = EVERETT_LEVEL) -> BatchedWorlds:
    worlds = BatchedWorlds(world, (level,), num_worlds, 5, 0.99)
    worlds.reset()
    return worlds


def run_out(worlds: BatchedWorlds, action: int = 9) -> np.ndarray:
    """Step until all have ended, every given action being ``action`` (9 stands); return outcomes (N, R)."""
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step(np.full(worlds.num_lanes, action), DISABLED)
    return worlds.state.lane[..., lay.OUTCOME]


def test_orca_in_every_seat_arrives_and_straight_does_not_react() -> None:
    orca, straight = make(32), make(32)
    orca.set_drivers(np.full(orca.num_lanes, 1, np.int8))
    straight.set_drivers(np.full(straight.num_lanes, 3, np.int8))
    assert (run_out(orca) == Outcome.SUCCESS).all(axis=1).mean() > 0.75
    outcome = run_out(straight)
    assert ((outcome == Outcome.SUCCESS) | (outcome == Outcome.COLLISION_ROBOT)).all()
    assert (outcome == Outcome.SUCCESS).all(axis=1).mean() < 0.3
    arrived = outcome == Outcome.SUCCESS
    need = (straight.state.tally[..., lay.T_SHORTEST] - 0.2) / straight.state.robot[..., lay.OWN_SPEED] / 0.1
    assert np.abs(straight.state.lane[..., lay.STEP] - np.ceil(need))[arrived].max() <= 1


def test_drivers_hold_for_their_lanes_alone_and_at_once() -> None:
    worlds, plain = make(), make()
    action = np.random.default_rng(0).integers(0, 11, (40, worlds.num_lanes))
    for t in range(5):
        worlds.step(action[t])
        plain.step(action[t])
    driver = np.zeros(worlds.num_lanes, np.int8)
    driver[1] = 4
    worlds.set_drivers(driver)
    before = worlds.pose[1].copy()
    for t in range(5, 10):
        worlds.step(action[t], DISABLED)
        plain.step(action[t], DISABLED)
    np.testing.assert_array_equal(worlds.pose[1], before)
    np.testing.assert_array_equal(worlds.out.obs[3:], plain.out.obs[3:], err_msg="other worlds have nothing of it")
    worlds.set_drivers(np.zeros(worlds.num_lanes, np.int8))
    worlds.step(np.full(worlds.num_lanes, 2), DISABLED)
    assert np.linalg.norm(worlds.pose[1, :2] - before[:2]) > 0.01


@pytest.mark.parametrize("world", [{}, {"robot": {"drive": "holonomic", "actions": "continuous"}}])
@pytest.mark.parametrize("driver", [1, 2])
def test_they_drive_in_our_own_worlds_too(world: dict, driver: int) -> None:
    config = WorldConfig.model_validate({"num_robots": 3, "segments": [{"x0_m": -1, "y0_m": 0, "x1_m": 1, "y1_m": 0}]})
    config = WorldConfig.model_validate({**config.model_dump(), **world})
    level = LevelConfig(num_static=1, num_dynamic=1, behaviours=("orca",), num_goals=1, max_steps=300)
    worlds = BatchedWorlds(config, (level,), 16, 5, 0.99)
    worlds.reset()
    worlds.set_drivers(np.full(worlds.num_lanes, driver, np.int8))
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step_command(np.zeros((worlds.num_lanes, 2), np.float32), DISABLED)
    assert (worlds.state.lane[..., lay.OUTCOME] == Outcome.SUCCESS).mean() > 0.5


def test_a_vector_environment_hands_them_on_and_saves_them() -> None:
    def envs() -> NavVectorEnv:
        return NavVectorEnv(12, world=WORLD, seed=2)

    one, two = envs(), envs()
    assert isinstance(one, HasDrivers)
    one.reset()
    one.set_drivers(np.arange(12, dtype=np.int8) % 5)
    action = np.random.default_rng(0).integers(0, 11, (60, 12))
    for t in range(30):
        one.step(action[t])
    two.load_state_dict({name: np.asarray(value) for name, value in one.state_dict().items()})
    for t in range(30, 60):
        for a, b in zip(one.step(action[t])[:4], two.step(action[t])[:4], strict=True):
            np.testing.assert_array_equal(a, b)


def test_worlds_that_have_not_begun_are_saved_too() -> None:
    one, two = NavVectorEnv(6, world=WORLD, seed=2), NavVectorEnv(6, world=WORLD, seed=3)
    two.load_state_dict({name: np.asarray(value) for name, value in one.state_dict().items()})
    np.testing.assert_array_equal(one.reset()[0], two.reset()[0])


@pytest.mark.parametrize(
    ("driver", "named"),
    [
        (np.zeros(3, np.int8), "int8"),
        (np.zeros(24, np.int64), "int8"),
        (np.full(24, 6, np.int8), "4 \\(stand\\), 5 \\(obstacle\\)"),
        (np.full(24, -1, np.int8), "driver -1"),
    ],
)
def test_drivers_that_there_are_not_are_refused(driver: np.ndarray, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make().set_drivers(driver)


def test_a_state_that_was_saved_before_robots_had_bodies_of_their_own_goes_on() -> None:
    level = LevelConfig(num_static=2, num_dynamic=3, num_goals=2, max_steps=60)

    def envs() -> NavVectorEnv:
        return NavVectorEnv(8, world={"num_robots": 2}, levels=level, seed=2, first_world=3)

    one, two = envs(), envs()
    one.reset()
    action = np.random.default_rng(0).integers(0, 15, (90, 8))
    for t in range(45):
        one.step(action[t])
    old = one.state_dict()
    del old["state.driver"]
    for name, columns in (("robot", 25), ("lane", 7), ("world", 5)):
        old[f"state.{name}"] = old[f"state.{name}"][..., :columns].copy()
    two.load_state_dict({name: np.asarray(value) for name, value in old.items()})
    for name, array in one.worlds.state._asdict().items():
        np.testing.assert_array_equal(array, getattr(two.worlds.state, name), err_msg=name)
    for t in range(45, 90):
        for a, b in zip(one.step(action[t])[:4], two.step(action[t])[:4], strict=True):
            np.testing.assert_array_equal(a, b)
    del old["state.robot"]
    with pytest.raises(ValueError, match="worlds"):
        envs().load_state_dict(old)


def test_drivers_in_a_map_take_the_way_around_its_walls() -> None:
    place = {"generator": "rooms", "num_maps": 3, "width_m": 12.0, "height_m": 9.0, "num_goals": 12}
    world = WorldConfig.model_validate({"map": place, "num_robots": 2, "robot": {"radius_m": 0.2}})
    level = LevelConfig.model_validate({"num_static": 0, "num_dynamic": 0, "num_goals": 1, "max_steps": 600})
    arrived = {}
    for name, driver in (("orca", 1), ("social force", 2), ("straight", 3)):
        worlds = make(24, world, level)
        worlds.set_drivers(np.full(worlds.num_lanes, driver, np.int8))
        behind = worlds.state.tally[..., lay.T_SHORTEST] > 1.2 * np.linalg.norm(
            worlds.state.goal[:, :, 0, :2] - worlds.state.robot[..., :2], axis=2
        )
        outcome = run_out(worlds)
        arrived[name] = (outcome == Outcome.SUCCESS)[behind].mean()
        assert behind.mean() > 0.2, "many goals are behind a wall"
        assert (outcome != Outcome.COLLISION_WALL).mean() > 0.8, name
    assert arrived["orca"] > 0.7, arrived
    assert arrived["straight"] > 0.5, arrived
