"""Planners by name: what they know, what they refuse, and the simplest ones where the answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robonav_ray.config.worlds import CROWDNAV_LEVEL, LevelConfig, WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.planners.base import PLANNERS, make_planner
from robonav_ray.planners.orca import tracked
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay

EMPTY = LevelConfig(num_static=0, num_dynamic=0, num_goals=2, max_steps=200)
KNOWS = {
    "random": "nothing",
    "go_to_goal": "goal",
    **dict.fromkeys(("stop_and_go", "pure_pursuit", "apf", "orca_lidar", "dwa", "mppi"), "scan and path"),
    **dict.fromkeys(("social_force", "orca", "lookahead"), "true state"),
}
BODIES: dict[str, dict[str, Any]] = {
    "discrete15": {},
    "increments9": {"robot": {"actions": "increments9"}},
    "continuous": {"robot": {"actions": "continuous"}},
    "holonomic81": {"robot": {"drive": "holonomic", "actions": "holonomic81"}},
    "free holonomic": {"robot": {"drive": "holonomic", "actions": "continuous"}},
}


def worlds_of(level: LevelConfig = EMPTY, num: int = 8, first: int = 0, **world: Any) -> BatchedWorlds:
    return BatchedWorlds(WorldConfig.model_validate(world), (level,), num, 3, 0.99, first)


def outcomes(name: str, worlds: BatchedWorlds, **settings: Any) -> np.ndarray:
    """Play the first episode of every world, and return how each ended."""
    planner = make_planner(name, worlds, **settings)
    worlds.reset()
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step(planner.act(worlds.out.obs), DISABLED)
    return worlds.state.lane[:, 0, lay.OUTCOME].copy()


def test_each_says_what_it_knows() -> None:
    assert {name: spec.knows for name, spec in PLANNERS.items()} == KNOWS
    for name, spec in PLANNERS.items():
        assert make_planner(name, worlds_of()).knows == spec.knows
        assert spec.tuning.settings.keys() <= spec.defaults.keys()


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("name", [name for name in PLANNERS if name != "random"])
def test_an_empty_arena_is_won_with_every_body(name: str, body: str) -> None:
    worlds = worlds_of(num=4, **BODIES[body])
    if name == "lookahead" and body != "discrete15":
        with pytest.raises(UserError, match="actions=discrete15"):
            make_planner(name, worlds)
        return
    assert (outcomes(name, worlds) == Outcome.SUCCESS).all()


def test_the_true_state_as_observation_shows_the_goal_too() -> None:
    level = CROWDNAV_LEVEL.model_copy(update={"num_dynamic": 0})
    assert (outcomes("go_to_goal", worlds_of(level, profile="crowdnav")) == Outcome.SUCCESS).all()
    with pytest.raises(UserError, match=r"env\.world\.observation='state'"):
        make_planner("stop_and_go", worlds_of(level, profile="crowdnav"))


def test_stop_and_go_stands_before_what_is_in_the_way() -> None:
    """A circle on the straight way to the goal: who drives through it collides, and this one waits until the end."""
    level = LevelConfig(num_static=1, num_dynamic=0, num_goals=1, max_steps=200)
    worlds = worlds_of(level, 4)
    worlds.reset()
    for name, end in (("go_to_goal", Outcome.COLLISION_STATIC), ("stop_and_go", Outcome.TIMEOUT)):
        planner = make_planner(name, worlds)
        worlds.reset()
        robot, goal = worlds.state.robot[:, 0], worlds.state.goal[:, 0, 0]
        middle = (robot[:, [lay.X, lay.Y]] + goal[:, [lay.G_X, lay.G_Y]]) / 2
        worlds.state.circle[:, [lay.C_X, lay.C_Y], 0] = middle
        worlds.state.circle[:, lay.C_RADIUS, 0] = 0.3
        obs = worlds.out.obs
        while (worlds.state.lane[..., lay.ENDED] == 0).any():
            worlds.step(planner.act(obs), DISABLED)
        assert (worlds.state.lane[:, 0, lay.OUTCOME] == end).all(), name


def test_chance_is_the_same_for_a_world_wherever_it_is_played() -> None:
    whole = make_planner("random", worlds_of(num=8))
    part = make_planner("random", worlds_of(num=3, first=5))
    obs = np.zeros((8, 1), np.float32)
    drawn = np.stack([whole.act(obs) for _ in range(200)])
    assert (drawn[:, 5:] == np.stack([part.act(obs[5:]) for _ in range(200)])).all()
    assert (np.bincount(drawn.ravel(), minlength=15) > 60).all(), "1,600 draws of 15 actions"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("orka", {}, "did you mean 'orca'"),
        ("orca:best", {}, "orca:default"),
        ("orca", {"margin": 1.0}, "no setting 'margin'; its settings are safety_space_m"),
        ("random", {"goal": 1.0}, "its settings are seed"),
        ("random", {"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ("dwa", {"predicts": 1}, "predicts must be true or false, got 1"),
        ("dwa", {"sim_time_s": 1e9}, "sim_time_s must be at most 60"),
        ("mppi", {"num_samples": 0}, "num_samples"),
        ("orca", {"share": 0.0}, "share in"),
        ("orca", {"share": "much"}, "share must be a finite number, got 'much'"),
        ("stop_and_go", {"stop_m": float("nan")}, "stop_m must be a finite number"),
        ("stop_and_go", {"stop_m": -1.0}, "stop_m"),
        ("go_to_goal", {"heading_gain": 0.0}, "heading_gain must be above 0"),
        ("lookahead", {"margin_m": 0.0}, "margin_m"),
    ],
)
def test_what_is_wrong_is_said(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_planner(name, worlds_of(), **settings)


def test_a_slow_body_tracks_what_orca_allows() -> None:
    """At .5 rad/s: straight on where it may, and not into what is forbidden, where it brakes or turns away."""
    line = np.zeros((2, 4, 4), np.float32)
    turn, time = np.float32(0.5), np.float32(0.5)
    one, zero = np.float32(1.0), np.float32(0.0)
    assert tracked(line, 0, one, zero, one, zero, one, turn, one, time) == (1.0, 0.0)
    line[0, 0] = 0.2, 0.0, 0.0, 1.0  # velocities ahead of .2 m/s are forbidden
    v, omega = tracked(line, 1, one, zero, np.float32(0.2), np.float32(0.8), one, turn, one, time)
    assert v <= 0.25
    assert omega == 0.5
    v, omega = tracked(line, 0, one, zero, np.float32(-0.5), np.float32(0.5), one, turn, np.float32(4.0), zero)
    assert (v, omega) == (0.0, pytest.approx(3.0 * np.pi))
