"""The meter: known values on episodes made by hand, its slow twin on random ones, and episodes it does not change."""

from __future__ import annotations

import math

import numpy as np
import oracles_meter
import pytest

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.evaluation.episodes import evaluate_policy
from robonav_ray.evaluation.metrics.meter import END_COLUMNS, LOOK_COLUMNS, STEP_COLUMNS, Meter, start_meter
from robonav_ray.evaluation.metrics.meter_kernel import nearest_wall
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.vector_env import NavVectorEnv

LEVEL = LevelConfig(num_static=0, num_dynamic=1, num_goals=1, max_steps=50)


def world_of(circle: tuple[float, float, float, float], kind: int, **level) -> BatchedWorlds:
    """One robot at the origin that looks along x, one circle of .5 m (x, y, v_x, v_y), the goal 4 m ahead; no walls but
    the arena's.
    """
    worlds = BatchedWorlds(WorldConfig(), (LEVEL.model_copy(update=level),), 1, 0, 0.99)
    worlds.reset()
    robot, c, state = worlds.state.robot[0, 0], worlds.state.circle[0], worlds.state
    robot[[lay.X, lay.Y, lay.YAW, lay.SIN, lay.OLD_X, lay.OLD_Y]], robot[lay.COS] = 0.0, 1.0
    x, y, vx, vy = circle
    c[[lay.C_X, lay.C_OLD_X], 0], c[[lay.C_Y, lay.C_OLD_Y], 0] = x, y
    c[[lay.C_VX, lay.C_VY, lay.C_RADIUS, lay.C_SPEED], 0] = vx, vy, 0.5, math.hypot(vx, vy)
    c[[lay.C_TX, lay.C_TY], 0] = x + 100 * vx, y + 100 * vy
    state.circle_kind[0, lay.KIND, 0] = kind
    state.goal[0, 0, 0] = 4.0, 0.0, 0.0
    return worlds


def driven(worlds: BatchedWorlds, command: tuple[float, float], steps: int = 50) -> dict[str, float]:
    meter = Meter(worlds, np.ones(1, bool), None)
    for _ in range(steps):
        worlds.step_command(np.array([command], np.float32), DISABLED)
        meter.observe()
        if worlds.out.finished[0]:
            break
    assert worlds.out.finished[0]
    return {name: float(value[0]) for name, value in meter.columns().items()} | {
        "outcome": float(worlds.out.final_lane[0, 0])
    }


def test_a_robot_that_drives_into_what_stands_moved_into_it():
    radius = WorldConfig().robot.radius_m
    got = driven(world_of((2.0 + 0.5 + radius + 0.08, 0.0, 0.0, 0.0), lay.STATIC), (1.0, 0.0))
    assert got["outcome"] == Outcome.COLLISION_STATIC
    assert got["end_own_closing"] == pytest.approx(1.0, abs=1e-5)
    assert (got["end_other_closing"], got["end_other_speed"]) == (0.0, 0.0)
    assert math.isnan(got["end_course_rad"])
    assert got["end_bearing_rad"] == pytest.approx(0.0, abs=1e-6)
    # 21 steps of .1 m: the gap of 2.08 m is -.02 m at the end, .98 m a second before, and below .45 m after 17 of them
    assert got["end_clearance_before_m"] == pytest.approx(0.98, abs=1e-4)
    assert got["near_s"] == pytest.approx(0.5)
    assert got["mean_clearance_m"] == pytest.approx(np.maximum(2.08 - 0.1 * np.arange(1, 22), 0).mean(), abs=1e-4)
    assert (got["intimate_frac"], got["standing_s"], got["heading_change_rad"]) == (0.0, 0.0, 0.0)
    assert got["least_time_to_collision_s"] == 0.0
    assert got["remaining_m"] == pytest.approx(4.0 - 2.1, abs=1e-4)
    assert got["last_10_x_m"] == pytest.approx(0.98 + 0.5 + radius, abs=1e-4)
    assert got["end_density_per_m2"] == pytest.approx(1 / (math.pi * 2.5**2))


