"""Obstacles that policies drive: what they are paid, when they end, and that other worlds know nothing of them."""

from typing import Literal

import numpy as np
import pytest

from robonav_ray.config.worlds import EVERETT_LEVEL, LevelConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.adversary import OBSTACLE
from robonav_ray.worlds.vector_env import NavVectorEnv

WORLDS, ROBOTS = 6, 3
STRAIGHT = lay.DRIVERS.index("straight")


def env_with(driver: list[int], world: WorldConfig, level: LevelConfig = EVERETT_LEVEL, seed: int = 1) -> NavVectorEnv:
    env = NavVectorEnv(WORLDS * ROBOTS, world=world, levels=(level,), seed=seed)
    env.reset()
    env.worlds.set_drivers(np.tile(np.array(driver, np.int8), WORLDS))
    return env


def everett() -> WorldConfig:
    return WorldConfig(profile="everett", num_robots=ROBOTS)


@pytest.mark.parametrize("ended_robots", ["stay", "leave"])
def test_an_obstacle_is_paid_what_the_others_lose_and_ends_with_them(ended_robots: Literal["stay", "leave"]) -> None:
    env = env_with([OBSTACLE, STRAIGHT, STRAIGHT], WorldConfig(profile="everett", num_robots=ROBOTS,
                                                               ended_robots=ended_robots))  # fmt: skip
    rng, seen = np.random.default_rng(0), set[tuple[int, bool]]()
    total, failed = np.zeros(WORLDS), np.zeros(WORLDS, bool)
    for _ in range(400):
        _, reward, terminated, truncated, info = env.step(rng.integers(0, 11, WORLDS * ROBOTS))
        pay, parked = reward.reshape(WORLDS, ROBOTS), info["parked"].reshape(WORLDS, ROBOTS)
        lost = -np.where(parked, 0.0, pay)[:, 1:].sum(axis=1) / 2.0
        np.testing.assert_allclose(pay[:, 0], np.where(parked[:, 0], 0.0, lost), atol=1e-5)
        total += pay[:, 0]
        if "final_info" not in info:
            continue
        ended = info["_final_info"].reshape(WORLDS, ROBOTS)
        assert ((terminated | truncated).reshape(WORLDS, ROBOTS) == ended).all()
        told = {name: info["final_info"][name].reshape(WORLDS, ROBOTS) for name in ("outcome", "total_return")}
        failed |= (ended[:, 1:] & (told["outcome"][:, 1:] != Outcome.SUCCESS)).any(axis=1)
        for world in np.flatnonzero(ended[:, 0]).tolist():
            outcome, others_run = int(told["outcome"][world, 0]), bool((~parked & ~ended)[world, 1:].any())
            has_hit = Outcome.COLLISION_STATIC <= outcome <= Outcome.COLLISION_ROBOT
            assert not others_run or failed[world] or has_hit, "else it goes on as long as they do"
            assert (outcome == Outcome.SUCCESS) == failed[world]
            assert told["total_return"][world, 0] == pytest.approx(total[world], abs=1e-3)
            seen.add((outcome, bool(terminated.reshape(WORLDS, ROBOTS)[world, 0])))
        began = (env.worlds.state.lane[..., lay.STEP] == 0).all(axis=1)
        total[began], failed[began] = 0.0, False
        if ended_robots == "stay":
            env.worlds.check_valid()
    assert {Outcome.SUCCESS, Outcome.TIMEOUT} <= {outcome for outcome, _ in seen}, "it has harmed, and has not"
    again = env_with([OBSTACLE, STRAIGHT, STRAIGHT], env.worlds.config, seed=2)
    again.load_state_dict({**env.state_dict()})
    actions = rng.integers(0, 11, WORLDS * ROBOTS)
    for one, other in zip(env.step(actions)[:4], again.step(actions)[:4], strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_obstacle_never_arrives_and_sees_the_nearest_robot_as_its_goal() -> None:
    env = env_with([OBSTACLE, lay.DRIVERS.index("stand"), lay.DRIVERS.index("stand")], everett())
    for _ in range(60):
        env.step(np.zeros(WORLDS * ROBOTS, np.int64))  # straight to it
        lane, robot = env.worlds.state.lane, env.worlds.state.robot
        assert (lane[:, 0, lay.GOAL_INDEX] == 0).all()
        assert (lane[:, 0, lay.STEP_LIMIT] >= lane[:, 1:, lay.STEP_LIMIT].max(axis=1)).all()
        goal = env.worlds.state.goal[:, 0, 0, :2]
        for world in np.flatnonzero((lane[:, :, lay.ENDED] == 0).all(axis=1) & (lane[:, 0, lay.STEP] > 0)).tolist():
            others = robot[world, 1:, :2]
            assert np.linalg.norm(others - goal[world], axis=1).min() < 0.6


def test_worlds_without_obstacles_have_the_bits_that_they_had() -> None:
    """Also after an obstacle was there, and the same drivers with and without one in another world."""
    with_one, without = (env_with([0, STRAIGHT, STRAIGHT], everett()) for _ in range(2))
    mixed = np.tile(np.array([0, STRAIGHT, STRAIGHT], np.int8), WORLDS)
    mixed[0] = OBSTACLE
    with_one.worlds.set_drivers(mixed)
    rng = np.random.default_rng(0)
    for _ in range(150):
        actions = rng.integers(0, 11, WORLDS * ROBOTS)
        one, other = with_one.step(actions), without.step(actions)
        for mine, theirs in zip(one[:4], other[:4], strict=True):
            np.testing.assert_array_equal(mine[ROBOTS:], theirs[ROBOTS:])
    with pytest.raises(ValueError, match=r"driver 6: there are .* 5 \(obstacle\)"):
        without.worlds.set_drivers(np.full(WORLDS * ROBOTS, 6, np.int8))


def test_obstacles_have_a_place_in_our_own_worlds_too() -> None:
    level = LevelConfig(num_static=1, num_dynamic=1, num_goals=2, max_steps=80)
    env = env_with([OBSTACLE, 0, 0], WorldConfig(num_robots=ROBOTS), level)
    rng, ends = np.random.default_rng(0), 0
    for _ in range(300):
        info = env.step(rng.integers(0, 15, WORLDS * ROBOTS))[4]
        if "_final_info" in info:
            ends += int(info["_final_info"].reshape(WORLDS, ROBOTS)[:, 0].sum())
    assert ends >= WORLDS
    assert np.isfinite(env.worlds.state.robot).all()
