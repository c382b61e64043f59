"""Obstacles that policies drive: robots without a goal of their own, which are paid what the others lose.

They run after the step of the whole batch, and only in batches that have such a robot: the others pay nothing for them.
A step pays an obstacle minus the mean reward of the robots of its world that have goals, so it gains by their
collisions, by their detours and by the time that they lose. It moves as the robot that it is, at its speed at most.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, kernel
from robonav_ray.worlds.kernels.layout import (
    DT,
    ENDED,
    G_X,
    G_Y,
    GOAL_INDEX,
    GOAL_TOLERANCE,
    GONE,
    LEGS_AFTER,
    LEVEL,
    OUTCOME,
    OWN_SPEED,
    STAYS,
    STEP,
    STEP_LIMIT,
    T_TASK,
    T_TOTAL,
    X,
    Y,
)
from robonav_ray.worlds.kernels.randomization import NUM_GOALS

OBSTACLE = 5
"""The driver (``layout.DRIVERS``) of an obstacle that a policy drives: its action is given."""
_NONE, _SUCCESS, _TIMEOUT = np.int32(Outcome.NONE), np.int32(Outcome.SUCCESS), np.int32(Outcome.TIMEOUT)
_MARGIN = np.float32(0.05)


@kernel
def nearest_other(robot, lane, driver, w, r):
    """Return the index of the robot with a goal that is under way and nearest to robot (w, r); -1 where there is
    none.
    """
    found, near = -1, FAR * FAR
    for q in range(robot.shape[1]):
        if driver[w, q] != OBSTACLE and lane[w, q, ENDED] == 0:
            dx, dy = robot[w, q, X] - robot[w, r, X], robot[w, q, Y] - robot[w, r, Y]
            if dx * dx + dy * dy < near:
                found, near = q, dx * dx + dy * dy
    return found


@kernel
def aim_obstacles(robot, lane, goal, driver, const):
    """Have what obstacles see as their goals lie where the nearest robot with a goal is, but never within reach; and
    give them as many steps as the others have.
    """
    for w in range(robot.shape[0]):
        for r in range(robot.shape[1]):
            if driver[w, r] != OBSTACLE or lane[w, r, ENDED] != 0:
                continue
            for q in range(robot.shape[1]):
                lane[w, r, STEP_LIMIT] = max(lane[w, r, STEP_LIMIT], lane[w, q, STEP_LIMIT])
            q = nearest_other(robot, lane, driver, w, r)
            if q < 0:
                continue
            dx, dy = robot[w, q, X] - robot[w, r, X], robot[w, q, Y] - robot[w, r, Y]
            away = max(np.sqrt(dx * dx + dy * dy), _MARGIN)
            beyond = const[GOAL_TOLERANCE] + (F1 + F1) * robot[w, r, OWN_SPEED] * const[DT] + _MARGIN
            scale = max(away, beyond) / away
            g = lane[w, r, GOAL_INDEX]
            goal[w, r, g, G_X], goal[w, r, g, G_Y] = robot[w, r, X] + scale * dx, robot[w, r, Y] + scale * dy
            if dx * dx + dy * dy < _MARGIN * _MARGIN:
                goal[w, r, g, G_X] = robot[w, r, X] + beyond
            goal[w, r, g, LEGS_AFTER] = F0


@kernel
def settle_obstacles(lane, tally, world, driver, const, level, obs, reward, terminated, parked, finished, final_obs,
                     final_tally, final_lane):  # fmt: skip
    """Pay the obstacles for the step that was made, and end those whose others have all ended; return how many.

    An obstacle has succeeded where one of the others has ended without success.
    """
    num_robots, num_ended = lane.shape[1], 0
    for w in range(lane.shape[0]):
        lost, others, under_way, harmed = F0, F0, False, False
        for q in range(num_robots):
            i = w * num_robots + q
            if driver[w, q] != OBSTACLE and lane[w, q, STEP_LIMIT] > 0:
                others += F1
                if not parked[i]:
                    lost -= reward[i]
                under_way |= lane[w, q, ENDED] == 0
                harmed |= lane[w, q, OUTCOME] != _NONE and lane[w, q, OUTCOME] != _SUCCESS
        for r in range(num_robots):
            i = w * num_robots + r
            if driver[w, r] != OBSTACLE or parked[i] or lane[w, r, STEP] == 0 or others == F0:
                continue
            pay = lost / others
            tally[w, r, T_TOTAL] += pay - reward[i]
            tally[w, r, T_TASK] = tally[w, r, T_TOTAL]
            reward[i] = pay
            if not finished[i] and not under_way:
                finished[i], terminated[i] = True, True
                num_ended += 1
                lane[w, r, OUTCOME], lane[w, r, ENDED] = _TIMEOUT, 1
                lane[w, r, GONE] = 0 if const[STAYS] > F0 else 1
                for j in range(obs.shape[1]):
                    final_obs[i, j] = obs[i, j]
            if finished[i]:
                if harmed:
                    lane[w, r, OUTCOME] = _SUCCESS
                for j in range(tally.shape[2]):
                    final_tally[i, j] = tally[w, r, j]
                final_lane[i, 0], final_lane[i, 1] = lane[w, r, OUTCOME], lane[w, r, STEP]
                final_lane[i, 2] = lane[w, r, GOAL_INDEX]
                final_lane[i, 3] = np.int32(level[world[w, LEVEL], NUM_GOALS])
                final_lane[i, 4] = world[w, LEVEL]
    return num_ended
