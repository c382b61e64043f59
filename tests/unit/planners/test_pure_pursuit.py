"""Pure pursuit on paths drawn by hand: the point it drives at, the arc, where it slows down, turns and stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.planners.base import make_planner
from robonav_ray.planners.sight import GOAL_SCALE_M, ScanSight, point_at
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay

EMPTY = LevelConfig(num_static=0, num_dynamic=0, num_goals=1, max_steps=200)


def seen(path: list[tuple[float, float]], speed: float = 1.0, near_m: dict[int, float] | None = None, **robot: Any):
    """Return a planner whose observations show a path, and one of them: (x, y) m in the body frame."""
    keys = {
        "robot": {"actions": "continuous", **robot},
        "lidar": {"encoding": "range", "stack": 1, "stack_interval": 4},
    }
    worlds = BatchedWorlds(WorldConfig.model_validate(keys), (EMPTY,), 1, 0, 0.99)
    planner: Any = make_planner("pure_pursuit", worlds)
    slices = planner._sight._slices
    at = max(part.stop for part in slices.values())
    planner._sight._slices = slices | {"path": slice(at, at + 2 * len(path))}
    planner._sight.has_path = True
    obs = np.zeros((1, at + 2 * len(path)), np.float32)
    obs[0, slices["lidar"]] = 1.0
    for beam, range_m in (near_m or {}).items():
        obs[0, slices["lidar"].start + beam] = range_m / 5.0
    obs[0, slices["twist"].start] = speed
    obs[0, at:] = np.array(path, np.float32).ravel() / GOAL_SCALE_M
    return planner, obs


def command(path: list[tuple[float, float]], **more: Any) -> tuple[float, float]:
    """Return (v, omega) for a robot of 1 m/s and 1.5 rad/s."""
    planner, obs = seen(path, **more)
    action = planner.act(obs)[0]
    return float((action[0] + 1.0) / 2.0), float(1.5 * action[1])


def test_the_point_is_where_the_path_leaves_the_circle() -> None:
    path = np.array([[[0.5, 0.0], [1.0, 0.0], [1.0, 1.0]], [[0.2, 0.1], [0.3, 0.1], [0.3, 0.1]]])
    assert np.allclose(point_at(path, 0.8), [[0.8, 0.0], [0.3, 0.1]]), "within, or its end"
    assert np.allclose(point_at(path, 1.25), [[1.0, 0.75], [0.3, 0.1]])
    assert np.allclose(point_at(path, np.array([0.25, 0.1])), [[0.25, 0.0], [0.0894, 0.0447]], atol=1e-4)


def test_it_drives_the_arc_through_the_point() -> None:
    assert command([(0.5, 0.0), (1.0, 0.0), (1.5, 0.0)]) == pytest.approx((1.0, 0.0))
    bend = [(0.4, 0.0), (0.8, 0.1), (1.2, 0.3)]
    v, omega = command(bend)
    x, y = point_at(np.array([bend]), 0.9)[0]
    assert omega / v == pytest.approx(2.0 * y / (x * x + y * y), rel=1e-3), "Coulter: curvature = 2 y / L^2"
    assert v == pytest.approx(1.0), "its radius is above .9 m"
    v, omega = command([(0.3, 0.0), (0.6, 0.3), (0.7, 0.7)])
    assert 0.3 <= v < 0.9
    assert omega > 0.5


def test_it_turns_first_where_the_path_leads_back() -> None:
    v, omega = command([(-0.3, -0.3), (-0.6, -0.6)])
    assert v == 0.0
    assert omega == pytest.approx(-1.5)


def test_it_slows_down_near_things_and_stands_before_them() -> None:
    straight = [(0.5, 0.0), (1.0, 0.0), (1.5, 0.0)]
    free, _ = command(straight)
    slow, _ = command(straight, near_m={9 + 18: 0.55})  # left of it: 36 beams, the 18th looks ahead
    stands, _ = command(straight, near_m={18: 0.9})
    assert (free, stands) == (1.0, 0.0)
    assert slow == pytest.approx(0.5, abs=0.01)


def test_a_holonomic_body_drives_at_the_point() -> None:
    planner, obs = seen([(0.0, 0.5), (0.0, 1.0)], drive="holonomic")
    assert planner.act(obs)[0] == pytest.approx([0.0, 1.0], abs=1e-5)


def test_without_a_path_it_drives_at_the_goal() -> None:
    worlds = BatchedWorlds(WorldConfig(), (EMPTY,), 4, 3, 0.99)
    planner = make_planner("pure_pursuit", worlds)
    worlds.reset()
    assert ScanSight(worlds, "test").path(worlds.out.obs) is None
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step(planner.act(worlds.out.obs), DISABLED)
    assert (worlds.state.lane[:, 0, lay.OUTCOME] == Outcome.SUCCESS).all()
