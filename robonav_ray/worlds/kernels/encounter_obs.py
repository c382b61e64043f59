"""Observations of encounters: who is around the robot, and when it would meet each on each of several courses."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.geometry import time_to_collision
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, kernel
from robonav_ray.worlds.kernels.layout import (
    COS,
    COURSES,
    ENCOUNTER_OWN,
    ENCOUNTER_PART,
    GOAL_SCALE_M,
    NEIGHBOR_OBS,
    OWN_RADIUS,
    OWN_SPEED,
    SIN,
    STEP,
    STEP_LIMIT,
    VX,
    VY,
)
from robonav_ray.worlds.kernels.neighbor_obs import gather_seen, write_neighbor_obs, write_state_obs
from robonav_ray.worlds.kernels.randomization import NUM_GOALS
from robonav_ray.worlds.kernels.reactive import way_to_goal

_GOAL_UNIT, _MOST, _TINY = np.float32(1.0 / GOAL_SCALE_M), np.float32(10.0), np.float32(1e-6)
_NUM_COURSES = len(COURSES)
_AHEAD = np.array([part * np.cos(np.radians(angle)) for part, angle in COURSES], np.float32)
_LEFT = np.array([part * np.sin(np.radians(angle)) for part, angle in COURSES], np.float32)


@kernel
def write_encounter(neighbor, j, rc, rs, radius, top, out, i, at):
    """Write the item of row ``j`` of ``neighbor`` into ``out[i]``, from column ``at`` on, as seen by a robot with
    heading (``rc``, ``rs``).
    """
    ox, oy, ux, uy, other = neighbor[j, 1], neighbor[j, 2], neighbor[j, 3], neighbor[j, 4], neighbor[j, 5]
    px, py, vx, vy = rc * ox + rs * oy, rc * oy - rs * ox, rc * ux + rs * uy, rc * uy - rs * ux
    far, reach = np.sqrt(neighbor[j, 0]), radius + other
    inverse = F1 / max(far, _TINY)
    out[i, at], out[i, at + 1], out[i, at + 2] = F1, px * _GOAL_UNIT, py * _GOAL_UNIT
    out[i, at + 3], out[i, at + 4] = px * inverse, py * inverse
    out[i, at + 5] = HALF / (HALF + max(far - reach, F0))
    out[i, at + 6], out[i, at + 7], out[i, at + 8] = vx, vy, other
    for c in range(_NUM_COURSES):
        after = time_to_collision(px, py, vx - top * _AHEAD[c], vy - top * _LEFT[c], reach)
        out[i, at + 9 + c] = F1 / (F1 + after)


@kernel
def write_encounter_obs(robot, lane, circle, goal, world, level, neighbor, w, r, k, out, i):
    """Write what the robot knows of itself, then an item for each disc that is there: ``ObservationLayout`` says of
    what.
    """
    out[i, :] = F0
    rc, rs, radius, top = robot[w, r, COS], robot[w, r, SIN], robot[w, r, OWN_RADIUS], robot[w, r, OWN_SPEED]
    dx, dy = way_to_goal(robot, lane, goal, np.int64(level[k, NUM_GOALS]), w, r)
    vx, vy = robot[w, r, VX], robot[w, r, VY]
    distance = np.sqrt(dx * dx + dy * dy)
    out[i, 0], out[i, 1] = min(distance * _GOAL_UNIT, _MOST), F1 / (F1 + distance)
    out[i, 2], out[i, 3] = F1, F0
    if distance > _TINY:
        out[i, 2] = min(max((rc * dx + rs * dy) / distance, -F1), F1)
        out[i, 3] = min(max((rc * dy - rs * dx) / distance, -F1), F1)
    out[i, 4], out[i, 5], out[i, 6], out[i, 7] = top, rc * vx + rs * vy, rc * vy - rs * vx, radius
    out[i, 8] = F1 - np.float32(lane[w, r, STEP]) / np.float32(lane[w, r, STEP_LIMIT])
    at = ENCOUNTER_OWN
    for j in range(gather_seen(robot, lane, circle, world, neighbor, w, r)):
        write_encounter(neighbor, j, rc, rs, radius, top, out, i, at)
        at += ENCOUNTER_PART


@kernel
def write_true_state(robot, lane, circle, goal, world, const, level, neighbor, w, r, k, out, i):
    """Write what the robot is shown of the true state, in the layout that its worlds have."""
    if const[NEIGHBOR_OBS] > F1:
        write_encounter_obs(robot, lane, circle, goal, world, level, neighbor, w, r, k, out, i)
    elif const[NEIGHBOR_OBS] > F0:
        write_neighbor_obs(robot, lane, circle, goal, world, level, neighbor, w, r, k, out, i)
    else:
        write_state_obs(robot, lane, circle, goal, world, level, neighbor, w, r, k, out, i)
