"""The node of a bundle under real ROS 2: our worlds publish scans and odometry, and take its twists."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_policy.bundle import read_bundle
from robonav_policy.models import open_model
from robonav_ray.config.load import check_run_config
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from tests.robot_side import Sensed, sensed
from tests.ros.conftest import RosNode

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(3000)]
EPISODES = 200
STAND = [0.0, 0.0]
Start = Callable[..., RosNode]


class Robot:
    """One of our worlds as a robot: what its lidar, its odometry and its operator say."""

    def __init__(self, bundle: Path, index: int = 0) -> None:
        spec = read_bundle(bundle).spec
        config = check_run_config(spec.document["training"]["config"], "spec.json")
        level = config.curriculum.stages[-1].level
        self.worlds = BatchedWorlds(config.env.world, (level,), 1, seed=1_000_003, gamma=0.99, first_world=index)
        self.worlds.reset()
        self.dt_s, scan = spec.dt_s, spec.scan
        self._scan = {"angle_min": scan.angle_min, "angle_increment": scan.angle_increment, "range_max": scan.range_max}

    @property
    def seen(self) -> Sensed:
        return sensed(self.worlds, 0)

    def says(self, **other: Any) -> dict[str, Any]:
        """What a message each of scan and odometry says; a ray that meets nothing is +inf, as drivers have it."""
        seen = self.seen
        far = np.float32(self._scan["range_max"])
        ranges = [math.inf if value >= far else float(value) for value in seen.ranges]
        told = {"ranges": ranges, "pose": seen.pose, "twist": seen.twist, "scan": self._scan, "dt_s": self.dt_s}
        return {**told, **other}


def test_200_episodes_in_lockstep_end_as_in_process(ros_bundle: Path, start_node: Start) -> None:
    node = start_node(
        bundle=str(ros_bundle), goal_source="path", path_spacing_m=0.0, safety__mode="off", timeout_s=30.0
    )
    node.begin()
    bundle = read_bundle(ros_bundle)
    model, actions = open_model(bundle), bundle.spec.actions
    differing, seconds, ends, lost = [], list[float](), list[tuple[int, ...]](), 0
    for index in range(EPISODES):
        both = []
        for by_ros in (False, True):
            robot = Robot(ros_bundle, index)
            worlds, goals, ended = robot.worlds, robot.seen.goals.tolist(), 0
            while not ended:
                if by_ros:
                    answer = node.ask("step", goals=goals, **robot.says())
                    assert answer["twist"] is not None, "no twist for a scan"
                    seconds.append(answer["ms"])
                    lost, goals = lost + answer["lost"], None
                    command = np.array([answer["twist"]], np.float32)
                else:
                    command = actions[[int(model(worlds.out.obs)[0].argmax())]]
                ended = worlds.step_command(command, DISABLED)
            both.append(int(worlds.out.final_lane[0, 0]))
        ends.append(tuple(both))
        differing += [index] if both[0] != both[1] else []
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    won = [sum(both[i] == Outcome.SUCCESS for both in ends) for i in range(2)]
    print(f"\n{len(differing)} of {EPISODES} outcomes differ; successes {won[0]} in process, {won[1]} through ROS; "
          f"{len(seconds)} scans, {lost} lost, from scan to twist p50 {p50:.2f} ms, p99 {p99:.2f} ms, "
          f"most {max(seconds):.2f} ms")  # fmt: skip
    assert len(differing) <= 4
    assert p50 <= 20.0


def test_the_watchdog_stops_the_robot_within_two_periods(ros_bundle: Path, start_node: Start) -> None:
    node, robot = start_node(bundle=str(ros_bundle), goal_source="path", safety__mode="off"), Robot(ros_bundle)
    node.begin()
    found = []
    for _ in range(5):
        assert node.ask("step", goals=[[100.0, 100.0]], **robot.says())["twist"] is not None
        streamed = node.ask("stream", seconds=1.0, **robot.says())
        assert any(twist != STAND for twist in streamed["twists"]), "it drives while there are scans"
        assert any("2 no scan for" in told for told in streamed["told"])
        found.append(streamed["stop_s"])
    print(f"\nfrom the last scan to a twist of zeros: {', '.join(f'{1e3 * one:.0f} ms' for one in found)}; "
          f"two periods are {2e3 * robot.dt_s:.0f} ms")  # fmt: skip
    assert min(found) <= 2.0 * robot.dt_s


def test_bad_input_is_zeros_and_a_diagnostic_and_never_the_end(ros_bundle: Path, start_node: Start) -> None:
    node, robot = start_node(bundle=str(ros_bundle), goal_source="path", safety__mode="off"), Robot(ros_bundle)
    node.begin()
    narrow = {"angle_min": -1.0, "angle_increment": 2.0 / len(robot.seen.ranges), "range_max": 5.0}
    bad: dict[str, dict[str, Any]] = {
        "empty": {"ranges": []},
        "no measured range": {"ranges": [math.nan] * 36},
        "angle_increment": {"scan": {"angle_min": 0.0, "angle_increment": 0.0, "range_max": 5.0}},
        "blind": {"scan": narrow},
        "pose": {"pose": [math.nan, 0.0, 0.0]},
        "twist": {"twist": [math.inf, 0.0]},
        "goal": {"goals": [[math.nan, 0.0]]},
    }
    for word, other in bad.items():
        assert node.ask("step", **{"goals": [[100.0, 100.0]], **robot.says(**other)})["twist"] == STAND, word
        told = node.ask("listen", seconds=1.2)["told"]
        assert any(one.startswith("2 ") and word in one for one in told), (word, told)
        assert node.ask("step", goals=[[100.0, 100.0]], **robot.says())["twist"] is not None
    assert node.node.poll() is None


def test_a_tampered_bundle_is_refused_at_configure(ros_bundle: Path, start_node: Start, tmp_path: Path) -> None:
    harmed = Path(shutil.copytree(ros_bundle, tmp_path / "harmed"))
    (harmed / "policy.onnx").write_bytes((ros_bundle / "policy.onnx").read_bytes()[:-1] + b"x")
    node = start_node(bundle=str(harmed))
    answer = node.ask("transition", name="configure")
    assert not answer["ok"]
    told = answer["told"] + node.ask("listen", seconds=1.5)["told"]
    assert any(one.startswith("2 ") and "policy.onnx: does not match its hash" in one for one in told)
    assert node.node.poll() is None
    assert node.ask("set", values={"bundle": str(ros_bundle)})["ok"]
    assert node.ask("transition", name="configure")["ok"]


def test_another_bundle_at_run_time_by_deactivate_set_activate(
    ros_bundle: Path, start_node: Start, tmp_path: Path
) -> None:
    node, robot = (
        start_node(bundle=str(ros_bundle), goal_source="path", safety__mode="off", timeout_s=30),
        Robot(ros_bundle),
    )
    node.begin()
    assert node.ask("step", goals=[[100.0, 100.0]], **robot.says())["twist"] not in (None, STAND)
    refused = node.ask("set", values={"bundle": str(tmp_path)})
    assert (refused["ok"], refused["reason"]) == (False, "bundle: deactivate the node first")
    stopped = node.ask("transition", name="deactivate")
    assert stopped["ok"]
    assert stopped["twists"] == [STAND]
    assert any("inactive" in one for one in stopped["told"])
    assert node.ask("stream", seconds=0.5, **robot.says())["twists"] == [], "an inactive node says nothing"
    bad = node.ask("set", values={"safety.mode": "on"})
    assert (bad["ok"], "must be 'off' or 'warn' or 'act'" in bad["reason"]) == (False, True)
    assert node.ask("set", values={"bundle": str(tmp_path)})["ok"]
    answer = node.ask("transition", name="activate")
    assert not answer["ok"]
    assert any("manifest.json: is missing" in one for one in answer["told"])
    other = Path(shutil.copytree(ros_bundle, tmp_path / "other"))
    assert node.ask("set", values={"bundle": str(other), "limits.max_speed": 0.25})["ok"]
    assert node.ask("transition", name="activate")["ok"]
    streamed = node.ask("step", goals=[[100.0, 100.0]], **robot.says())
    assert abs(streamed["twist"][0]) <= 0.25


def test_ended_by_a_signal_it_tells_the_robot_to_stand(ros_bundle: Path, start_node: Start) -> None:
    given = {"twist_type": "Twist", "autostart": True, "limits.max_speed": 1, "safety.mode": "off", "timeout_s": 30}
    node, robot, driven = start_node(bundle=str(ros_bundle), **given), Robot(ros_bundle), None
    for _ in range(20):  # until they have found each other
        assert node.ask("goal", pose=[100.0, 100.0])["ok"]
        driven = node.ask("step", **robot.says())["twist"]
        if driven not in (None, STAND):
            break
    assert driven not in (None, STAND), "configured and activated by itself; numbers may be whole"
    assert node.end() == 0
    assert node.ask("listen", seconds=0.5)["twists"] == [STAND]
