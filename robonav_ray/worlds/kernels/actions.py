"""Action sets: what a policy's numbers mean as commands (v, omega) or (v_x, v_y)."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np

from robonav_ray.config.worlds import RobotConfig
from robonav_ray.worlds.kernels.kernel import kernel
from robonav_ray.worlds.kernels.layout import CMD0, CMD1

INCREMENT_FRAC = 0.25
"""Part of the range by which one incremental action changes a command."""


def discrete15(robot: RobotConfig) -> np.ndarray:
    """Return (15, 2) commands: v in {0, .5, 1} v_max, for each omega in {-1, -.5, 0, .5, 1} omega_max."""
    v, o = robot.max_speed, robot.max_turn_rate
    return np.array([(a * v, b * o) for a in (0.0, 0.5, 1.0) for b in (-1.0, -0.5, 0.0, 0.5, 1.0)], dtype=np.float32)


def holonomic81(robot: RobotConfig) -> np.ndarray:
    """Return (81, 2) body-frame velocities: stop, then 16 directions x 5 speeds (exp(i/5) - 1) / (e - 1) v_max, as
    CrowdNav.
    """
    speeds = [(math.exp((i + 1) / 5) - 1) / (math.e - 1) * robot.max_speed for i in range(5)]
    angles = [2 * math.pi * i / 16 for i in range(16)]
    return np.array(
        [(0.0, 0.0)] + [(s * math.cos(a), s * math.sin(a)) for a in angles for s in speeds], dtype=np.float32
    )


def increments9(robot: RobotConfig) -> np.ndarray:
    """Return (9, 2) changes of the last command: -, 0, + a quarter of the range of either part."""
    second = robot.max_turn_rate if robot.drive == "unicycle" else robot.max_speed
    steps = (-INCREMENT_FRAC, 0.0, INCREMENT_FRAC)
    return np.array([(a * robot.max_speed, b * second) for a in steps for b in steps], dtype=np.float32)


_TABLES = {"discrete15": discrete15, "holonomic81": holonomic81, "increments9": increments9}


def action_table(robot: RobotConfig) -> np.ndarray | None:
    """Return the (num_actions, 2) float32 table of a discrete set; None for continuous actions."""
    return None if robot.actions == "continuous" else _TABLES[robot.actions](robot)


def action_space(robot: RobotConfig) -> gym.spaces.Space:
    """Return the action space of one robot. Box(2) is in [-1, 1]: (v, omega), v from 0 at -1 to v_max; or (v_x,
    v_y).
    """
    table = action_table(robot)
    if table is None:
        return gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    return gym.spaces.Discrete(len(table))


@kernel
def decode_discrete(action, table, increments, robot, command):
    """Write the commands of discrete actions (L,) int64 into ``command`` (N, R, 2); return the first bad lane, or
    -1.
    """
    num_robots = robot.shape[1]
    for i in range(action.shape[0]):
        a, w, r = action[i], i // num_robots, i % num_robots
        if a < 0 or a >= table.shape[0]:
            return i
        command[w, r, 0], command[w, r, 1] = table[a, 0], table[a, 1]
        if increments:
            command[w, r, 0] += robot[w, r, CMD0]
            command[w, r, 1] += robot[w, r, CMD1]
    return -1
