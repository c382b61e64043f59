"""What a robot sees: named slices of a flat vector, egocentric, without world coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robonav_ray.config.worlds import WorldConfig
from robonav_ray.worlds.draws import normal
from robonav_ray.worlds.kernel import F0, F1, HALF, hot_kernel, kernel
from robonav_ray.worlds.layout import (
    ALIGN,
    C_RADIUS,
    C_VX,
    C_VY,
    C_X,
    C_Y,
    CMD0,
    CMD1,
    COS,
    DRIFT_X,
    DRIFT_Y,
    DRIFT_YAW,
    ENDED,
    G_X,
    G_Y,
    GOAL_INDEX,
    GOAL_SCALE_M,
    GOALS_SCALE,
    HEAD,
    HOLONOMIC,
    HUMAN_STATE,
    MAX_SPEED,
    MAX_TURN,
    NUM_CIRCLES,
    RADIUS,
    RANGE_MAX,
    SELF_STATE,
    SENSOR_STREAM,
    SIN,
    STACK,
    STACK_INTERVAL,
    STEP,
    VX,
    VY,
    V,
    W,
    X,
    Y,
)
from robonav_ray.worlds.orca import insert_neighbor
from robonav_ray.worlds.randomization import MAX_STEPS, NUM_GOALS, ODOMETRY_DRIFT, ODOMETRY_NOISE

_GOAL_UNIT, _GOALS_UNIT = np.float32(1.0 / GOAL_SCALE_M), np.float32(1.0 / GOALS_SCALE)
_TINY, _MOST, _QUARTER, _FASTEST = np.float32(1e-6), np.float32(10.0), np.float32(0.25), np.float32(2.0)
_TURNS, _HALF_TURN = np.float32(0.5 / np.pi), np.float32(np.pi)
_JOIN_M = np.float32(0.6)
"""Points of neighbouring beams farther apart than this belong to different things."""
_LIDAR_TAIL: tuple[tuple[str, int], ...] = (
    ("goal", 3),
    ("next_goal", 3),
    ("twist", 2),
    ("previous_action", 2),
    ("goals_left", 1),
    ("time_left", 1),
)


@dataclass(frozen=True)
class ObservationLayout:
    """The parts of a flat observation, in order."""

    slices: dict[str, slice]
    """``lidar``: ranges / range_max, newest scan first, beams from ``angle_min`` counter-clockwise; ``goal`` and ``next_goal``:
    distance / 10 m, cos and sin of the bearing (zeros when there is no next goal); ``twist`` and ``previous_action``: parts of
    their range; ``goals_left``: number / 4; ``time_left``: part of max_steps.

    True-state observations, in a frame that looks from the robot to its goal, in SI units: ``robot`` (goal distance, greatest
    speed, yaw relative to the goal's bearing, radius, v_x, v_y); ``circles``, nearest first, zeros where there is none (p_x,
    p_y, v_x, v_y, radius, distance, sum of radii).
    """
    size: int
    """Length of the vector."""

    @classmethod
    def of(cls, world: WorldConfig, num_circles: int) -> ObservationLayout:
        """Return the layout for ``world`` when the largest level has ``num_circles`` circles."""
        if world.observation == "state":
            parts = (("robot", SELF_STATE), ("circles", HUMAN_STATE * (num_circles + world.num_robots - 1)))
        else:
            parts = (("lidar", world.lidar.stack * world.lidar.num_beams), *_LIDAR_TAIL)
        slices, start = {}, 0
        for name, size in parts:
            slices[name] = slice(start, start + size)
            start += size
        return cls(slices, start)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high), each (size,) float32, that every observation keeps."""
        low, high = np.full(self.size, -1.0, np.float32), np.ones(self.size, np.float32)
        if "robot" in self.slices:
            low[:], high[:] = -1000.0, 1000.0
            return low, high
        for name in ("lidar", "goals_left", "time_left"):
            low[self.slices[name]] = 0.0
        for name in ("goal", "next_goal"):
            low[self.slices[name].start], high[self.slices[name].start] = 0.0, _MOST
        low[self.slices["twist"]], high[self.slices["twist"]] = -_FASTEST, _FASTEST
        high[self.slices["goals_left"]] = 16.0 / GOALS_SCALE
        return low, high


@hot_kernel
def write_goal(x, y, c, s, gx, gy, out, i, at):
    """Write distance / 10 m, cos and sin of the bearing of a point seen from the pose (x, y, yaw with cos c and sin s)."""
    dx, dy = gx - x, gy - y
    distance = np.sqrt(dx * dx + dy * dy)
    inverse = F1 / max(distance, _TINY)
    out[i, at] = min(distance * _GOAL_UNIT, _MOST)
    out[i, at + 1] = min(max((c * dx + s * dy) * inverse, -F1), F1)
    out[i, at + 2] = min(max((c * dy - s * dx) * inverse, -F1), F1)


