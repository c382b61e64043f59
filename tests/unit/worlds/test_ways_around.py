"""Shortest ways among inner walls, what pays for them, and what a timeout costs."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.way_around import crosses, way_around
from tests.oracles_maps import shortest_lengths

SIDE_M, CELL_M = 6.0, 0.1


def wall(x0: float, y0: float, x1: float, y1: float) -> dict[str, float]:
    return {"x0_m": x0, "y0_m": y0, "x1_m": x1, "y1_m": y1}


GROUNDS = {
    "one": {"segments": [wall(-1.5, 0, 1.5, 0)]},
    "from_the_side": {"segments": [wall(-3, 0.4, 1, 0.4), wall(1.8, -3, 1.8, -0.5)]},
    "slalom": {"segments": [wall(-1.2, -3, -1.2, 1.5), wall(1.2, -1.5, 1.2, 3)]},
    "corner": {"segments": [wall(-1, -1, 1, -1), wall(1, -1, 1, 1.5)]},
    "cross": {"segments": [wall(-1.3, 0, 1.3, 0), wall(0, -1.3, 0, 1.3)]},
    "gap_too_narrow": {"segments": [wall(-3, 0, -0.1, 0), wall(0.1, 0, 1.5, 0)]},
    "box": {"boxes": [{"x_m": 0.2, "y_m": -0.3, "width_m": 1.6, "height_m": 1.0}]},
    "oblique": {"segments": [wall(-1.5, -1.0, 1.0, 1.4)]},
}


def make(world: dict, n: int = 2, **level: object) -> BatchedWorlds:
    usual = {"num_static": 0, "num_dynamic": 0, "num_goals": 1, "max_steps": 200}
    given = LevelConfig.model_validate({**usual, **level})
    worlds = BatchedWorlds(WorldConfig.model_validate({"arena_size_m": SIDE_M, **world}), (given,), n, 0, 0.99)
    worlds.reset()
    return worlds


def clearance(lines: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (P,) the distance of ``points`` (P, 2) from the nearest of ``lines`` (S, 4)."""
    a, u = lines[:, None, :2], lines[:, None, 2:4] - lines[:, None, :2]
    part = np.clip(((points - a) * u).sum(axis=2) / (u * u).sum(axis=2), 0, 1)
    return np.linalg.norm(a + part[..., None] * u - points, axis=2).min(axis=0)


@pytest.mark.parametrize("name", GROUNDS)
def test_a_way_is_as_long_as_the_shortest_one_of_a_disc(name: str) -> None:
    worlds, num = make(GROUNDS[name]), round(SIDE_M / CELL_M)
    lines, radius = np.array(worlds.config.wall_lines()), worlds.config.robot.radius_m
    middles = (np.arange(num) + 0.5) * CELL_M - SIDE_M / 2
    places = np.stack(np.meshgrid(middles, middles), axis=2).reshape(-1, 2)
    room = np.minimum(clearance(lines, places), SIDE_M / 2 - np.abs(places).max(axis=1)) >= radius - 0.02
    for box in worlds.params.box:
        room &= ((places < box[:2]) | (places > box[2:])).any(axis=1)
    rng = np.random.default_rng(0)
    goal, *points = rng.choice(np.flatnonzero(room), 41)
    exact = CELL_M * shortest_lengths(
        room.reshape(num, num), (places[points] + SIDE_M / 2) / CELL_M, (places[goal] + SIDE_M / 2) / CELL_M
    )
    mine = np.array(
        [
            way_around(worlds.params.wall, worlds.params.corner, *np.float32(places[p]), *np.float32(places[goal]))
            for p in points
        ]
    )
    assert np.isfinite(exact).all()
    assert (mine >= np.linalg.norm(places[points] - places[goal], axis=1) - 1e-4).all()
    assert (mine > np.linalg.norm(places[points] - places[goal], axis=1) + 0.1).sum() >= 3
    np.testing.assert_allclose(mine, exact, rtol=0.03, atol=0.15)


def test_where_no_way_leads_it_is_the_straight_line() -> None:
    closed = [wall(-3, 0, 3, 0)]
    worlds = make({"segments": closed})
    assert len(worlds.params.corner) == 0
    f = np.float32
    assert crosses(worlds.params.wall, f(0), f(-1), f(0), f(1))
    assert way_around(worlds.params.wall, worlds.params.corner, f(0), f(-1), f(0), f(1)) == pytest.approx(2.0)


