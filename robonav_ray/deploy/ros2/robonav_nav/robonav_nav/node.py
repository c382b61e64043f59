"""The lifecycle node ``robonav``: scan, odometry and goals in, a twist out.

Topics are relative: ``scan`` (sensor_msgs/LaserScan, sensor QoS), ``odom`` (nav_msgs/Odometry, sensor QoS),
``goal_pose`` (geometry_msgs/PoseStamped: one goal) or ``path`` (nav_msgs/Path: goals in sequence), ``cmd_vel``
(TwistStamped, or Twist), ``current_goal`` (what is driven to), and ``/diagnostics``.

Whatever the policy says, the limits of its spec and of the parameters hold. Without a scan for two periods, with a
scan, a pose or a goal that is none, and whenever the node leaves the active state, the twist is zero.
"""

from __future__ import annotations

import math
import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry as OdometryMessage
from nav_msgs.msg import Path
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import LaserScan

from robonav_nav.driver import STAND, Command, Driver, Odometry
from robonav_policy import Lidar, Policy, PolicyError, SafetyLayer, read_bundle
from robonav_policy.policy import ARRIVED

PARAMETERS: dict[str, Any] = {
    "bundle": "",
    "kind": "",
    "goal_source": "both",
    "stamped": True,
    "frame_id": "base_link",
    "scan_period_s": 0.0,
    "watchdog_periods": 2.0,
    "use_odom_twist": True,
    "time_left": -1.0,
    "lidar_mount": [0.0, 0.0, 0.0],
    "lidar_upside_down": False,
    "lidar_zeros": "invalid",
    "allow_less": False,
    "safety": "act",
    "latency_s": 0.2,
    "deceleration": 1.0,
    "margin_m": 0.05,
    "min_time_to_collision_s": 0.5,
    "max_speed": 0.0,
    "max_turn_rate": 0.0,
    "max_acceleration": 0.0,
    "max_turn_acceleration": 0.0,
}
"""With their defaults; a limit of 0 is none beside that of the spec. ``goal_source``: topic, path or both."""
FIXED_WHILE_ACTIVE = frozenset(PARAMETERS)
DIAGNOSTICS_S = 1.0


