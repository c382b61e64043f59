"""What a robot sees: named slices of a flat vector, egocentric, without world coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robonav_ray.config.worlds import WorldConfig
from robonav_ray.worlds.kernels.draws import normal
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, hot_kernel, kernel
from robonav_ray.worlds.kernels.layout import (
    ALIGN,
    ANGLE_INCREMENT,
    ANGLE_MIN,
    CMD0,
    CMD1,
    COMMANDS,
    COS,
    DETOUR,
    DETOUR_PART,
    DRIFT_X,
    DRIFT_Y,
    DRIFT_YAW,
    DT,
    ENCOUNTER_OWN,
    ENCOUNTER_PART,
    FORECAST,
    FORECAST_PART,
    G_X,
    G_Y,
    GOAL_INDEX,
    GOAL_SCALE_M,
    GOALS_SCALE,
    HEAD,
    HOLONOMIC,
    HUMAN_STATE,
    MAX_TURN,
    NEIGHBOR_PART,
    OWN_PART,
    OWN_RADIUS,
    OWN_SPEED,
    PROXIMITY,
    RANGE_MAX,
    SELF_STATE,
    SENSOR_STREAM,
    SIN,
    STACK,
    STACK_INTERVAL,
    STEP,
    STEP_LIMIT,
    VX,
    VY,
    V,
    W,
    X,
    Y,
)
from robonav_ray.worlds.kernels.randomization import NUM_GOALS, ODOMETRY_DRIFT, ODOMETRY_NOISE
from robonav_ray.worlds.kernels.sight.bearing import bearing
from robonav_ray.worlds.kernels.sight.detour import write_detour
from robonav_ray.worlds.kernels.sight.forecast import find_discs, match_discs, reach_of, write_forecast
from robonav_ray.worlds.kernels.site.body import contact_range, lidar_on_body, seam_behind, sensor_place
from robonav_ray.worlds.kernels.site.path_ahead import write_path

_GOAL_UNIT, _GOALS_UNIT = np.float32(1.0 / GOAL_SCALE_M), np.float32(1.0 / GOALS_SCALE)
_TINY, _MOST, _QUARTER, _FASTEST = np.float32(1e-6), np.float32(10.0), np.float32(0.25), np.float32(2.0)
_TURN = np.float32(2 * np.pi)
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
    """``lidar``: ranges in ``LidarConfig.encoding``, newest scan first, beams from ``angle_min`` counter-clockwise;
    ``goal`` and ``next_goal``: distance / 10 m, cos and sin of the bearing (zeros when there is no next goal);
    ``twist`` and ``previous_action``: parts of their range; ``goals_left``: number / 4; ``time_left``: part of
    max_steps; ``path``, where the config asks for it: the next points of the route, x and y / 10 m in the robot's
    frame; ``forecast``, likewise: for each of 15 courses 1 s / (1 s + time until contact) and .5 m / (.5 m + least
    clearance), see ``forecast.py``; ``detour``, likewise: cos and sin of the bearing to drive to, and what that way has
    more than the straight one / 5 m, see ``detour.py``; ``commands``, likewise: what was asked for in the last steps,
    newest first, as parts of its range, zeros before the first; never late, however old the rest is.

    True-state observations, in a frame that looks from the robot to its goal, in SI units: ``robot`` (goal distance,
    greatest speed, yaw relative to the goal's bearing, radius, v_x, v_y); ``circles``, nearest first, zeros where there
    is none (p_x, p_y, v_x, v_y, radius, distance, sum of radii).

    Observations of neighbours, in the same frame: ``own`` (goal distance / 10 m, greatest speed, cos and sin of the
    yaw relative to the goal's bearing, radius, part of its time that is left); ``neighbors``, robots and circles,
    zeros where there is none (1, p_x, p_y, v_x and v_y relative to the robot's, radius, sum of radii, space between
    the discs): a set, in which no order means anything.

    Observations of encounters, in a frame that looks along the robot's heading: ``self`` (goal distance / 10 m, 1 m /
    (1 m + goal distance), cos and sin of the goal's bearing, greatest speed, v_x, v_y, radius, part of its time that is
    left); ``encounters``, robots and circles as a set, zeros where there is none (1, p_x / 10 m, p_y / 10 m, cos and
    sin of its bearing, .5 m / (.5 m + space between the discs), v_x, v_y, radius, and for each of ``COURSES`` 1 s /
    (1 s + time until the two discs touch, should both go on like that)).
    """
    size: int
    """Length of the vector."""

    @classmethod
    def of(cls, world: WorldConfig, num_circles: int) -> ObservationLayout:
        """Return the layout for ``world`` when the largest level has ``num_circles`` circles."""
        if world.observation == "state":
            parts = (("robot", SELF_STATE), ("circles", HUMAN_STATE * (num_circles + world.num_robots - 1)))
        elif world.observation == "neighbors":
            parts = (("own", OWN_PART), ("neighbors", NEIGHBOR_PART * (num_circles + world.num_robots - 1)))
        elif world.observation == "encounters":
            items = ENCOUNTER_PART * (num_circles + world.num_robots - 1)
            parts = (("self", ENCOUNTER_OWN), ("encounters", items))
        else:
            asked = (
                ("path", 2 * world.path.num_points),
                ("forecast", FORECAST_PART * world.forecast),
                ("detour", DETOUR_PART * world.detour),
                ("commands", 2 * world.recent_commands),
            )
            shown = tuple(part for part in asked if part[1])
            parts = (("lidar", world.lidar.stack * world.lidar.num_beams), *_LIDAR_TAIL, *shown)
        slices, start = {}, 0
        for name, size in parts:
            slices[name] = slice(start, start + size)
            start += size
        return cls(slices, start)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high), each (size,) float32, that every observation keeps."""
        low, high = np.full(self.size, -1.0, np.float32), np.ones(self.size, np.float32)
        if "lidar" not in self.slices:
            low[:], high[:] = -1000.0, 1000.0
            if "self" in self.slices:
                low[:ENCOUNTER_OWN] = (0, 0, -1, -1, 0, -15, -15, 0, 0)
                high[:ENCOUNTER_OWN] = (_MOST, 1, 1, 1, 10, 15, 15, 2, 1)
                for column in (0, *range(3, 6), *range(9, ENCOUNTER_PART)):
                    items = slice(ENCOUNTER_OWN + column, None, ENCOUNTER_PART)
                    low[items], high[items] = (-1.001 if column in (3, 4) else 0.0), 1.001
            if "own" in self.slices:
                items = slice(OWN_PART, None, NEIGHBOR_PART)
                low[:OWN_PART], high[:OWN_PART] = (0, 0, -1, -1, 0, 0), (_MOST, 10, 1, 1, 2, 1)
                low[items], high[items] = 0.0, 1.0
            return low, high
        for name in ("lidar", "goals_left", "time_left"):
            low[self.slices[name]] = 0.0
        for name in ("goal", "next_goal"):
            low[self.slices[name].start], high[self.slices[name].start] = 0.0, _MOST
        if "forecast" in self.slices:
            low[self.slices["forecast"]] = 0.0
        if "detour" in self.slices:
            low[self.slices["detour"].stop - 1] = 0.0
        if "path" in self.slices:
            low[self.slices["path"]], high[self.slices["path"]] = -_MOST, _MOST
        low[self.slices["twist"]], high[self.slices["twist"]] = -_FASTEST, _FASTEST
        high[self.slices["goals_left"]] = 16.0 / GOALS_SCALE
        return low, high


@hot_kernel
def write_goal(x, y, c, s, gx, gy, out, i, at):
    """Write distance / 10 m, cos and sin of the bearing of a point seen from the pose (x, y, yaw with cos c and sin
    s).
    """
    dx, dy = gx - x, gy - y
    distance = np.sqrt(dx * dx + dy * dy)
    inverse = F1 / max(distance, _TINY)
    out[i, at] = min(distance * _GOAL_UNIT, _MOST)
    out[i, at + 1] = min(max((c * dx + s * dy) * inverse, -F1), F1)
    out[i, at + 2] = min(max((c * dy - s * dx) * inverse, -F1), F1)


@kernel
def odometry_pose(robot, stream, level, const_dt, w, r, k):
    """Return (x, y, cos, sin) as odometry has it; its drift walks on by the distance driven in the step."""
    x, y, c, s = robot[w, r, X], robot[w, r, Y], robot[w, r, COS], robot[w, r, SIN]
    drift = level[k, ODOMETRY_DRIFT]
    if drift <= F0:
        return x, y, c, s
    driven = np.sqrt(robot[w, r, VX] ** 2 + robot[w, r, VY] ** 2) * const_dt
    size = drift * np.sqrt(np.float32(driven))
    robot[w, r, DRIFT_X] += size * normal(stream, w, SENSOR_STREAM)
    robot[w, r, DRIFT_Y] += size * normal(stream, w, SENSOR_STREAM)
    robot[w, r, DRIFT_YAW] += _QUARTER * size * normal(stream, w, SENSOR_STREAM)
    tc, ts = np.cos(robot[w, r, DRIFT_YAW]), np.sin(robot[w, r, DRIFT_YAW])
    return np.float32(x + robot[w, r, DRIFT_X]), np.float32(y + robot[w, r, DRIFT_Y]), c * tc - s * ts, s * tc + c * ts


@kernel
def noisy_pose(stream, noise, x, y, c, s, w):
    """Return the pose with white noise of ``noise`` m, and half as much in rad: the error of a localisation."""
    if noise <= F0:
        return x, y, c, s
    x += noise * normal(stream, w, SENSOR_STREAM)
    y += noise * normal(stream, w, SENSOR_STREAM)
    turn = HALF * noise * normal(stream, w, SENSOR_STREAM)
    tc, ts = np.cos(turn), np.sin(turn)
    return np.float32(x), np.float32(y), np.float32(c * tc - s * ts), np.float32(s * tc + c * ts)


@kernel
def note_scan_pose(scan_pose, first, x, y, c, s, w, r, slot):
    """Remember where the scan in ring position ``slot`` was taken (all of them, with the first scan of an episode)."""
    begin, end = (0, scan_pose.shape[2]) if first else (slot, slot + 1)
    for h in range(begin, end):
        scan_pose[w, r, h, 0], scan_pose[w, r, h, 1], scan_pose[w, r, h, 2], scan_pose[w, r, h, 3] = x, y, c, s


@kernel
def align_scan(old, pose, x, y, c, s, const, site, beam, rays, shown):
    """Write what the points of the scan ``old`` (B,), taken at ``pose`` (4,), are as a scan from (x, y) with heading
    (c, s).

    Points of neighbouring beams that lie near each other are joined by a line, so that the rays between them hit it; a
    ray that meets nothing gets 1 (the greatest range). The first rows of ``rays`` (4, B) are scratch: x, y and beam of
    every point in the present frame.
    """
    beams, range_max, per_beam = old.shape[0], const[RANGE_MAX], F1 / const[ANGLE_INCREMENT]
    around = per_beam * _TURN  # beams in a full circle
    wraps, last, inverse = around < np.float32(beams) + HALF, np.float32(beams - 1), F1 / range_max
    dx, dy = pose[0] - x, pose[1] - y
    tx, ty = c * dx + s * dy, c * dy - s * dx  # where the scan was taken, in the present frame
    tc, ts = pose[2] * c + pose[3] * s, pose[3] * c - pose[2] * s
    for j in range(beams):
        bc, bs, far = beam[0, j], beam[1, j], old[j] * range_max
        px, py = tx + far * (tc * bc - ts * bs), ty + far * (ts * bc + tc * bs)
        rays[0, j], rays[1, j], rays[2, j] = px, py, (bearing(px, py) - const[ANGLE_MIN]) * per_beam
        shown[j] = F1
    seam_behind(site, const, rays, per_beam)
    for j in range(beams):
        if old[j] >= F1:
            continue
        px, py, at = rays[0, j], rays[1, j], rays[2, j]
        if wraps or (at > -HALF and at < last + HALF):
            near = np.int64(at + HALF)
            near = near - beams if near >= beams else near
            shown[near] = min(shown[near], np.sqrt(px * px + py * py) * inverse)
        q = j + 1
        if q == beams:
            if not wraps:
                break
            q = 0
        qx, qy, q_at = rays[0, q], rays[1, q], rays[2, q]
        ux, uy = qx - px, qy - py
        if old[q] >= F1 or ux * ux + uy * uy >= _JOIN_M * _JOIN_M:
            continue
        low, high = min(at, q_at), max(at, q_at)
        if high - low > HALF * around:  # across the seam behind the robot
            if not wraps:
                continue
            low, high = high - around, low
        if not wraps:
            low, high = max(low, F0), min(high, last)
        cross = px * uy - py * ux
        for k in range(np.int64(np.ceil(low)), np.int64(np.floor(high)) + 1):
            b = k + beams if k < 0 else k
            b = b - beams if b >= beams else b
            det = beam[0, b] * uy - beam[1, b] * ux
            t = cross / (det if abs(det) > _TINY else _TINY)
            if t > F0:
                shown[b] = min(shown[b], t * inverse)


@hot_kernel
def write_lidar_obs(
    robot, lane, goal, stream, scan, scan_pose, const, level, site, beam, rays, seen, course, w, r, k, out, i
):
    """Write the observation of robot (w, r) into ``out[i]`` (D,)."""
    x, y, c, s = odometry_pose(robot, stream, level, const[DT], w, r, k)
    ring, beams = scan.shape[2], scan.shape[3]
    stack, back = np.int64(const[STACK]), np.int64(const[STACK_INTERVAL])
    slot, at = np.int64(lane[w, r, HEAD]), 0
    aligned, contact = const[ALIGN] > F0, contact_range(site, robot[w, r, OWN_RADIUS]) / const[RANGE_MAX]
    scale = F1 / (F1 - contact)
    offset = contact * scale
    sx, sy = sensor_place(site, x, y, c, s)
    if aligned:
        note_scan_pose(scan_pose, lane[w, r, STEP] == 0, sx, sy, c, s, w, r, slot)
    looks, num, stands, older, oldest = const[FORECAST] > F0, 0, 0, 0, 0
    detour_at = out.shape[1] - 2 * np.int64(const[COMMANDS]) - (DETOUR_PART if const[DETOUR] > F0 else 0)
    for h in range(stack):
        old, shown = scan[w, r, slot], out[i, at : at + beams]
        if aligned and h > 0:
            align_scan(old, scan_pose[w, r, slot], sx, sy, c, s, const, site, beam, rays, rays[3])
            old = rays[3]
        if looks and h < 3:
            blank = h == 0 or (h == 1 and num + stands == 0)  # a scan of which nothing came back: the one before it
            discs, points = find_discs(old, beam, const, rays, seen, h, reach_of(robot, w, r) if blank else F0)
            if h == 0:
                num, stands = discs, points
            elif h == 1:
                older, stands = discs, stands + points
            else:
                oldest = discs
        if const[PROXIMITY] > F0:
            for j in range(beams):
                shown[j] = contact / max(old[j], contact) * scale - offset
        else:
            for j in range(beams):
                shown[j] = old[j]
        at += beams
        slot = slot - back if slot >= back else slot - back + ring
    if looks:
        num = match_discs(seen, num, older, oldest, scan[w, r, lane[w, r, HEAD]], const)
        mx, my = lidar_on_body(site)
        first = detour_at - FORECAST_PART
        write_forecast(robot, const, seen, num, stands, course, mx, my, w, r, out, i, first)
    x, y, c, s = noisy_pose(stream, level[k, ODOMETRY_NOISE], x, y, c, s, w)
    num_goals = np.int64(level[k, NUM_GOALS])
    reached = np.int64(lane[w, r, GOAL_INDEX])
    g = min(reached, num_goals - 1)
    write_goal(x, y, c, s, goal[w, r, g, G_X], goal[w, r, g, G_Y], out, i, at)
    if const[DETOUR] > F0:
        mx, my = lidar_on_body(site)
        dx, dy = goal[w, r, g, G_X] - x, goal[w, r, g, G_Y] - y
        write_detour(
            scan[w, r, lane[w, r, HEAD]], beam, const, rays, robot[w, r, OWN_RADIUS], mx, my,
            c * dx + s * dy, c * dy - s * dx, out, i, detour_at,
        )  # fmt: skip
    if g + 1 < num_goals:
        write_goal(x, y, c, s, goal[w, r, g + 1, G_X], goal[w, r, g + 1, G_Y], out, i, at + 3)
    else:
        out[i, at + 3], out[i, at + 4], out[i, at + 5] = F0, F0, F0
    scale0 = F1 / robot[w, r, OWN_SPEED]
    scale1 = scale0 if const[HOLONOMIC] > F0 else F1 / const[MAX_TURN]
    out[i, at + 6] = min(max(robot[w, r, V] * scale0, -_FASTEST), _FASTEST)
    out[i, at + 7] = min(max(robot[w, r, W] * scale1, -_FASTEST), _FASTEST)
    out[i, at + 8] = min(max(robot[w, r, CMD0] * scale0, -F1), F1)
    out[i, at + 9] = min(max(robot[w, r, CMD1] * scale1, -F1), F1)
    out[i, at + 10] = np.float32(num_goals - reached) * _GOALS_UNIT
    out[i, at + 11] = F1 - np.float32(lane[w, r, STEP]) / np.float32(lane[w, r, STEP_LIMIT])
    write_path(site, robot, lane, w, r, g, x, y, c, s, out, i, at + 12)


@kernel
def write_commands(robot, lane, queue, const, w, r, out, i):
    """Write the last commands that robot (w, r) was given into the end of ``out[i]``, newest first.

    With them, what a late robot will still do is known (the augmented state of Katsikopoulos and Engelbrecht 2003).
    """
    num, size, step = np.int64(const[COMMANDS]), queue.shape[2], np.int64(lane[w, r, STEP])
    scale0 = F1 / robot[w, r, OWN_SPEED]
    scale1 = scale0 if const[HOLONOMIC] > F0 else F1 / const[MAX_TURN]
    at = out.shape[1] - 2 * num
    for n in range(num):
        slot = (step - 1 - n) % size
        there = F1 if n < step else F0
        out[i, at + 2 * n] = there * min(max(queue[w, r, slot, 0] * scale0, -F1), F1)
        out[i, at + 2 * n + 1] = there * min(max(queue[w, r, slot, 1] * scale1, -F1), F1)
