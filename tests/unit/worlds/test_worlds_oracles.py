"""Kernels against their slow twins."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.actions import discrete15, holonomic81, increments9
from robonav_ray.worlds.kernels.geometry import segment_segment_distance, swept_distance, time_to_collision
from robonav_ray.worlds.kernels.orca import NEIGHBOR_COLS, insert_neighbor, orca_velocity
from tests import oracles_worlds as oracle

BOX = {
    "boxes": [{"x_m": 1.0, "y_m": -1.5, "width_m": 1.2, "height_m": 0.8}],
    "segments": [{"x0_m": -3, "y0_m": 2, "x1_m": -1, "y1_m": 3}],
}


def make(
    world: dict | None = None, level: dict | None = None, n: int = 8, seed: int = 0, gamma: float = 0.95
) -> BatchedWorlds:
    worlds = BatchedWorlds(
        WorldConfig.model_validate(world or {}), (LevelConfig.model_validate(level or {}),), n, seed, gamma
    )
    worlds.reset()
    return worlds


@pytest.mark.parametrize(
    "extra", [{}, BOX, {"lidar": {"num_beams": 31, "field_of_view_rad": 3.0, "range_max_m": 3.5}}, {"num_robots": 3}]
)
def test_lidar_is_the_quadratic_formula(extra: dict) -> None:
    worlds = make(extra, {"num_static": 3, "num_dynamic": 4})
    rng = np.random.default_rng(1)
    for _ in range(20):
        worlds.step(rng.integers(0, 15, worlds.num_lanes))
    for w in range(worlds.num_worlds):
        scene = worlds.scene(w)
        for r in range(worlds.num_robots):
            if scene.robot_ended[r]:
                continue
            others = [
                (*scene.robot_pose[q, :2], 0.25)
                for q in range(worlds.num_robots)
                if q != r and not scene.robot_ended[q]
            ]
            circles = np.array([*scene.circles[:, :3], *others]).reshape(-1, 3)
            walls = np.vstack([oracle.arena_walls(5.0), scene.inner_walls])
            want = oracle.lidar(scene.robot_pose[r], scene.beam_angle, circles, walls, scene.range_max_m)
            # a beam that grazes a disc or a corner may go either way in float32
            assert np.sum(np.abs(scene.ranges[r] - want) > 2e-3) <= 1
    assert scene.beam_angle[0] == pytest.approx(-worlds.config.lidar.field_of_view_rad / 2)


def test_swept_distance_and_time_to_collision() -> None:
    rng = np.random.default_rng(2)
    for a, b in rng.normal(0, 1, (200, 2, 2)).astype(np.float32):
        assert swept_distance(*a, *b) == pytest.approx(oracle.swept_distance(a, b), abs=1e-3)
        reach = np.float32(0.3)
        t = float(time_to_collision(*a, *b, reach))
        far = np.linalg.norm(a + np.linspace(0, 60, 60001)[:, None] * b, axis=1)
        first = np.argmax(far <= reach) / 1000 if (far <= reach).any() else 1000.0
        assert t == pytest.approx(first, abs=2e-3) or (first == 1000.0 and t > 59) or abs(far.min() - reach) < 1e-3


def test_segments_that_cross_have_distance_zero() -> None:
    f = np.float32
    assert segment_segment_distance(f(0), f(0), f(1), f(1), f(0), f(1), f(1), f(0)) == 0
    assert segment_segment_distance(f(0), f(0), f(1), f(0), f(0), f(2), f(1), f(2)) == pytest.approx(2)
    assert segment_segment_distance(f(0), f(0), f(1), f(0), f(3), f(0), f(4), f(0)) == pytest.approx(2)


@pytest.mark.parametrize("gain", [0, 3])
def test_unicycle_is_the_midpoint_rule(gain: int) -> None:
    worlds = make(level={"num_dynamic": 0, "num_goals": 1, "randomization": {"actuator_gain": gain}}, n=16)
    table, rng = discrete15(worlds.config.robot), np.random.default_rng(0)
    pose = worlds.pose.astype(np.float64)
    gains = worlds.state.robot[:, 0, [lay.GAIN0, lay.GAIN1]].astype(np.float64)
    assert np.ptp(gains) == pytest.approx(0) if gain == 0 else np.ptp(gains) > 0.05
    for _ in range(15):
        action = rng.integers(0, 15, 16)
        worlds.step(action, DISABLED)
        for i in np.flatnonzero(~worlds.out.parked):
            pose[i] = oracle.unicycle(pose[i], *(table[action[i]] * gains[i]), 0.1)
    error = pose - worlds.pose
    error[:, 2] = (error[:, 2] + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(error).max() < 2e-5
    worlds.check_valid()


def test_holonomic_moves_in_the_body_frame() -> None:
    worlds = make({"robot": {"drive": "holonomic", "actions": "holonomic81"}}, {"num_dynamic": 0, "num_goals": 1})
    table, before = holonomic81(worlds.config.robot), worlds.pose
    assert np.linalg.norm(table, axis=1).max() == pytest.approx(1.0)
    assert len(np.unique(table.round(5), axis=0)) == 81
    worlds.step(np.full(8, 80), DISABLED)
    moved = (worlds.pose - before)[:, :2]
    c, s = np.cos(before[:, 2]), np.sin(before[:, 2])
    want = np.stack([c * table[80, 0] - s * table[80, 1], s * table[80, 0] + c * table[80, 1]], axis=1) * 0.1
    np.testing.assert_allclose(moved, want, atol=1e-6)
    np.testing.assert_array_equal(worlds.pose[:, 2], before[:, 2])


def test_increments_add_up_and_stop_at_the_limits() -> None:
    worlds = make({"robot": {"actions": "increments9"}}, {"num_dynamic": 0, "num_goals": 1}, n=2)
    assert increments9(worlds.config.robot)[8].tolist() == [0.25, 0.375]
    for _ in range(3):
        worlds.step(np.array([8, 0]), DISABLED)
    np.testing.assert_allclose(worlds.state.robot[:, 0, [lay.CMD0, lay.CMD1]], [[0.75, 1.125], [0.0, -1.125]])


def test_acceleration_limits_hold() -> None:
    worlds = make(
        {"robot": {"max_acceleration": 2.0, "max_turn_acceleration": 3.0}}, {"num_dynamic": 0, "num_goals": 1}, n=4
    )
    worlds.step(np.full(4, 14), DISABLED)
    np.testing.assert_allclose(worlds.state.robot[:, 0, [lay.V, lay.W]], np.full((4, 2), (0.2, 0.3)), rtol=1e-6)


def test_shaping_telescopes_and_is_the_potential() -> None:
    gamma, weight, offset = 0.95, 0.5, 10.0
    worlds = make(level={"num_static": 3, "num_dynamic": 3, "num_goals": 3, "max_steps": 150}, n=32, gamma=gamma)
    scenes = [worlds.scene(w) for w in range(32)]
    start = np.array([weight * (offset - oracle.tour_length(s.robot_pose[0, :2], s.goals[0], 0)) for s in scenes])
    np.testing.assert_allclose(worlds.state.tally[:, 0, lay.T_POTENTIAL], start, rtol=1e-5)
    shaped, last, discount = np.zeros(32), np.zeros(32), np.ones(32)
    rng = np.random.default_rng(3)
    while (worlds.state.lane[:, 0, lay.ENDED] == 0).any():
        before = worlds.state.tally[:, 0, lay.T_TERMS + 3].copy()
        worlds.step(rng.integers(5, 15, 32), DISABLED)
        alive = ~worlds.out.parked
        shaped += np.where(alive, discount * (worlds.state.tally[:, 0, lay.T_TERMS + 3] - before), 0)
        discount[alive] *= gamma
    for w in range(32):
        scene = worlds.scene(w)
        if worlds.out.final_lane[w, 0] == 6:  # truncated: the potential of the last state stays
            ahead = oracle.tour_length(scene.robot_pose[0, :2], scene.goals[0], int(scene.goal_index[0]))
            last[w] = weight * (offset - ahead)
    np.testing.assert_allclose(shaped, discount * last - start, atol=2e-4)
    assert len(set(worlds.out.final_lane[:, 0])) > 1


def test_orca_agrees_with_rvo2() -> None:
    rng = np.random.default_rng(5)
    neighbor, line = np.zeros((12, NEIGHBOR_COLS), np.float32), np.zeros((2, 16, 4), np.float32)
    worst = []
    for _ in range(400):
        n = int(rng.integers(1, 10))
        agent = np.array([*rng.normal(0, 1, 4), 0.3], np.float32)
        others = np.concatenate(
            [rng.normal(0, 3, (n, 2)), rng.normal(0, 0.7, (n, 2)), rng.uniform(0.2, 0.5, (n, 1))], axis=1
        ).astype(np.float32)
        want = rng.normal(0, 0.7, 2).astype(np.float32)
        num = 0
        for x, y, vx, vy, radius in others:
            d2 = (x - agent[0]) ** 2 + (y - agent[1]) ** 2
            num = insert_neighbor(neighbor, num, d2, x, y, vx, vy, radius, np.float32(0.5))
        one, horizon, dt, none = np.float32(1.0), np.float32(5.0), np.float32(0.25), np.float32(0.0)
        got = orca_velocity(*agent, *want, one, neighbor, num, none, horizon, dt, line)
        worst.append(np.abs(np.array(got) - oracle.orca_reference(agent, want, 1.0, others, 5.0, 0.25)).max())
    assert np.sum(np.array(worst) > 1e-3) == 0
