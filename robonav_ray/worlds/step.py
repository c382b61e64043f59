"""One step of a batch of worlds, and their resets: the only kernels that the rest of the package calls in a loop."""

from __future__ import annotations

import numpy as np

from robonav_ray.records import Outcome
from robonav_ray.worlds.hazards import hazards
from robonav_ray.worlds.kernel import F0, kernel
from robonav_ray.worlds.layout import (
    CLEARANCE,
    CMD0,
    CMD1,
    DT,
    ENDED,
    GOAL_INDEX,
    HEAD,
    LEVEL,
    OUTCOME,
    STATE_OBS,
    STEP,
    T_CLEARANCE,
)
from robonav_ray.worlds.lidar import scan, sensor_faults
from robonav_ray.worlds.motion import move_robot
from robonav_ray.worlds.observation import write_lidar_obs, write_state_obs
from robonav_ray.worlds.obstacles import move_circles, steer_circles
from robonav_ray.worlds.placement import draw_world
from robonav_ray.worlds.randomization import NUM_GOALS, OBS_LATENCY, SENSOR_FAULTS
from robonav_ray.worlds.reward import command_change, pay

NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2
"""When an ended world begins anew: with the next step, in the same step, or when ``reset_batch`` is called."""
_NONE, _TIMEOUT = np.int32(Outcome.NONE), np.int32(Outcome.TIMEOUT)


@kernel
def sense(state, params, scratch, w, r, k):
    """Take a new scan into the ring, faults included."""
    level, lane = params.level, state.lane
    stack = state.scan.shape[2]
    previous = np.int64(lane[w, r, HEAD])
    slot = previous + 1 if previous + 1 < stack else 0
    first = lane[w, r, STEP] == 0
    if first:
        slot = 0
    scan(
        state.robot, lane, state.circle, state.world, params.wall, params.const, params.beam, scratch.dirs, w, r, state.scan, slot
    )
    if level[k, SENSOR_FAULTS] > F0:
        sensor_faults(
            state.robot, lane, state.stream, level, params.const, params.beam, state.scan, w, r, k, slot, -1 if first else previous
        )
    if first:
        for h in range(1, stack):
            state.scan[w, r, h, :] = state.scan[w, r, 0, :]
    lane[w, r, HEAD] = slot


@kernel
def write_fresh(state, params, scratch, w, r, k, out):
    """Write what the robot would see without latency into ``out`` (D,)."""
    const, level = params.const, params.level
    if const[STATE_OBS] > F0:
        write_state_obs(
            state.robot, state.lane, state.circle, state.goal, state.world, const, level, scratch.neighbor, w, r, k, out
        )
    else:
        write_lidar_obs(state.robot, state.lane, state.goal, state.stream, state.scan, const, level, const[DT], w, r, k, out)


@kernel
def observe(state, params, scratch, w, r, k, out, lane_index):
    """Sense and write the observation of robot (w, r) into ``out[lane_index]``, as old as the level's latency."""
    if params.const[STATE_OBS] <= F0:
        sense(state, params, scratch, w, r, k)
    latency = np.int64(params.level[k, OBS_LATENCY])
    if latency == 0:
        write_fresh(state, params, scratch, w, r, k, out[lane_index])
        return
    step, size = np.int64(state.lane[w, r, STEP]), state.obs_queue.shape[2]
    write_fresh(state, params, scratch, w, r, k, scratch.fresh)
    state.obs_queue[w, r, step % size, :] = scratch.fresh
    out[lane_index, :] = state.obs_queue[w, r, max(step - latency, 0) % size, :]


@kernel
def reset_world(state, params, scratch, out, w):
    """Begin the next episode of world ``w`` and write its first observations."""
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
        params.const,
        params.level,
        params.behaviour,
        params.wall,
        params.box,
        w,
    )
    k = state.world[w, LEVEL]
    num_robots = state.robot.shape[1]
    for r in range(num_robots):
        hazards(state.robot, state.lane, state.circle, state.circle_kind, state.world, state.tally, params.wall, params.const, w, r)
        state.tally[w, r, T_CLEARANCE] = state.robot[w, r, CLEARANCE]
        observe(state, params, scratch, w, r, k, out.obs, w * num_robots + r)


