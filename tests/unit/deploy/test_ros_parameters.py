"""The parameters of the node of ROS 2, what it reads of messages, and its files; without ROS."""

from __future__ import annotations

import ast
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from robonav_nav.conversions import goals_of_path, odom_of, pose_of, seconds_of, seen_from, yaw_of
from robonav_nav.parameters import PARAMETERS, SettingsError, checked_settings, load_policy
from robonav_policy import PolicyError
from robonav_ray.deploy.export import ROS2

AMENT = ROS2 / "robonav_nav"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bundle", 3),
        ("goal_source", "topics"),
        ("goals", [1.0, 2.0, 3.0]),
        ("goals", "1 2"),
        ("goals", [math.nan, 0.0]),
        ("twist_type", "twist"),
        ("rate_hz", -1.0),
        ("rate_hz", math.inf),
        ("rate_hz", True),
        ("timeout_s", "soon"),
        ("time_left", -0.5),
        ("allow_less", 1),
        ("lidar.mount", [0.0, 0.0]),
        ("safety.mode", "on"),
        ("safety.deceleration", 0.0),
        ("limits.max_speed", math.nan),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(name)}: "):
        checked_settings({name: value})


def test_defaults_can_be_and_whole_numbers_are_numbers() -> None:
    settings = checked_settings({"limits.max_speed": 1, "goals": (1, 2, 3, 4)})
    assert settings["limits.max_speed"] == 1.0
    assert settings.goals == [(1.0, 2.0), (3.0, 4.0)]
    assert settings.limit("max_speed", 0.5) == 0.5
    assert settings.limit("max_acceleration", None) == math.inf


def test_the_files_of_the_package_name_every_parameter_and_what_there_is() -> None:
    readme = (AMENT / "README.md").read_text()
    table = readme[readme.index("## Parameters") :]
    assert {name for name in re.findall(r"`([a-z_.]+)`", table) if name in PARAMETERS} == PARAMETERS.keys()
    given = yaml.safe_load((AMENT / "config" / "turtlebot3.yaml").read_text())["/**"]["ros__parameters"]
    assert given.keys() <= PARAMETERS.keys()
    checked_settings(given)
    package = ElementTree.parse(AMENT / "package.xml").getroot()
    assert package.findtext("name") == "robonav_nav"
    assert package.findtext("export/build_type") == "ament_python"
    named = re.findall(r'"((?:resource|launch|config)/[^"]+|package.xml|README.md)"', (AMENT / "setup.py").read_text())
    assert {(AMENT / name).is_file() for name in named} == {True}
    for path in AMENT.rglob("*.py"):  # Python 3.10, that of Humble
        ast.parse(path.read_text(), feature_version=(3, 10))


def test_a_policy_is_loaded_as_the_parameters_say(bundle: Path, tmp_path: Path) -> None:
    policy = load_policy(checked_settings({"bundle": str(bundle), "safety.mode": "warn", "safety.latency_s": 0.3}))
    assert policy.safety is not None
    assert (policy.safety.mode, policy.safety.latency_s) == ("warn", 0.3)
    assert load_policy(checked_settings({"bundle": str(bundle), "safety.mode": "off"})).safety is None
    with pytest.raises(PolicyError, match="bundle: names no folder"):
        load_policy(checked_settings({}))
    with pytest.raises(PolicyError, match="is no folder"):
        load_policy(checked_settings({"bundle": str(tmp_path / "none")}))
    harmed = Path(shutil.copytree(bundle, tmp_path / "harmed"))
    (harmed / "policy.onnx").write_bytes((bundle / "policy.onnx").read_bytes()[:-1] + b"x")
    with pytest.raises(PolicyError, match="does not match its hash"):
        load_policy(checked_settings({"bundle": str(harmed)}))


def test_a_bundle_holds_the_package_of_ros_with_robonav_policy_in_it(bundle: Path) -> None:
    package = bundle / "robonav_nav"
    for path in AMENT.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (package / path.relative_to(AMENT)).read_bytes() == path.read_bytes()
    for path in (bundle / "robonav_policy").glob("*.py"):
        assert (package / "robonav_policy" / path.name).read_bytes() == path.read_bytes()
    assert sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) < 2_000_000


def quaternion(yaw: float) -> SimpleNamespace:
    return SimpleNamespace(x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2))


def placed(x: float, y: float, yaw: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(position=SimpleNamespace(x=x, y=y, z=0.0), orientation=quaternion(yaw))


def test_messages_are_read() -> None:
    for yaw in (-3.1, -0.4, 0.0, 2.0, 3.14):
        assert yaw_of(quaternion(yaw)) == pytest.approx(yaw, abs=1e-12)
    assert math.isnan(yaw_of(SimpleNamespace(x=0.0, y=0.0, z=0.0, w=0.0)))
    assert math.isnan(yaw_of(SimpleNamespace(x=0.0, y=0.0, z=math.nan, w=1.0)))
    assert seconds_of(SimpleNamespace(sec=3, nanosec=500_000_000)) == 3.5
    assert pose_of(placed(1.0, 2.0, 0.5)) == pytest.approx((1.0, 2.0, 0.5))
    linear, angular = SimpleNamespace(x=0.3, y=0.1), SimpleNamespace(z=0.7)
    message = SimpleNamespace(
        header=SimpleNamespace(frame_id="odom", stamp=SimpleNamespace(sec=3, nanosec=0)),
        pose=SimpleNamespace(pose=placed(1.0, 2.0)),
        twist=SimpleNamespace(twist=SimpleNamespace(linear=linear, angular=angular)),
    )
    assert odom_of(message, holonomic=False) == ((1.0, 2.0, 0.0), (0.3, 0.7), "odom", 3.0)
    assert odom_of(message, holonomic=True).twist == (0.3, 0.1)
    assert seen_from((10.0, 0.0, math.pi / 2), (2.0, 1.0, 0.5)) == pytest.approx((9.0, 2.0, math.pi / 2 + 0.5))
    assert all(map(math.isnan, seen_from((0.0, 0.0, math.inf), (0.0, 0.0, 0.0))))


def test_goals_of_a_path_keep_their_distance_and_its_end() -> None:
    path = [SimpleNamespace(pose=placed(0.1 * i, 0.0)) for i in range(26)]
    assert [x for x, _ in goals_of_path(path, 1.0)] == pytest.approx([1.0, 2.0, 2.5])
    assert len(goals_of_path(path, 0.0)) == 26
    assert goals_of_path([], 1.0) == []
    broken = [SimpleNamespace(pose=placed(math.nan, 0.0)), *path]
    assert any(math.isnan(x) for x, _ in goals_of_path(broken, 1.0))
