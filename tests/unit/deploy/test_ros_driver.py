"""What the node of ROS 2 does, without ROS: when it decides, when it stands, and what it tells."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robonav_nav.conversions import Odom
from robonav_nav.driver import Driver
from robonav_nav.parameters import checked_settings
from robonav_nav.status import ERROR, OK, WARN
from robonav_policy import Policy, PolicyError, SafetyLayer
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from tests.robot_side import spec_for

AHEAD, STAND = (1.0, 0.0), (0.0, 0.0)


def make(safety: SafetyLayer | None = None, world: dict[str, Any] | None = None, **given: Any) -> Driver:
    """A driver whose policy always drives ahead; names of parameters with __ for the dot."""
    spec = spec_for(WorldConfig.model_validate(world or {}), LevelConfig())
    ahead = np.eye(15, dtype=np.float32)[[12]]
    policy = Policy(spec, lambda obs: np.repeat(ahead, len(obs), axis=0), safety=safety)
    driver = Driver(policy, checked_settings({name.replace("__", "."): value for name, value in given.items()}))
    driver.begin(0.0)
    return driver


def scan(value: float = 5.0, **given: Any) -> SimpleNamespace:
    step = 2 * np.pi / 36
    fields = {"ranges": [value] * 36, "angle_min": -np.pi, "angle_increment": step, "range_min": 0.1, "range_max": 5.0}
    return SimpleNamespace(**fields | given)


def odom(stamp: float, x: float = 0.0) -> Odom:
    return Odom((x, 0.0, 0.0), (0.0, 0.0), "odom", stamp)


def drive(driver: Driver, now: float, x: float = 0.0, seen: Any = None) -> Any:
    """Odometry and a scan of one moment; return the order."""
    driver.take_odometry(odom(now, x), now)
    return driver.take_scan(scan() if seen is None else seen, now, now)


def test_it_drives_to_goals_in_sequence_and_then_stands() -> None:
    driver = make()
    assert drive(driver, 0.1).twist is None, "no goal: others may drive"
    driver.take_goals([(3.0, 0.0), (6.0, 0.0)], "odom")
    order = drive(driver, 0.2)
    assert (order.twist, order.status.level, order.status.message) == (AHEAD, OK, "goal 1 of 2")
    order = drive(driver, 0.3, x=2.9)
    assert (order.twist, order.status.message) == (AHEAD, "goal 2 of 2")
    order = drive(driver, 0.4, x=5.9)
    assert (order.twist, order.status.state, order.changed) == (STAND, "arrived", True)
    assert drive(driver, 0.5, x=5.9).twist is None, "zeros once"
    assert driver.status.state == "arrived"


def test_goals_are_appended_or_replace_the_others_and_the_same_path_again_goes_on() -> None:
    driver = make()
    driver.take_goals([(3.0, 0.0)], "odom")
    drive(driver, 0.1)
    driver.take_goals([(9.0, 0.0)], "odom", append=True)
    assert drive(driver, 0.2).status.message == "goal 1 of 2"
    assert driver.policy._observer.step == 2
    driver.take_goals([(1.0, 1.0), (9.05, 0.0)], "odom")
    drive(driver, 0.3)
    assert driver.policy._observer.step == 3, "the same end: no new beginning"
    driver.take_goals([(5.0, 5.0)], "odom")
    assert drive(driver, 0.4).status.message == "goal 1 of 1"
    assert driver.policy._observer.step == 1
    driver.take_goals([], "odom")
    assert driver.status.state == "idle"


def test_the_watchdog_stops_within_two_periods_again_and_again_and_the_next_scan_goes_on() -> None:
    driver = make()
    assert driver.timeout_s == pytest.approx(0.18)
    driver.take_goals([(3.0, 0.0)], "odom")
    assert drive(driver, 0.1).twist == AHEAD
    assert driver.watch(0.25) is None
    for now in (0.28, 0.46):
        order = driver.watch(now)
        assert order is not None
        assert (order.twist, order.status.level, order.changed) == (STAND, ERROR, now == 0.28)
        assert "no scan for 0.18 s" in order.status.message or now > 0.28
    assert drive(driver, 1.0).twist == AHEAD
    assert make(timeout_s=0.5).timeout_s == 0.5


def test_a_scan_waits_for_the_odometry_of_its_moment_and_not_for_ever() -> None:
    driver = make()
    driver.take_goals([(3.0, 0.0)], "odom")
    assert driver.take_scan(scan(), 0.1, 0.1) is None
    assert driver.decide(0.12).status.message == "no odometry has come"
    driver.take_odometry(odom(0.1), 0.15)
    assert driver.take_scan(scan(), 0.2, 0.2) is None
    assert driver.is_waiting
    assert driver.take_odometry(odom(0.19), 0.205) is None, "it is older than the scan"
    assert driver.take_odometry(odom(0.2), 0.21).twist == AHEAD
    assert not driver.is_waiting
    assert driver.take_odometry(odom(0.25), 0.25) is None, "one decision for each scan"
    assert driver.take_scan(scan(), 0.3, 0.3) is None
    assert driver.decide(0.32).twist == AHEAD, "when the wait is over"
    assert driver.take_scan(scan(), 0.4, 0.4) is None
    assert "no odometry for 0.2" in driver.decide(0.5).status.message
    driver.take_odometry(odom(9.0), 0.51)
    assert driver.take_scan(scan(), 0.5, 0.51).twist == AHEAD


def test_it_decides_at_the_rate_of_the_training_whatever_the_lidar_does() -> None:
    fast = make()
    fast.take_goals([(3.0, 0.0)], "odom")
    decided = [now for now in np.arange(1, 101) * 0.025 if drive(fast, float(now)) is not None]
    assert np.diff(decided) == pytest.approx(0.1)
    broken = make()
    broken.take_goals([(3.0, 0.0)], "odom")
    orders = []
    for i in range(1, 41):  # stamps that all but stand still
        broken.take_odometry(odom(i * 0.1), i * 0.1)
        orders.append(broken.take_scan(scan(), 1e-6 * i, i * 0.1))
    assert all(order is not None for order in orders)
    slow = make(timeout_s=1.0)
    slow.take_goals([(3.0, 0.0)], "odom")
    for i in range(1, 40):
        order = drive(slow, i * 0.2)
    assert (order.twist, order.status.level) == (AHEAD, WARN)
    assert "was trained for 0.1 s" in order.status.message
    timed = make(decide_on="timer")
    timed.take_goals([(3.0, 0.0)], "odom")
    assert drive(timed, 0.1) is None
    assert timed.be_due(0.12).twist == AHEAD
    assert "no scan" in timed.be_due(0.4).status.message


@pytest.mark.parametrize(
    ("seen", "x", "told"),
    [
        (scan(math.nan), 0.0, "no measured range"),
        (scan(ranges=[]), 0.0, "empty"),
        (scan(angle_increment=0.0), 0.0, "angle_increment"),
        (scan(angle_min=-1.0, angle_increment=0.05), 0.0, "blind"),
        (scan(), math.nan, "pose"),
        (scan(), math.inf, "pose"),
    ],
)
def test_what_is_no_scan_or_no_pose_is_zeros_and_a_diagnostic(seen: Any, x: float, told: str) -> None:
    driver = make()
    driver.take_goals([(3.0, 0.0)], "odom")
    drive(driver, 0.1)
    order = drive(driver, 0.2, x=x, seen=seen)
    assert (order.twist, order.status.level, order.changed) == (STAND, ERROR, True)
    assert told in order.status.message
    assert driver.values(0.2)["problems"] == "1"
    driver.timeout_s = 0.15
    driver.watch(0.4)
    assert drive(driver, 0.5, x=x, seen=seen).changed, "another reason is told at once, too"
    assert drive(driver, 0.6).twist == AHEAD, "and it goes on"


def test_goals_that_are_none_and_frames_that_nothing_joins_are_told() -> None:
    driver = make()
    order = driver.take_goals([(math.nan, 0.0)], "odom")
    assert (order.twist, order.status.level) == (STAND, ERROR)
    assert "goal" in drive(driver, 0.1).status.message, "told until there are others"
    driver.take_goals([(3.0, 0.0)], "map")
    order = drive(driver, 0.2)
    assert (order.twist, order.status.level) == (STAND, ERROR)
    assert "'map'" in order.status.message
    driver.take_goals([(3.0, 0.0)], "")
    assert drive(driver, 0.3).twist == AHEAD


def test_goals_in_another_frame_are_driven_to_there() -> None:
    driver = make()
    driver._locate = lambda frame, other: (10.0, 0.0, math.pi / 2) if (frame, other) == ("map", "odom") else STAND
    driver.take_goals([(10.0, 2.9), (20.0, 0.0)], "map")
    assert drive(driver, 0.1, x=2.8).status.message == "goal 2 of 2"


def test_a_policy_that_fails_or_answers_nonsense_makes_the_robot_stand() -> None:
    driver = make()
    driver.take_goals([(3.0, 0.0)], "odom")

    def fail(*given: Any) -> Any:
        raise RuntimeError("onnx")

    real, driver.policy.act = driver.policy.act, fail
    order = drive(driver, 0.1)
    assert (order.twist, order.status.level) == (STAND, ERROR)
    assert "RuntimeError: onnx" in order.status.message
    driver.policy.act = lambda *given: (math.nan, 0.0)
    assert drive(driver, 0.2).twist == STAND
    driver.policy.act = lambda *given: (50.0, -9.0)
    assert drive(driver, 0.3).twist == (1.0, -1.5), "the limits of the spec"
    driver.policy.act = real
    assert driver.fail("a fault").twist == STAND


def test_limits_of_the_parameters_hold_and_braking_for_a_danger_is_not_limited() -> None:
    driver = make(SafetyLayer("act", latency_s=0.1), limits__max_speed=0.4, limits__max_acceleration=1.0)
    driver.take_goals([(30.0, 0.0)], "odom")
    sent = [drive(driver, 0.1 * i).twist[0] for i in range(1, 7)]
    assert sent == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    order = drive(driver, 0.7, seen=scan(0.3))
    assert (order.twist, order.status.level) == (STAND, WARN)
    assert "safety: stop_distance" in order.status.message
    assert driver.values(0.7)["safety_stop_distance"] == "1"
    slowing = make(limits__max_acceleration=1.0)
    slowing.take_goals([(30.0, 0.0)], "odom")
    slowing.sent = (0.5, 0.0)
    slowing.policy.act = lambda *given: STAND
    assert drive(slowing, 0.1).twist == pytest.approx((0.4, 0.0)), "without a danger it is"


def test_a_driver_that_ends_sends_zeros_and_a_robot_that_moves_to_all_sides_drives_by_its_norm() -> None:
    world = {"robot": {"drive": "holonomic", "actions": "holonomic81", "max_speed": 1.4}}
    driver = make(world=world)
    driver.take_goals([(30.0, 0.0)], "odom")
    driver.policy.act = lambda *given: (3.0, 4.0)
    assert drive(driver, 0.1).twist == pytest.approx((0.84, 1.12))
    order = driver.end()
    assert (order.twist, order.status.state) == (STAND, "inactive")


def test_goals_of_the_parameter_are_driven_to_at_once() -> None:
    driver = make(goal_source="goals", goals=[3.0, 0.0, 6, 1])
    assert drive(driver, 0.1).status.message == "goal 1 of 2"
    with pytest.raises(PolicyError, match="goals"):
        make(goals=[1.0])
