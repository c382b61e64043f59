"""The dynamic-window search finds the plan that its slow twin finds, and its critics do what Nav2's do."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles_planners as oracle
import pytest

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.planners import dwa, foresight
from robonav_ray.planners.dwa import DwaPlanner
from robonav_ray.planners.tuned import TUNED
from robonav_ray.worlds.batched import BatchedWorlds

LANES = 8
COLUMNS = {
    "dt": foresight.DT,
    "radius": foresight.RADIUS,
    "tolerance": foresight.TOLERANCE,
    "top_speed": foresight.TOP_SPEED,
    "acceleration": foresight.ACCELERATION,
    "turn_acceleration": foresight.TURN_ACCELERATION,
    "predicts": foresight.PREDICTS,
    "growth": foresight.GROWTH,
    "margin": foresight.MARGIN,
    "nearness": foresight.NEARNESS,
    "way": foresight.WAY,
    "goal_dist": foresight.GOAL_DIST,
    "goal_align": foresight.GOAL_ALIGN,
    "path_dist": foresight.PATH_DIST,
    "path_align": foresight.PATH_ALIGN,
    "forward": foresight.FORWARD,
    "obstacle": foresight.OBSTACLE,
    "inflation": foresight.INFLATION,
    "decay": foresight.DECAY,
}


def planner_of(robot: dict[str, Any], **settings: Any) -> DwaPlanner:
    world = WorldConfig.model_validate({"robot": robot})
    return DwaPlanner(BatchedWorlds(world, (LevelConfig(num_dynamic=3, num_goals=2),), LANES, 0, 0.99), **settings)


@pytest.mark.parametrize(
    ("robot", "settings", "num_points"),
    [
        ({}, {}, 0),
        ({}, {}, 5),
        ({}, TUNED["dwa"].settings, 0),
        ({}, TUNED["dwa"].settings, 4),
        (
            {"max_acceleration": 2.0, "max_turn_acceleration": 3.0},
            {"predicts": True, "first_s": 0.5, "margin_m": 0.3},
            0,
        ),
    ],
    ids=["as Nav2", "as Nav2, with a path", "tuned", "tuned, with a path", "slow to turn"],
)
def test_it_chooses_as_its_slow_twin(robot: dict[str, Any], settings: dict[str, Any], num_points: int) -> None:
    """Random circles, walls, goals, paths: what begins with the chosen command costs no more than the cheapest plan."""
    rng = np.random.default_rng(0)
    planner = planner_of(robot, **settings)
    state, steps = planner._tracker.state, len(planner._ahead)
    state.num_circles[:] = rng.integers(0, 6, LANES)
    state.circle[..., :2] = rng.uniform(-2.5, 2.5, state.circle[..., :2].shape)
    state.circle[..., 2:4] = rng.uniform(-0.6, 0.6, state.circle[..., 2:4].shape)
    state.circle[..., 4] = rng.uniform(0.2, 0.5, state.circle.shape[:2])
    state.num_fixed[:] = rng.integers(0, 20, LANES)
    state.fixed[...] = rng.uniform(-3.0, 3.0, state.fixed.shape)
    goals = rng.uniform(-3.0, 3.0, (LANES, 2, 2)).astype(np.float32)
    goals[::3, 0] *= 0.3
    goals[::4, 1] = goals[::4, 0]
    path = np.cumsum(rng.uniform(-0.4, 0.7, (LANES, num_points, 2)), axis=1).astype(np.float32)
    corners = np.concatenate([path, goals[:, :1]], axis=1)
    left = np.cumsum(np.linalg.norm(np.diff(corners, axis=1), axis=2)[:, ::-1], axis=1)[:, ::-1]
    way = np.ascontiguousarray(np.concatenate([path, left[..., None]], axis=2), np.float32)
    twist = np.stack([rng.uniform(0, 1, LANES), rng.uniform(-1.5, 1.5, LANES)], axis=1).astype(np.float32)
    command = np.ascontiguousarray(planner._driver.choices(twist) * planner._driver.scale, np.float32)
    begins, drives = np.ones((2, LANES), bool)
    dwa._choose(
        state, goals, way, twist, command, begins, drives, planner._setting, planner._branch, planner._ahead,
        planner._fixed, planner._plan, planner._trend, planner._choice,
    )  # fmt: skip
    s = {name: float(planner._setting[column]) for name, column in COLUMNS.items()}
    branches = [int(b) for b in planner._branch[:-1]]
    for i in range(LANES):
        circles, points = state.circle[i, : state.num_circles[i]], state.fixed[i, : state.num_fixed[i]]
        start = oracle.Plan(circles.astype(float), points.astype(float), goals[i].astype(float), s, twist[i], path[i])
        least = oracle.least_costs(start, command[0].astype(float), branches, steps)
        assert least[planner._choice[i]] <= min(least) + 2e-3 * (1.0 + abs(min(least))), i
    assert len(set(planner._choice.tolist())) > 3, "not all situations are alike"


def test_a_turn_back_is_illegal_until_the_robot_has_moved() -> None:
    """DWB's Oscillation critic: after left, then right, left is out until .05 m or .2 rad are behind it."""
    pose = np.array([[0.0, 0.0, 1.0, 0.0]], np.float32)
    trend = np.zeros((1, dwa._TREND_COLS), np.float32)
    for turn in (0.5, 0.0, -0.5):
        dwa._note_trend(trend, pose, np.float32(turn), 0)
    assert trend[0, dwa._ONLY] == -1.0
    pose[0, 0] = 0.04
    dwa._reset_trend(trend, pose, 0)
    assert trend[0, dwa._ONLY] == -1.0
    pose[0, 0] = 0.06
    dwa._reset_trend(trend, pose, 0)
    assert trend[0, dwa._ONLY] == 0.0


def test_the_defaults_are_those_of_nav2() -> None:
    """nav2_bringup's nav2_params.yaml."""
    defaults = {"sim_time_s": 1.7, "base_obstacle": 0.02, "goal_dist": 24.0, "goal_align": 24.0, "path_dist": 32.0}
    defaults |= {"path_align": 32.0, "forward_point_distance_m": 0.1, "inflation_radius_m": 0.55}
    setting = planner_of({})._setting
    assert setting[foresight.PREDICTS] == 0.0
    assert setting[foresight.PATH_DIST] == defaults["path_dist"] / 2
    assert planner_of({}, **defaults)._setting.tolist() == setting.tolist()
