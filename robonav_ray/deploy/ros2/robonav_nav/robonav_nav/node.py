"""The lifecycle node ``robonav``: the only file here that knows rclpy."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry, Path
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import LaserScan

from robonav_nav.conversions import goals_of_path, odom_of, pose_of, seconds_of
from robonav_nav.driver import Driver, Order
from robonav_nav.parameters import PARAMETERS, Settings, checked_settings, load_policy
from robonav_nav.status import INACTIVE, UNCONFIGURED, Status, refused
from robonav_nav.transforms import Transforms
from robonav_policy import PolicyError

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
LIVE_PARAMETERS = ("goals",)
"""Parameters that may be set while the node is active."""
MOST_WAIT_S = 0.1


class NavNode(LifecycleNode):
    """Drives a robot with the policy of a bundle, while it is active."""

    def __init__(self) -> None:
        """Declare the parameters and tell that nothing is configured."""
        super().__init__("robonav")
        for name, one in PARAMETERS.items():
            self.declare_parameter(name, one.default, ParameterDescriptor(description=one.text, dynamic_typing=True))
        self.add_on_set_parameters_callback(self._check_parameters)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        """The watchdog's: it stands still under no simulated time."""
        self._status, self._driver, self._settings = UNCONFIGURED, None, None
        self._cmd_vel: Any = None
        self._heard: list[Any] = []
        self._clocked: list[Any] = []
        self._watchdog: Any = None
        self._wait: Any = None
        self._transforms = Transforms(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._telling = self.create_timer(1.0, self._tell, clock=self._steady)

    # ---- the life cycle -------------------------------------------------------------------------------------------

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Open the bundle; FAILURE, with a diagnostic, when it is not whole or a parameter is wrong."""
        del state
        return self._built()

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Begin to drive; parameters that were set since are taken now."""
        if self._read_settings(self._values()) != self._settings and self._built() == FAILURE:
            return FAILURE
        result = super().on_activate(state)
        driver = self._driver
        assert driver is not None
        self._listen(driver)
        self._obey(driver.begin(time.monotonic()))
        return result

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        """Tell the robot to stand, and then nothing more."""
        self.halt()
        return super().on_deactivate(state)

    def on_cleanup(self, state: State) -> TransitionCallbackReturn:
        """Forget the bundle."""
        del state
        self._forget()
        return SUCCESS

    def on_shutdown(self, state: State) -> TransitionCallbackReturn:
        """Tell the robot to stand."""
        del state
        self._forget()
        return SUCCESS

    def on_error(self, state: State) -> TransitionCallbackReturn:
        """Tell the robot to stand."""
        del state
        self._forget()
        return SUCCESS

    def halt(self, last: bool = False) -> None:
        """Tell the robot to stand, if this node drives it, and hear nothing more; ``last``: until it has heard."""
        if self._driver is not None and self._heard:
            self._obey(self._driver.end())
            if last:
                self._cmd_vel.wait_for_all_acked(Duration(seconds=MOST_WAIT_S))
        for part in self._heard:
            self.destroy_subscription(part)
        for timer in self._clocked:
            self.destroy_timer(timer)
        self._heard, self._clocked, self._watchdog, self._wait = [], [], None, None

    def fail(self, message: str) -> None:
        """Tell the robot to stand because of a fault."""
        if self._driver is None:
            self._refuse(message)
        else:
            self._obey(self._driver.fail(message))

    # ---- parameters -----------------------------------------------------------------------------------------------

    def _values(self) -> dict[str, Any]:
        return {name: self.get_parameter(name).value for name in PARAMETERS}

    def _read_settings(self, values: dict[str, Any]) -> Settings | None:
        """Return the settings; None, with a diagnostic, where a value cannot be."""
        try:
            return checked_settings({name: value for name, value in values.items() if value is not None})
        except PolicyError as error:
            self._refuse(str(error))
            return None

    def _check_parameters(self, given: list[Any]) -> SetParametersResult:
        """Refuse values that cannot be, and changes while the robot is driven."""
        new = {one.name: one.value for one in given if one.name in PARAMETERS}
        fixed = sorted(new.keys() - set(LIVE_PARAMETERS))
        if self._heard and fixed:
            return SetParametersResult(successful=False, reason=f"{fixed[0]}: deactivate the node first")
        try:
            settings = checked_settings({**self._values(), **new})
        except PolicyError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._heard and "goals" in new and self._driver is not None and settings["goal_source"] == "goals":
            self._obey(self._driver.take_goals(settings.goals, ""))
        return SetParametersResult(successful=True)

    def _built(self) -> TransitionCallbackReturn:
        """Make a driver of the parameters."""
        self._driver, self._settings = None, self._read_settings(self._values())
        if self._settings is None:
            return FAILURE
        try:
            policy = load_policy(self._settings)
        except PolicyError as error:
            self._settings = None
            self._refuse(str(error))
            return FAILURE
        self._driver = Driver(policy, self._settings, self._transforms.locate)
        if self._cmd_vel is not None:
            self.destroy_lifecycle_publisher(self._cmd_vel)
        stamped = self._settings["twist_type"] == "TwistStamped"
        self._cmd_vel = self.create_lifecycle_publisher(TwistStamped if stamped else Twist, "cmd_vel", 1)
        self.destroy_timer(self._telling)
        self._telling = self.create_timer(1.0 / self._settings["diagnostics_rate_hz"], self._tell, clock=self._steady)
        self.get_logger().info(f"{policy.spec.name}: {self._settings['bundle']} is whole")
        self._told(INACTIVE)
        return SUCCESS

    def _forget(self) -> None:
        self.halt(last=True)
        self._driver, self._settings = None, None
        if self._cmd_vel is not None:
            self.destroy_lifecycle_publisher(self._cmd_vel)
            self._cmd_vel = None
        self._told(UNCONFIGURED)

    # ---- messages -------------------------------------------------------------------------------------------------

    def _listen(self, driver: Driver) -> None:
        """Subscribe; goals and odometry before the scans, so that of what comes together the scan is the last."""
        settings, sensor = self._settings, qos_profile_sensor_data
        assert settings is not None
        if settings["goal_source"] == "goal_pose":
            self._heard.append(self.create_subscription(PoseStamped, "goal_pose", self._on_goal, 1))
        elif settings["goal_source"] == "path":
            self._heard.append(self.create_subscription(Path, "path", self._on_path, 1))
        if driver.policy.spec.path is not None:
            self._heard.append(self.create_subscription(Path, "plan", self._on_plan, 1))
        self._heard.append(self.create_subscription(Odometry, "odom", self._on_odometry, sensor))
        self._heard.append(self.create_subscription(LaserScan, "scan", self._on_scan, sensor))
        self._watchdog = self.create_timer(driver.timeout_s, self._on_silence, clock=self._steady)
        self._wait = self.create_timer(driver.wait_s, self._on_late, clock=self._steady)
        self._wait.cancel()
        self._clocked = [self._watchdog, self._wait]
        if driver.on_timer:
            self._clocked.append(self.create_timer(driver.period_s, self._on_time, clock=self._steady))

    def _on_scan(self, message: LaserScan) -> None:
        if self._driver is not None and self._heard:
            self._watchdog.reset()
            order = self._driver.take_scan(message, seconds_of(message.header.stamp), time.monotonic())
            self._obey(order)

    def _on_odometry(self, message: Odometry) -> None:
        if self._driver is not None and self._heard:
            odom = odom_of(message, self._driver.policy.spec.is_holonomic)
            self._obey(self._driver.take_odometry(odom, time.monotonic()))

    def _on_goal(self, message: PoseStamped) -> None:
        if self._driver is not None and self._settings is not None and self._heard:
            goal, append = pose_of(message.pose)[:2], self._settings["goal_pose_appends"]
            self._obey(self._driver.take_goals([goal], message.header.frame_id, append))

    def _on_path(self, message: Path) -> None:
        if self._driver is not None and self._settings is not None and self._heard:
            goals = goals_of_path(message.poses, self._settings["path_spacing_m"])
            self._obey(self._driver.take_goals(goals, message.header.frame_id))

    def _on_plan(self, message: Path) -> None:
        if self._driver is not None and self._heard:
            self._driver.take_plan(goals_of_path(message.poses, 0.0), message.header.frame_id)

    def _on_time(self) -> None:
        if self._driver is not None:
            self._obey(self._driver.be_due(time.monotonic()))

    def _on_late(self) -> None:
        self._wait.cancel()
        if self._driver is not None and self._driver.is_waiting:
            self._obey(self._driver.decide(time.monotonic()))

    def _on_silence(self) -> None:
        if self._driver is not None:
            self._obey(self._driver.watch(time.monotonic()))

    def _obey(self, order: Order | None) -> None:
        """Send what is ordered."""
        driver = self._driver
        if self._wait is not None and driver is not None:
            if not driver.is_waiting:
                self._wait.cancel()
            elif self._wait.is_canceled():
                self._wait.reset()
        if order is None:
            return
        if order.twist is not None and self._cmd_vel is not None and driver is not None:
            self._cmd_vel.publish(self._message(order.twist, driver.policy.spec.is_holonomic))
        if order.changed:
            self._told(order.status)
        self._status = order.status

    def _message(self, twist: tuple[float, float], holonomic: bool) -> Twist | TwistStamped:
        settings = self._settings
        assert settings is not None
        stamped = TwistStamped()
        stamped.twist.linear.x = twist[0]
        if holonomic:
            stamped.twist.linear.y = twist[1]
        else:
            stamped.twist.angular.z = twist[1]
        if settings["twist_type"] == "Twist":
            return stamped.twist
        stamped.header.stamp = self.get_clock().now().to_msg()
        stamped.header.frame_id = settings["base_frame"]
        return stamped

    # ---- diagnostics ----------------------------------------------------------------------------------------------

    def _refuse(self, message: str) -> None:
        self.get_logger().error(message)
        self._told(refused(message))

    def _told(self, status: Status) -> None:
        if status.level and status != self._status:
            self.get_logger().warning(status.message)
        self._status = status
        self._tell()

    def _tell(self) -> None:
        now, array, told = time.monotonic(), DiagnosticArray(), DiagnosticStatus()
        array.header.stamp = self.get_clock().now().to_msg()
        told.level, told.message = bytes([self._status.level]), self._status.message
        told.name, told.hardware_id = self.get_fully_qualified_name().lstrip("/"), ""
        values = {"state": self._status.state}
        if self._driver is not None:
            values |= self._driver.values(now)
        told.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        array.status = [told]
        self._diagnostics.publish(array)


def main(args: list[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM, then tell the robot to stand."""
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, frame: signals.append(got))
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node, executor = NavNode(), SingleThreadedExecutor()
    executor.add_node(node)
    if node.get_parameter("autostart").value is True and node.trigger_configure() == SUCCESS:
        node.trigger_activate()
    while not signals:
        try:
            executor.spin_once(timeout_sec=MOST_WAIT_S)
        except Exception as error:  # noqa: BLE001 -- after any fault the robot must be told to stand
            node.fail(f"fault in the node: {type(error).__name__}: {error}")
    node.halt(last=True)
    node.destroy_node()
    rclpy.shutdown()
    sys.exit(0)


if __name__ == "__main__":
    main()
