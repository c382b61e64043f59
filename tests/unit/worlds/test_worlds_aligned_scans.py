"""Older scans in the observation: how far back they lie, and what they look like from where the robot is now."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.worlds import LevelConfig, LidarConfig, WorldConfig
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from tests.oracles_worlds import aligned_scan

STATIC = LevelConfig(num_static=6, num_dynamic=0, num_goals=2, max_steps=400)
MOVING = LevelConfig(num_static=0, num_dynamic=6, num_goals=2, max_steps=400)


def make(level: LevelConfig, num: int = 16, **lidar: object) -> BatchedWorlds:
    world = WorldConfig(lidar=LidarConfig.model_validate({"encoding": "range", **lidar}))
    worlds = BatchedWorlds(world, (level,), num, 5, 0.99)
    worlds.reset()
    return worlds


def scans(worlds: BatchedWorlds) -> np.ndarray:
    """Return (N, stack, B): what the observation shows."""
    lidar = worlds.config.lidar
    return worlds.out.obs[:, worlds.layout.slices["lidar"]].reshape(-1, lidar.stack, lidar.num_beams).copy()


def drive(worlds: BatchedWorlds, steps: int, v: float, omega: float) -> list[np.ndarray]:
    shown = [scans(worlds)]
    for _ in range(steps):
        worlds.step_command(np.tile(np.float32([v, omega]), (worlds.num_lanes, 1)), DISABLED)
        shown.append(scans(worlds))
    return shown


def test_the_stack_reaches_back_by_the_interval() -> None:
    far, near = make(MOVING, stack=3, stack_interval=4, align=False), make(MOVING, stack=1)
    shown, fresh = drive(far, 15, 0.0, 0.0), drive(near, 15, 0.0, 0.0)
    for t in range(16):
        for h in range(3):
            np.testing.assert_array_equal(shown[t][:, h], fresh[max(t - 4 * h, 0)][:, 0])


def test_a_robot_that_stands_sees_the_old_scans_as_they_were() -> None:
    aligned, plain = (make(MOVING, stack=2, stack_interval=5, align=on) for on in (True, False))
    a, b = drive(aligned, 12, 0.0, 0.0)[-1], drive(plain, 12, 0.0, 0.0)[-1]
    np.testing.assert_array_equal(a[:, 0], b[:, 0])
    np.testing.assert_allclose(a[:, 1], b[:, 1], atol=2e-3)


@pytest.mark.parametrize(("v", "omega"), [(0.0, 1.5), (1.0, 0.0), (0.8, -1.0)])
def test_what_stands_still_looks_the_same_in_all_aligned_scans(v: float, omega: float) -> None:
    worlds = make(STATIC, num=32, num_beams=180, stack=2, stack_interval=4, align=True)
    plain = make(STATIC, num=32, num_beams=180, stack=2, stack_interval=4, align=False)
    shown, raw = drive(worlds, 8, v, omega)[-1], drive(plain, 8, v, omega)[-1]
    both = (shown < 1.0).all(axis=1)
    off = np.abs(shown[:, 1] - shown[:, 0])[both] * 5.0
    assert np.median(off) < 0.005
    assert np.quantile(off, 0.9) < 0.1
    assert np.quantile(np.abs(raw[:, 1] - raw[:, 0])[both] * 5.0, 0.9) > 0.3, "without alignment it does not"


def test_it_agrees_with_the_slow_twin() -> None:
    worlds = make(MOVING, num=8, stack=2, stack_interval=3, align=True)
    poses, fresh = [], []
    rng = np.random.default_rng(3)
    for _ in range(12):
        poses.append(worlds.pose)
        fresh.append(scans(worlds)[:, 0])
        worlds.step(rng.integers(0, 15, 8), DISABLED)
    shown, pose = scans(worlds)[:, 1], worlds.pose
    for i in range(8):
        if worlds.state.lane[i, 0, 2] == 12:  # still under way
            want = aligned_scan(fresh[-3][i], poses[-3][i], pose[i], 5.0, join_m=0.6)
            assert np.mean(np.abs(shown[i] - want) < 1e-3) > 0.95, i


def test_alignment_survives_a_checkpoint() -> None:
    a, b = (make(MOVING, stack=3, stack_interval=2, align=True) for _ in range(2))
    drive(a, 9, 0.5, 0.5)
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(drive(a, 5, 0.3, -1.0)[-1], drive(b, 5, 0.3, -1.0)[-1])


def test_a_lidar_that_looks_ahead_only_keeps_what_it_saw_in_its_sector() -> None:
    sector = {"num_beams": 91, "field_of_view_rad": np.pi, "stack": 2, "stack_interval": 4}
    standing = [drive(make(MOVING, align=on, **sector), 8, 0.0, 0.0)[-1] for on in (True, False)]
    np.testing.assert_allclose(standing[0], standing[1], atol=2e-3)
    shown = drive(make(STATIC, num=32, **sector), 8, 0.0, 1.5)[-1]  # turned left by .6 rad since the older scan
    both = (shown < 1.0).all(axis=1)
    assert np.median(np.abs(shown[:, 1] - shown[:, 0])[both] * 5.0) < 0.01
    unseen = 91 - int(0.6 / np.pi * 90) + 2
    assert (shown[:, 1, unseen:] == 1.0).all(), "what the older scan did not cover is shown as nothing"


def test_proximity_is_finest_near_contact() -> None:
    shown, raw = (
        drive(make(MOVING, stack_interval=2, align=True, encoding=kind), 10, 0.5, 0.5)[-1]
        for kind in ("proximity", "range")
    )
    contact = 0.25 / 5.0
    want = (contact / np.maximum(raw, contact) - contact) / (1.0 - contact)
    np.testing.assert_allclose(shown, want, atol=2e-6)
    assert shown.min() >= 0.0
    assert shown.max() <= 1.0


def test_a_lidar_that_ends_inside_the_robot_is_refused() -> None:
    for range_max_m in (0.2, 0.25):
        with pytest.raises(ValueError, match=r"lidar\.range_max_m .* must be above robot\.radius_m"):
            WorldConfig(lidar=LidarConfig(range_max_m=range_max_m))
