"""One step of a batch of worlds, and their resets: the only kernels that the rest of the package calls in a loop.

Kernels that run per robot take arrays, not the tuples of ``layout.py``: passing those costs more than the physics.
"""

from __future__ import annotations

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.kernels.encounter_obs import write_true_state
from robonav_ray.worlds.kernels.ground import boxes_of, corners_of, walls_of
from robonav_ray.worlds.kernels.hazards import hazards
from robonav_ray.worlds.kernels.kernel import F0, hot_kernel, kernel
from robonav_ray.worlds.kernels.layout import (
    CLEARANCE,
    CMD0,
    CMD1,
    COMMANDS,
    ENDED,
    GOAL_INDEX,
    GONE,
    HEAD,
    LEVEL,
    NEXT_LEVEL,
    NUM_STEERED,
    OUTCOME,
    R_TIMEOUT,
    STAYS,
    STEP,
    STEP_LIMIT,
    T_CLEARANCE,
    TRUE_STATE,
)
from robonav_ray.worlds.kernels.lidar import scan, sensor_faults
from robonav_ray.worlds.kernels.motion import move_robot, rest
from robonav_ray.worlds.kernels.observation import write_commands, write_lidar_obs
from robonav_ray.worlds.kernels.obstacles import move_circles, steer_circles
from robonav_ray.worlds.kernels.placement import draw_world
from robonav_ray.worlds.kernels.randomization import NUM_GOALS, OBS_LATENCY, SENSOR_FAULTS
from robonav_ray.worlds.kernels.reward import command_change, pay
from robonav_ray.worlds.kernels.site.body import scan_stands

NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2
"""When an ended world begins anew: with the next step, in the same step, or when ``reset_batch`` is called."""
_NONE, _TIMEOUT = np.int32(Outcome.NONE), np.int32(Outcome.TIMEOUT)


@hot_kernel
def sense(robot, lane, circle, world, stream, scans, wall, const, level, site, beam, rays, near, w, r, k):
    """Take a new scan into the ring, faults included."""
    stack = scans.shape[2]
    previous = np.int64(lane[w, r, HEAD])
    first = lane[w, r, STEP] == 0
    slot = 0 if first or previous + 1 == stack else previous + 1
    if not first and scan_stands(site, lane[w, r, STEP]):
        for j in range(scans.shape[3]):
            scans[w, r, slot, j] = scans[w, r, previous, j]
    else:
        scan(robot, lane, circle, world, wall, const, site, beam, rays, near, w, r, scans, slot)
        if level[k, SENSOR_FAULTS] > F0:
            sensor_faults(robot, lane, stream, level, const, beam, scans, w, r, k, slot, -1 if first else previous)
    if first:
        for h in range(1, stack):
            for j in range(scans.shape[3]):
                scans[w, r, h, j] = scans[w, r, 0, j]
    lane[w, r, HEAD] = slot


@hot_kernel
def observe(
    robot,
    lane,
    circle,
    goal,
    world,
    stream,
    scans,
    scan_pose,
    queue,
    commands,
    wall,
    const,
    level,
    site,
    beam,
    rays,
    near,
    neighbor,
    seen,
    course,
    w,
    r,
    k,
    out,
    i,
):
    """Sense and write the observation of robot (w, r) into ``out[i]``, as old as the level's latency."""
    latency = np.int64(level[k, OBS_LATENCY])
    if const[TRUE_STATE] > F0:
        write_true_state(robot, lane, circle, goal, world, const, level, neighbor, w, r, k, out, i)
    else:
        sense(robot, lane, circle, world, stream, scans, wall, const, level, site, beam, rays, near, w, r, k)
        write_lidar_obs(
            robot, lane, goal, stream, scans, scan_pose, const, level, site, beam, rays, seen, course, w, r, k, out, i
        )
    if latency > 0:
        step, size = np.int64(lane[w, r, STEP]), queue.shape[2]
        old = max(step - latency, 0) % size
        for j in range(out.shape[1]):
            queue[w, r, step % size, j] = out[i, j]
            out[i, j] = queue[w, r, old, j]
    if const[COMMANDS] > F0:
        write_commands(robot, lane, commands, const, w, r, out, i)


