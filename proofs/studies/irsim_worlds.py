"""A world of ours as a world of ir-sim, and the policy of a bundle in it, by scan, pose and goals alone.

ir-sim (https://pypi.org/project/ir-sim/, MIT) has circles, walls and lidars of its own, and obstacles with minds of
their own: ``dash`` goes straight to points that it draws, ``rvo`` avoids all that moves by reciprocal velocity
obstacles. A world is written as its YAML, so that people can open it without these programs.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from robonav_policy import GoalSequence, Lidar, Policy, Spec
from robonav_ray.errors import UserError
from robonav_ray.records import Outcome
from robonav_ray.worlds.scene import Scene

KINDS = ("static", "dash", "rvo")
"""What the circles of a world do in ir-sim."""
_AHEAD_M = 1e-3
"""A lidar's rays that end this far behind the range of the training tell a return at it from none."""


class NoSimulatorError(UserError):
    """ir-sim is not installed."""


@dataclass(frozen=True)
class Ending:
    """How an episode ended."""

    outcome: Outcome
    steps: int


def world_document(scene: Scene, speed: np.ndarray, spec: Spec, kind: str) -> dict[str, Any]:
    """Return the document of ir-sim's YAML of a world that begins as ``scene``.

    Args:
        scene: One robot, its goals, circles and walls.
        speed: (C,) m/s of each circle.
        spec: Of the policy: its body, limits, lidar and period.
        kind: One of ``KINDS``.
    """
    half = scene.half_side_m
    x, y, yaw = (float(value) for value in scene.robot_pose[0])
    limits = {
        "vel_min": [-spec.max_speed, -spec.max_speed] if spec.is_holonomic else [0.0, -spec.max_turn_rate],
        "vel_max": [spec.max_speed, spec.max_speed if spec.is_holonomic else spec.max_turn_rate],
    }
    robot = {
        "kinematics": {"name": "omni" if spec.is_holonomic else "diff"},
        "shape": {"name": "circle", "radius": spec.radius_m},
        "state": [x, y, yaw],
        "goal": [[[float(a), float(b), 0.0] for a, b in scene.goals[0]]],  # a list for each robot
        "goal_threshold": spec.goal_tolerance_m,
        **limits,
        "sensors": [_lidar(spec)],
    }
    edge = [[-half, -half], [half, -half], [half, half], [-half, half], [-half, -half]]
    lines = [[[float(v) for v in wall[:2]], [float(v) for v in wall[2:]]] for wall in scene.inner_walls]
    walls = list(itertools.pairwise(edge)) if scene.walls else []
    obstacles = [_circle(row, float(v), half, kind, spec.dt_s) for row, v in zip(scene.circles, speed, strict=True)]
    obstacles += [
        {"shape": {"name": "linestring", "vertices": [list(a), list(b)]}, "state": [0.0, 0.0, 0.0]}
        for a, b in (*walls, *lines)
    ]
    return {
        "world": {
            "width": 2 * half,
            "height": 2 * half,
            "offset": [-half, -half],
            "step_time": spec.dt_s,
            "collision_mode": "unobstructed_obstacles",
            "control_mode": "auto",
        },
        "robot": [robot],
        "obstacle": obstacles,
    }


def _lidar(spec: Spec) -> dict[str, Any]:
    """Return a lidar whose rays are those of the training; around a full circle it has one more, beside the first,
    since ir-sim's angles include both ends.
    """
    scan = spec.scan
    gaps = scan.num_beams if scan.is_full_circle else scan.num_beams - 1
    around = scan.angle_increment * gaps
    return {
        "type": "lidar2d",
        "range_min": 0.0,
        "range_max": scan.range_max + _AHEAD_M,
        "angle_range": around,
        "number": gaps + 1,
        "offset": [0.0, 0.0, scan.angle_min + around / 2],
    }


def _circle(row: np.ndarray, speed: float, half: float, kind: str, dt_s: float) -> dict[str, Any]:
    x, y, radius = (float(value) for value in row[:3])
    found: dict[str, Any] = {"shape": {"name": "circle", "radius": radius}, "state": [x, y, 0.0]}
    if kind == "static":
        return {**found, "kinematics": {"name": "static"}}
    room = max(half - radius, 0.0)
    behaviour: dict[str, Any] = {
        "name": kind,
        "wander": True,
        "range_low": [-room, -room, -math.pi],
        "range_high": [room, room, math.pi],
    }
    if kind == "rvo":
        behaviour |= {"vxmax": speed, "vymax": speed, "acce": 1.0, "factor": 1.0, "neighbor_threshold": 3.0}
    return {
        **found,
        "kinematics": {"name": "omni"},
        "vel_min": [-speed, -speed],
        "vel_max": [speed, speed],
        "goal_threshold": max(speed * dt_s, 0.05) if kind == "dash" else 0.3,
        "behavior": behaviour,
    }


def drive(document: Mapping[str, Any], policy: Policy, max_steps: int, seed: int, place: Path) -> Ending:
    """Drive the robot of a world in ir-sim with ``policy``, until its goals are reached, it hits anything, or
    ``max_steps`` are over.

    ``place`` is the file that the YAML is written to; ``seed`` is that of ir-sim's own draws.

    Raises:
        NoSimulatorError: When ir-sim is not installed.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of every backend of Matplotlib that is not there
            import irsim
    except ImportError:
        raise NoSimulatorError("ir-sim is not installed: `pip install 'robonav_ray[irsim]'` brings it") from None
    place.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
    env = irsim.make(str(place), headless=True, log_level="CRITICAL", seed=seed)
    try:
        return _episode(env, policy, max_steps)
    finally:
        env.end(0.0)


def _episode(env: Any, policy: Policy, max_steps: int) -> Ending:
    spec, robot = policy.spec, env.robot
    goals = GoalSequence([goal[:2] for goal in robot._goal], spec.goal_tolerance_m)
    policy.reset(max_steps)
    twist = (0.0, 0.0)
    for step in range(1, max_steps + 1):
        twist = policy.act(ranges_of(env, spec), pose_of(robot), goals, twist)
        if policy.last.problem is not None:
            raise RuntimeError(f"step {step}: {policy.last.problem}")
        env.step(np.array(twist, dtype=float).reshape(2, 1))
        if robot.collision:
            return Ending(_met(robot), step)
        if not len(goals.remaining(pose_of(robot))):
            return Ending(Outcome.SUCCESS, step)
    return Ending(Outcome.TIMEOUT, max_steps)


def lidar_of(spec: Spec) -> Lidar:
    """Return the lidar of the robots in ir-sim as ``robonav_policy`` is told of it."""
    scan = spec.scan
    return Lidar(scan.num_beams, scan.angle_min, scan.angle_increment, scan.range_max)


def ranges_of(env: Any, spec: Spec) -> np.ndarray:
    """Return the last scan (B,) in metres, +inf where there is nothing; the array is its own."""
    scan = env.get_lidar_scan()
    return np.where(scan["valid"], scan["ranges"], math.inf)[: spec.scan.num_beams]


def pose_of(robot: Any) -> tuple[float, float, float]:
    """Return x, y (m) and yaw (rad) of a robot of ir-sim."""
    x, y, yaw = (float(value) for value in robot.state[:3, 0])
    return x, y, yaw


def _met(robot: Any) -> Outcome:
    """Return what kind of thing the robot has hit."""
    hit = robot.collision_obj[0]
    if hit.shape == "linestring":
        return Outcome.COLLISION_WALL
    return Outcome.COLLISION_STATIC if hit.static else Outcome.COLLISION_DYNAMIC
