"""From the command that a planner wants to the nearest action of the worlds' discrete set."""

from __future__ import annotations

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.actions import own_speeds


class PlannerError(UserError):
    """No such planner or setting, or the planner cannot drive these worlds; the message names the key and a way out."""


class Driver:
    """Turns commands in SI units, (v, omega) or (v_x, v_y) in the body frame, into the nearest actions."""

    def __init__(self, worlds: BatchedWorlds) -> None:
        """Drive the robots of ``worlds``."""
        robot = worlds.config.robot
        self._worlds = worlds
        self.is_unicycle = not robot.is_holonomic
        self.turns_on_the_spot = robot.drive == "unicycle"
        self.is_continuous = worlds.action_table is None
        self.max_speed, self.max_turn = robot.max_speed, robot.max_turn_rate
        self.scale = np.array(
            [robot.max_speed, robot.max_turn_rate if self.is_unicycle else robot.max_speed], np.float32
        )
        """Greatest value of either part of a command, of the fastest robot there may be."""
        self.low = np.array([0.0 if self.is_unicycle else -1.0, -1.0], np.float32)
        """Least value of either part, in units of ``scale``."""
        self._adds = robot.actions == "increments9"
        table = worlds.action_table
        self._options = (self._grid() if table is None else table / self.scale).astype(np.float32)

    def _grid(self) -> np.ndarray:
        first = np.linspace(self.low[0], 1.0, 5 if self.is_unicycle else 9)
        pairs = np.stack(np.meshgrid(first, np.linspace(-1.0, 1.0, 9), indexing="ij"), axis=-1).reshape(-1, 2)
        return pairs if self.is_unicycle else pairs / np.maximum(np.linalg.norm(pairs, axis=1, keepdims=True), 1.0)

    @property
    def num_choices(self) -> int:
        """Commands that a planner chooses among: the actions, or a grid over continuous ones."""
        return len(self._options)

    def choices(self, last: np.ndarray) -> np.ndarray:
        """Return (L, A, 2) commands to choose among, as parts of ``scale``; (1, A, 2) where ``last`` (L, 2) does not
        matter.
        """
        if not self._adds:
            return self._options[None]
        return np.clip(last[:, None] + self._options, self.low, 1.0)

    def chosen(self, index: np.ndarray) -> np.ndarray:
        """Return the actions, (L,) int64 or (L, 2) float32, that the choices ``index`` (L,) stand for."""
        return self._as_action(self._options[index]) if self.is_continuous else index.astype(np.int64)

    def action(self, command: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return the actions nearest to ``command`` (L, 2): (L,) int64, or (L, 2) float32 where they are continuous.

        Nearness counts either part as a part of its range. ``last`` (L, 2), the last command as parts of ``scale``,
        matters for actions that change it.
        """
        wanted = np.clip(command / own_scale(self._worlds), self.low, 1.0)
        if self.is_continuous:
            return self._as_action(wanted)
        return np.square(wanted[:, None] - self.choices(last)).sum(axis=-1).argmin(axis=1)

    def _as_action(self, part: np.ndarray) -> np.ndarray:
        return np.stack([2.0 * part[:, 0] - 1.0, part[:, 1]], axis=1) if self.is_unicycle else part

    def towards(self, bearing: np.ndarray, speed: np.ndarray, gain: float) -> np.ndarray:
        """Return (L, 2) commands that drive to ``bearing`` (L,) rad in the body frame with ``speed`` (L,) m/s.

        A unicycle turns with ``gain`` (1/s) times the bearing, and drives the part of the speed that looks ahead.
        """
        ahead, left = speed * np.cos(bearing), speed * np.sin(bearing)
        if self.is_unicycle:
            return np.stack([np.maximum(ahead, 0.0), gain * bearing], axis=1)
        return np.stack([ahead, left], axis=1)


def own_scale(worlds: BatchedWorlds) -> np.ndarray:
    """Return the greatest value of either part of a command, (2,) float32, or (L, 2) where robots differ in it."""
    robot = worlds.config.robot
    second = robot.max_speed if robot.is_holonomic else robot.max_turn_rate
    if not own_speeds(worlds.config):
        return np.array([robot.max_speed, second], np.float32)
    top = worlds.state.robot[..., lay.OWN_SPEED].ravel()
    return np.stack([top, top if robot.is_holonomic else np.full_like(top, second)], axis=1)


def last_command(worlds: BatchedWorlds) -> np.ndarray:
    """Return (L, 2) float32: the command that each robot was given last, as parts of its range, by the true state."""
    return worlds.state.robot[..., (lay.CMD0, lay.CMD1)].reshape(-1, 2) / own_scale(worlds)