@kernel
def observe_world(state, params, scratch, w, only, out):
    """Write the observations of world ``w`` into ``out`` (L, D), for robots with ``only`` (L,) bool; zeros for one that
    takes no part.
    """
    num_robots, k = state.robot.shape[1], state.world[w, LEVEL]
    wall, const = walls_of(params.wall, params.ground, k), params.const[k]
    for r in range(num_robots):
        if state.lane[w, r, STEP_LIMIT] == 0:
            out[w * num_robots + r, :] = F0
        elif only[w * num_robots + r]:
            observe(
                state.robot,
                state.lane,
                state.circle,
                state.goal,
                state.world,
                state.stream,
                state.scan,
                state.scan_pose,
                state.obs_queue,
                state.command_queue,
                wall,
                const,
                params.level,
                params.site,
                params.beam,
                scratch.rays,
                scratch.near,
                scratch.neighbor,
                scratch.seen,
                scratch.course,
                w,
                r,
                k,
                out,
                w * num_robots + r,
            )


@kernel
def reset_world(state, params, scratch, w):
    """Begin the next episode of world ``w``, without its first observations."""
    k = state.world[w, NEXT_LEVEL]
    wall, box = walls_of(params.wall, params.ground, k), boxes_of(params.box, params.ground, k)
    const = params.const[k]
    draw_world(
        state.robot,
        state.lane,
        state.circle,
        state.circle_kind,
        state.goal,
        state.world,
        state.world_key,
        state.stream,
        state.tally,
        const,
        params.level,
        params.behaviour,
        wall,
        box,
        corners_of(params.corner, params.ground, k),
        params.case,
        params.case_size,
        params.site,
        w,
    )
    for r in range(state.robot.shape[1]):
        if state.lane[w, r, GONE] != 0:
            continue
        hazards(
            state.robot,
            state.lane,
            state.circle,
            state.circle_kind,
            state.world,
            state.tally,
            wall,
            const,
            params.site,
            scratch.near,
            w,
            r,
        )
        state.tally[w, r, T_CLEARANCE] = state.robot[w, r, CLEARANCE]


@kernel
def reset_batch(state, params, scratch, out, mask, everyone):
    """Reset the worlds with ``mask`` (N,) bool; ``everyone`` (L,) is all True."""
    for w in range(mask.shape[0]):
        if mask[w]:
            reset_world(state, params, scratch, w)
            observe_world(state, params, scratch, w, everyone, out.obs)


@kernel
def end_world(state, params, scratch, out, w):
    """Copy the last observation and sums of the robots of world ``w`` that ended in this step to where the caller finds
    them.
    """
    lane, num_robots = state.lane, state.robot.shape[1]
    for r in range(num_robots):
        i = w * num_robots + r
        if out.finished[i]:
            lane[w, r, ENDED] = 1
            lane[w, r, GONE] = 0 if params.const[0, STAYS] > F0 else 1
    observe_world(state, params, scratch, w, out.finished, out.final_obs)
    for r in range(num_robots):
        i = w * num_robots + r
        if out.finished[i]:
            for j in range(out.obs.shape[1]):
                out.obs[i, j] = out.final_obs[i, j]
            for j in range(out.final_tally.shape[1]):
                out.final_tally[i, j] = state.tally[w, r, j]
            out.final_lane[i, 0] = lane[w, r, OUTCOME]
            out.final_lane[i, 1] = lane[w, r, STEP]
            out.final_lane[i, 2] = lane[w, r, GOAL_INDEX]
            out.final_lane[i, 3] = np.int32(params.level[state.world[w, LEVEL], NUM_GOALS])
            out.final_lane[i, 4] = state.world[w, LEVEL]


@kernel
def all_ended(lane, w):
    """Return True when no robot of world ``w`` is under way any more."""
    ended = True
    for r in range(lane.shape[1]):
        ended &= lane[w, r, ENDED] != 0
    return ended