class RobonavNode(LifecycleNode):
    """See the module."""

    def __init__(self) -> None:
        """Declare the parameters; nothing is opened before ``configure``."""
        super().__init__("robonav")
        for name, default in PARAMETERS.items():
            self.declare_parameter(name, default)
        self.add_on_set_parameters_callback(self._refuse_while_active)
        self._driver: Driver | None = None
        self._loaded: str | None = None
        self._is_active = False
        self._frame = ""
        self._tf: Any = None
        self._things: list[tuple[Any, Any]] = []
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._fault: str | None = None

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Open the bundle, whole or not at all, and the topics."""
        if not self._load():
            return TransitionCallbackReturn.FAILURE
        stamped = self._value("stamped")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._cmd_vel = self.create_publisher(TwistStamped if stamped else Twist, "cmd_vel", 10)
        self._current_goal = self.create_publisher(PoseStamped, "current_goal", latched)
        subscribe, source = self.create_subscription, self._value("goal_source")
        self._things = [
            (self.destroy_publisher, self._cmd_vel),
            (self.destroy_publisher, self._current_goal),
            (self.destroy_subscription, subscribe(LaserScan, "scan", self._on_scan, qos_profile_sensor_data)),
            (self.destroy_subscription, subscribe(OdometryMessage, "odom", self._on_odom, qos_profile_sensor_data)),
        ]
        if source in ("topic", "both"):
            self._things.append((self.destroy_subscription, subscribe(PoseStamped, "goal_pose", self._on_goal, 10)))
        if source in ("path", "both"):
            self._things.append((self.destroy_subscription, subscribe(Path, "path", self._on_path, 10)))
        assert self._driver is not None
        self._things += [
            (self.destroy_timer, self.create_timer(self._driver.tick_s, self._watch)),
            (self.destroy_timer, self.create_timer(DIAGNOSTICS_S, self._diagnose)),
        ]
        return super().on_configure(state)

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Drive from now on; a bundle that was set since is opened first."""
        if self._value("bundle") != self._loaded and not self._load():
            return TransitionCallbackReturn.FAILURE
        self._is_active = True
        return super().on_activate(state)

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        """Stand."""
        self._stand()
        return super().on_deactivate(state)

    def on_cleanup(self, state: State) -> TransitionCallbackReturn:
        """Let go of the bundle and the topics."""
        self._close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: State) -> TransitionCallbackReturn:
        """Stand, and let go of all."""
        self._stand()
        self._close()
        return super().on_shutdown(state)

    def on_error(self, state: State) -> TransitionCallbackReturn:
        """Stand."""
        self._stand()
        return super().on_error(state)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _refuse_while_active(self, parameters: list[Parameter]) -> SetParametersResult:
        named = [parameter.name for parameter in parameters if parameter.name in FIXED_WHILE_ACTIVE]
        if self._is_active and named:
            return SetParametersResult(successful=False, reason=f"{named[0]}: deactivate the node, set it, activate")
        return SetParametersResult(successful=True)

    def _load(self) -> bool:
        """Open the bundle that the parameters name; say why it cannot be."""
        try:
            self._driver = self._make_driver()
            self._loaded, self._fault = self._value("bundle"), None
        except (PolicyError, TypeError, ValueError) as error:
            self._fault = str(error)
            self.get_logger().error(self._fault)
            self._diagnose()
            return False
        return True

    def _make_driver(self) -> Driver:
        bundle = read_bundle(self._value("bundle"))
        limits = {name: self._value(name) or None for name in ("max_speed", "max_turn_rate")}
        limits |= {name: self._value(name) or None for name in ("max_acceleration", "max_turn_acceleration")}
        rules = ("latency_s", "deceleration", "margin_m", "min_time_to_collision_s")
        safety = SafetyLayer(self._value("safety"), **{name: self._value(name) for name in rules}, **limits)
        scan, mount = bundle.spec.scan, tuple(self._value("lidar_mount"))
        lidar = Lidar(
            scan.num_beams,
            scan.angle_min,
            scan.angle_increment,
            scan.range_max,
            mount=mount,
            upside_down=self._value("lidar_upside_down"),
            zeros=self._value("lidar_zeros"),
        )
        time_left = self._value("time_left")
        policy = Policy.load(
            bundle,
            lidar=lidar,
            allow_less=self._value("allow_less"),
            safety=safety,
            time_left=None if time_left < 0.0 else time_left,
            kind=self._value("kind") or None,
        )
        return Driver(policy, self._value("scan_period_s"), self._value("use_odom_twist"))

    def _on_scan(self, scan: LaserScan) -> None:
        start = time.perf_counter()
        if self._driver is not None and self._is_active:
            self._send(self._driver.scan(scan, _seconds(scan.header.stamp), time.monotonic()), start)

    def _on_odom(self, odom: OdometryMessage) -> None:
        start = time.perf_counter()
        if self._driver is None or not self._is_active:
            return
        position, twist = odom.pose.pose.position, odom.twist.twist
        pose = (position.x, position.y, _yaw(odom.pose.pose.orientation))
        self._frame, stamp_s = odom.header.frame_id, _seconds(odom.header.stamp)
        moved = Odometry(pose, twist.linear.x, twist.linear.y, twist.angular.z, stamp_s, self._frame)
        self._send(self._driver.odometry(moved), start)

    def _on_goal(self, goal: PoseStamped) -> None:
        self._drive_to([goal], goal.header)

    def _on_path(self, path: Path) -> None:
        self._drive_to(list(path.poses), path.header)

    def _drive_to(self, poses: list[PoseStamped], header: Any) -> None:
        if self._driver is None or not self._is_active:
            self.get_logger().warning("goals are taken when the node is active")
            return
        try:
            goals = [self._in_odometry(pose, header.frame_id) for pose in poses]
            self._driver.set_goals(goals)
        except PolicyError as error:
            self._driver.set_goals([])
            self._publish(STAND)
            self.get_logger().error(f"goals are refused: {error}")
            return
        if poses:
            told = PoseStamped(header=header, pose=poses[0].pose)
            self._current_goal.publish(told)

    def _in_odometry(self, pose: PoseStamped, frame: str) -> tuple[float, float]:
        """Return x and y of a goal in the frame of the odometry; PolicyError where nothing says how."""
        point, frame = pose.pose.position, pose.header.frame_id or frame
        if frame in ("", self._frame) or not self._frame:
            return point.x, point.y
        try:
            return self._transformed(point.x, point.y, frame)
        except Exception as error:  # noqa: BLE001  tf2 is not installed, or knows no such transform
            raise PolicyError(
                f"the goal is in the frame {frame!r}, odometry in {self._frame!r}, and tf2 does not join them ({error})"
            ) from None

    def _transformed(self, x: float, y: float, frame: str) -> tuple[float, float]:
        from tf2_ros import Buffer, TransformListener

        if self._tf is None:
            buffer = Buffer()
            self._tf = buffer, TransformListener(buffer, self)
        found = self._tf[0].lookup_transform(self._frame, frame, rclpy.time.Time()).transform
        yaw = _yaw(found.rotation)
        c, s = math.cos(yaw), math.sin(yaw)
        return found.translation.x + c * x - s * y, found.translation.y + s * x + c * y

    def _watch(self) -> None:
        if self._driver is not None and self._is_active:
            command = self._driver.watch(time.monotonic(), self._value("watchdog_periods"))
            if command is not None:
                self._publish(command)  # before anything is said: a log may take as long as a period
                self.get_logger().warning("no scan: the robot is told to stand")
                self._diagnose()

    def _send(self, command: Command | None, start: float) -> None:
        if command is None or self._driver is None:
            return
        before = self._driver.problem
        self._publish(command)
        self._driver.took(time.perf_counter() - start)
        if before is not None and before != ARRIVED and self._driver.counts["problems"] % 50 == 1:
            self.get_logger().warning(before)

    def _publish(self, command: Command) -> None:
        stamped = self._value("stamped")
        message = TwistStamped() if stamped else Twist()
        if stamped:
            message.header.frame_id = self._value("frame_id")
            message.header.stamp = (
                self.get_clock().now().to_msg() if command.stamp_s is None else _stamp(command.stamp_s)
            )
        twist = message.twist if stamped else message
        twist.linear.x, twist.linear.y, twist.angular.z = command.linear_x, command.linear_y, command.angular_z
        self._cmd_vel.publish(message)

    def _stand(self) -> None:
        was_active, self._is_active = self._is_active, False
        if was_active:
            self._publish(STAND)

    def _close(self) -> None:
        for destroy, thing in self._things:
            destroy(thing)
        self._things, self._driver, self._loaded = [], None, None

    def _diagnose(self) -> None:
        driver, status = self._driver, DiagnosticStatus(name=f"{self.get_name()}: policy", hardware_id="robonav")
        if self._fault is not None:
            status.level, status.message = DiagnosticStatus.ERROR, self._fault
        elif driver is None or not self._is_active:
            status.level, status.message = DiagnosticStatus.OK, "not active"
        elif driver.is_stopped:
            status.level, status.message = DiagnosticStatus.STALE, driver.problem or "no scan"
        elif driver.problem not in (None, ARRIVED):
            status.level, status.message = DiagnosticStatus.ERROR, str(driver.problem)
        else:
            status.level, status.message = DiagnosticStatus.OK, driver.problem or "driving"
        if driver is not None:
            last, safety = driver.policy.last, driver.policy.safety
            facts: dict[str, Any] = {
                "bundle": self._loaded,
                "goals left": driver.num_goals_left,
                "p99 ms from scan to twist": round(driver.p99_ms, 3),
                "unseen sectors": round(last.unseen_frac, 3),
                **driver.counts,
                **({} if safety is None else {f"safety {name}": count for name, count in safety.counts.items()}),
            }
            status.values = [KeyValue(key=str(key), value=str(value)) for key, value in facts.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def _seconds(stamp: Any) -> float:
    return stamp.sec + stamp.nanosec * 1e-9


def _stamp(seconds: float) -> Any:
    return rclpy.time.Time(nanoseconds=round(seconds * 1e9)).to_msg()


def _yaw(q: Any) -> float:
    return math.atan2(2.0 * (q.w * q.z + q.x * q.y), 1.0 - 2.0 * (q.y * q.y + q.z * q.z))


def main() -> None:
    """Run the node until it is shut down."""
    rclpy.init()
    node = RobonavNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
