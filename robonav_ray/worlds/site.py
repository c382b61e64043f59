"""What kernels look up beside the plain arena: floor plans, a body that is no disc, a lidar that stands somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.worlds.kernels.site import tables as at

if TYPE_CHECKING:
    from robonav_ray.worlds.maps.atlas import Atlas

OF_STATE = ("map_of", "goal_mark", "circle_mark", "plan")
"""Arrays of the state that say something only where worlds have maps; kernels find them in ``Site`` too."""
_NO_MAPS: dict[str, np.ndarray] = {
    "grid": np.zeros((0, at.GRID_COLS), np.int64),
    "frame": np.zeros((0, at.FRAME_COLS), np.float32),
    "rings": np.zeros(0, np.uint8),
    "free": np.zeros((0, at.SECTORS), np.uint8),
    "near": np.zeros(0, np.uint8),
    "reach": np.zeros(0, np.uint8),
    "mark": np.zeros((0, at.MARK_COLS), np.float32),
    "mark_at": np.zeros((0, 2), np.int64),
    "turn": np.zeros(0, np.uint16),
    "bend": np.zeros((0, at.BEND_COLS), np.float32),
    "bend_next": np.zeros(0, np.int32),
    "rig": np.zeros(at.RIG_COLS, np.float32),
}


def maps_for(world: WorldConfig, levels: tuple[LevelConfig, ...]) -> Atlas | None:
    """Return the maps of ``world``; None where it has none, and then scipy is not imported, which takes a moment."""
    if world.map is None:
        return None
    from robonav_ray.worlds.maps.atlas import atlas_of

    return atlas_of(world, levels)


def site_of(world: WorldConfig, atlas: Atlas | None) -> at.Site | None:
    """Return what kernels look up in ``world``, whose maps are those of ``atlas``; None where that is nothing.

    The state's own arrays are missing.
    """
    own, side = _own_numbers(world), _sides(world)
    if atlas is None and not len(side) and not own.any():
        return None
    if own[at.SCANS_PER_STEP] == 0.0:
        own[at.SCANS_PER_STEP] = 1.0
    beams = world.lidar.num_beams
    march = {"march": np.zeros((5, beams), np.int32), "march_at": np.zeros((3, beams), np.float32)}
    tables = _NO_MAPS if atlas is None else atlas.tables
    return at.Site(**tables, own=own, side=side, **dict.fromkeys(OF_STATE, np.zeros(0)), **march)


def _own_numbers(world: WorldConfig) -> np.ndarray:
    """Return ``Site.own``; 0 scans per step for one in every step."""
    lidar, robot = world.lidar, world.robot
    scans = 0.0 if lidar.rate_hz is None else lidar.rate_hz * world.dt_s
    value = {
        at.LIDAR_X: lidar.x_m,
        at.LIDAR_Y: lidar.y_m,
        at.LIDAR_YAW: lidar.yaw_rad,
        at.RANGE_MIN: lidar.range_min_m,
        at.SCANS_PER_STEP: 0.0 if scans >= 1.0 else scans,
        at.CURVATURE: 0.0 if robot.min_turn_radius_m is None else 1.0 / robot.min_turn_radius_m,
        at.INNER_RADIUS: robot.body.inner_radius_m,
        at.CONTACT: 0.0 if world.contact_m == robot.radius_m else world.contact_m,
    }
    row = np.zeros(at.OWN_COLS, np.float32)
    for column, number in value.items():
        row[column] = number
    return row


def _sides(world: WorldConfig) -> np.ndarray:
    """Return ``Site.side``."""
    corners = np.array(world.robot.body.corners, np.float32).reshape(-1, 2)
    return np.concatenate([corners, np.roll(corners, -1, axis=0)], axis=1)
