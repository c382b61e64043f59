"""One seeded rollout, written down: a change of behaviour of the simulator shall not pass unseen.

Kernels use fast float arithmetic, so another processor may differ in the last digits: counts are exact, sums are
rounded. When the simulator is changed on purpose, run ``python -m tests.golden.test_worlds_golden`` and put its output
here.
"""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.worlds import LevelConfig, RandomizationConfig, WorldConfig
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay


def rollout() -> dict[str, float]:
    level = LevelConfig(
        num_static=2,
        num_dynamic=5,
        behaviours=("waypoint", "bounce", "orca", "social_force", "intercept"),
        num_goals=2,
        max_steps=100,
        randomization=RandomizationConfig(range_noise=1, odometry_drift=1, slip=1, obstacle_speed=1, action_latency=1),
    )
    worlds = BatchedWorlds(WorldConfig(num_robots=2), (level,), 32, 2026, 0.99)
    worlds.reset()
    ended, reward = 0, 0.0
    start = float(worlds.out.obs.sum())
    for action in np.random.default_rng(1).integers(5, 15, (25, 64)):
        ended += worlds.step(action)
        reward += float(worlds.out.reward.sum())
    return {
        "start_obs": start,
        "episodes_ended": ended,
        "reward": reward,
        "obs": float(worlds.out.obs.sum()),
        "path": float(worlds.state.tally[..., lay.T_PATH].sum()),
        "circles": float(np.abs(worlds.state.circle[:, :2, :7]).sum()),
    }


GOLDEN: dict[str, float] = {
    "start_obs": 615.739,
    "episodes_ended": 20,
    "reward": -210.547,
    "obs": 966.456,
    "path": 95.168,
    "circles": 1008.767,
}


def test_rollout_is_as_written_down() -> None:
    got = rollout()
    assert got["episodes_ended"] == GOLDEN["episodes_ended"]
    for name, value in GOLDEN.items():
        assert got[name] == pytest.approx(value, rel=2e-3), name


if __name__ == "__main__":
    print({name: round(value, 3) for name, value in rollout().items()})