@kernel
def reset_batch(state, params, scratch, out, mask):
    """Reset the worlds with ``mask`` (N,) bool."""
    for w in range(mask.shape[0]):
        if mask[w]:
            reset_world(state, params, scratch, out, w)


@kernel
def keep_final(state, params, out, w, r, k, lane_index):
    """Copy the last observation and sums of an episode to where the caller finds them."""
    lane = state.lane
    for j in range(out.obs.shape[1]):
        out.final_obs[lane_index, j] = out.obs[lane_index, j]
    for j in range(out.final_tally.shape[1]):
        out.final_tally[lane_index, j] = state.tally[w, r, j]
    out.final_lane[lane_index, 0] = lane[w, r, OUTCOME]
    out.final_lane[lane_index, 1] = lane[w, r, STEP]
    out.final_lane[lane_index, 2] = lane[w, r, GOAL_INDEX]
    out.final_lane[lane_index, 3] = np.int32(params.level[k, NUM_GOALS])
    out.final_lane[lane_index, 4] = k


@kernel
def advance(state, params, scratch, command, out, w, k):
    """Move everything in world ``w`` for one step; return how many robots ended in it."""
    robot, lane, circle, kind, world = state.robot, state.lane, state.circle, state.circle_kind, state.world
    stream, tally, const, level = state.stream, state.tally, params.const, params.level
    num_robots = robot.shape[1]
    steer_circles(robot, lane, circle, kind, world, stream, const, scratch.neighbor, scratch.line, w)
    for r in range(num_robots):
        i = w * num_robots + r
        out.parked[i] = lane[w, r, ENDED] != 0
        out.reward[i], out.terminated[i], out.truncated[i], out.finished[i] = F0, False, False, False
        if not out.parked[i]:
            old0, old1 = robot[w, r, CMD0], robot[w, r, CMD1]
            move_robot(robot, lane, state.command_queue, stream, tally, command, const, level, w, r, k)
            out.reward[i] = command_change(robot, const, w, r, old0, old1)  # until the reward is known
    move_circles(circle, kind, world, stream, const, params.wall, params.box, w)
    num_ended = 0
    for r in range(num_robots):
        i = w * num_robots + r
        if not out.parked[i]:
            hit = hazards(robot, lane, circle, kind, world, tally, params.wall, const, w, r)
            out.reward[i] = pay(robot, lane, state.goal, tally, const, level, w, r, k, hit, out.reward[i])
            outcome = lane[w, r, OUTCOME]
            out.truncated[i] = outcome == _TIMEOUT
            out.terminated[i] = outcome != _NONE and outcome != _TIMEOUT
            out.finished[i] = outcome != _NONE
            num_ended += outcome != _NONE
    if num_ended > 0:
        for r in range(num_robots):
            if out.finished[w * num_robots + r]:
                lane[w, r, ENDED] = 1
    for r in range(num_robots):
        i = w * num_robots + r
        if not out.parked[i]:
            observe(state, params, scratch, w, r, k, out.obs, i)
            if out.finished[i]:
                keep_final(state, params, out, w, r, k, i)
    return num_ended


@kernel
def all_ended(lane, w):
    """Return True when no robot of world ``w`` is under way any more."""
    for r in range(lane.shape[1]):
        if lane[w, r, ENDED] == 0:
            return False
    return True


@kernel
def step_batch(state, params, scratch, command, out, autoreset):
    """Step all worlds with ``command`` (N, R, 2) in SI units; return how many episodes ended."""
    num_ended = 0
    num_worlds, num_robots = state.robot.shape[0], state.robot.shape[1]
    for w in range(num_worlds):
        if autoreset == NEXT_STEP and all_ended(state.lane, w):
            reset_world(state, params, scratch, out, w)
            for i in range(w * num_robots, (w + 1) * num_robots):
                out.reward[i], out.terminated[i], out.truncated[i] = F0, False, False
                out.finished[i], out.parked[i] = False, False
            continue
        ended = advance(state, params, scratch, command, out, w, state.world[w, LEVEL])
        num_ended += ended
        if autoreset == SAME_STEP and ended > 0 and all_ended(state.lane, w):
            reset_world(state, params, scratch, out, w)
    return num_ended
