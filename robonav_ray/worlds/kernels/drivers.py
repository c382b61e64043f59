"""Robots that no policy drives: their commands, chosen from the true state before the step."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.adversary import OBSTACLE
from robonav_ray.worlds.kernels.ground import walls_of
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel
from robonav_ray.worlds.kernels.layout import (
    COS,
    DRIVE_ORCA,
    DRIVE_SOCIAL_FORCE,
    DRIVE_STRAIGHT,
    DT,
    ENDED,
    GIVEN,
    HOLONOMIC,
    LEVEL,
    MAX_TURN,
    ORCA_HORIZON,
    OWN_SPEED,
    SIN,
)
from robonav_ray.worlds.kernels.randomization import NUM_GOALS
from robonav_ray.worlds.kernels.reactive import add_map_wall, gather_others, orca_wish, social_force_wish, way_ahead

ORCA_FACTOR = np.float32(1.05)
"""Every radius grows by this for ORCA, as in the row that was published with Everett's cases."""
_STRENGTH, _FALL_OFF, _RELAXATION, _SIGHT = np.float32(7.0), np.float32(0.3), np.float32(0.5), HALF
_ASKEW = np.float32(1e-12)
"""Part of its way by which ORCA's goal is taken to lie to the left: two robots that meet head-on to the last bit would
stand before each other for ever (RVO2's examples turn the wanted velocity for this)."""
_TINY, _STANDS = np.float32(1e-6), np.float32(1e-5)


@kernel
def wish(state, site, wall, const, neighbor, line, driver, num_goals, w, r):
    """Return the velocity (vx, vy) in the world frame that ``driver`` chooses for robot (w, r)."""
    robot = state.robot
    dx, dy = way_ahead(site, robot, state.lane, state.goal, num_goals, robot[w, r, OWN_SPEED] * const[DT], w, r)
    if driver == DRIVE_STRAIGHT:
        scale = robot[w, r, OWN_SPEED] / max(np.sqrt(dx * dx + dy * dy), _TINY)
        return dx * scale, dy * scale
    if driver != DRIVE_ORCA and driver != DRIVE_SOCIAL_FORCE:
        return F0, F0
    orca = driver == DRIVE_ORCA
    num = gather_others(
        robot, state.lane, state.circle, state.circle_kind, state.world, wall, ORCA_FACTOR if orca else F1, F0, HALF,
        neighbor, w, r,
    )  # fmt: skip
    num = add_map_wall(site, robot, neighbor, num, F0, w, r)
    if orca:
        dx, dy = dx - _ASKEW * dy, dy + _ASKEW * dx
        return orca_wish(robot, const, neighbor, num, line, dx, dy, ORCA_FACTOR, F0, _TINY, const[ORCA_HORIZON], w, r)
    vx, vy, scale = social_force_wish(
        robot, const, neighbor, num, dx, dy, _STRENGTH, _FALL_OFF, _RELAXATION, _SIGHT, F0, w, r
    )
    return vx * scale, vy * scale


@kernel
def set_command(robot, const, vx, vy, command, w, r):
    """Write the command that drives robot (w, r) with the velocity (vx, vy) of the world frame into ``command``.

    A unicycle turns to it within the step; where that is more than it can turn, it stands and turns as far as it can.
    """
    c, s = robot[w, r, COS], robot[w, r, SIN]
    ahead, left = c * vx + s * vy, c * vy - s * vx
    if const[HOLONOMIC] > F0:
        command[w, r, 0], command[w, r, 1] = ahead, left
        return
    speed = np.sqrt(vx * vx + vy * vy)
    turn = np.arctan2(left, ahead) if speed > _STANDS else F0
    most = const[MAX_TURN] * const[DT]
    command[w, r, 0] = speed if abs(turn) <= most else F0
    command[w, r, 1] = min(max(turn, -most), most) / const[DT]


@kernel
def drive(state, params, neighbor, line, command):
    """Write into ``command`` (N, R, 2), in SI units, the commands of all robots under way that have a driver."""
    for w in range(command.shape[0]):
        k = state.world[w, LEVEL]
        num_goals, const = np.int64(params.level[k, NUM_GOALS]), params.const[k]
        wall = walls_of(params.wall, params.ground, k)
        for r in range(command.shape[1]):
            driver = state.driver[w, r]
            if GIVEN < driver < OBSTACLE and state.lane[w, r, ENDED] == 0:
                vx, vy = wish(state, params.site, wall, const, neighbor, line, driver, num_goals, w, r)
                set_command(state.robot, const, vx, vy, command, w, r)
