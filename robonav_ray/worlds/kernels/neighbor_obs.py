"""Observations of the true state: the robot and whom it has around it, in a frame that looks to its goal."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.kernel import F0, F1, kernel
from robonav_ray.worlds.kernels.layout import (
    C_RADIUS,
    C_VX,
    C_VY,
    C_X,
    C_Y,
    COS,
    GOAL_SCALE_M,
    GONE,
    HUMAN_STATE,
    NEIGHBOR_PART,
    NUM_CIRCLES,
    OWN_PART,
    OWN_RADIUS,
    OWN_SPEED,
    SELF_STATE,
    SIN,
    STEP,
    STEP_LIMIT,
    VX,
    VY,
    X,
    Y,
)
from robonav_ray.worlds.kernels.orca import insert_neighbor
from robonav_ray.worlds.kernels.randomization import NUM_GOALS
from robonav_ray.worlds.kernels.reactive import way_to_goal

_GOAL_UNIT, _MOST, _TINY = np.float32(1.0 / GOAL_SCALE_M), np.float32(10.0), np.float32(1e-6)


@kernel
def gather_seen(robot, lane, circle, world, neighbor, w, r):
    """Write all discs but robot (w, r) into rows of ``neighbor`` (see ``orca.py``), each by its place relative to the
    robot and its velocity, nearest first; return how many.
    """
    num, x, y = 0, robot[w, r, X], robot[w, r, Y]
    for j in range(world[w, NUM_CIRCLES]):
        ox, oy = circle[w, C_X, j] - x, circle[w, C_Y, j] - y
        num = insert_neighbor(
            neighbor, num, ox * ox + oy * oy, ox, oy, circle[w, C_VX, j], circle[w, C_VY, j], circle[w, C_RADIUS, j], F1
        )
    for q in range(robot.shape[1]):
        if q != r and lane[w, q, GONE] == 0:
            ox, oy, other = robot[w, q, X] - x, robot[w, q, Y] - y, robot[w, q, OWN_RADIUS]
            num = insert_neighbor(neighbor, num, ox * ox + oy * oy, ox, oy, robot[w, q, VX], robot[w, q, VY], other, F1)
    return num


@kernel
def goal_frame(robot, lane, goal, num_goals, w, r):
    """Return the distance of robot (w, r) from its goal, and cos and sin of the direction in which it lies."""
    dx, dy = way_to_goal(robot, lane, goal, num_goals, w, r)
    distance = np.sqrt(dx * dx + dy * dy)
    c, s = F1, F0
    if distance > _TINY:
        c, s = dx / distance, dy / distance
    return distance, c, s


@kernel
def write_state_obs(robot, lane, circle, goal, world, level, neighbor, w, r, k, out, i):
    """Write the true state of the robot and of all circles, rotated so that x looks to the goal (Chen et al. 2019, eq.
    1).
    """
    out[i, :] = F0
    distance, c, s = goal_frame(robot, lane, goal, np.int64(level[k, NUM_GOALS]), w, r)
    rc, rs = robot[w, r, COS], robot[w, r, SIN]
    vx, vy, radius = robot[w, r, VX], robot[w, r, VY], robot[w, r, OWN_RADIUS]
    out[i, 0], out[i, 1], out[i, 2], out[i, 3] = (
        distance,
        robot[w, r, OWN_SPEED],
        np.arctan2(rs * c - rc * s, rc * c + rs * s),
        radius,
    )
    out[i, 4], out[i, 5] = c * vx + s * vy, c * vy - s * vx
    at = SELF_STATE
    for j in range(gather_seen(robot, lane, circle, world, neighbor, w, r)):
        ox, oy, ux, uy, other = neighbor[j, 1], neighbor[j, 2], neighbor[j, 3], neighbor[j, 4], neighbor[j, 5]
        out[i, at], out[i, at + 1] = c * ox + s * oy, c * oy - s * ox
        out[i, at + 2], out[i, at + 3] = c * ux + s * uy, c * uy - s * ux
        out[i, at + 4], out[i, at + 5], out[i, at + 6] = other, np.sqrt(neighbor[j, 0]), radius + other
        at += HUMAN_STATE


@kernel
def write_neighbor_obs(robot, lane, circle, goal, world, level, neighbor, w, r, k, out, i):
    """Write what the robot knows of itself, then an item for each disc that is there: ``ObservationLayout`` says of
    what.
    """
    out[i, :] = F0
    distance, c, s = goal_frame(robot, lane, goal, np.int64(level[k, NUM_GOALS]), w, r)
    rc, rs = robot[w, r, COS], robot[w, r, SIN]
    vx, vy, radius = robot[w, r, VX], robot[w, r, VY], robot[w, r, OWN_RADIUS]
    out[i, 0], out[i, 1] = min(distance * _GOAL_UNIT, _MOST), robot[w, r, OWN_SPEED]
    out[i, 2], out[i, 3] = min(max(rc * c + rs * s, -F1), F1), min(max(rs * c - rc * s, -F1), F1)
    out[i, 4] = radius
    out[i, 5] = F1 - np.float32(lane[w, r, STEP]) / np.float32(lane[w, r, STEP_LIMIT])
    at = OWN_PART
    for j in range(gather_seen(robot, lane, circle, world, neighbor, w, r)):
        ox, oy, other = neighbor[j, 1], neighbor[j, 2], neighbor[j, 5]
        ux, uy, both = neighbor[j, 3] - vx, neighbor[j, 4] - vy, radius + neighbor[j, 5]
        out[i, at], out[i, at + 1], out[i, at + 2] = F1, c * ox + s * oy, c * oy - s * ox
        out[i, at + 3], out[i, at + 4] = c * ux + s * uy, c * uy - s * ux
        out[i, at + 5], out[i, at + 6], out[i, at + 7] = other, both, np.sqrt(neighbor[j, 0]) - both
        at += NEIGHBOR_PART
