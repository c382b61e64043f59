"""Our worlds' end of ROS, run in the environment that has it: one JSON line in, one out, in lockstep.

{"op": "goals", "goals": [[x, y], ...]}    -> {"ok": true} once the node drives to them
{"op": "step", "ranges": [...], "pose": [x, y, yaw], "twist": [v, omega], "scan": {...}, "dt_s": 0.1}
                                           -> {"twist": [v, omega], "ms": ...}
{"op": "transition", "name": "configure"}  -> {"ok": ..., "diagnostics": []}
{"op": "set", "values": {...}}             -> {"ok": ..., "reason": ...}
{"op": "silence", "seconds": 1.0}          -> {"stops": [seconds from the last scan], "others": 0, "diagnostics": []}
{"op": "end"}
"""

import json
import math
import sys
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry, Path
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import LaserScan

NODE = "robonav"
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


class Bridge:
    def __init__(self) -> None:
        rclpy.init()
        self.node = node = rclpy.create_node("worlds")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.scan = node.create_publisher(LaserScan, "scan", qos_profile_sensor_data)
        self.odom = node.create_publisher(Odometry, "odom", qos_profile_sensor_data)
        self.path = node.create_publisher(Path, "path", 10)
        self.twists: list[tuple[float, TwistStamped]] = []
        self.goal_stamp = -1.0
        self.told: list[str] = []
        node.create_subscription(TwistStamped, "cmd_vel", lambda m: self.twists.append((time.perf_counter(), m)), 10)
        node.create_subscription(PoseStamped, "current_goal", self._on_goal, latched)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.change = node.create_client(ChangeState, f"{NODE}/change_state")
        self.set = node.create_client(SetParameters, f"{NODE}/set_parameters")
        self.time_s, self.scanned = 100.0, 0.0

    def _on_goal(self, goal: PoseStamped) -> None:
        self.goal_stamp = goal.header.stamp.sec + goal.header.stamp.nanosec * 1e-9

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        self.told += [f"{int.from_bytes(s.level, 'little')} {s.message}" for s in array.status]

    def spin(self, until, timeout_s: float = 5.0) -> bool:
        end = time.perf_counter() + timeout_s
        while not until():
            if time.perf_counter() > end:
                return False
            rclpy.spin_once(self.node, timeout_sec=0.05)
        return True

    def _asked(self, client, request) -> object:
        if not client.wait_for_service(timeout_sec=20.0):
            return None
        future = client.call_async(request)
        self.spin(future.done, 20.0)
        return future.result()

    def transition(self, name: str) -> dict:
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[name]
        self.told.clear()
        answer = self._asked(self.change, request)
        if name == "activate" and answer is not None and answer.success:
            self.spin(lambda: self.scan.get_subscription_count() > 0 and self.odom.get_subscription_count() > 0)
            self.spin(lambda: self.path.get_subscription_count() > 0 and self.node.count_publishers("cmd_vel") > 0)
        self.spin(lambda: False, 0.3)
        return {"ok": answer is not None and answer.success, "diagnostics": self.told}

    def set_values(self, values: dict) -> dict:
        request = SetParameters.Request()
        request.parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        results = self._asked(self.set, request).results
        return {"ok": all(one.successful for one in results), "reason": "; ".join(one.reason for one in results)}

    def goals(self, goals: list) -> dict:
        self.time_s += 1.0
        path = Path()
        path.header.frame_id, path.header.stamp = "odom", self._stamp()
        for x, y in goals:
            pose = PoseStamped()
            pose.pose.position.x, pose.pose.position.y = x, y
            path.poses.append(pose)
        for _ in range(5):
            self.path.publish(path)
            if self.spin(lambda: abs(self.goal_stamp - self.time_s) < 1e-6, 1.0):
                return {"ok": True}
        return {"ok": False}

    def step(self, ask: dict) -> dict:
        self.time_s = round(self.time_s + ask["dt_s"], 6)
        odom, scan, stamp = Odometry(), LaserScan(), self._stamp()
        odom.header.frame_id, odom.header.stamp = "odom", stamp
        x, y, yaw = ask["pose"]
        odom.pose.pose.position.x, odom.pose.pose.position.y = x, y
        odom.pose.pose.orientation.z, odom.pose.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
        odom.twist.twist.linear.x, odom.twist.twist.angular.z = ask["twist"]
        scan.header.frame_id, scan.header.stamp, scan.ranges = "base_scan", stamp, ask["ranges"]
        for key, value in ask["scan"].items():
            setattr(scan, key, value)
        self.twists.clear()
        for _ in range(4):
            start = time.perf_counter()
            self.odom.publish(odom)
            self.scan.publish(scan)
            self.scanned = time.perf_counter()
            if self.spin(lambda: any(m.header.stamp == stamp for _, m in self.twists), 2.0):
                at, message = next(one for one in self.twists if one[1].header.stamp == stamp)
                twist = message.twist
                return {"twist": [twist.linear.x, twist.angular.z], "ms": (at - start) * 1e3}
        return {"twist": None, "ms": None}

    def silence(self, seconds: float) -> dict:
        self.twists.clear()
        self.told.clear()
        self.spin(lambda: False, seconds)
        stops = [at - self.scanned for at, m in self.twists if m.twist.linear.x == 0.0 == m.twist.angular.z]
        return {"stops": stops, "others": len(self.twists) - len(stops), "diagnostics": self.told}

    def _stamp(self):
        return rclpy.time.Time(nanoseconds=round(self.time_s * 1e9)).to_msg()


def main() -> None:
    bridge = Bridge()
    for line in sys.stdin:
        ask = json.loads(line)
        op = ask.pop("op")
        if op == "end":
            break
        if op == "step":
            answer = bridge.step(ask)
        elif op == "goals":
            answer = bridge.goals(ask["goals"])
        elif op == "transition":
            answer = bridge.transition(ask["name"])
        elif op == "set":
            answer = bridge.set_values(ask["values"])
        else:
            answer = bridge.silence(ask["seconds"])
        print(json.dumps(answer), flush=True)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