def test_what_drives_into_a_robot_that_stands_moved_into_it():
    radius = WorldConfig().robot.radius_m
    got = driven(world_of((0.0, 1.0 + 0.5 + radius + 0.04, 0.0, -0.5), lay.WAYPOINT), (0.0, 0.0))
    assert got["outcome"] == Outcome.COLLISION_DYNAMIC
    assert got["end_other_closing"] == pytest.approx(0.5, abs=1e-5)
    assert got["end_own_closing"] == 0.0
    assert got["end_bearing_rad"] == pytest.approx(math.pi / 2, abs=1e-5)  # from the left
    assert got["end_course_rad"] == pytest.approx(-math.pi / 2, abs=1e-5)  # to the right
    assert got["end_other_speed"] == pytest.approx(0.5, abs=1e-5)
    assert got["end_standing_frac"] == 1.0
    assert got["standing_s"] == pytest.approx(2.1)  # all 21 steps
    # gaps 1.04 - .05 k: below .45 m from k = 12 on, above it before, as is the personal zone
    assert got["intimate_frac"] == pytest.approx(10 / 21)
    assert got["personal_frac"] == pytest.approx(11 / 21)
    assert got["last_20_y_m"] == pytest.approx(1.0 + 0.5 + radius + 0.04 - 0.05, abs=1e-4)


def test_time_to_collision_is_the_least_one_of_a_near_miss():
    got = driven(world_of((4.0, 3.9, 0.0, 0.0), lay.STATIC), (1.0, 0.0))
    assert got["outcome"] == Outcome.SUCCESS
    assert math.isnan(got["least_time_to_collision_s"])  # 3.9 m aside: it never was on a course of collision
    assert math.isnan(got["end_bearing_rad"])
    assert got["remaining_m"] == 0.0


def test_changes_of_heading_add_up_on_a_circle():
    got = driven(world_of((4.0, 4.0, 0.0, 0.0), lay.STATIC, max_steps=30), (0.2, -1.0))
    assert got["outcome"] == Outcome.TIMEOUT
    assert got["heading_change_rad"] == pytest.approx(3.0, abs=1e-4)
    assert got["last_00_turn_rate"] == pytest.approx(-1.0, abs=1e-4)


