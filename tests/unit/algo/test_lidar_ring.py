"""The ring is where the worlds put their scans."""

from __future__ import annotations

import math

import pytest

from robonav_ray.algo.lidar_ring import LidarRing, lidar_ring
from robonav_ray.config.worlds import EnvConfig
from robonav_ray.worlds.kernels.observation import ObservationLayout


@pytest.mark.parametrize(("num_beams", "stack"), [(36, 3), (90, 1), (12, 5)])
def test_the_ring_is_the_lidar_of_the_layout(num_beams, stack):
    env = EnvConfig.model_validate({"world": {"lidar": {"num_beams": num_beams, "stack": stack}}})
    ring = lidar_ring(env)
    assert ring == LidarRing(0, stack, num_beams)
    assert ObservationLayout.of(env.world, 7).slices["lidar"] == slice(ring.start, ring.start + ring.size)


@pytest.mark.parametrize(
    "env",
    [
        {"id": "CartPole-v1"},
        {"world": {"observation": "state"}},
        {"world": {"lidar": {"field_of_view_rad": math.pi}}},
    ],
)
def test_no_ring_where_no_lidar_looks_all_around(env):
    assert lidar_ring(EnvConfig.model_validate(env)) is None
