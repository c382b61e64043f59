"""The planner with foresight wins nearly all worlds, and says what it cannot drive."""

from __future__ import annotations

import pytest

from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.config.worlds import CROWDNAV_LEVEL, LevelConfig, WorldConfig
from robonav_ray.planners.lookahead import LookaheadPlanner
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay


def success(level: LevelConfig, num: int, **world: object) -> float:
    worlds = BatchedWorlds(WorldConfig.model_validate(world), (level,), num, 0, 0.99)
    planner = LookaheadPlanner(worlds)
    worlds.reset()
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step(planner.act(), DISABLED)
    return float((worlds.state.lane[:, 0, lay.OUTCOME] == Outcome.SUCCESS).mean())


def test_it_wins_the_last_stage() -> None:
    """Measured by ``scripts/feasibility.py`` over 1,000 worlds: .97; 4 standard errors below for 60."""
    assert success(CurriculumConfig().stages[-1].level, 60) > 0.88


def test_bouncing_circles_are_foreseen_too() -> None:
    assert success(LevelConfig(num_dynamic=4, num_goals=1, behaviours=("bounce",), max_steps=200), 30) > 0.85


BOX = {"x_m": 0, "y_m": 0, "width_m": 1, "height_m": 1}


@pytest.mark.parametrize(
    "wrong", [{"profile": "crowdnav"}, {"robot": {"actions": "continuous"}}, {"num_robots": 2}, {"boxes": (BOX,)}]
)
def test_what_it_cannot_drive_is_refused(wrong: dict[str, object]) -> None:
    level = CROWDNAV_LEVEL if "profile" in wrong else LevelConfig()
    worlds = BatchedWorlds(WorldConfig.model_validate(wrong), (level,), 1, 0, 0.99)
    with pytest.raises(ValueError, match="lookahead planner"):
        LookaheadPlanner(worlds)
