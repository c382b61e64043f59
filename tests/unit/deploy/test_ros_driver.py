"""What the node of ROS 2 does, without ROS: when it decides, when it stands."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import robonav_ray.deploy
from robonav_policy import Policy
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from tests.robot_side import spec_for

SOURCE = Path(robonav_ray.deploy.__file__).parent / "ros2" / "robonav_nav" / "robonav_nav" / "driver.py"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    """The module as it lies in a bundle."""
    found = importlib.util.spec_from_file_location("robonav_nav_driver", SOURCE)
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    sys.modules[found.name] = made
    found.loader.exec_module(made)
    return made


@pytest.fixture
def driver(module: ModuleType) -> Any:
    """Of a policy that always drives ahead."""
    spec = spec_for(WorldConfig(), LevelConfig())
    ahead = np.eye(15, dtype=np.float32)[[12]]
    return module.Driver(Policy(spec, lambda obs: np.repeat(ahead, len(obs), axis=0)))


def scan(value: float = 5.0) -> SimpleNamespace:
    step = 2 * np.pi / 36
    return SimpleNamespace(ranges=[value] * 36, angle_min=-np.pi, angle_increment=step, range_min=0.1, range_max=5.0)


def odometry(module: ModuleType, stamp_s: float, x: float = 0.0) -> Any:
    return module.Odometry((x, 0.0, 0.0), 0.0, 0.0, 0.0, stamp_s)


def test_a_scan_waits_for_the_odometry_of_its_moment(module: ModuleType, driver: Any) -> None:
    driver.set_goals([(3.0, 0.0)])
    assert driver.odometry(odometry(module, 0.9)) is None
    assert driver.scan(scan(), 1.0, now_s=50.0) is None
    command = driver.odometry(odometry(module, 1.0))
    assert (command.linear_x, command.linear_y, command.angular_z, command.stamp_s) == (1.0, 0.0, 0.0, 1.0)
    assert driver.odometry(odometry(module, 1.05)) is None, "one decision for each scan"
    assert driver.scan(scan(), 1.04, now_s=50.04) is None, "too soon"
    assert driver.scan(scan(), 1.0, now_s=50.1) is not None, "the same scan again is answered again"


def test_without_goals_and_behind_the_last_one_it_stands(module: ModuleType, driver: Any) -> None:
    driver.odometry(odometry(module, 9.0))
    assert driver.scan(scan(), 1.0, now_s=0.0).is_zero
    assert driver.set_goals([(3.0, 0.0), (6.0, 0.0)]) == 2
    assert not driver.scan(scan(), 2.0, now_s=0.0).is_zero
    for stamp_s, x, left in ((3.0, 2.9, 1), (4.0, 4.5, 1), (5.0, 5.9, 0)):
        driver.odometry(odometry(module, 9.0, x))
        assert driver.scan(scan(), stamp_s, now_s=0.0).is_zero == (left == 0)
        assert driver.num_goals_left == left


def test_it_stands_once_when_scans_end_and_goes_on_with_the_next(module: ModuleType, driver: Any) -> None:
    driver.set_goals([(3.0, 0.0)])
    assert driver.watch(0.0) is None, "it has not moved"
    driver.odometry(odometry(module, 9.0))
    driver.scan(scan(), 1.0, now_s=10.0)
    assert driver.watch(10.17) is None
    assert driver.watch(10.19).is_zero, "before two periods are over"
    assert driver.watch(10.5) is None
    assert (driver.is_stopped, driver.counts["watchdog"]) == (True, 1)
    assert not driver.scan(scan(), 2.0, now_s=11.0).is_zero
    assert not driver.is_stopped


def test_a_slow_lidar_has_a_longer_period(module: ModuleType, driver: Any) -> None:
    slow = module.Driver(driver.policy, scan_period_s=0.2)
    slow.odometry(odometry(module, 9.0))
    slow.scan(scan(), 1.0, now_s=0.0)
    assert slow.watch(0.35) is None
    assert slow.watch(0.37).is_zero


def test_what_is_no_scan_is_a_problem_and_a_twist_of_zeros(module: ModuleType, driver: Any) -> None:
    driver.set_goals([(3.0, 0.0)])
    driver.odometry(odometry(module, 9.0))
    assert driver.scan(scan(np.nan), 1.0, now_s=0.0).is_zero
    assert "no measured range" in driver.problem
    assert driver.counts["problems"] == 1
    driver.took(0.002)
    assert driver.p99_ms == pytest.approx(2.0)
    with pytest.raises(module.PolicyError, match="goal"):
        driver.set_goals([(np.nan, 0.0)])
