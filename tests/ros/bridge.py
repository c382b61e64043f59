"""Our worlds' end of ROS, run in the environment that has it: one JSON line in, one out, in lockstep.

{"op": "step", "goals": null, "ranges": [...], "pose": [x, y, yaw], "twist": [v, omega], "scan": {...}, "dt_s": 0.1}
                                           -> {"twist": [v, omega], "ms": ..., "lost": 0}
{"op": "stream", "seconds": 1.0, ...}      -> {"twists": [[v, omega], ...], "stop_s": ..., "told": [...]}
{"op": "goal", "pose": [x, y]}             -> {"ok": true}
{"op": "transition", "name": "configure"}  -> {"ok": ..., "told": [...], "twists": [...]}
{"op": "set", "values": {...}}             -> {"ok": ..., "reason": ...}
{"op": "listen", "seconds": 1.0}           -> {"twists": [[v, omega], ...], "told": ["2 no scan for ...", ...]}
"""

import json
import math
import sys
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry, Path
from rcl_interfaces.srv import SetParameters
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import LaserScan

NODE = "robonav"
SILENCE_S = 1.0
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


class Bridge:
    def __init__(self, twist_type: str) -> None:
        rclpy.init()
        self.node = node = rclpy.create_node("worlds")
        self.scan = node.create_publisher(LaserScan, "scan", qos_profile_sensor_data)
        self.odom = node.create_publisher(Odometry, "odom", qos_profile_sensor_data)
        self.path = node.create_publisher(Path, "path", 1)
        self.goal = node.create_publisher(PoseStamped, "goal_pose", 1)
        self.twists: list[tuple[float, list[float]]] = []
        self.told: list[str] = []
        kind = TwistStamped if twist_type == "TwistStamped" else Twist
        node.create_subscription(kind, "cmd_vel", self._on_twist, 10)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.change = node.create_client(ChangeState, f"{NODE}/change_state")
        self.values = node.create_client(SetParameters, f"{NODE}/set_parameters")
        self.time_s, self.since_ns = 100.0, 0

    def _on_twist(self, message) -> None:
        at = time.perf_counter()
        if isinstance(message, TwistStamped):
            stamp = message.header.stamp
            if stamp.sec * 10**9 + stamp.nanosec < self.since_ns:
                return  # an answer to what came before
        twist = message.twist if isinstance(message, TwistStamped) else message
        self.twists.append((at, [twist.linear.x, twist.angular.z]))

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        self.told += [f"{int.from_bytes(one.level, 'little')} {one.message}" for one in array.status]

    def spin(self, until, timeout_s: float = 5.0) -> bool:
        end = time.perf_counter() + timeout_s
        while not until():
            left = end - time.perf_counter()
            if left <= 0.0:
                return False
            rclpy.spin_once(self.node, timeout_sec=min(left, 0.05))
        return True

    def _asked(self, client, request):
        if not client.wait_for_service(timeout_sec=20.0):
            return None
        future = client.call_async(request)
        self.spin(future.done, 20.0)
        return future.result()

    def transition(self, name: str) -> dict:
        self.told.clear()
        self.twists.clear()
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[name]
        answer = self._asked(self.change, request)
        ok = answer is not None and answer.success
        if name == "activate" and ok:
            self.spin(lambda: self.scan.get_subscription_count() > 0 and self.odom.get_subscription_count() > 0)
            self.spin(lambda: self.path.get_subscription_count() + self.goal.get_subscription_count() > 0)
        self.spin(lambda: False, 0.3)
        return {"ok": ok, "told": self.told, "twists": [twist for _, twist in self.twists]}

    def set(self, values: dict) -> dict:
        request = SetParameters.Request()
        request.parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        results = self._asked(self.values, request).results
        return {"ok": all(one.successful for one in results), "reason": "; ".join(one.reason for one in results)}

    def send_goals(self, goals: list) -> None:
        path = Path()
        path.header.frame_id, path.header.stamp = "odom", self._stamp()
        for x, y in goals:
            pose = PoseStamped()
            pose.pose.position.x, pose.pose.position.y = x, y
            path.poses.append(pose)
        self.path.publish(path)
        self.path.wait_for_all_acked(Duration(seconds=5.0))

    def send_goal(self, pose: list) -> dict:
        goal = PoseStamped()
        goal.header.frame_id = "odom"
        goal.pose.position.x, goal.pose.position.y = pose
        self.goal.publish(goal)
        return {"ok": bool(self.goal.wait_for_all_acked(Duration(seconds=5.0)))}

    def publish(self, ask: dict) -> float:
        """Odometry and scan of one moment; return when."""
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
        start = time.perf_counter()
        self.odom.publish(odom)
        self.scan.publish(scan)
        return start

    def step(self, ask: dict) -> dict:
        self.told.clear()
        self.since_ns = time.time_ns()
        if ask.get("goals"):
            self.send_goals(ask["goals"])
        for lost in range(4):
            self.twists.clear()
            start = self.publish(ask)
            if self.spin(lambda: bool(self.twists), SILENCE_S):
                at, twist = self.twists[0]
                return {"twist": twist, "ms": (at - start) * 1e3, "lost": lost}
        return {"twist": None, "ms": None, "lost": 4}

    def stream(self, ask: dict) -> dict:
        """Scans in real time for so many seconds, then none; ``stop_s``: from the last one to the twist of zeros."""
        self.twists.clear()
        self.told.clear()
        start = last = time.perf_counter()
        due = start
        while due < start + ask["seconds"]:
            last = self.publish(ask)
            due += ask["dt_s"]
            while (left := due - time.perf_counter()) > 0.0:
                rclpy.spin_once(self.node, timeout_sec=left)
        self.spin(lambda: False, SILENCE_S)
        stops = [at - last for at, twist in self.twists if at > last and twist == [0.0, 0.0]]
        return {
            "twists": [twist for _, twist in self.twists],
            "stop_s": stops[0] if stops else None,
            "told": self.told,
        }

    def listen(self, seconds: float) -> dict:
        self.twists.clear()
        self.spin(lambda: False, seconds)
        return {"twists": [twist for _, twist in self.twists], "told": self.told}

    def _stamp(self):
        return rclpy.time.Time(nanoseconds=round(self.time_s * 1e9)).to_msg()


def main() -> None:
    bridge = Bridge(sys.argv[1])
    answers = {
        "step": bridge.step,
        "stream": bridge.stream,
        "transition": lambda ask: bridge.transition(ask["name"]),
        "set": lambda ask: bridge.set(ask["values"]),
        "goal": lambda ask: bridge.send_goal(ask["pose"]),
        "listen": lambda ask: bridge.listen(ask["seconds"]),
    }
    for line in sys.stdin:
        ask = json.loads(line)
        print(json.dumps(answers[ask.pop("op")](ask)), flush=True)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
