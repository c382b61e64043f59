"""The profile ``everett``: how cases are drawn, the rules of motion, collision and time, and who is seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robonav_ray.algo.neighbor_set import NeighborSet, neighbor_set
from robonav_ray.config.worlds import EVERETT_LEVEL, EnvConfig, LevelConfig, WorldConfig
from robonav_ray.evaluation.episodes import evaluate_policy
from robonav_ray.evaluation.metrics.meter import start_meter
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.actions import action_table
from robonav_ray.worlds.kernels.everett import straight_ways_meet
from robonav_ray.worlds.parallel_env import NavParallelEnv
from robonav_ray.worlds.vector_env import NavVectorEnv
from tests.oracles_worlds import neighbor_items

OWN, ITEM = lay.OWN_PART, lay.NEIGHBOR_PART


def everett(num_robots: int, num_worlds: int = 1, levels: tuple = (EVERETT_LEVEL,), seed: int = 0, **world):
    config = WorldConfig.model_validate({"profile": "everett", "num_robots": num_robots, **world})
    worlds = BatchedWorlds(config, levels, num_worlds, seed, 0.99)
    worlds.reset()
    return worlds


def put(worlds: BatchedWorlds, rows: list[tuple]) -> None:
    """Set the robots of world 0 to rows (x, y, yaw, goal x, goal y, speed, radius), at rest."""
    robot = worlds.state.robot[0]
    for r, (x, y, yaw, gx, gy, speed, radius) in enumerate(rows):
        robot[r, [lay.X, lay.Y, lay.OLD_X, lay.OLD_Y, lay.YAW]] = x, y, x, y, yaw
        robot[r, [lay.COS, lay.SIN, lay.OWN_SPEED, lay.OWN_RADIUS]] = math.cos(yaw), math.sin(yaw), speed, radius
        worlds.state.goal[0, r, 0, :2] = gx, gy


def test_what_the_profile_sets_and_what_is_given_wins() -> None:
    world = WorldConfig(profile="everett")
    assert (world.num_robots, world.dt_s, world.walls, world.goal_tolerance_m) == (4, 0.1, False, 0.2)
    assert (world.placement, world.observation, world.robot.actions) == ("everett", "neighbors", "everett11")
    assert WorldConfig(profile="everett", num_robots=10, observation="lidar").observation == "lidar"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"walls": True}, "no walls"),
        ({"robot": {"drive": "holonomic", "motion": "midpoint"}}, "everett11"),
        ({"robot": {"radius_min_m": 0.9}}, "radius_min_m"),
        ({"robot": {"min_speed": 1.6}}, "min_speed"),
        ({"placement": "arena", "cases": "cases.npz"}, "cases"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(wrong: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        WorldConfig.model_validate({"profile": "everett", **wrong})


def test_levels_that_do_not_go_with_it_are_refused() -> None:
    for level, named in (({"num_robots": 5}, "num_robots"), ({"num_goals": 2}, "one goal")):
        with pytest.raises(ValueError, match=named):
            everett(4, levels=(EVERETT_LEVEL.model_copy(update=level),))


@pytest.mark.parametrize(("num_robots", "way_m"), [(2, 5.0), (4, 5.6), (10, 10.0)])
def test_cases_are_drawn_as_published(num_robots: int, way_m: float) -> None:
    worlds = everett(num_robots, 400)
    state, (i, j) = worlds.state, np.triu_indices(num_robots, 1)
    robot, goal = state.robot, state.goal[:, :, 0, :2]
    radius, speed = robot[..., lay.OWN_RADIUS], robot[..., lay.OWN_SPEED]
    assert radius.min() >= 0.2
    assert radius.max() <= 0.8
    assert speed.min() >= 0.5
    assert speed.max() <= 1.5
    assert radius.mean() == pytest.approx(0.5, abs=0.03)
    assert speed.mean() == pytest.approx(1.17, abs=0.03)
    assert state.tally[..., lay.T_SHORTEST].mean() == pytest.approx(way_m, rel=0.08)
    need = radius[:, i] + radius[:, j] + 0.2 - 1e-4
    for place in (robot[..., :2], goal):
        assert (np.linalg.norm(place[:, i] - place[:, j], axis=2) >= need).all(), "starts and goals keep clear"
    ahead = goal - robot[..., :2]
    np.testing.assert_allclose(np.arctan2(ahead[..., 1], ahead[..., 0]), robot[..., lay.YAW], atol=1e-5)
    limit_s = 8.0 * (np.linalg.norm(ahead, axis=2) - 0.2) / speed
    assert np.abs(state.lane[..., lay.STEP_LIMIT] - np.ceil(limit_s / 0.1)).max() <= 1
    drawn = np.abs(robot[:, 0, :2] + goal[:, 0]).max(axis=1) > 1e-5  # no circle, no swap
    for w in np.flatnonzero(drawn)[:30]:
        for a in range(num_robots):
            meets = [
                straight_ways_meet(
                    *robot[w, a, :2], *goal[w, a], speed[w, a], *robot[w, b, :2], *goal[w, b], speed[w, b],
                    radius[w, a] + radius[w, b] + np.float32(0.201),
                )
                for b in range(num_robots)
                if b != a
            ]  # fmt: skip
            assert any(meets), "nobody's straight way is free"
    worlds.check_valid()


def test_a_case_depends_on_its_world_and_episode_alone() -> None:
    whole = everett(5, 6, seed=3)
    whole.reset()
    part = BatchedWorlds(whole.config, whole.levels, 2, 3, 0.99, first_world=3)
    part.reset()
    part.reset()
    np.testing.assert_array_equal(whole.state.robot[3:5], part.state.robot)
    np.testing.assert_array_equal(whole.out.obs.reshape(6, -1)[3:5].ravel(), part.out.obs.ravel())


def test_robots_turn_first_and_move_along_the_new_heading() -> None:
    worlds = everett(2)
    put(worlds, [(0, 0, 0.5, 9, 0, 1.2, 0.3), (5, 5, 0, 9, 5, 0.7, 0.3)])
    table = action_table(worlds.config.robot)
    assert table is not None
    degrees = np.degrees(table[:, 1] * 0.1)
    np.testing.assert_allclose(degrees, [-30, -15, 0, 15, 30, -30, 0, 30, -30, 0, 30], atol=1e-4)
    np.testing.assert_allclose(table[:, 0] / 1.5, [1] * 5 + [0.5] * 3 + [0] * 3)
    worlds.step(np.array([4, 5]), DISABLED)  # 30 degrees at full speed; -30 degrees at half speed
    for r, (yaw, speed, start) in enumerate([(0.5 + math.pi / 6, 1.2, (0, 0)), (-math.pi / 6, 0.35, (5, 5))]):
        x, y, now = worlds.pose[r]
        assert (x, y, now) == pytest.approx(
            (start[0] + 0.1 * speed * math.cos(yaw), start[1] + 0.1 * speed * math.sin(yaw), yaw), abs=1e-5
        )


def test_a_collision_is_an_overlap_at_the_end_of_a_step() -> None:
    worlds = everett(2)
    put(worlds, [(0, 0, 0, 9, 0, 1.5, 0.05), (0.15, 0, math.pi, -9, 0, 1.5, 0.05)])
    worlds.step(np.array([2, 2]), DISABLED)  # they pass through each other
    assert (worlds.state.lane[0, :, lay.OUTCOME] == Outcome.NONE).all()
    put(worlds, [(0, 0, 0, 9, 0, 1.5, 0.3), (0.8, 0, math.pi, -9, 0, 1.5, 0.25)])
    worlds.step(np.array([2, 9]), DISABLED)
    assert (worlds.state.lane[0, :, lay.OUTCOME] == Outcome.NONE).all()
    worlds.step(np.array([2, 9]), DISABLED)
    assert (worlds.state.lane[0, :, lay.OUTCOME] == Outcome.COLLISION_ROBOT).all(), "it is one of both"


@pytest.mark.parametrize("observation", ["neighbors", "lidar", "state"])
def test_a_robot_that_ended_stays_as_a_disc(observation: str) -> None:
    worlds = everett(2, observation=observation)
    put(worlds, [(0, 0, 0, 9, 0, 1.0, 0.3), (2, 0, 0, 2.1, 0, 1.0, 0.4)])
    worlds.step(np.array([9, 2]), DISABLED)
    assert worlds.state.lane[0, 1, lay.OUTCOME] == Outcome.SUCCESS
    worlds.step(np.array([9, 9]), DISABLED)
    assert worlds.out.parked.tolist() == [False, True]
    seen = worlds.out.obs[0]
    if observation == "neighbors":
        np.testing.assert_allclose(seen[OWN:], [1, 2.1, 0, 0, 0, 0.4, 0.7, 1.4], atol=1e-5)
    elif observation == "state":
        np.testing.assert_allclose(seen[lay.SELF_STATE :], [2.1, 0, 0, 0, 0.4, 2.1, 0.7], atol=1e-5)
    else:
        assert worlds.scene(0).ranges[0, 18] == pytest.approx(1.7, abs=1e-4)
    for _ in range(15):
        worlds.step(np.array([2, 2]), DISABLED)
    assert worlds.state.lane[0, 0, lay.OUTCOME] == Outcome.COLLISION_ROBOT
    assert worlds.pose[1, 0] == pytest.approx(2.1, abs=1e-5), "it did not move"
    assert worlds.scene(0).robot_radius_m.tolist() == pytest.approx([0.3, 0.4])


def test_each_robot_has_a_time_limit_of_its_own() -> None:
    worlds = everett(2)
    limit = worlds.state.lane[0, :, lay.STEP_LIMIT].copy()
    steps = 0
    while (worlds.state.lane[0, :, lay.ENDED] == 0).any():
        worlds.step(np.array([9, 9]), DISABLED)
        steps += 1
        assert steps <= limit.max()
    assert (worlds.state.lane[0, :, lay.OUTCOME] == Outcome.TIMEOUT).all()
    np.testing.assert_array_equal(worlds.state.lane[0, :, lay.STEP], limit)


def test_items_are_the_neighbours_in_the_frame_of_the_goal_and_end_with_the_absent() -> None:
    level = EVERETT_LEVEL.model_copy(update={"num_robots": 4, "num_static": 1, "num_dynamic": 2})
    worlds = everett(6, 3, (level,), arena_size_m=16.0)
    for _ in range(5):
        worlds.step(np.random.default_rng(0).integers(0, 11, worlds.num_lanes), DISABLED)
    assert worlds.obs_dim == OWN + ITEM * (5 + 3)
    assert neighbor_set(EnvConfig(world=worlds.config), worlds.obs_dim) == NeighborSet(OWN, 5 + 3, ITEM, presence=0)
    state = worlds.state
    for w in range(3):
        num = state.world[w, lay.NUM_CIRCLES]
        circles = [
            {"p": c[[lay.C_X, lay.C_Y]], "v": c[[lay.C_VX, lay.C_VY]], "radius": c[lay.C_RADIUS]}
            for c in state.circle[w, :, :num].T.astype(float)
        ]
        robots = [
            {"p": a[[lay.X, lay.Y]], "v": a[[lay.VX, lay.VY]], "radius": a[lay.OWN_RADIUS], "goal": g}
            for a, g in zip(state.robot[w].astype(float), state.goal[w, :, 0, :2].astype(float), strict=True)
        ]
        for r in range(4):
            if state.lane[w, r, lay.ENDED]:
                continue
            obs, robot = worlds.out.obs[6 * w + r], robots[r]
            want = neighbor_items(robot, circles + [robots[q] for q in range(4) if q != r])
            got = obs[OWN:].reshape(-1, ITEM)
            order, mine = np.lexsort(want[:, 1:3].T), np.lexsort(got[: len(want), 1:3].T)
            np.testing.assert_allclose(got[: len(want)][mine], want[order], atol=2e-5)
            assert not got[len(want) :].any()
            way = robot["goal"] - robot["p"]
            turned = state.robot[w, r, lay.YAW] - math.atan2(way[1], way[0])
            left = 1 - state.lane[w, r, lay.STEP] / state.lane[w, r, lay.STEP_LIMIT]
            own = [np.linalg.norm(way) / 10, state.robot[w, r, lay.OWN_SPEED], math.cos(turned), math.sin(turned)]
            np.testing.assert_allclose(obs[:OWN], [*own, robot["radius"], left], atol=2e-5)
    assert all(worlds.observation_space.contains(row) for row in worlds.out.obs)


def test_a_world_may_hold_fewer_robots_than_there_are_lanes() -> None:
    levels = tuple(EVERETT_LEVEL.model_copy(update={"num_robots": n, "max_steps": 30}) for n in (2, 3))
    worlds = everett(4, 8, levels)
    lone = everett(2, 8, levels[:1])
    np.testing.assert_array_equal(worlds.state.robot[:, :2, :2], lone.state.robot[..., :2])
    lanes = np.arange(worlds.num_lanes).reshape(8, 4)
    ended = np.zeros(8, int)
    for t in range(80):
        worlds.set_level(t % 2)
        there = worlds.state.lane[..., lay.STEP_LIMIT].reshape(-1) > 0
        assert not worlds.out.obs[~there].any()
        before = worlds.state.lane[..., lay.ENDED].ravel() != 0
        worlds.step(np.full(32, t % 11))
        np.testing.assert_array_equal(worlds.out.parked, before)
        assert not (worlds.out.finished & before).any()
        assert not worlds.out.finished[lanes[:, 3]].any(), "the last robot never takes part"
        ended += worlds.out.finished.reshape(8, 4).sum(axis=1)
        worlds.check_valid()
    assert (ended > 3).all()
    assert len(worlds.scene(0).robot_pose) == worlds.levels[worlds.level[0]].num_robots


def test_an_agent_of_pettingzoo_that_takes_no_part_is_none() -> None:
    level = EVERETT_LEVEL.model_copy(update={"num_robots": 2})
    env = NavParallelEnv(world={"profile": "everett", "num_robots": 3}, levels=level, seed=0)
    obs, _ = env.reset()
    assert env.agents == list(obs) == ["robot_0", "robot_1"]
    obs, *_ = env.step(dict.fromkeys(env.agents, 2))
    assert set(obs) == {"robot_0", "robot_1"}


@pytest.mark.parametrize("observation", ["lidar", "state"])
def test_robots_of_our_own_worlds_may_differ_too(observation: str) -> None:
    world = {
        "num_robots": 6,
        "observation": observation,
        "ended_robots": "stay",
        "robot": {"radius_m": 0.5, "radius_min_m": 0.2, "max_speed": 1.2, "min_speed": 0.6},
    }
    level = LevelConfig(num_static=2, num_dynamic=3, num_goals=2, max_steps=60)
    worlds = BatchedWorlds(WorldConfig.model_validate(world), (level,), 16, 0, 0.99)
    worlds.reset()
    robot = worlds.state.robot
    apart = np.linalg.norm(robot[:, :, None, :2] - robot[:, None, :, :2], axis=3)
    space = apart - robot[:, :, None, lay.OWN_RADIUS] - robot[:, None, :, lay.OWN_RADIUS]
    assert space[:, ~np.eye(6, dtype=bool)].min() > 0.0
    for action in np.random.default_rng(0).integers(0, 15, (70, worlds.num_lanes)):
        worlds.step(action)
        worlds.check_valid()
        speed = np.hypot(robot[..., lay.VX], robot[..., lay.VY])
        assert (speed <= robot[..., lay.OWN_SPEED] + 1e-5).all()
    assert all(worlds.observation_space.contains(row) for row in worlds.out.obs)


def test_an_evaluation_plays_the_robots_that_take_part() -> None:
    level = EVERETT_LEVEL.model_copy(update={"num_robots": 2, "max_steps": 40})

    def envs(first: int, num: int) -> NavVectorEnv:
        world = {"profile": "everett", "num_robots": 3}
        return NavVectorEnv(3 * num, world=world, levels=level, first_world=first, autoreset_mode="Disabled")

    def straight(obs: np.ndarray) -> np.ndarray:
        return np.full(len(obs), 2)

    table = evaluate_policy(straight, envs, 12, num_worlds=4, meter=start_meter)
    assert table.num_episodes == 12
    assert (table.length > 0).all()
    assert (table.outcome != Outcome.NONE).all()
    assert all(len(column) == 12 for column in table.extra.values())
    whole = evaluate_policy(straight, envs, 12, num_worlds=6, meter=start_meter)
    np.testing.assert_array_equal(table.length, whole.length)
    np.testing.assert_array_equal(table.path_length_m, whole.path_length_m)