WALLED = {
    "segments": ({"x0_m": -1.0, "y0_m": 2.0, "x1_m": 2.0, "y1_m": 2.0},),
    "boxes": ({"x_m": -2.0, "y_m": -2.0, "width_m": 1.0, "height_m": 0.6},),
}
CASES = {
    "plain": ({}, {}, None),
    "walls": (WALLED, {"num_static": 3}, 60),
    "robots": ({"num_robots": 3}, {"num_dynamic": 4, "behaviours": ("orca", "bounce")}, None),
    "holonomic": ({"profile": "crowdnav"}, {"num_dynamic": 5, "behaviours": ("social_force",), "num_goals": 1}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_measures_what_its_slow_twin_does(case):
    world, level, cut_off_after = CASES[case]
    config, levels = WorldConfig(**world), (LevelConfig(**{"max_steps": 80, "num_goals": 2} | level),)
    rng = np.random.default_rng(1)
    lanes = 12 * config.num_robots
    plan = rng.integers(0, 15, (101, lanes))

    def fresh() -> BatchedWorlds:
        worlds = BatchedWorlds(config, levels, 12, 3, 0.99)
        worlds.reset()
        return worlds

    def player():
        count = iter(range(10_000))
        return lambda obs: plan[next(count) // 4]

    expected = oracles_meter.measured(fresh(), player(), cut_off_after)
    worlds, act, open_ = fresh(), player(), np.ones(lanes, bool)
    meter = Meter(worlds, open_, cut_off_after)
    for k in range(1, 101):
        worlds.step(act(worlds.out.obs), DISABLED)
        meter.observe()
        open_[worlds.out.finished | (k == (cut_off_after or -1))] = False
        if not open_.any():
            break
    got = meter.columns()
    assert got.keys() == expected.keys() == {*STEP_COLUMNS, *END_COLUMNS, *LOOK_COLUMNS}
    assert np.isfinite(got["end_bearing_rad"]).sum() > 5
    for name, value in expected.items():
        loose = 2e-3 if name in ("least_time_to_collision_s", "end_own_closing", "end_other_closing") else 2e-4
        np.testing.assert_allclose(got[name], value, rtol=loose, atol=loose, err_msg=name)


def careless(obs: np.ndarray) -> np.ndarray:
    """Any function of the observation drives somewhere."""
    return (np.abs(obs[:, :15]).sum(axis=1) * 1000).astype(np.int64) % 5 + 10


@pytest.mark.parametrize("robots", [1, 2])
def test_a_measured_episode_is_the_same_bit_for_bit(robots):
    def make(first, count):
        return NavVectorEnv(count * robots, world={"num_robots": robots}, seed=5, first_world=first)

    plain = evaluate_policy(careless, make, 20, num_worlds=8, step_s=0.1, max_steps=400)
    measured = evaluate_policy(careless, make, 20, num_worlds=8, step_s=0.1, max_steps=400, meter=start_meter)
    for name in ("outcome", "length", "total_return", "task_return", "path_length_m", "min_clearance_m"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(measured, name))
    for name, column in plain.extra.items():
        np.testing.assert_array_equal(measured.extra[name], column)
    assert measured.extra.keys() - plain.extra.keys() == {*STEP_COLUMNS, *END_COLUMNS, *LOOK_COLUMNS}


def test_what_is_measured_does_not_depend_on_the_worlds_side_by_side():
    def play(num_worlds):
        make = lambda first, count: NavVectorEnv(count, seed=5, first_world=first)  # noqa: E731
        return evaluate_policy(careless, make, 12, num_worlds=num_worlds, meter=start_meter).extra

    alone, together = play(1), play(12)
    for name, column in alone.items():
        np.testing.assert_array_equal(together[name], column, err_msg=name)


def test_a_watched_env_goes_on_to_its_next_episodes_as_an_unwatched_one():
    envs = [NavVectorEnv(4, seed=2, levels={"max_steps": 30, "num_goals": 1}) for _ in range(2)]
    envs[1].watch = lambda: None
    obs = [env.reset()[0] for env in envs]
    for _ in range(40):
        action = careless(obs[0])
        (a, *rest_a, info_a), (b, *rest_b, info_b) = (env.step(action) for env in envs)
        np.testing.assert_array_equal(a, b)
        for left, right in zip(rest_a, rest_b, strict=True):
            np.testing.assert_array_equal(left, right)
        assert info_a.keys() == info_b.keys()
        if "final_obs" in info_a:
            mask = info_a["_final_obs"]
            np.testing.assert_array_equal(info_a["final_obs"][mask], info_b["final_obs"][mask])
        obs = [a, b]


def test_the_nearest_wall_of_a_map_is_as_far_as_the_grid_says() -> None:
    world = WorldConfig.model_validate({"map": {"num_maps": 1, "width_m": 8.0, "height_m": 8.0, "num_goals": 4}})
    worlds = BatchedWorlds(world, (LevelConfig(num_static=0, num_dynamic=0, num_goals=1),), 16, 3, 0.99)
    worlds.reset()
    grid, params = worlds.maps[0], worlds.params
    walls = grid.centre_of(np.argwhere(grid.occupied))
    for w in range(16):
        x, y = worlds.state.robot[w, 0, :2]
        near, px, py = nearest_wall(params.wall, params.const[0], params.site, w, x, y)
        assert abs(near - np.hypot(*(walls - (x, y)).T).min()) < grid.resolution_m
        assert np.hypot(*(walls - (px, py)).T).min() < 1.5 * grid.resolution_m
