"""Where a robot turns off to get around what its scan shows."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.goal_env import LegGoals
from robonav_ray.worlds.kernels import layout as lay

WALLS = [
    {"x0_m": -1.7, "y0_m": -5.0, "x1_m": -1.7, "y1_m": -1.0},
    {"x0_m": 1.7, "y0_m": 1.0, "x1_m": 1.7, "y1_m": 5.0},
]


def make(n: int, world: dict, **level: object) -> BatchedWorlds:
    usual = {"num_static": 0, "num_dynamic": 0, "num_goals": 1}
    worlds = BatchedWorlds(
        WorldConfig.model_validate({"detour": True, **world}),
        (LevelConfig.model_validate({**usual, **level}),),
        n,
        0,
        0.99,
    )
    worlds.reset()
    return worlds


def shown(worlds: BatchedWorlds) -> tuple[np.ndarray, np.ndarray]:
    """Return the bearings to drive to, in the world frame, as (N, 2), and how much longer (m) those ways are."""
    found = worlds.out.obs[:, worlds.layout.slices["detour"]]
    c, s = np.cos(worlds.pose[:, 2]), np.sin(worlds.pose[:, 2])
    return np.stack([c * found[:, 0] - s * found[:, 1], s * found[:, 0] + c * found[:, 1]], axis=1), 5.0 * found[:, 2]


def to_goal(worlds: BatchedWorlds) -> np.ndarray:
    return worlds.current_goal - worlds.pose[:, :2]


def test_among_walls_it_is_the_shortest_way() -> None:
    """All ends of the walls lie within the range, so the way that is seen is the shortest there is, but for the room
    that is kept."""
    worlds = make(400, {"segments": WALLS, "lidar": {"num_beams": 180, "range_max_m": 12.0}})
    bearing, longer = shown(worlds)
    straight = np.linalg.norm(to_goal(worlds), axis=1)
    exact = worlds.state.tally[:, 0, lay.T_SHORTEST] - straight
    around = exact > 0.3
    assert around.sum() > 50
    assert np.median(np.abs(longer - exact)[around]) < 0.15
    assert (np.abs(longer - exact)[around] < 0.4).mean() > 0.8
    assert (longer[exact < 1e-3] < 0.3).mean() > 0.95
    np.testing.assert_allclose(np.linalg.norm(bearing, axis=1), 1.0, atol=1e-5)


def test_nothing_in_the_way_is_the_goal_itself() -> None:
    worlds = make(50, {})
    bearing, longer = shown(worlds)
    ahead = to_goal(worlds)
    np.testing.assert_allclose(bearing, ahead / np.linalg.norm(ahead, axis=1)[:, None], atol=1e-4)
    assert (longer == 0).all()


def test_no_way_past_is_told() -> None:
    worlds = make(
        50,
        {
            "segments": [{"x0_m": -5.0, "y0_m": 0.0, "x1_m": 5.0, "y1_m": 0.0}],
            "lidar": {"num_beams": 180, "range_max_m": 20.0},
        },
    )
    bearing, longer = shown(worlds)
    ahead = to_goal(worlds)
    behind = worlds.pose[:, 1] * worlds.current_goal[:, 1] < 0
    assert behind.sum() > 5
    assert (longer[behind] == 5.0).all()
    np.testing.assert_allclose(bearing, ahead / np.linalg.norm(ahead, axis=1)[:, None], atol=1e-4)


def test_driving_to_it_gets_around_walls() -> None:
    """A robot that turns to the bearing and drives on arrives; one that turns to the goal drives into the wall."""
    reached = []
    for part in ("detour", "goal"):
        worlds = make(200, {"segments": WALLS, "lidar": {"num_beams": 72}}, max_steps=300)
        at = worlds.layout.slices[part].start + (part == "goal")
        for _ in range(300):
            c, s = worlds.out.obs[:, at], worlds.out.obs[:, at + 1]
            turn = np.clip(2.5 * np.arctan2(s, c), -1.5, 1.5)
            worlds.step_command(np.stack([np.maximum(c, 0.0) ** 4, turn], axis=1), DISABLED)
        reached.append((worlds.state.lane[:, 0, lay.OUTCOME] == Outcome.SUCCESS).mean())
    assert reached[0] > 0.85
    assert reached[1] < 0.78


def test_it_looks_at_a_scan() -> None:
    with pytest.raises(ValueError, match="detour=true looks at a scan"):
        WorldConfig.model_validate({"detour": True, "observation": "state"})


@pytest.mark.parametrize("given", [{"detour": True}, {"reward": {"timeout": -1.0}}])
def test_goals_are_not_exchanged_where_they_cannot_be(given: dict) -> None:
    with pytest.raises(ValueError, match="goals cannot be exchanged"):
        LegGoals(WorldConfig.model_validate(given))
