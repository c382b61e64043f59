"""Our worlds as a robot meets them: its scan, its pose, its goals, its twist."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robonav_policy.spec import PathSpec, Spec, layout_of
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.actions import action_table
from robonav_ray.worlds.kernels.randomization import NUM_GOALS
from robonav_ray.worlds.scan_contract import scan_contract


@dataclass(frozen=True)
class Sensed:
    """What robot (w, r) has at a moment."""

    ranges: np.ndarray
    pose: tuple[float, float, float]
    goals: np.ndarray
    twist: tuple[float, float]
    command: tuple[float, float]
    step: int
    step_limit: int
    path: np.ndarray | None


def sensed(worlds: BatchedWorlds, lane: int) -> Sensed:
    """Return what the robot of ``lane`` has; its pose is that of its odometry."""
    state = worlds.state
    w, r = divmod(lane, worlds.num_robots)
    robot, counts = state.robot[w, r].astype(float), state.lane[w, r]
    num_goals = int(worlds.params.level[worlds.level[w], NUM_GOALS])
    yaw = math.atan2(robot[lay.SIN], robot[lay.COS]) + robot[lay.DRIFT_YAW]
    return Sensed(
        state.scan[w, r, counts[lay.HEAD]] * np.float32(worlds.config.lidar.range_max_m),
        (robot[lay.X] + robot[lay.DRIFT_X], robot[lay.Y] + robot[lay.DRIFT_Y], yaw),
        state.goal[w, r, counts[lay.GOAL_INDEX] : num_goals, :2],
        (robot[lay.V], robot[lay.W]),
        (robot[lay.CMD0], robot[lay.CMD1]),
        int(counts[lay.STEP]),
        int(counts[lay.STEP_LIMIT]),
        worlds.route(w, r) if worlds.config.path.num_points else None,
    )


def spec_for(world: WorldConfig, level: LevelConfig) -> Spec:
    """Return the spec of a policy of these worlds."""
    table = action_table(world.robot)
    assert table is not None
    scan, robot, path = scan_contract(world), world.robot, world.path
    layout = layout_of(
        scan.stack * scan.num_beams, path.num_points, world.recent_commands, world.forecast, world.detour
    )
    return Spec(
        name="made up",
        obs_dim=max(end for _, end in layout.values()),
        num_actions=len(table),
        scan=scan,
        drive=robot.drive,
        increments=robot.actions == "increments9",
        actions=table,
        dt_s=world.dt_s,
        radius_m=robot.radius_m,
        max_speed=robot.max_speed,
        max_turn_rate=robot.max_turn_rate,
        max_acceleration=robot.max_acceleration,
        max_turn_acceleration=robot.max_turn_acceleration,
        goal_tolerance_m=world.goal_tolerance_m,
        goal_scale_m=lay.GOAL_SCALE_M,
        goals_scale=lay.GOALS_SCALE,
        max_goals=level.num_goals,
        max_steps=level.max_steps,
        document={},
        outline=robot.body.corners,
        min_turn_radius_m=robot.min_turn_radius_m,
        recent_commands=world.recent_commands,
        forecast=world.forecast,
        detour=world.detour,
        path=PathSpec(path.num_points, path.spacing_m, lay.GOAL_SCALE_M) if path.num_points else None,
    )
