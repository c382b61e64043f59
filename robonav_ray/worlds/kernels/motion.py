"""How robots move: commands through their faults, limits, then a midpoint step."""

from __future__ import annotations

import numpy as np

from robonav_ray.worlds.kernels.draws import uniform
from robonav_ray.worlds.kernels.kernel import F0, F1, HALF, hot_kernel, kernel
from robonav_ray.worlds.kernels.layout import (
    ACC_X,
    ACC_Y,
    ACTUATOR_STREAM,
    CMD0,
    CMD1,
    COS,
    DT,
    ENDED,
    EXEC0,
    EXEC1,
    GAIN0,
    GAIN1,
    HOLONOMIC,
    MAX_ACC,
    MAX_TURN,
    MAX_TURN_ACC,
    OLD_X,
    OLD_Y,
    OWN_SPEED,
    SIN,
    STEP,
    T_JERK,
    T_MAX_ACC,
    T_PATH,
    T_SPEED,
    TURN_FIRST,
    VX,
    VY,
    YAW,
    V,
    W,
    X,
    Y,
)
from robonav_ray.worlds.kernels.randomization import ACTION_LATENCY, DROPPED_COMMANDS, MOTION_FAULTS, SLIP
from robonav_ray.worlds.kernels.site.body import steerable

_PI, _TWO_PI = np.float32(np.pi), np.float32(2 * np.pi)
_C2, _C3, _C4, _C5, _C6 = (np.float32(c) for c in (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720))
_THREE_HALVES = np.float32(1.5)


@kernel
def cos_sin(angle):
    """Return cos and sin; by their series (error below 1e-7) for the small angles of one step."""
    if abs(angle) < HALF:
        a2 = angle * angle
        return F1 - a2 * (_C2 - a2 * (_C4 - a2 * _C6)), angle * (F1 - a2 * (_C3 - a2 * _C5))
    return np.cos(angle), np.sin(angle)


@kernel
def delayed_command(lane, robot, queue, stream, level, w, r, k):
    """Put the command asked for through latency and loss; write what is executed into EXEC0, EXEC1."""
    u0, u1 = robot[w, r, CMD0], robot[w, r, CMD1]
    latency = np.int64(level[k, ACTION_LATENCY])
    if latency > 0:
        step, size = np.int64(lane[w, r, STEP]), queue.shape[2]
        if step < latency:
            u0, u1 = F0, F0
        else:
            slot = (step - latency) % size
            u0, u1 = queue[w, r, slot, 0], queue[w, r, slot, 1]
    lost = level[k, DROPPED_COMMANDS]
    if lost <= F0 or uniform(stream, w, ACTUATOR_STREAM) >= lost:
        robot[w, r, EXEC0], robot[w, r, EXEC1] = u0, u1


@kernel
def limited(target, now, most):
    """Return ``target``, at most ``most`` away from ``now``."""
    return min(max(target, now - most), now + most)