@kernel
def perceived_pose(robot, stream, level, const_dt, w, r, k):
    """Return (x, y, cos, sin) as odometry has it; its drift walks on by the distance driven in the step."""
    x, y, c, s = robot[w, r, X], robot[w, r, Y], robot[w, r, COS], robot[w, r, SIN]
    noise, drift = level[k, ODOMETRY_NOISE], level[k, ODOMETRY_DRIFT]
    if noise <= F0 and drift <= F0:
        return x, y, c, s
    turn = F0
    if drift > F0:
        driven = np.sqrt(robot[w, r, VX] ** 2 + robot[w, r, VY] ** 2) * const_dt
        size = drift * np.sqrt(np.float32(driven))
        robot[w, r, DRIFT_X] += size * normal(stream, w, SENSOR_STREAM)
        robot[w, r, DRIFT_Y] += size * normal(stream, w, SENSOR_STREAM)
        robot[w, r, DRIFT_YAW] += _QUARTER * size * normal(stream, w, SENSOR_STREAM)
        x, y, turn = x + robot[w, r, DRIFT_X], y + robot[w, r, DRIFT_Y], robot[w, r, DRIFT_YAW]
    if noise > F0:
        x += noise * normal(stream, w, SENSOR_STREAM)
        y += noise * normal(stream, w, SENSOR_STREAM)
        turn += HALF * noise * normal(stream, w, SENSOR_STREAM)
    tc, ts = np.cos(turn), np.sin(turn)
    return np.float32(x), np.float32(y), np.float32(c * tc - s * ts), np.float32(s * tc + c * ts)


@kernel
def note_scan_pose(scan_pose, first, x, y, c, s, w, r, slot):
    """Remember where the scan in ring position ``slot`` was taken (all of them, with the first scan of an episode)."""
    for h in range(scan_pose.shape[2]):
        if first or h == slot:
            scan_pose[w, r, h, 0], scan_pose[w, r, h, 1], scan_pose[w, r, h, 2], scan_pose[w, r, h, 3] = x, y, c, s


@kernel
def align_scan(old, pose, x, y, c, s, range_max, beam, shown):
    """Write what the points of the scan ``old`` (B,), taken at ``pose`` (4,), are as a scan from (x, y) with heading (c, s).

    Points of neighbouring beams that lie near each other are joined by a line, so that the rays between them hit it; a ray
    that meets nothing gets 1 (the greatest range).
    """
    beams = old.shape[0]
    dx, dy = pose[0] - x, pose[1] - y
    tx, ty = c * dx + s * dy, c * dy - s * dx  # where the scan was taken, in the present frame
    tc, ts = pose[2] * c + pose[3] * s, pose[3] * c - pose[2] * s
    per_beam = np.float32(beams) * _TURNS
    for j in range(beams):
        shown[j] = F1
    px, py, at, hit = F0, F0, F0, False
    for j in range(beams + 1):
        q = j if j < beams else 0
        bc, bs, far = beam[0, q], beam[1, q], old[q] * range_max
        qx, qy = tx + far * (tc * bc - ts * bs), ty + far * (ts * bc + tc * bs)
        q_at, q_hit = (np.arctan2(qy, qx) + _HALF_TURN) * per_beam, old[q] < F1
        if q_hit:
            near = np.int64(q_at + HALF) % beams
            shown[near] = min(shown[near], np.sqrt(qx * qx + qy * qy) / range_max)
            if hit and (qx - px) * (qx - px) + (qy - py) * (qy - py) < _JOIN_M * _JOIN_M:
                draw_line(px, py, qx, qy, at, q_at, range_max, beam, shown)
        px, py, at, hit = qx, qy, q_at, q_hit


@kernel
def draw_line(px, py, qx, qy, p_at, q_at, range_max, beam, shown):
    """Shorten the rays of ``shown`` (B,) that meet the line from p to q, which are seen at the beams ``p_at`` and ``q_at``."""
    beams = shown.shape[0]
    low, high = min(p_at, q_at), max(p_at, q_at)
    if high - low > HALF * np.float32(beams):  # across the seam behind the robot
        low, high = high - np.float32(beams), low
    ux, uy = qx - px, qy - py
    cross = px * uy - py * ux
    for j in range(np.int64(np.ceil(low)), np.int64(np.floor(high)) + 1):
        b = j % beams
        det = beam[0, b] * uy - beam[1, b] * ux
        if abs(det) > _TINY:
            t = cross / det
            if t > F0:
                shown[b] = min(shown[b], t / range_max)


