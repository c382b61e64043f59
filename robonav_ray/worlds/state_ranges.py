"""What the saved state of the simulator may hold: kernels take it on trust, NaN and indices among it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robonav_ray.ranges import MAX_COUNT, MAX_SIZE, Bound, Numbers, columns, count, like, real, require
from robonav_ray.records import Outcome
from robonav_ray.worlds.cases import MAX_RADIUS_M, MAX_SPEED
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels import randomization as rnd
from robonav_ray.worlds.kernels.adversary import OBSTACLE
from robonav_ray.worlds.kernels.kernel import FAR
from robonav_ray.worlds.kernels.placement import CROSSING_RADIUS_M
from robonav_ray.worlds.site import OF_STATE

_UNIT = (-1.01, 1.01)
_MAX_TALLY = 1.0e12
_FAR = float(FAR)
_WORD = (1 << 64) - 1


def declared(state: lay.State, obs: np.ndarray, params: lay.Params, max_circles: int) -> dict[str, Numbers]:
    """Return name -> declaration of what ``BatchedWorlds.state_dict`` returns, for worlds with such arrays."""
    ranges = _ranges(state, params, max_circles)
    arrays = {f"state.{name}": like(array, *ranges[name]) for name, array in state._asdict().items()}
    return {
        **arrays,
        "out.obs": like(obs, -MAX_SIZE, MAX_SIZE),
        "seed": count(low=-(1 << 63), high=(1 << 63) - 1),
        "first_world": count(),
        "gamma": real(),
    }


def _ranges(state: lay.State, params: lay.Params, max_circles: int) -> dict[str, tuple[Bound, Bound]]:
    """Return the least and the most of every array; axes with named columns have bounds of their own."""
    const, level = params.const, params.level
    robot = {lay.COS: _UNIT, lay.SIN: _UNIT, lay.BLIND_COS: _UNIT, lay.BLIND_SIN: _UNIT}
    robot |= {
        lay.OWN_RADIUS: (0.0, MAX_RADIUS_M),
        lay.OWN_SPEED: (0.0, MAX_SPEED),
        lay.GAIN0: (0.0, 2.0),
        lay.GAIN1: (0.0, 2.0),
        lay.ACC_X: (-_MAX_TALLY, _MAX_TALLY),
        lay.ACC_Y: (-_MAX_TALLY, _MAX_TALLY),
    }
    lane = {
        lay.GOAL_INDEX: (0, int(level[:, rnd.NUM_GOALS].max())),
        lay.OUTCOME: (0, max(Outcome)),
        lay.STEP: (0, int(level[:, rnd.MAX_STEPS].max())),
        lay.STEP_LIMIT: (0, int(level[:, rnd.MAX_STEPS].max())),
        lay.FREEZE_LEFT: (0, rnd.FAULT_STEPS),
        lay.BLACKOUT_LEFT: (0, rnd.FAULT_STEPS),
        lay.HEAD: (0, state.scan.shape[2] - 1),
    }
    circle = columns(
        lay.CIRCLE_COLS,
        {lay.C_RADIUS: (0.0, float(const[:, lay.HALF_SIDE].max())), lay.C_SPEED: (0.0, _FAR)},
        -_FAR,
        _FAR,
        np.float32,
    )
    last = len(level) - 1
    world = {lay.EPISODE: (-1, MAX_COUNT), lay.LEVEL: (0, last), lay.NEXT_LEVEL: (0, last), lay.INDEX: (0, MAX_COUNT)}
    pose = {2: _UNIT, 3: _UNIT}
    site = params.site
    most_mark = 0 if site is None else max(0, len(site.mark) - 1)
    return {
        "robot": columns(lay.ROBOT_COLS, robot, -MAX_SIZE, MAX_SIZE, np.float32),
        "lane": columns(lay.LANE_COLS, lane, 0, 1, np.int32),
        "circle": (circle[0][:, None], circle[1][:, None]),
        "circle_kind": (0, np.array([[len(lay.BEHAVIOURS) - 1], [1]], np.int32)),
        "goal": columns(lay.GOAL_COLS, {lay.LEGS_AFTER: (0.0, MAX_SIZE)}, -MAX_SIZE, MAX_SIZE, np.float32),
        "world": columns(lay.WORLD_COLS, world, 0, max_circles, np.int64),
        "world_key": (0, _WORD),
        "stream": (0, np.array([_WORD, MAX_COUNT], np.uint64)),
        "tally": columns(lay.TALLY_COLS, {lay.T_POTENTIAL: (-MAX_SIZE, MAX_SIZE)}, -_MAX_TALLY, _MAX_TALLY, np.float32),
        "scan": (0.0, 1.0),
        "scan_pose": columns(4, pose, -MAX_SIZE, MAX_SIZE, np.float32),
        "obs_queue": (-MAX_SIZE, MAX_SIZE),
        "command_queue": (-MAX_SIZE, MAX_SIZE),
        "driver": (0, OBSTACLE),
        "map_of": (0, max(0, 0 if site is None else len(site.grid) - 1)),
        "goal_mark": (0, most_mark),
        "circle_mark": (-1, most_mark),
        "plan": (-MAX_SIZE, MAX_SIZE),
    }


def check_together(saved: Mapping[str, Any], params: lay.Params, some_under_way: bool) -> None:
    """RangeError unless arrays that are each in their range also go together; ``some_under_way``: a robot in every
    world.
    """
    lane, world, circle = saved["state.lane"], saved["state.world"], saved["state.circle"]
    rules = params.level[world[:, lay.LEVEL]]
    under_way = lane[..., lay.ENDED] == 0
    require(not some_under_way or under_way.any(axis=1), "state.lane: all robots of a world have ended")
    goals, steps = (rules[:, column].astype(np.int64)[:, None] for column in (rnd.NUM_GOALS, rnd.MAX_STEPS))
    limit = lane[..., lay.STEP_LIMIT]
    require(limit <= steps, "state.lane: a limit of steps beyond max_steps of its level")
    require(lane[..., lay.GOAL_INDEX] <= goals - under_way, "state.lane: a goal beyond those of its level")
    most = np.where(world[:, lay.EPISODE, None] < 0, 0, limit - under_way)  # none has a limit before the first episode
    require(lane[..., lay.STEP] <= most, "state.lane: a step beyond its limit")
    num = world[:, lay.NUM_CIRCLES]
    require(world[:, lay.NUM_STEERED] <= num, "state.world: more circles are steered than there are")
    there = np.arange(circle.shape[2]) < num[:, None]
    const = params.const[world[:, lay.LEVEL]]
    edge = const[:, lay.HALF_SIDE] + 1.0
    crossing = CROSSING_RADIUS_M + const[:, lay.SPEED_MAX] + 2 * const[:, lay.RADIUS_MAX] + 1.0
    edge = np.where(const[:, lay.CIRCLE_CROSSING] > 0, np.maximum(edge, crossing), edge)  # may begin outside
    reach = np.abs(circle[:, : lay.C_Y + 1]).max(axis=1) + circle[:, lay.C_RADIUS]
    require(~there | (reach <= edge[:, None]), "state.circle: a circle is outside of the arena")


def widened(saved: Mapping[str, Any], state: lay.State, params: lay.Params, first_world: int) -> Mapping[str, Any]:
    """Return what was saved before there were maps, and before robots had bodies, limits of time and drivers of their
    own, as it is saved now.

    Arrays that are not just so much narrower than those of ``state`` are returned as they are, for the check to refuse.
    """
    if params.site is None:
        saved = {**{f"state.{name}": getattr(state, name).copy() for name in OF_STATE}, **saved}
    names = ("robot", "lane", "world")
    robot, lane, world = (saved.get(f"state.{name}") for name in names)
    for array, name, cols in zip((robot, lane, world), names, (lay.OWN_RADIUS, lay.STEP_LIMIT, lay.INDEX), strict=True):
        shape = getattr(state, name).shape
        if not isinstance(array, np.ndarray) or array.shape != (*shape[:-1], cols):
            return saved
    assert robot is not None
    assert lane is not None
    assert world is not None
    num_worlds, num_robots = state.driver.shape
    body = np.broadcast_to(params.const[0, [lay.RADIUS, lay.MAX_SPEED]], (num_worlds, num_robots, 2))
    level = np.clip(world[:, lay.LEVEL], 0, len(params.level) - 1).astype(np.int64)
    limit = np.broadcast_to(params.level[level, rnd.MAX_STEPS][:, None], (num_worlds, num_robots))
    index = first_world + np.arange(num_worlds)
    return {
        "state.driver": np.zeros_like(state.driver),
        **saved,
        "state.robot": np.concatenate([robot, body.astype(robot.dtype)], axis=2),
        "state.lane": np.concatenate(
            [lane, np.stack([limit, lane[..., lay.ENDED]], axis=2).astype(lane.dtype)], axis=2
        ),
        "state.world": np.concatenate([world, index[:, None].astype(world.dtype)], axis=1),
    }