@hot_kernel
def move_robot(robot, lane, queue, stream, tally, command, const, level, site, w, r, k):
    """Carry out one command (v, omega) or (v_x, v_y) for one step: pose, twist, and the sums that depend on them.

    Unicycle, midpoint rule: p += v dt (cos, sin)(yaw + omega dt / 2), yaw += omega dt. Or turn first, where the worlds
    say so: yaw += omega dt, p += v dt (cos, sin)(yaw).
    """
    dt = const[DT]
    robot[w, r, CMD0], robot[w, r, CMD1] = command[w, r, 0], command[w, r, 1]
    gain0, gain1 = robot[w, r, GAIN0], robot[w, r, GAIN1]
    if queue.shape[2] > 1:
        slot = np.int64(lane[w, r, STEP]) % queue.shape[2]
        queue[w, r, slot, 0], queue[w, r, slot, 1] = command[w, r, 0], command[w, r, 1]
    if level[k, MOTION_FAULTS] > F0:
        delayed_command(lane, robot, queue, stream, level, w, r, k)
    else:
        robot[w, r, EXEC0], robot[w, r, EXEC1] = command[w, r, 0], command[w, r, 1]
    v, o = robot[w, r, EXEC0] * gain0, robot[w, r, EXEC1] * gain1
    holonomic = const[HOLONOMIC] > F0
    v = limited(v, robot[w, r, V], const[MAX_ACC] * dt)
    o = limited(o, robot[w, r, W], (const[MAX_ACC] if holonomic else const[MAX_TURN_ACC]) * dt)
    o = steerable(site, v, o)
    robot[w, r, V], robot[w, r, W] = v, o
    ahead, left = v, (o if holonomic else F0)
    slip = level[k, SLIP]
    if slip > F0:
        lost = F1 - slip * uniform(stream, w, ACTUATOR_STREAM)
        side = slip * (uniform(stream, w, ACTUATOR_STREAM) - HALF) * ahead
        ahead, left = ahead * lost, left * lost + side
    c, s = robot[w, r, COS], robot[w, r, SIN]
    if not holonomic:
        hc, hs = cos_sin(HALF * o * dt)
        c, s = c * hc - s * hs, s * hc + c * hs  # heading in the middle of the step
        nc, ns = c * hc - s * hs, s * hc + c * hs
        keep = _THREE_HALVES - HALF * (nc * nc + ns * ns)  # one Newton step back to unit length
        robot[w, r, COS], robot[w, r, SIN] = nc * keep, ns * keep
        if const[TURN_FIRST] > F0:
            c, s = nc * keep, ns * keep
        yaw = robot[w, r, YAW] + o * dt
        if yaw > _PI:
            yaw -= _TWO_PI
        elif yaw < -_PI:
            yaw += _TWO_PI
        robot[w, r, YAW] = yaw
    vx, vy = c * ahead - s * left, s * ahead + c * left
    robot[w, r, OLD_X], robot[w, r, OLD_Y] = robot[w, r, X], robot[w, r, Y]
    robot[w, r, X] += vx * dt
    robot[w, r, Y] += vy * dt
    tally_motion(robot, tally, vx, vy, dt, w, r)


@hot_kernel
def tally_motion(robot, tally, vx, vy, dt, w, r):
    """Add up path, speed, acceleration and jerk of the step, and keep the new velocity."""
    speed = np.sqrt(vx * vx + vy * vy)
    ax, ay = (vx - robot[w, r, VX]) / dt, (vy - robot[w, r, VY]) / dt
    jx, jy = (ax - robot[w, r, ACC_X]) / dt, (ay - robot[w, r, ACC_Y]) / dt
    robot[w, r, VX], robot[w, r, VY], robot[w, r, ACC_X], robot[w, r, ACC_Y] = vx, vy, ax, ay
    tally[w, r, T_PATH] += speed * dt
    tally[w, r, T_SPEED] += speed
    tally[w, r, T_MAX_ACC] = max(tally[w, r, T_MAX_ACC], np.sqrt(ax * ax + ay * ay))
    tally[w, r, T_JERK] += np.sqrt(jx * jx + jy * jy)


@kernel
def rest(robot, lane, w):
    """Let the robots of world ``w`` that have ended, and stay, stand still."""
    for r in range(robot.shape[1]):
        if lane[w, r, ENDED] != 0:
            robot[w, r, OLD_X], robot[w, r, OLD_Y] = robot[w, r, X], robot[w, r, Y]
            robot[w, r, V], robot[w, r, W], robot[w, r, VX], robot[w, r, VY] = F0, F0, F0, F0


@kernel
def clamp_commands(command, robot, const):
    """Bring commands (N, R, 2) into each robot's range, in place."""
    turn, holonomic = const[MAX_TURN], const[HOLONOMIC] > F0
    for w in range(command.shape[0]):
        for r in range(command.shape[1]):
            a, b, top = command[w, r, 0], command[w, r, 1], robot[w, r, OWN_SPEED]
            if holonomic:
                speed = np.sqrt(a * a + b * b)
                scale = top / speed if speed > top else F1
                command[w, r, 0], command[w, r, 1] = a * scale, b * scale
            else:
                command[w, r, 0], command[w, r, 1] = min(max(a, F0), top), min(max(b, -turn), turn)
