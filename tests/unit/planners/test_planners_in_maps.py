"""Planners in worlds with maps: from one end to the other, along the path that they are shown."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.config.load_suite import load_suite
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.planners.base import make_planner
from robonav_ray.planners.sight import ScanSight
from robonav_ray.planners.tracking import Tracker
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.maps.generators.cellular import ends

EMPTY = LevelConfig(num_static=0, num_dynamic=0, num_goals=1, max_steps=400)
FIELD: dict[str, Any] = {
    "map": {
        "generator": "cellular",
        "course": "ends",
        "num_maps": 3,
        "width_m": 4.5,
        "height_m": 6.5,
        "passage_m": 0.9,
        "clearance_m": 0.3,
    },
    "path": {"num_points": 10, "spacing_m": 0.25},
}


@cache
def config() -> WorldConfig:
    return WorldConfig.model_validate(FIELD)


def worlds_of(**changes: Any) -> BatchedWorlds:
    world = WorldConfig.model_validate({**FIELD, **changes}) if changes else config()
    return BatchedWorlds(world, (EMPTY,), 4, 3, 0.99)


def test_a_course_leads_from_end_to_end_and_the_maps_take_turns() -> None:
    worlds = worlds_of()
    for episode in range(2):
        worlds.reset() if episode == 0 else worlds.reset(np.ones(4, bool))
        assert worlds.map_index.tolist() == [(i + episode) % 3 for i in range(4)]
    for w in range(4):
        first, last = ends(worlds.maps[worlds.map_index[w]])
        assert worlds.state.robot[w, 0, [lay.X, lay.Y]] == pytest.approx(first)
        assert worlds.state.goal[w, 0, 0, :2] == pytest.approx(last)
        assert worlds.state.robot[w, 0, lay.YAW] == pytest.approx(np.pi / 2)


@pytest.mark.parametrize("name", ["pure_pursuit", "dwa", "mppi", "orca_lidar", "orca"])
def test_the_field_is_crossed_along_the_path(name: str) -> None:
    worlds = worlds_of()
    planner = make_planner(name, worlds)
    worlds.reset()
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step(planner.act(worlds.out.obs), DISABLED)
    assert (worlds.state.lane[:, 0, lay.OUTCOME] == Outcome.SUCCESS).sum() >= (2 if name == "orca" else 3)


def test_the_path_is_the_one_of_the_worlds() -> None:
    worlds = worlds_of()
    worlds.reset()
    path = ScanSight(worlds, "test").path(worlds.out.obs)
    assert path is not None
    assert path.shape == (4, 10, 2)
    robot = worlds.state.robot[0, 0]
    turn = np.array([[robot[lay.COS], robot[lay.SIN]], [-robot[lay.SIN], robot[lay.COS]]])
    route = (worlds.route(0, 0) - robot[[lay.X, lay.Y]]) @ turn.T
    legs = np.hypot(*np.diff(route, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(legs)])
    wanted = [[np.interp(0.25 * (n + 1), along, route[:, k]) for k in range(2)] for n in range(10)]
    assert path[0] == pytest.approx(np.array(wanted), abs=1e-3)


def test_what_stands_is_points_and_what_was_lost_sight_of_stays_in_mind() -> None:
    worlds = worlds_of(lidar={"num_beams": 55, "field_of_view_rad": 3.14})
    tracker = Tracker(worlds, ScanSight(worlds, "test"), 0.03, 1.0)
    planner = make_planner("pure_pursuit", worlds)
    worlds.reset()
    behind = circles = 0
    for _ in range(40):
        state = tracker.see(worlds.out.obs)
        circles += int(state.num_circles[tracker.drives].sum())
        for w in np.flatnonzero(tracker.drives):
            points = state.fixed[w, : state.num_fixed[w]]
            robot, grid = worlds.state.robot[w, 0], worlds.maps[worlds.map_index[w]]
            c, s = robot[lay.COS], robot[lay.SIN]
            seen = points @ np.array([[c, s], [-s, c]]) + robot[[lay.X, lay.Y]]
            lost = seen[points[:, 0] < -0.05]
            behind += len(lost)
            cells = np.argwhere(grid.occupied)
            for point in lost[:5]:
                gap = np.hypot(*(grid.centre_of(cells) - point).T).min()
                assert gap < 0.15, "by odometry it is where it was"
        worlds.step(planner.act(worlds.out.obs), DISABLED)
    assert behind > 20
    assert circles < 16, "nothing moves"


def test_what_does_not_go_with_a_course_is_refused() -> None:
    with pytest.raises(ValueError, match="course=ends is for maps with two ends"):
        WorldConfig.model_validate({"map": {"generator": "rooms", "course": "ends"}})
    with pytest.raises(UserError, match=r"course=ends has one robot and one goal"):
        BatchedWorlds(config(), (LevelConfig(num_goals=2),), 1, 0, 0.99)
    with pytest.raises(UserError, match="lookahead planner knows no inner walls"):
        make_planner("lookahead", worlds_of())


def test_the_suites_show_planners_the_path_where_there_is_a_map() -> None:
    known, unknown = load_suite(Path("barn")).all_scenarios()
    world, level = known.worlds({"path": {"num_points": 4}, "robot": {"radius_m": 0.1}}, planner=True)
    assert world.map is not None
    assert (world.path.num_points, world.robot.model, world.map.split) == (12, "jackal", "held_out")
    assert (level.num_dynamic, level.max_steps, known.num_episodes) == (0, 1000, 300)
    assert unknown.worlds(planner=True)[0].path.num_points == 0
    assert known.worlds({"path": {"num_points": 4}})[0].path.num_points == 4, "a policy keeps its own"
    sweeps = {one.name: one for one in load_suite(Path("generalisation")).all_scenarios()}
    assert sweeps["map_rooms"].worlds(planner=True)[0].path.num_points == 10
    assert sweeps["density_5"].worlds({"path": {"num_points": 4}}, planner=True)[0].path.num_points == 0


def test_dwa_has_its_own_settings_on_maps() -> None:
    on_map, bare = worlds_of(), BatchedWorlds(WorldConfig(), (EMPTY,), 1, 0, 0.99)
    steps = {name: len(make_planner(name, on_map)._ahead) for name in ("dwa", "dwa:default")}  # type: ignore[attr-defined]
    assert steps == {"dwa": 6, "dwa:default": 17}, "1.2 s in steps of .2 s, and 1.7 s in steps of .1 s"
    assert len(make_planner("dwa", bare)._ahead) == 8  # type: ignore[attr-defined]
