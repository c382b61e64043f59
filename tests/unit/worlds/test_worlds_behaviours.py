"""What moving circles do, and ORCA as the robot against published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.config.worlds import CROWDNAV_LEVEL, LevelConfig, WorldConfig
from robonav_ray.planners.orca import OrcaPlanner
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay


def moving(behaviour: str, n: int = 64, dynamic: int = 3, **world: object) -> BatchedWorlds:
    level = LevelConfig.model_validate(
        {"num_dynamic": dynamic, "num_goals": 1, "behaviours": (behaviour,), "max_steps": 400}
    )
    worlds = BatchedWorlds(WorldConfig.model_validate(world), (level,), n, 0, 0.99)
    worlds.reset()
    return worlds


def stand(worlds: BatchedWorlds, steps: int) -> None:
    for _ in range(steps):
        worlds.step_command(np.zeros((worlds.num_lanes, 2)), DISABLED)


def positions(worlds: BatchedWorlds) -> np.ndarray:
    return np.moveaxis(worlds.state.circle[:, [lay.C_X, lay.C_Y], :3], 1, 2).copy()


@pytest.mark.parametrize("behaviour", ["waypoint", "bounce", "intercept", "orca", "social_force"])
def test_speeds_and_walls(behaviour: str) -> None:
    worlds = moving(behaviour, difficulty="fast")
    travelled = np.zeros((64, 3))
    for _ in range(150):
        before = positions(worlds)
        stand(worlds, 1)
        step = np.linalg.norm(positions(worlds) - before, axis=2)
        assert (step <= worlds.state.circle[:, lay.C_SPEED, :3] * 0.1 + 1e-4).all()
        travelled += step
        worlds.check_valid()
    assert (travelled > 0.3).mean() > 0.8


def test_waypoint_circles_go_straight_until_they_arrive() -> None:
    worlds = moving("waypoint", n=16)
    before, velocity = positions(worlds), worlds.state.circle[:, [lay.C_VX, lay.C_VY], :3].copy()
    stand(worlds, 3)
    same = (worlds.state.circle[:, [lay.C_VX, lay.C_VY], :3] == velocity).all(axis=1)
    want = before + 0.3 * np.moveaxis(velocity, 1, 2)
    np.testing.assert_allclose(positions(worlds)[same], want[same], atol=1e-5)
    assert same.mean() > 0.8


def test_bounce_reflects() -> None:
    worlds = moving("bounce", n=1, dynamic=1)
    s = worlds.state
    s.circle[0, [lay.C_X, lay.C_Y, lay.C_VX, lay.C_VY, lay.C_RADIUS], 0] = (4.65, 4.0, 0.6, 0.1, 0.3)
    stand(worlds, 1)
    np.testing.assert_allclose(s.circle[0, [lay.C_X, lay.C_VX, lay.C_VY], 0], [4.7, -0.6, 0.1], atol=1e-6)


def test_intercept_reaches_a_robot_that_stands_still() -> None:
    worlds = moving("intercept")
    stand(worlds, 399)
    assert (worlds.state.lane[:, 0, lay.OUTCOME] == Outcome.COLLISION_DYNAMIC).mean() > 0.9


@pytest.mark.parametrize("behaviour", ["orca", "social_force"])
def test_circles_that_react_run_less_into_a_standing_robot(behaviour: str) -> None:
    def hit(prob: float) -> float:
        worlds = moving(behaviour, n=200, dynamic=3, obstacles={"orca_reacts_prob": prob})
        stand(worlds, 300)
        return float((worlds.state.lane[:, 0, lay.OUTCOME] == Outcome.COLLISION_DYNAMIC).mean())

    assert hit(1.0) < 0.25 * hit(0.0)


def test_orca_circles_do_not_overlap_each_other() -> None:
    worlds = BatchedWorlds(WorldConfig(profile="crowdnav"), (CROWDNAV_LEVEL,), 100, 0, 0.99)
    worlds.reset()
    for _ in range(90):
        worlds.step_command(np.zeros((100, 2)), DISABLED)
        at = np.moveaxis(worlds.state.circle[:, :2, :5], 1, 2)
        apart = np.linalg.norm(at[:, :, None] - at[:, None], axis=-1) + 10 * np.eye(5)
        assert apart.min() > 0.6 - 0.05
    home = np.linalg.norm(at - np.moveaxis(worlds.state.circle[:, [lay.C_TX, lay.C_TY], :5], 1, 2), axis=-1)
    assert (home < 0.3).mean() > 0.9


def wilson(rate: float, n: int, z: float = 2.576) -> tuple[float, float]:
    """Interval of a proportion (Wilson 1927)."""
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return middle - half, middle + half


@pytest.mark.parametrize(
    ("space", "success", "collision", "time_s"), [(0.0, 0.43, 0.57, 10.86), (0.15, 0.90, 0.08, 12.20)]
)
def test_orca_robot_on_crowdnav_as_published(space: float, success: float, collision: float, time_s: float) -> None:
    """Chen et al., ICRA 2019, 500 cases: our rates over 500 cases within the 99 % interval of theirs, the time within
    .3 s."""
    worlds = BatchedWorlds(WorldConfig(profile="crowdnav"), (CROWDNAV_LEVEL,), 500, 0, 0.9)
    planner = OrcaPlanner(worlds, space)
    worlds.reset()
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step_command(planner.command(), DISABLED)
    outcome = worlds.state.lane[:, 0, lay.OUTCOME]
    low, high = wilson(success, 500)
    assert low <= (outcome == Outcome.SUCCESS).mean() <= high
    low, high = wilson(collision, 500)
    assert low <= (outcome == Outcome.COLLISION_DYNAMIC).mean() <= high
    assert worlds.state.lane[outcome == Outcome.SUCCESS, 0, lay.STEP].mean() * 0.25 == pytest.approx(time_s, abs=0.3)


@pytest.mark.parametrize(("stage", "success_frac"), [(0, 0.99), (1, 0.98), (2, 0.95), (3, 0.89)])
def test_stages_are_as_hard_as_they_were_measured(stage: int, success_frac: float) -> None:
    """The figures of ``scripts/feasibility.py`` over 1,000 worlds: a world that became unwinnable would show here."""
    level = CurriculumConfig().stages[stage].level
    worlds = BatchedWorlds(WorldConfig(), (level,), 1000, 0, 0.99)
    planner = OrcaPlanner(worlds, safety_space_m=0.05, share=1.0, horizon_s=2.0)
    worlds.reset()
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step_command(planner.command(), DISABLED)
    assert (worlds.state.lane[:, 0, lay.OUTCOME] == Outcome.SUCCESS).mean() == pytest.approx(success_frac, abs=0.03)


@pytest.mark.parametrize(
    "world", [{}, {"robot": {"actions": "increments9"}}, {"robot": {"actions": "continuous"}}, {"profile": "crowdnav"}]
)
def test_planner_acts_in_the_action_set(world: dict) -> None:
    config = WorldConfig.model_validate(world)
    levels = (CROWDNAV_LEVEL,) if "profile" in world else (LevelConfig(num_dynamic=3, num_goals=1),)
    worlds = BatchedWorlds(config, levels, 64, 0, 0.99)
    planner = OrcaPlanner(worlds, 0.15)
    obs = worlds.reset()
    for _ in range(120):
        worlds.step(planner.act(obs), DISABLED)
    assert (worlds.state.lane[:, 0, lay.OUTCOME] == Outcome.SUCCESS).mean() > 0.6
    with pytest.raises(ValueError, match="share"):
        OrcaPlanner(worlds, share=0.0)
