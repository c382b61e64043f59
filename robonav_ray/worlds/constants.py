"""What the worlds of a batch are like beside their level, from their config: numbers, and what stands in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robonav_ray.config.worlds import WorldConfig
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.kernel import FAR
from robonav_ray.worlds.kernels.way_around import find_corners, lengthen
from robonav_ray.worlds.maps.grid_map import GridMap

_NO_LIMIT = 1.0e6


def constants(world: WorldConfig, gamma: float, maps: tuple[GridMap, ...] = ()) -> np.ndarray:
    """Return the (CONST_COLS,) float32 row of ``world``, which takes place in ``maps``."""
    half = max((0.5 * max(grid.size_m) for grid in maps), default=world.side_m / 2)
    robot, lidar, circles, reward = world.robot, world.lidar, world.obstacles, world.reward
    full = lidar.field_of_view_rad > 2 * np.pi - 1e-6
    increment = lidar.field_of_view_rad / (lidar.num_beams if full else max(lidar.num_beams - 1, 1))
    value = {
        lay.DT: world.dt_s,
        lay.HALF_SIDE: half,
        lay.WALLS: world.walls and not maps,
        lay.RADIUS: robot.radius_m,
        lay.MAX_SPEED: robot.max_speed,
        lay.MAX_TURN: robot.max_turn_rate,
        lay.MAX_ACC: robot.max_acceleration or _NO_LIMIT,
        lay.MAX_TURN_ACC: robot.max_turn_acceleration or _NO_LIMIT,
        lay.HOLONOMIC: robot.is_holonomic,
        lay.RANGE_MAX: lidar.range_max_m,
        lay.ANGLE_MIN: lidar.yaw_rad - (lidar.field_of_view_rad / 2 if lidar.num_beams > 1 else 0.0),
        lay.ANGLE_INCREMENT: increment,
        lay.GAMMA: gamma,
        lay.R_GOAL: reward.goal,
        lay.R_FINISH: reward.finish,
        lay.R_COLLISION: reward.collision,
        lay.R_PROGRESS: reward.progress_per_m,
        lay.PROGRESS_OFFSET: reward.progress_offset_m,
        lay.R_DISCOMFORT: reward.discomfort,
        lay.DISCOMFORT_DISTANCE: reward.discomfort_distance_m,
        lay.R_TIME: reward.time,
        lay.R_TIMEOUT: reward.timeout,
        lay.R_EFFORT: reward.effort,
        lay.GOAL_TOLERANCE: world.goal_tolerance_m,
        lay.MIN_GOAL_DISTANCE: world.min_goal_distance_m,
        lay.START_CLEARANCE: circles.start_clearance_m,
        lay.RADIUS_MIN: circles.radius_min_m,
        lay.RADIUS_MAX: circles.radius_max_m,
        lay.SPEED_MIN: world.obstacle_speed * circles.min_speed_frac,
        lay.SPEED_MAX: world.obstacle_speed,
        lay.ORCA_HORIZON: circles.orca_time_horizon_s,
        lay.REACTS_PROB: circles.orca_reacts_prob,
        lay.CIRCLE_CROSSING: world.placement == "circle_crossing",
        lay.TRUE_STATE: world.observation != "lidar",
        lay.STACK: lidar.stack,
        lay.STACK_INTERVAL: lidar.stack_interval,
        lay.ALIGN: lidar.align,
        lay.PROXIMITY: lidar.encoding == "proximity",
        lay.OWN_BODIES: robot.radius_min_m is not None or world.cases is not None,
        lay.RADIUS_LOW: robot.radius_min_m or 0.0,
        lay.SPEED_LOW: robot.min_speed or 0.0,
        lay.TURN_FIRST: robot.motion == "turn_first",
        lay.STAYS: world.ended_robots == "stay",
        lay.AT_END: world.collisions == "end_of_step",
        lay.TIME_FACTOR: world.time_limit_factor or 0.0,
        lay.EVERETT: world.placement == "everett",
        lay.COMMANDS: world.recent_commands,
        lay.FORECAST: world.forecast,
        lay.DETOUR: world.detour,
        lay.NEIGHBOR_OBS: {"neighbors": 1, "encounters": 2}.get(world.observation, 0),
    }
    row = np.zeros(lay.CONST_COLS, dtype=np.float32)
    for column, number in value.items():
        row[column] = number
    return row


def grounds(worlds: Sequence[WorldConfig]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ``wall``, ``box``, ``corner`` and ``ground`` of ``Params`` for levels whose worlds are like these."""
    walls, boxes, corners = zip(*map(_ground, worlds), strict=True)
    width = max(corner.shape[1] for corner in corners)
    corners = [np.pad(corner, ((0, 0), (0, width - corner.shape[1]))) for corner in corners]
    ends = np.cumsum([[len(w), len(b), len(c)] for w, b, c in zip(walls, boxes, corners, strict=True)], axis=0)
    begins = np.concatenate([np.zeros((1, 3), np.int64), ends[:-1]])
    ground = np.stack([begins, ends], axis=2).reshape(-1, lay.GROUND_COLS).astype(np.int64)
    return np.concatenate(walls), np.concatenate(boxes), np.concatenate(corners), ground


def _ground(world: WorldConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lines = np.array(world.wall_lines(), np.float32).reshape(-1, 4)
    boxes = [(b.x_m, b.y_m, b.width_m / 2, b.height_m / 2) for b in world.boxes]
    box = np.array([(x - w, y - h, x + w, y + h) for x, y, w, h in boxes], np.float32).reshape(-1, 4)
    wall = np.concatenate([lines, np.zeros((len(lines), lay.WALL_COLS - 4), np.float32)], axis=1)
    if not len(lines):
        return wall, box, np.zeros((0, lay.FIRST_WAY), np.float32)
    radius, half = np.float32(world.robot.radius_m), np.float32(world.side_m / 2 if world.walls else FAR)
    lengthen(wall, radius)
    corner = np.zeros((2 * len(lines), lay.FIRST_WAY + 2 * len(lines)), np.float32)
    num = find_corners(wall, box, radius, half, corner)
    return wall, box, corner[:num, : lay.FIRST_WAY + num]