@hot_kernel
def write_lidar_obs(robot, lane, goal, stream, scan, scan_pose, const, level, beam, dt, w, r, k, out, i):
    """Write the observation of robot (w, r) into ``out[i]`` (D,)."""
    x, y, c, s = perceived_pose(robot, stream, level, dt, w, r, k)
    ring, beams = scan.shape[2], scan.shape[3]
    stack, back = np.int64(const[STACK]), np.int64(const[STACK_INTERVAL])
    slot, at = np.int64(lane[w, r, HEAD]), 0
    aligned = const[ALIGN] > F0
    if aligned:
        note_scan_pose(scan_pose, lane[w, r, STEP] == 0, x, y, c, s, w, r, slot)
    for h in range(stack):
        old, shown = scan[w, r, slot], out[i, at : at + beams]
        if aligned and h > 0:
            align_scan(old, scan_pose[w, r, slot], x, y, c, s, const[RANGE_MAX], beam, shown)
        else:
            for j in range(beams):
                shown[j] = old[j]
        at += beams
        slot = slot - back if slot >= back else slot - back + ring
    num_goals = np.int64(level[k, NUM_GOALS])
    reached = np.int64(lane[w, r, GOAL_INDEX])
    g = min(reached, num_goals - 1)
    write_goal(x, y, c, s, goal[w, r, g, G_X], goal[w, r, g, G_Y], out, i, at)
    if g + 1 < num_goals:
        write_goal(x, y, c, s, goal[w, r, g + 1, G_X], goal[w, r, g + 1, G_Y], out, i, at + 3)
    else:
        out[i, at + 3], out[i, at + 4], out[i, at + 5] = F0, F0, F0
    scale0 = F1 / const[MAX_SPEED]
    scale1 = scale0 if const[HOLONOMIC] > F0 else F1 / const[MAX_TURN]
    out[i, at + 6] = min(max(robot[w, r, V] * scale0, -_FASTEST), _FASTEST)
    out[i, at + 7] = min(max(robot[w, r, W] * scale1, -_FASTEST), _FASTEST)
    out[i, at + 8] = min(max(robot[w, r, CMD0] * scale0, -F1), F1)
    out[i, at + 9] = min(max(robot[w, r, CMD1] * scale1, -F1), F1)
    out[i, at + 10] = np.float32(num_goals - reached) * _GOALS_UNIT
    out[i, at + 11] = F1 - np.float32(lane[w, r, STEP]) / level[k, MAX_STEPS]


@kernel
def write_state_obs(robot, lane, circle, goal, world, const, level, neighbor, w, r, k, out, i):
    """Write the true state of the robot and of all circles, rotated so that x looks to the goal (Chen et al. 2019, eq. 1)."""
    out[i, :] = F0
    x, y = robot[w, r, X], robot[w, r, Y]
    g = min(np.int64(lane[w, r, GOAL_INDEX]), np.int64(level[k, NUM_GOALS]) - 1)
    dx, dy = goal[w, r, g, G_X] - x, goal[w, r, g, G_Y] - y
    distance = np.sqrt(dx * dx + dy * dy)
    c, s = F1, F0
    if distance > _TINY:
        c, s = dx / distance, dy / distance
    rc, rs = robot[w, r, COS], robot[w, r, SIN]
    vx, vy, radius = robot[w, r, VX], robot[w, r, VY], const[RADIUS]
    out[i, 0], out[i, 1], out[i, 2], out[i, 3] = distance, const[MAX_SPEED], np.arctan2(rs * c - rc * s, rc * c + rs * s), radius
    out[i, 4], out[i, 5] = c * vx + s * vy, c * vy - s * vx
    num = 0
    for j in range(world[w, NUM_CIRCLES]):
        ox, oy = circle[w, C_X, j] - x, circle[w, C_Y, j] - y
        num = insert_neighbor(
            neighbor, num, ox * ox + oy * oy, ox, oy, circle[w, C_VX, j], circle[w, C_VY, j], circle[w, C_RADIUS, j], F1
        )
    for q in range(robot.shape[1]):
        if q != r and lane[w, q, ENDED] == 0:
            ox, oy = robot[w, q, X] - x, robot[w, q, Y] - y
            num = insert_neighbor(neighbor, num, ox * ox + oy * oy, ox, oy, robot[w, q, VX], robot[w, q, VY], radius, F1)
    at = SELF_STATE
    for j in range(num):
        ox, oy, ux, uy, other = neighbor[j, 1], neighbor[j, 2], neighbor[j, 3], neighbor[j, 4], neighbor[j, 5]
        out[i, at], out[i, at + 1] = c * ox + s * oy, c * oy - s * ox
        out[i, at + 2], out[i, at + 3] = c * ux + s * uy, c * uy - s * ux
        out[i, at + 4], out[i, at + 5], out[i, at + 6] = other, np.sqrt(neighbor[j, 0]), radius + other
        at += HUMAN_STATE
