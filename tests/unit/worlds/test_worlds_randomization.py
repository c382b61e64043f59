"""Every randomisation and fault knob does what it says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.worlds import LevelConfig, RandomizationConfig, WorldConfig
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.randomization import FACTOR, FAULT_STEPS, STRENGTH

N = 256
STILL = 2  # the action (0, 0)
AHEAD = 12  # the action (1, 0)


def make(n: int = N, dynamic: int = 3, world: dict | None = None, **knobs: int) -> BatchedWorlds:
    level = LevelConfig(num_static=3, num_dynamic=dynamic, num_goals=1, randomization=RandomizationConfig(**knobs))
    worlds = BatchedWorlds(WorldConfig.model_validate(world or {}), (level,), n, 0, 0.99)
    worlds.reset()
    return worlds


def scans(worlds: BatchedWorlds) -> np.ndarray:
    """The newest scan of every lane as sensed, m."""
    head = worlds.state.lane[:, 0, lay.HEAD]
    return worlds.state.scan[np.arange(worlds.num_worlds), 0, head] * worlds.config.lidar.range_max_m


def stand(worlds: BatchedWorlds, steps: int = 1, action: int = STILL) -> None:
    for _ in range(steps):
        worlds.step(np.full(worlds.num_lanes, action), DISABLED)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_range_noise(level: int) -> None:
    clean, noisy = make(), make(range_noise=level)
    inside = (scans(clean) > 1.0) & (scans(clean) < 4.0)
    error = (scans(noisy) - scans(clean))[inside]
    assert error.std() == pytest.approx(STRENGTH["range_noise"][level], rel=0.05)
    assert abs(error.mean()) < 0.01
    np.testing.assert_array_equal(noisy.pose, clean.pose)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_beam_dropout(level: int) -> None:
    clean, noisy = make(), make(beam_dropout=level)
    seen = scans(clean) < 4.99
    lost = scans(noisy)[seen] == 5.0
    assert lost.mean() == pytest.approx(STRENGTH["beam_dropout"][level], rel=0.1)
    np.testing.assert_array_equal(scans(noisy)[seen][~lost], scans(clean)[seen][~lost])


@pytest.mark.parametrize("level", [1, 2, 3])
def test_blind_sector(level: int) -> None:
    small = {
        "arena_size_m": 3.0,
        "min_goal_distance_m": 1.0,
        "obstacles": {"start_clearance_m": 0.1, "radius_max_m": 0.3},
    }
    worlds = make(n=64, dynamic=0, world=small, blind_sector=level)
    blind = scans(worlds) == 5.0
    width = STRENGTH["blind_sector"][level] / (2 * np.pi) * 36
    assert np.abs(blind.sum(axis=1) - width).max() <= 1.5
    first = blind.copy()
    stand(worlds)
    np.testing.assert_array_equal(scans(worlds) == 5.0, first)
    changes = (np.roll(blind, 1, axis=1) != blind).sum(axis=1)
    assert (changes == 2).all()  # one connected sector


def test_frozen_scan_and_blackout() -> None:
    for name in ("frozen_scan", "blackout"):
        worlds, run, longest, begun, steps = make(n=128, **{name: 3}), np.zeros(128, int), 0, 0, 60
        last = scans(worlds).copy()
        if name == "blackout":
            run += (last == 5.0).all(axis=1)  # the first scan may be empty already
        runs: list[int] = []
        for _ in range(steps):
            worlds.step(np.full(128, STILL + 1), DISABLED)  # turn on the spot
            alive = ~worlds.out.parked
            faulty = (scans(worlds) == 5.0).all(axis=1) if name == "blackout" else (scans(worlds) == last).all(axis=1)
            begun += int((faulty & (run == 0) & alive).sum())
            runs += run[~faulty & (run > 0) & alive].tolist()
            run = np.where(faulty, run + 1, 0)
            longest = max(longest, int(run[alive].max()))
            last = scans(worlds).copy()
        assert set(runs) <= {FAULT_STEPS, 2 * FAULT_STEPS, 3 * FAULT_STEPS, 4 * FAULT_STEPS}
        free = 128 * steps - begun * FAULT_STEPS
        assert begun / free == pytest.approx(STRENGTH[name][3], rel=0.3)


def test_odometry_noise_and_drift_touch_what_is_computed_from_the_pose_only() -> None:
    clean, noisy, drifting = make(), make(odometry_noise=3), make(odometry_drift=3)
    goal, lidar = clean.layout.slices["goal"], clean.layout.slices["lidar"]
    first = lambda worlds: (worlds.out.obs[:, goal.start] - clean.out.obs[:, goal.start]) * 10  # noqa: E731
    assert first(noisy).std() == pytest.approx(0.15, rel=0.15)
    assert np.abs(first(drifting)).max() == 0  # nothing driven yet
    for worlds in (clean, noisy, drifting):
        stand(worlds, 16, AHEAD)
    alive = ~(clean.out.parked | clean.out.finished)
    drift = drifting.state.robot[:, 0, lay.DRIFT_X][alive]
    assert drift.std() == pytest.approx(0.1 * np.sqrt(1.6), rel=0.2)
    np.testing.assert_array_equal(clean.out.obs[:, :36], drifting.out.obs[:, :36])
    np.testing.assert_array_equal(clean.out.obs[:, lidar], noisy.out.obs[:, lidar])
    older = np.abs(clean.out.obs[:, lidar] - drifting.out.obs[:, lidar])[:, 36:]
    assert 0 < np.quantile(older, 0.9) < 0.1, "older scans are shown by odometry, whose drift over some steps is small"
    np.testing.assert_array_equal(clean.pose, drifting.pose)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_observation_latency(level: int) -> None:
    clean, late, age = make(n=16), make(n=16, observation_latency=level), int(STRENGTH["observation_latency"][level])
    seen = [clean.out.obs.copy()]
    np.testing.assert_array_equal(late.out.obs, seen[0])
    for _ in range(12):
        stand(clean, 1, AHEAD), stand(late, 1, AHEAD)
        seen.append(clean.out.obs.copy())
        alive = ~clean.out.parked
        np.testing.assert_array_equal(late.out.obs[alive], seen[max(len(seen) - 1 - age, 0)][alive])


@pytest.mark.parametrize("level", [1, 2, 3])
def test_action_latency(level: int) -> None:
    worlds, age = make(n=16, action_latency=level), int(STRENGTH["action_latency"][level])
    before = worlds.pose
    stand(worlds, age, AHEAD)
    np.testing.assert_array_equal(worlds.pose, before)
    stand(worlds, 1, AHEAD)
    np.testing.assert_allclose(np.linalg.norm(worlds.pose - before, axis=1), 0.1, atol=1e-6)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_dropped_commands(level: int) -> None:
    worlds = make(n=2000, dynamic=0, dropped_commands=level)
    before = worlds.pose
    stand(worlds, 1, AHEAD)  # a lost first command leaves the robot standing
    stood = np.linalg.norm(worlds.pose - before, axis=1) < 1e-6
    assert stood.mean() == pytest.approx(STRENGTH["dropped_commands"][level], rel=0.2)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_actuator_gain_and_slip(level: int) -> None:
    worlds, slipping = make(actuator_gain=level), make(slip=level)
    for w in (worlds, slipping):
        stand(w, 1, AHEAD)
    half = STRENGTH["actuator_gain"][level]
    speed = worlds.state.robot[:, 0, lay.V]
    assert 1 - half - 1e-6 <= speed.min() < 1 - 0.9 * half
    assert 1 + 0.9 * half < speed.max() <= 1 + half + 1e-6
    robot = slipping.state.robot[:, 0]
    ahead = robot[:, lay.COS] * robot[:, lay.VX] + robot[:, lay.SIN] * robot[:, lay.VY]
    aside = robot[:, lay.COS] * robot[:, lay.VY] - robot[:, lay.SIN] * robot[:, lay.VX]
    lost = STRENGTH["slip"][level]
    assert 1 - lost - 1e-5 <= ahead.min() < 1 - 0.9 * lost
    assert 0.45 * lost <= np.abs(aside).max() * 1.001 <= 0.5 * lost * 1.01 + 1e-5
    np.testing.assert_allclose(robot[:, lay.V], 1.0)  # odometry does not notice


@pytest.mark.parametrize("level", [1, 2, 3])
def test_obstacle_speed_size_and_count(level: int) -> None:
    clean = make()
    there = clean.state.world[:, lay.NUM_CIRCLES] == 6
    # the first circle's radius is drawn before anything depends on sizes; speeds never change what else is drawn
    for name, column, i in (("obstacle_speed", lay.C_SPEED, 5), ("obstacle_size", lay.C_RADIUS, 0)):
        worlds = make(**{name: level})
        low, high = FACTOR[name][level]
        same = there & (worlds.state.world[:, lay.NUM_CIRCLES] == 6)
        ratio = worlds.state.circle[same, column, i] / clean.state.circle[same, column, i]
        assert low * 0.999 <= ratio.min() < low * 1.1
        assert high * 0.9 < ratio.max() <= high * 1.001
        np.testing.assert_array_equal(worlds.pose, clean.pose)
    counts = make(obstacle_count=level)
    kinds = counts.state.circle_kind[:, lay.KIND]
    dynamic = ((kinds != lay.STATIC) & (np.arange(kinds.shape[1]) < counts.state.world[:, lay.NUM_CIRCLES, None])).sum(
        axis=1
    )
    assert set(dynamic.tolist()) == set(range(3 - level, 3 + level + 1))
    counts.check_valid()


def test_all_knobs_are_covered() -> None:
    assert set(STRENGTH) | set(FACTOR) == set(RandomizationConfig.model_fields)
