"""What is measured of an episode step by step: one kernel that reads the worlds' state after each step and never writes
to it.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.kernels.geometry import swept_distance, time_to_collision
from robonav_ray.worlds.kernels.ground import corners_of, walls_of
from robonav_ray.worlds.kernels.kernel import F0, F1, FAR, kernel
from robonav_ray.worlds.kernels.layout import (
    C_OLD_X,
    C_OLD_Y,
    C_RADIUS,
    C_VX,
    C_VY,
    C_X,
    C_Y,
    COS,
    DT,
    GOAL_INDEX,
    HALF_SIDE,
    HOLONOMIC,
    KIND,
    LEGS_AFTER,
    LEVEL,
    NUM_CIRCLES,
    OLD_X,
    OLD_Y,
    OUTCOME,
    OWN_RADIUS,
    SIN,
    STATIC,
    STEP,
    VX,
    VY,
    WALLS,
    YAW,
    X,
    Y,
)
from robonav_ray.worlds.kernels.randomization import NUM_GOALS
from robonav_ray.worlds.kernels.site.lookup import wall_clearance, wall_normal
from robonav_ray.worlds.kernels.way_around import way_left

INTIMATE_M, PERSONAL_M, SOCIAL_M = np.float32(0.45), np.float32(1.2), np.float32(3.6)
"""Outer edges of Hall's zones (Hall 1966), edge to edge."""
STANDING_SPEED, STANDING_TURN = np.float32(0.01), np.float32(0.02)
"""m/s and rad/s below which a robot stands (HuNavSim, Perez-Higueras et al. 2023)."""
CROWD_M = np.float32(2.5)
"""Distance between centres up to which an obstacle counts for the density."""
LOOK_BACK_S = 2.0
"""How much of the way into a failure is kept."""
NUM_LOOKS = 5
"""Moments of it that are kept: now, and each a quarter of ``LOOK_BACK_S`` before."""

# sums (L, SUM_COLS) float64
(
    S_STEPS, S_NEAR, S_INTIMATE, S_PERSONAL, S_SOCIAL, S_CLEARANCE, S_TTC, S_HEADING, S_STANDING, S_REMAINING, S_COURSE,
) = range(11)  # fmt: skip
SUM_COLS = 11

# end (L, END_COLS) float64: how an episode failed; the first three name the thing that was hit, or was nearest.
E_WHAT, E_X, E_Y = 0, 1, 2
E_BEARING, E_SPEED, E_COURSE, E_OWN_SPEED, E_OWN_CLOSING, E_OTHER_CLOSING, E_CLEARANCE_BEFORE, E_DENSITY, E_STANDING = (
    range(3, 12)
)
E_LOOKS = (
    12  # NUM_LOOKS x LOOK_COLS: x, y of the thing in the robot's frame, the robot's speed and turn rate, newest first
)
LOOK_COLS = 4
END_COLS = E_LOOKS + NUM_LOOKS * LOOK_COLS
NOTHING, POINT, ROBOT = -1, -2, -3
"""Values of E_WHAT that are no circle's index; ROBOT - q stands for robot q."""
NO_COURSE = 9.0
"""E_COURSE of a thing that stands still."""

# past (L, H, PAST_COLS) float32: a ring over steps.
P_X, P_Y, P_YAW, P_SPEED, P_TURN = range(5)
PAST_COLS = 5
_SUCCESS, _NONE = np.int32(Outcome.SUCCESS), np.int32(Outcome.NONE)
_HIT_STATIC, _HIT_DYNAMIC = np.int32(Outcome.COLLISION_STATIC), np.int32(Outcome.COLLISION_DYNAMIC)
_HIT_WALL, _HIT_ROBOT = np.int32(Outcome.COLLISION_WALL), np.int32(Outcome.COLLISION_ROBOT)
_PI, _TWO_PI = np.float32(np.pi), np.float32(2 * np.pi)
_TINY = np.float32(1e-9)
_HALF = np.float32(0.5)


@kernel
def wrapped(angle):
    """Return ``angle`` in [-pi, pi]."""
    return angle - _TWO_PI * np.round(angle / _TWO_PI)


@kernel
def closest_on_segment(px, py, x0, y0, x1, y1):
    """Return the point of the segment that is nearest to p."""
    dx, dy = x1 - x0, y1 - y0
    t = min(max(((px - x0) * dx + (py - y0) * dy) / max(dx * dx + dy * dy, _TINY), F0), F1)
    return x0 + t * dx, y0 + t * dy


@kernel
def nearest_in_map(site, w, x, y):
    """Return (distance, x, y) of the nearest point of a wall of the map of world ``w`` from (x, y); distance FAR
    without maps.
    """
    if site is None or site.grid.shape[0] == 0:
        return FAR, F0, F0
    m = np.int64(site.map_of[w])
    near = wall_clearance(site, m, x, y)
    nx, ny = wall_normal(site, m, x, y)
    return near, x - near * nx, y - near * ny