def test_progress_is_paid_along_the_way() -> None:
    """The potential falls by what the way grows, and no step of .1 m changes the way by more than that."""
    worlds = make(GROUNDS["slalom"], n=64, num_goals=3)
    world, reward = worlds.config, worlds.config.reward
    rng, before = np.random.default_rng(1), None
    for step in range(150):
        state = worlds.state
        running = state.lane[:, 0, lay.ENDED] == 0
        g = state.lane[:, 0, lay.GOAL_INDEX]
        ahead = np.array(
            [
                way_around(
                    worlds.params.wall, worlds.params.corner, *state.robot[w, 0, :2], *state.goal[w, 0, g[w], :2]
                )
                if running[w]
                else 0.0
                for w in range(64)
            ]
        )
        legs = np.take_along_axis(state.goal[:, 0, :, lay.LEGS_AFTER], np.minimum(g, 2)[:, None], axis=1)[:, 0]
        phi = reward.progress_per_m * (reward.progress_offset_m - ahead - legs)
        np.testing.assert_allclose(state.tally[running, 0, lay.T_POTENTIAL], phi[running], atol=1e-4)
        if step == 0:
            np.testing.assert_allclose(state.tally[:, 0, lay.T_SHORTEST], ahead + legs, rtol=1e-5)
        if before is not None:
            same = running & (before[1] == g)
            assert (np.abs(ahead - before[0])[same] <= world.robot.max_speed * world.dt_s + 1e-4).all()
        before = ahead, g.copy()
        worlds.step(rng.integers(5, 15, 64), DISABLED)
    assert (worlds.state.lane[:, 0, lay.ENDED] != 0).any()


def test_parts_of_a_stage_have_ways_of_their_own() -> None:
    parts = [{"frac": 0.5, "segments": GROUNDS["one"]["segments"]}]
    worlds = make({}, n=16, mix=parts)
    assert worlds.params.ground[:, 4:].tolist() == [[0, 0], [0, 2]]
    straight = np.linalg.norm(worlds.state.goal[:, 0, 0, :2] - worlds.state.robot[:, 0, :2], axis=1)
    longer = worlds.state.tally[:, 0, lay.T_SHORTEST] - straight
    assert (longer[worlds.level == 0] < 1e-4).all()
    assert longer[worlds.level == 1].max() > 0.1


@pytest.mark.parametrize("timeout", [0.0, -3.0])
def test_a_timeout_that_costs_something_ends_the_task(timeout: float) -> None:
    worlds = make({"reward": {"timeout": timeout}}, n=4)
    for _ in range(200):
        before = worlds.state.tally[:, 0, lay.T_POTENTIAL].copy()
        worlds.step(np.full(4, 2), DISABLED)  # stands
    out, reward = worlds.out, worlds.config.reward
    assert (out.final_lane[:, 0] == Outcome.TIMEOUT).all()
    assert (out.terminated == (timeout < 0)).all()
    assert (out.truncated == (timeout == 0)).all()
    after = 0.0 if timeout else before
    np.testing.assert_allclose(out.reward, 0.99 * after - before + reward.time + timeout, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out.final_tally[:, lay.T_TERMS + 5], 200 * reward.time + timeout, rtol=1e-4)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"reward": {"timeout": 1.0}}, "reward.timeout"),
        ({"reward": {"timeout": -1.0}, "observation": "state"}, "observation=state does not show"),
        ({"reward": {"timeout": -1.0, "mode": "sparse"}}, "timeout"),
    ],
)
def test_a_timeout_that_no_robot_foresees_is_refused(given: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        WorldConfig.model_validate(given)


def test_a_goal_is_reached_straight_as_before() -> None:
    """Beside the end of a wall the way around is longer than the tolerance, the goal is within it."""
    worlds = make({"segments": [wall(-1.5, 0, 0, 0)], "goal_tolerance_m": 0.38}, n=1)
    state = worlds.state
    state.robot[0, 0, [lay.X, lay.Y]] = state.robot[0, 0, [lay.OLD_X, lay.OLD_Y]] = 0.2, 0.18
    state.goal[0, 0, 0, :2] = 0.2, -0.19
    a, b = np.float32([0.2, 0.18]), np.float32([0.2, -0.19])
    assert way_around(worlds.params.wall, worlds.params.corner, *a, *b) > 0.38 > np.linalg.norm(a - b)
    worlds.step(np.array([2]), DISABLED)
    assert worlds.out.final_lane[0, 0] == Outcome.SUCCESS
