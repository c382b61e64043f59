"""Numbers of messages: plain attributes are read, so that no message type is needed here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Pose = tuple[float, float, float]
"""x, y (m), yaw (rad)."""


class Odom(NamedTuple):
    """What a message of odometry says."""

    pose: Pose
    """In ``frame``."""
    twist: tuple[float, float]
    """(v, omega) of a robot that turns, (v_x, v_y) of one that moves to all sides; in its own frame."""
    frame: str
    stamp: float
    """s: its own time."""


def seconds_of(stamp: Any) -> float:
    """Return a ``builtin_interfaces/Time`` in seconds."""
    return stamp.sec + stamp.nanosec * 1e-9


def yaw_of(q: Any) -> float:
    """Return the yaw (rad) of a quaternion; NaN for one that is none."""
    norm2 = q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w
    if not 0.25 < norm2 < 4.0:
        return math.nan
    return math.atan2(2.0 * (q.w * q.z + q.x * q.y), norm2 - 2.0 * (q.y * q.y + q.z * q.z))


def pose_of(pose: Any) -> Pose:
    """Return x, y and yaw of a ``geometry_msgs/Pose``."""
    return pose.position.x, pose.position.y, yaw_of(pose.orientation)


def odom_of(message: Any, holonomic: bool) -> Odom:
    """Return what a ``nav_msgs/Odometry`` says."""
    twist = message.twist.twist
    second = twist.linear.y if holonomic else twist.angular.z
    return Odom(
        pose_of(message.pose.pose), (twist.linear.x, second), message.header.frame_id, seconds_of(message.header.stamp)
    )


def goals_of_path(poses: Sequence[Any], spacing_m: float) -> list[tuple[float, float]]:
    """Return goals along the poses (``geometry_msgs/PoseStamped``) of a path: each is at least ``spacing_m`` from the
    one before, and the end is the last.
    """
    points = [(one.pose.position.x, one.pose.position.y) for one in poses]
    if not points:
        return []
    kept, before = list[tuple[float, float]](), points[0]
    for point in points[:-1]:
        if not math.dist(point, before) < spacing_m:  # not finite: kept, and refused with the others
            kept.append(point)
            before = point
    return [*kept, points[-1]]


def seen_from(frame: Pose, pose: Pose) -> Pose:
    """Return ``pose``, given in a frame that lies at ``frame``, in the frame that ``frame`` is given in."""
    if not all(map(math.isfinite, (*frame, *pose))):
        return math.nan, math.nan, math.nan
    c, s = math.cos(frame[2]), math.sin(frame[2])
    x, y, yaw = pose
    turned = frame[2] + yaw
    return frame[0] + c * x - s * y, frame[1] + s * x + c * y, math.remainder(turned, 2.0 * math.pi)


def is_standing(twist: Sequence[float]) -> bool:
    """Whether a twist is one of zeros."""
    return not np.any(twist)