@kernel
def nearest_wall(wall, const, site, w, x, y):
    """Return (distance, x, y) of the nearest point of a wall from (x, y); distance FAR without walls."""
    near, px, py = nearest_in_map(site, w, x, y)
    if const[WALLS] > F0:
        half = const[HALF_SIDE]
        near = half - max(abs(x), abs(y))
        px, py = (np.copysign(half, x), y) if abs(x) >= abs(y) else (x, np.copysign(half, y))
    for i in range(wall.shape[0]):
        sx, sy = closest_on_segment(x, y, wall[i, 0], wall[i, 1], wall[i, 2], wall[i, 3])
        d = np.sqrt((sx - x) * (sx - x) + (sy - y) * (sy - y))
        if d < near:
            near, px, py = d, sx, sy
    return near, px, py


@kernel
def keep_past(robot, lane, circle, world, past, past_circle, open_, const, w, first):
    """Write robots and circles of world ``w`` as they are now into the rings."""
    written = False
    for r in range(robot.shape[1]):
        i = w * robot.shape[1] + r
        if open_[i]:
            slot = lane[w, r, STEP] % past.shape[1]
            last = (lane[w, r, STEP] + past.shape[1] - 1) % past.shape[1]
            yaw, vx, vy = robot[w, r, YAW], robot[w, r, VX], robot[w, r, VY]
            past[i, slot, P_TURN] = F0 if first else wrapped(yaw - past[i, last, P_YAW]) / const[DT]
            past[i, slot, P_X], past[i, slot, P_Y], past[i, slot, P_YAW] = robot[w, r, X], robot[w, r, Y], yaw
            past[i, slot, P_SPEED] = np.sqrt(vx * vx + vy * vy)
            if not written:
                written = True
                for j in range(world[w, NUM_CIRCLES]):
                    past_circle[w, slot, 0, j], past_circle[w, slot, 1, j] = circle[w, C_X, j], circle[w, C_Y, j]


@kernel
def measure_step(
    robot, lane, circle, kind, goal, world, past, parked, wall, corner, const, site, level, sums, end, w, r, i
):
    """Add what robot (w, r) has around it now to ``sums[i]``, and name the nearest thing in ``end[i]``."""
    x, y, vx, vy, radius = robot[w, r, X], robot[w, r, Y], robot[w, r, VX], robot[w, r, VY], robot[w, r, OWN_RADIUS]
    near, moving, ttc, what = FAR, FAR, FAR, NOTHING
    for j in range(world[w, NUM_CIRCLES]):
        dx, dy, reach = circle[w, C_X, j] - x, circle[w, C_Y, j] - y, circle[w, C_RADIUS, j] + radius
        ux, uy, d2 = circle[w, C_VX, j] - vx, circle[w, C_VY, j] - vy, dx * dx + dy * dy
        if (dx * ux + dy * uy < F0) | (d2 <= reach * reach):  # no call for what goes away
            ttc = min(ttc, time_to_collision(dx, dy, ux, uy, reach))
        gap = np.sqrt(d2) - reach
        moving = min(moving, gap if kind[w, KIND, j] != STATIC else FAR)
        what = j if gap < near else what
        near = min(near, gap)
    for q in range(robot.shape[1]):
        if q != r and not parked[i - r + q]:
            dx, dy, reach = robot[w, q, X] - x, robot[w, q, Y] - y, radius + robot[w, q, OWN_RADIUS]
            gap = np.sqrt(dx * dx + dy * dy) - reach
            ttc = min(ttc, time_to_collision(dx, dy, robot[w, q, VX] - vx, robot[w, q, VY] - vy, reach))
            moving = min(moving, gap)
            if gap < near:
                near, what = gap, ROBOT - q
    distance, px, py = nearest_wall(wall, const, site, w, x, y)
    if distance - radius < near:
        near, what = distance - radius, POINT
        end[i, E_X], end[i, E_Y] = px, py
    end[i, E_WHAT] = what
    near = max(near, F0)
    sums[i, S_STEPS] += 1.0
    sums[i, S_CLEARANCE] += near
    sums[i, S_NEAR] += near < INTIMATE_M
    sums[i, S_INTIMATE] += moving < INTIMATE_M
    sums[i, S_PERSONAL] += (moving >= INTIMATE_M) & (moving < PERSONAL_M)
    sums[i, S_SOCIAL] += (moving >= PERSONAL_M) & (moving < SOCIAL_M)
    sums[i, S_TTC] = min(sums[i, S_TTC], np.float64(ttc))
    slot = lane[w, r, STEP] % past.shape[1]
    speed, turn = past[i, slot, P_SPEED], past[i, slot, P_TURN]
    sums[i, S_STANDING] += (speed < STANDING_SPEED) & (abs(turn) < STANDING_TURN)
    if const[HOLONOMIC] <= F0:
        sums[i, S_HEADING] += abs(turn) * const[DT]
    elif speed >= STANDING_SPEED:
        course = np.arctan2(vy, vx)
        if sums[i, S_COURSE] < NO_COURSE:
            sums[i, S_HEADING] += abs(wrapped(course - np.float32(sums[i, S_COURSE])))
        sums[i, S_COURSE] = course
    g, num_goals = lane[w, r, GOAL_INDEX], np.int64(level[world[w, LEVEL], NUM_GOALS])
    sums[i, S_REMAINING] = 0.0
    if g < num_goals:
        sums[i, S_REMAINING] = way_left(site, robot, goal, wall, corner, w, r, g) + goal[w, r, g, LEGS_AFTER]


