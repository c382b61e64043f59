"""Action sets: what a policy's numbers mean as commands (v, omega) or (v_x, v_y)."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np

from robonav_ray.config.worlds import RobotConfig, WorldConfig
from robonav_ray.worlds.kernels.kernel import F1, kernel
from robonav_ray.worlds.kernels.layout import CMD0, CMD1, OWN_SPEED

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
    second = robot.max_speed if robot.is_holonomic else robot.max_turn_rate
    steps = (-INCREMENT_FRAC, 0.0, INCREMENT_FRAC)
    return np.array([(a * robot.max_speed, b * second) for a in steps for b in steps], dtype=np.float32)


def everett11(robot: RobotConfig) -> np.ndarray:
    """Return (11, 2) commands: v_max with omega in {-1, -.5, 0, .5, 1} omega_max, half of it and standing with {-1, 0,
    1}.
    """
    turns = ((1.0, (-1.0, -0.5, 0.0, 0.5, 1.0)), (0.5, (-1.0, 0.0, 1.0)), (0.0, (-1.0, 0.0, 1.0)))
    v, o = robot.max_speed, robot.max_turn_rate
    return np.array([(a * v, b * o) for a, turn in turns for b in turn], dtype=np.float32)


_TABLES = {
    "discrete15": discrete15,
    "holonomic81": holonomic81,
    "increments9": increments9,
    "everett11": everett11,
}


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


def own_speeds(world: WorldConfig) -> bool:
    """Return whether robots differ in their greatest speed; commands are then parts of each one's own."""
    return world.robot.min_speed is not None or world.cases is not None


class Decoder:
    """Turns the actions of ``num_lanes`` robots into their commands."""

    def __init__(self, world: WorldConfig, num_lanes: int) -> None:
        """Decode for robots of ``world``."""
        robot = world.robot
        self._robot, self._own_speeds = robot, own_speeds(world)
        self._increments, self._holonomic = robot.actions == "increments9", robot.is_holonomic
        table = action_table(robot)
        if table is not None and self._own_speeds:
            table = table / np.array([robot.max_speed, robot.max_speed if self._holonomic else 1.0], np.float32)
        self._table = table
        self._action = np.zeros(num_lanes, np.int64)

    def decode(self, action: np.ndarray, robot: np.ndarray, command: np.ndarray) -> None:
        """Write what ``action``, (L,) integers or (L, 2) floats in [-1, 1], asks of the robots (N, R, ROBOT_COLS) into
        ``command`` (N, R, 2), in SI units. ValueError for another shape, or an action that there is not.
        """
        if self._table is None:
            self._decode_continuous(np.asarray(action, np.float32), robot, command.reshape(-1, 2))
            return
        if np.shape(action) != self._action.shape:
            raise ValueError(f"action must have shape {self._action.shape}, got {np.shape(action)}")
        self._action[:] = action
        bad = decode_discrete(
            self._action, self._table, self._increments, self._own_speeds, self._holonomic, robot, command
        )
        if bad >= 0:
            raise ValueError(f"action {int(self._action[bad])} of lane {bad} is not in 0..{len(self._table) - 1}")

    def _decode_continuous(self, action: np.ndarray, robot: np.ndarray, flat: np.ndarray) -> None:
        if action.shape != flat.shape:
            raise ValueError(f"action must have shape {flat.shape}, got {action.shape}")
        if not np.isfinite(action).all():
            raise ValueError("action holds a value that is not finite")
        top = robot[..., OWN_SPEED].ravel() if self._own_speeds else self._robot.max_speed
        np.clip(action, -1.0, 1.0, out=flat)
        if self._holonomic:
            flat[:, 0] *= top
            flat[:, 1] *= top
        else:
            flat[:, 0] = (flat[:, 0] + 1.0) * (0.5 * top)
            flat[:, 1] *= self._robot.max_turn_rate


@kernel
def decode_discrete(action, table, increments, own_speeds, holonomic, robot, command):
    """Write the commands of discrete actions (L,) int64 into ``command`` (N, R, 2); return the first bad lane, or -1.

    With ``own_speeds`` the speeds of ``table`` are parts of each robot's own.
    """
    num_robots = robot.shape[1]
    for i in range(action.shape[0]):
        a, w, r = action[i], i // num_robots, i % num_robots
        if a < 0 or a >= table.shape[0]:
            return i
        top = robot[w, r, OWN_SPEED] if own_speeds else F1
        command[w, r, 0], command[w, r, 1] = table[a, 0] * top, table[a, 1] * (top if holonomic else F1)
        if increments:
            command[w, r, 0] += robot[w, r, CMD0]
            command[w, r, 1] += robot[w, r, CMD1]
    return -1