@hot_kernel
def move_world(
    robot, lane, circle, kind, goal, world, stream, tally, queue, wall, box, corner, const, level, site, near, neighbor,
    line, command, reward, terminated, truncated, parked, finished, w, k,
):  # fmt: skip
    """Move everything in world ``w`` for one step and pay for it; return how many robots ended in it."""
    num_robots, num_ended = robot.shape[1], 0
    if world[w, NUM_STEERED] > 0:
        steer_circles(robot, lane, circle, kind, world, const, neighbor, line, w)
    for r in range(num_robots):
        i = w * num_robots + r
        parked[i] = lane[w, r, ENDED] != 0
        reward[i], terminated[i], truncated[i], finished[i] = F0, False, False, False
        if not parked[i]:
            old0, old1 = robot[w, r, CMD0], robot[w, r, CMD1]
            move_robot(robot, lane, queue, stream, tally, command, const, level, site, w, r, k)
            reward[i] = command_change(robot, const, w, r, old0, old1)  # until the reward is known
    if const[STAYS] > F0:
        rest(robot, lane, w)
    move_circles(circle, kind, world, stream, const, wall, box, site, w)
    for r in range(num_robots):
        i = w * num_robots + r
        if not parked[i]:
            hit = hazards(robot, lane, circle, kind, world, tally, wall, const, site, near, w, r)
            reward[i] = pay(robot, lane, goal, tally, const, level, site, wall, corner, w, r, k, hit, reward[i])
            outcome = lane[w, r, OUTCOME]
            if outcome != _NONE:
                cut = outcome == _TIMEOUT and const[R_TIMEOUT] == F0
                truncated[i], terminated[i], finished[i] = cut, not cut, True
                num_ended += 1
    return num_ended


@kernel
def step_batch(state, params, scratch, command, out, autoreset, everyone):
    """Step all worlds with ``command`` (N, R, 2) in SI units; return how many episodes ended."""
    robot, lane, circle, kind, goal = state.robot, state.lane, state.circle, state.circle_kind, state.goal
    world, stream, tally, scans = state.world, state.stream, state.tally, state.scan
    obs_queue, command_queue = state.obs_queue, state.command_queue
    level, beam, site, ground, last = params.level, params.beam, params.site, params.ground, np.int64(0)
    const, wall, box = params.const[0], walls_of(params.wall, ground, 0), boxes_of(params.box, ground, 0)
    corner = corners_of(params.corner, ground, 0)
    rays, near, neighbor, line = scratch.rays, scratch.near, scratch.neighbor, scratch.line
    obs, reward, terminated, truncated = out.obs, out.reward, out.terminated, out.truncated
    parked, finished = out.parked, out.finished
    num_worlds, num_robots, num_ended = robot.shape[0], robot.shape[1], 0
    for w in range(num_worlds):
        if autoreset == NEXT_STEP and all_ended(lane, w):
            reset_world(state, params, scratch, w)
            observe_world(state, params, scratch, w, everyone, obs)
            for i in range(w * num_robots, (w + 1) * num_robots):
                reward[i], terminated[i], truncated[i], finished[i], parked[i] = F0, False, False, False, False
            continue
        k = world[w, LEVEL]
        if k != last:
            const, wall, box = params.const[k], walls_of(params.wall, ground, k), boxes_of(params.box, ground, k)
            corner, last = corners_of(params.corner, ground, k), k
        ended = move_world(
            robot, lane, circle, kind, goal, world, stream, tally, command_queue, wall, box, corner, const, level, site,
            near, neighbor, line, command, reward, terminated, truncated, parked, finished, w, k,
        )  # fmt: skip
        if ended > 0:
            num_ended += ended
            end_world(state, params, scratch, out, w)
            if autoreset == SAME_STEP and all_ended(lane, w):
                reset_world(state, params, scratch, w)
                observe_world(state, params, scratch, w, everyone, obs)
                continue
        for r in range(num_robots):
            if lane[w, r, ENDED] == 0:
                observe(
                    robot, lane, circle, goal, world, stream, scans, state.scan_pose, obs_queue, command_queue, wall,
                    const, level, site, beam, rays, near, neighbor, scratch.seen, scratch.course, w, r, k,
                    obs, w * num_robots + r,
                )  # fmt: skip
    return num_ended