@kernel
def find_hit(robot, circle, kind, world, parked, wall, const, site, end, w, r, i, outcome):
    """Name in ``end[i]`` what robot (w, r) has hit in this step: of its kind, the thing that came nearest during the
    step.
    """
    x, y, ox, oy = robot[w, r, X], robot[w, r, Y], robot[w, r, OLD_X], robot[w, r, OLD_Y]
    near = FAR
    if outcome == _HIT_WALL:
        _, px, py = nearest_wall(wall, const, site, w, x, y)
        end[i, E_WHAT], end[i, E_X], end[i, E_Y] = POINT, px, py
    elif outcome == _HIT_ROBOT:
        for q in range(robot.shape[1]):
            if q != r and not parked[i - r + q]:
                ax, ay, bx, by = (
                    robot[w, q, OLD_X] - ox,
                    robot[w, q, OLD_Y] - oy,
                    robot[w, q, X] - x,
                    robot[w, q, Y] - y,
                )
                gap = swept_distance(ax, ay, bx, by)
                if gap < near:
                    near, end[i, E_WHAT] = gap, ROBOT - q
    elif (outcome == _HIT_STATIC) | (outcome == _HIT_DYNAMIC):
        for j in range(world[w, NUM_CIRCLES]):
            if (kind[w, KIND, j] == STATIC) == (outcome == _HIT_STATIC):
                ax, ay = circle[w, C_OLD_X, j] - ox, circle[w, C_OLD_Y, j] - oy
                gap = swept_distance(ax, ay, circle[w, C_X, j] - x, circle[w, C_Y, j] - y) - circle[w, C_RADIUS, j]
                if gap < near:
                    near, end[i, E_WHAT] = gap, j


@kernel
def contact_direction(ax, ay, bx, by, reach):
    """Return the unit vector towards a thing at first contact, which moves from a to b, relative to the robot, during
    the step.
    """
    dx, dy = bx - ax, by - ay
    p, q, c = dx * dx + dy * dy, ax * dx + ay * dy, ax * ax + ay * ay - reach * reach
    t = F0
    if c > F0 and p > _TINY:  # |a + t d| = reach; where rounding finds no contact, the nearest moment
        t = min(max((-q - np.sqrt(max(q * q - p * c, F0))) / p, F0), F1)
    cx, cy = ax + t * dx, ay + t * dy
    norm = max(np.sqrt(cx * cx + cy * cy), _TINY)
    return cx / norm, cy / norm


@kernel
def conclude(robot, lane, circle, world, past, past_circle, parked, const, end, w, r, i):
    """Write into ``end[i]`` what led to the failure of robot (w, r) that this step brought, seen from the thing that
    E_WHAT names.
    """
    x, y, ox, oy, dt = robot[w, r, X], robot[w, r, Y], robot[w, r, OLD_X], robot[w, r, OLD_Y], const[DT]
    what, thing_radius = np.int64(end[i, E_WHAT]), F0
    tx, ty = np.float32(end[i, E_X]), np.float32(end[i, E_Y])
    sx, sy = tx, ty
    if what >= 0:
        tx, ty, sx, sy = circle[w, C_X, what], circle[w, C_Y, what], circle[w, C_OLD_X, what], circle[w, C_OLD_Y, what]
        thing_radius = circle[w, C_RADIUS, what]
    elif what <= ROBOT:
        q = ROBOT - what
        tx, ty, sx, sy = robot[w, q, X], robot[w, q, Y], robot[w, q, OLD_X], robot[w, q, OLD_Y]
        thing_radius = robot[w, q, OWN_RADIUS]
    end[i, E_X], end[i, E_Y] = tx, ty
    reach = robot[w, r, OWN_RADIUS] + thing_radius
    ux, uy = (tx - sx) / dt, (ty - sy) / dt
    own_x, own_y = (x - ox) / dt, (y - oy) / dt
    nx, ny = contact_direction(sx - ox, sy - oy, tx - x, ty - y, reach)
    c, s = robot[w, r, COS], robot[w, r, SIN]
    speed = np.sqrt(ux * ux + uy * uy)
    end[i, E_BEARING] = np.arctan2(c * (ty - y) - s * (tx - x), c * (tx - x) + s * (ty - y))
    end[i, E_SPEED] = speed
    end[i, E_COURSE] = np.arctan2(c * uy - s * ux, c * ux + s * uy) if speed >= STANDING_SPEED else NO_COURSE
    end[i, E_OWN_SPEED] = np.sqrt(own_x * own_x + own_y * own_y)
    end[i, E_OWN_CLOSING] = own_x * nx + own_y * ny
    end[i, E_OTHER_CLOSING] = -(ux * nx + uy * ny)
    crowd = 0
    for j in range(world[w, NUM_CIRCLES]):
        dx, dy = circle[w, C_X, j] - x, circle[w, C_Y, j] - y
        crowd += dx * dx + dy * dy <= CROWD_M * CROWD_M
    for q in range(robot.shape[1]):
        dx, dy = robot[w, q, X] - x, robot[w, q, Y] - y
        crowd += (q != r) & (not parked[i - r + q]) & (dx * dx + dy * dy <= CROWD_M * CROWD_M)
    end[i, E_DENSITY] = crowd / (_PI * CROWD_M * CROWD_M)
    look_back(lane, past, past_circle, const, end, w, r, i, what, tx, ty, reach, past.shape[1] - 1)


