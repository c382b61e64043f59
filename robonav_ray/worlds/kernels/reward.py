"""What a step pays and whether it ends the episode."""

from __future__ import annotations

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.kernels.kernel import F0, F1, hot_kernel
from robonav_ray.worlds.kernels.layout import (
    CLEARANCE,
    CMD0,
    CMD1,
    DISCOMFORT_DISTANCE,
    GAMMA,
    GOAL_INDEX,
    GOAL_TOLERANCE,
    HOLONOMIC,
    LEGS_AFTER,
    MAX_TURN,
    OUTCOME,
    OWN_SPEED,
    PROGRESS_OFFSET,
    R_COLLISION,
    R_DISCOMFORT,
    R_EFFORT,
    R_FINISH,
    R_GOAL,
    R_PROGRESS,
    R_TIME,
    R_TIMEOUT,
    STEP,
    STEP_LIMIT,
    T_CLEARANCE,
    T_DANGER,
    T_POTENTIAL,
    T_TASK,
    T_TERMS,
    T_TOTAL,
)
from robonav_ray.worlds.kernels.randomization import NUM_GOALS
from robonav_ray.worlds.kernels.site.walking import way_to_goal
from robonav_ray.worlds.kernels.way_around import way_left

_SUCCESS, _TIMEOUT, _NONE = np.int32(Outcome.SUCCESS), np.int32(Outcome.TIMEOUT), np.int32(Outcome.NONE)


@hot_kernel
def command_change(robot, const, w, r, old0, old1):
    """Return the squared change of the command as a part of its range."""
    top = robot[w, r, OWN_SPEED]
    a = (robot[w, r, CMD0] - old0) / top
    b = (robot[w, r, CMD1] - old1) / (top if const[HOLONOMIC] > F0 else const[MAX_TURN])
    return a * a + b * b


@hot_kernel
def pay(robot, lane, goal, tally, const, level, site, wall, corner, w, r, k, hit, change):
    """Add up the reward terms of the step, move on to the next goal, and write OUTCOME when the episode ends; return
    the reward.

    Progress pays gamma Phi(s') - Phi(s) with Phi = w (offset - way to g_k - remaining legs) and Phi(terminal) = 0 (Ng
    et al. 1999). Where R_TIMEOUT is not 0 the end of the time is terminal too.
    """
    lane[w, r, STEP] += 1
    g, num_goals = np.int64(lane[w, r, GOAL_INDEX]), np.int64(level[k, NUM_GOALS])
    distance = way_to_goal(site, robot, goal, w, r, g)
    outcome, reached, finished, collided = hit, F0, F0, F0
    if hit != _NONE:
        collided = F1
    elif distance < const[GOAL_TOLERANCE]:
        reached = F1
        g += 1
        lane[w, r, GOAL_INDEX] = g
        if g == num_goals:
            finished, outcome = F1, _SUCCESS
        else:
            distance = way_to_goal(site, robot, goal, w, r, g)
    potential = F0
    if outcome == _NONE:
        if wall.shape[0] > 0:
            distance = way_left(site, robot, goal, wall, corner, w, r, g)
        potential = const[R_PROGRESS] * (const[PROGRESS_OFFSET] - distance - goal[w, r, g, LEGS_AFTER])
    progress = const[GAMMA] * potential - tally[w, r, T_POTENTIAL]
    tally[w, r, T_POTENTIAL] = potential
    near = robot[w, r, CLEARANCE]
    tally[w, r, T_CLEARANCE] = min(tally[w, r, T_CLEARANCE], near)
    discomfort = F0
    if near < const[DISCOMFORT_DISTANCE]:
        discomfort = const[R_DISCOMFORT] * (F1 - max(near, F0) / const[DISCOMFORT_DISTANCE])
        tally[w, r, T_DANGER] += F1
    effort = const[R_EFFORT] * change
    goal_pay, finish_pay = const[R_GOAL] * reached, const[R_FINISH] * finished
    collision_pay = const[R_COLLISION] * collided
    task = goal_pay + finish_pay + collision_pay
    total = task + progress + discomfort + const[R_TIME] + effort
    tally[w, r, T_TERMS] += goal_pay
    tally[w, r, T_TERMS + 1] += finish_pay
    tally[w, r, T_TERMS + 2] += collision_pay
    tally[w, r, T_TERMS + 3] += progress
    tally[w, r, T_TERMS + 4] += discomfort
    tally[w, r, T_TERMS + 5] += const[R_TIME]
    tally[w, r, T_TERMS + 6] += effort
    tally[w, r, T_TASK] += task
    tally[w, r, T_TOTAL] += total
    if outcome == _NONE and lane[w, r, STEP] >= lane[w, r, STEP_LIMIT]:
        outcome = _TIMEOUT
        if const[R_TIMEOUT] < F0:
            lost = const[GAMMA] * potential
            total += const[R_TIMEOUT] - lost
            tally[w, r, T_POTENTIAL] = F0
            tally[w, r, T_TERMS + 3] -= lost
            tally[w, r, T_TERMS + 5] += const[R_TIMEOUT]
            tally[w, r, T_TOTAL] += const[R_TIMEOUT] - lost
    lane[w, r, OUTCOME] = outcome
    return total
