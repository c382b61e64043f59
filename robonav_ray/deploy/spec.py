"""``spec.json``: what a policy sees and does, in words and numbers that a robot is held against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import robonav_policy.spec as form
from robonav_ray.config import RunConfig
from robonav_ray.config.worlds import RobotConfig, WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.registry.contents import Content
from robonav_ray.runs.policies import Ensemble
from robonav_ray.runs.task import Task
from robonav_ray.worlds.kernels.actions import action_table
from robonav_ray.worlds.kernels.layout import GOAL_SCALE_M, GOALS_SCALE
from robonav_ray.worlds.mix import with_parts
from robonav_ray.worlds.scan_contract import scan_contract

FRAMES = {
    "axes": "x ahead, y left, yaw counter-clockwise (REP 103)",
    "scan": "seen from the robot's centre; beam 0 at angle_min from straight ahead, counter-clockwise",
    "pose": "of the robot's centre, in a frame that stands still (odom or map)",
    "goal": "in the frame of the pose",
    "twist": "in the robot's frame",
}
_FROM_MOUNT = "seen from scan.mount (x, y); beam 0 at angle_min from straight ahead, counter-clockwise"
_USUAL: Mapping[str, Any] = {
    "mount": (0.0, 0.0), "yaw": 0.0, "range_min": 0.0, "contact_m": None, "rate_hz": None
}  # fmt: skip
"""Of a lidar that stands in the middle, looks ahead, sees from 0 m on and at every decision, none of this is said."""
_OF_THIS_EXPORT = ("created", "created_s", "created_by", "reason", "name", "number", "content_id")
"""Parts of a provenance that tell of a version, or of a moment, and not of the policy."""


class NoRobotError(UserError):
    """A run whose policy no robot can drive with; the message says why."""


def refuse_undrivable(config: RunConfig, task: Task, shown: str) -> None:
    """Raise NoRobotError when what the policy of ``config`` sees cannot be had on a robot, or what it does is no
    twist.
    """
    world = config.env.world
    if not task.is_native:
        raise NoRobotError(
            f"{shown}: was trained on env.id={task.env_id}, which has no robot with a lidar; a bundle is of a policy "
            "of our worlds (robonav_ray/Nav-v0)"
        )
    if world.observation != "lidar":
        raise NoRobotError(
            f"{shown}: was trained with env.world.observation={world.observation}, the true state of what is around "
            "the robot, which no robot has; train with env.world.observation=lidar"
        )


@dataclass(frozen=True)
class Subject:
    """What a bundle is made of."""

    name: str
    shown: str
    """As people type it here."""
    config: RunConfig
    """That of the training; of an ensemble that of its first member."""
    content: Content
    """As a version of a model would have it."""
    acting: Ensemble
    """The networks; one unless it is an ensemble."""


def spec_of(subject: Subject, task: Task) -> dict[str, Any]:
    """Return the document of ``spec.json`` for the policy of a run: the same for the same policy and evaluation."""
    content, config, members = subject.content, subject.config, subject.acting.members
    provenance = {key: value for key, value in content.provenance.items() if key not in _OF_THIS_EXPORT}
    if len(members) > 1:
        told = [{**one.facts, "weights_sha256": one.sha256} for one in members]
        provenance |= {"ensemble": {"how": subject.acting.how, "members": told}}
    world, table = config.env.world, task.table.to_dict()
    robot = world.robot
    commands = action_table(robot)
    assert commands is not None  # the learner's actions are discrete
    levels = task.levels
    contract = scan_contract(world)
    scan = {key: value for key, value in asdict(contract).items() if value != _USUAL.get(key)}
    scan |= {"mount": list(contract.mount)} if "mount" in scan else {}
    return {
        "kind": form.KIND,
        "format_version": form.FORMAT_VERSION,
        "name": subject.name,
        "units": form.UNITS,
        "frames": FRAMES if contract.mount == (0.0, 0.0) else FRAMES | {"scan": _FROM_MOUNT},
        "observation": {
            "size": task.obs_dim,
            "dtype": "float32",
            "layout": form.layout_of(
                scan["stack"] * scan["num_beams"],
                world.path.num_points,
                world.recent_commands,
                world.forecast,
                world.detour,
            ),
            **({"recent_commands": world.recent_commands} if world.recent_commands else {}),
            **({"forecast": True} if world.forecast else {}),
            **({"detour": True} if world.detour else {}),
            "numbers": table["observation"],
        },
        "scan": scan,
        "goal": {
            "tolerance_m": world.goal_tolerance_m,
            "distance_unit_m": GOAL_SCALE_M,
            "count_unit": GOALS_SCALE,
            "max_goals": max(level.num_goals for level in levels),
        },
        "actions": {
            "drive": robot.drive,
            "kind": "increments" if robot.actions == "increments9" else "commands",
            "set": robot.actions,
            "columns": table["command"],
            "table": commands.astype(float).tolist(),
        },
        "rate": {"dt_s": world.dt_s, "hz": 1.0 / world.dt_s},
        "limits": {
            "max_speed": robot.max_speed,
            "max_turn_rate": robot.max_turn_rate,
            "max_acceleration": robot.max_acceleration,
            "max_turn_acceleration": robot.max_turn_acceleration,
            "max_steps": max(level.max_steps for level in levels),
            **({} if robot.min_turn_radius_m is None else {"min_turn_radius": robot.min_turn_radius_m}),
        },
        "body": _body(robot),
        **_path(world),
        "algorithm": config.algo.model_dump(mode="json"),
        "training": {"config": config.model_dump(mode="json"), "faults": _faults(task)},
        "evaluation": json.loads(content.evaluation),
        "provenance": provenance,
    }


def _body(robot: RobotConfig) -> dict[str, Any]:
    if robot.body.shape == "circle":
        return {"shape": "disc", "radius_m": robot.radius_m}
    outline = [list(corner) for corner in robot.body.corners]
    return {"shape": "polygon", "radius_m": robot.radius_m, "outline": outline}


def _path(world: WorldConfig) -> dict[str, Any]:
    """Return what is said of the path that the policy sees; nothing where it sees none."""
    path = world.path
    if not path.num_points:
        return {}
    return {"path": {"num_points": path.num_points, "spacing_m": path.spacing_m, "unit_m": GOAL_SCALE_M}}


def _faults(task: Task) -> Mapping[str, int]:
    """Return what the training was randomised by, each at its strongest level over the stages."""
    levels = [level.randomization.model_dump() for level in with_parts(task.levels)]
    return {name: strongest for name in levels[0] if (strongest := max(level[name] for level in levels))}