@kernel
def look_back(lane, past, past_circle, const, end, w, r, i, what, tx, ty, reach, span):
    """Write into ``end[i]`` where the thing was, and how the robot drove, over the last ``span`` steps, or as many as
    there were.
    """
    step, num_robots = np.int64(lane[w, r, STEP]), lane.shape[1]
    standing, most = 0, min(step, span)
    for back in range(most):
        standing += past[i, (step - back) % past.shape[1], P_SPEED] < STANDING_SPEED
    end[i, E_STANDING] = standing / max(most, 1)
    for k in range(NUM_LOOKS):
        back = min(np.int64(np.round(_HALF * _HALF * np.float32(k) * np.float32(span))), most)
        slot = (step - back) % past.shape[1]
        if what >= 0:
            tx, ty = past_circle[w, slot, 0, what], past_circle[w, slot, 1, what]
        elif what <= ROBOT:
            q = w * num_robots + ROBOT - what
            tx, ty = past[q, slot, P_X], past[q, slot, P_Y]
        dx, dy = tx - past[i, slot, P_X], ty - past[i, slot, P_Y]
        c, s = np.cos(past[i, slot, P_YAW]), np.sin(past[i, slot, P_YAW])
        at = E_LOOKS + k * LOOK_COLS
        end[i, at], end[i, at + 1] = c * dx + s * dy, c * dy - s * dx
        end[i, at + 2], end[i, at + 3] = past[i, slot, P_SPEED], past[i, slot, P_TURN]
        if 2 * k + 1 == NUM_LOOKS:
            end[i, E_CLEARANCE_BEFORE] = np.sqrt(dx * dx + dy * dy) - reach


@kernel
def begin_batch(state, params, past, past_circle, open_):
    """Write the beginning of every episode into the rings."""
    for w in range(state.robot.shape[0]):
        const = params.const[state.world[w, LEVEL]]
        keep_past(state.robot, state.lane, state.circle, state.world, past, past_circle, open_, const, w, True)


@kernel
def measure_batch(state, params, parked, past, past_circle, open_, sums, end, failed, cut_off_after):
    """Measure the step that has just been made, for the lanes that are ``open_`` (L,) bool; mark in ``failed`` those it
    was the last of.
    """
    robot, lane, circle, kind, world = state.robot, state.lane, state.circle, state.circle_kind, state.world
    site = params.site
    for w in range(robot.shape[0]):
        k = world[w, LEVEL]
        const, wall = params.const[k], walls_of(params.wall, params.ground, k)
        corner = corners_of(params.corner, params.ground, k)
        keep_past(robot, lane, circle, world, past, past_circle, open_, const, w, False)
        for r in range(robot.shape[1]):
            i = w * robot.shape[1] + r
            if not open_[i]:
                continue
            measure_step(
                robot,
                lane,
                circle,
                kind,
                state.goal,
                world,
                past,
                parked,
                wall,
                corner,
                const,
                params.site,
                params.level,
                sums,
                end,
                w,
                r,
                i,
            )
            outcome = lane[w, r, OUTCOME]
            if outcome == _SUCCESS or (outcome == _NONE and lane[w, r, STEP] != cut_off_after):
                continue
            failed[i] = True
            find_hit(robot, circle, kind, world, parked, wall, const, site, end, w, r, i, outcome)
            conclude(robot, lane, circle, world, past, past_circle, parked, const, end, w, r, i)
