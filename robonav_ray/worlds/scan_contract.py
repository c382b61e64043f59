"""What a lidar must show a policy of our worlds, as the robot's side of a bundle has it."""

from __future__ import annotations

from robonav_policy.spec import ScanSpec
from robonav_ray.config.worlds import WorldConfig
from robonav_ray.worlds.constants import constants
from robonav_ray.worlds.kernels.layout import ANGLE_INCREMENT, ANGLE_MIN
from robonav_ray.worlds.kernels.observation import _JOIN_M


def scan_contract(world: WorldConfig) -> ScanSpec:
    """Return the contract of the scans of ``world``, as its kernels take them."""
    lidar, const = world.lidar, constants(world, 0.99)
    slow = lidar.rate_hz is not None and lidar.rate_hz * world.dt_s < 1.0
    return ScanSpec(
        num_beams=lidar.num_beams,
        angle_min=float(const[ANGLE_MIN]),
        angle_increment=float(const[ANGLE_INCREMENT]),
        field_of_view=lidar.field_of_view_rad,
        range_max=lidar.range_max_m,
        stack=lidar.stack,
        stack_interval=lidar.stack_interval,
        align=lidar.stack > 1 and lidar.align,
        encoding=lidar.encoding,
        join_m=round(float(_JOIN_M), 6),
        mount=(lidar.x_m, lidar.y_m),
        yaw=lidar.yaw_rad,
        range_min=lidar.range_min_m,
        rate_hz=lidar.rate_hz if slow else None,
        contact_m=None if world.contact_m == world.robot.radius_m else world.contact_m,
    )
