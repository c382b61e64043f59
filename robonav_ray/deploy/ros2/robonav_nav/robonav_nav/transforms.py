"""Goals in another frame than the odometry, by tf2, which is loaded when they come."""

from __future__ import annotations

from typing import Any

from robonav_nav.conversions import Pose, yaw_of
from robonav_nav.driver import nowhere
from robonav_policy import PolicyError


class Transforms:
    """Asks tf2 where one frame lies in another."""

    def __init__(self, node: Any) -> None:
        """``node``: of rclpy; it listens to transforms from the first question on."""
        self._node, self._buffer = node, None
        self._listener: Any = None

    def locate(self, frame: str, other: str) -> Pose:
        """Return where ``other`` lies in ``frame`` now.

        Raises:
            PolicyError: When tf2 is not installed, or knows no way between the two.
        """
        try:
            import tf2_ros
            from rclpy.time import Time
        except ImportError:
            return nowhere(frame, other)
        if self._buffer is None:
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, self._node)
        try:
            found = self._buffer.lookup_transform(frame, other, Time()).transform
        except tf2_ros.TransformException as error:
            raise PolicyError(f"no transform from {other!r} to {frame!r}: {error}") from None
        return found.translation.x, found.translation.y, yaw_of(found.rotation)
