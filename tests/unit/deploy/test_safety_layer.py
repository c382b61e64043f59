"""The layer behind the policy brakes for what the lidar sees, and for nothing else."""

import math

import numpy as np
import pytest

from robonav_policy.errors import PolicyError
from robonav_policy.safety import ACCELERATION, SPEED, STOP_DISTANCE, TIME_TO_COLLISION, SafetyLayer

NOTHING = np.zeros((0, 2))
RADIUS = 0.25


def ahead(distance_m: float) -> np.ndarray:
    """A wall of points across the way, so far from the robot's centre."""
    return np.stack([np.full(41, distance_m), np.linspace(-1.0, 1.0, 41)], axis=1)


def check(layer: SafetyLayer, command: tuple[float, float], points: np.ndarray, now=(0.0, 0.0), holonomic=False):
    return layer.check(command, now, points, radius_m=RADIUS, dt_s=0.1, holonomic=holonomic)


def test_it_brakes_so_that_it_can_stand_before_what_is_ahead() -> None:
    layer = SafetyLayer(latency_s=0.2, deceleration=1.0, margin_m=0.05, min_time_to_collision_s=0.0)
    for distance_m in np.arange(0.31, 1.6, 0.05):
        (v, _), reasons = check(layer, (1.0, 0.0), ahead(distance_m))
        free_m, needed_m = distance_m - RADIUS - 0.05, v * 0.2 + v * v / 2
        assert needed_m <= free_m + 1e-9, distance_m
        assert (v < 1.0) == (STOP_DISTANCE in reasons)
    assert check(layer, (1.0, 0.0), ahead(1.6)) == ((1.0, 0.0), ())


def test_time_to_collision_holds_at_any_speed() -> None:
    layer = SafetyLayer(latency_s=0.0, deceleration=10.0, margin_m=0.0, min_time_to_collision_s=2.0)
    (v, omega), reasons = check(layer, (0.5, 0.0), ahead(1.0))
    assert reasons == (TIME_TO_COLLISION,)
    assert 0.0 < v * 2.0 <= 1.0 - RADIUS
    assert omega == 0.0


def test_a_turn_that_leads_past_is_no_danger() -> None:
    layer, post = SafetyLayer(), np.array([[0.7, 0.0]])
    assert check(layer, (0.8, 0.0), post)[1] == (STOP_DISTANCE,)
    assert check(layer, (0.8, 1.5), np.array([[0.7, -0.3]])) == ((0.8, 1.5), ())
    assert check(layer, (0.0, 1.5), ahead(0.26)) == ((0.0, 1.5), ()), "a disc turns on the spot"


def test_it_lets_a_robot_away_from_what_it_stands_at() -> None:
    behind = -ahead(0.27)
    assert check(SafetyLayer(), (0.5, 0.0), behind) == ((0.5, 0.0), ())
    stuck, reasons = check(SafetyLayer(), (0.5, 1.0), ahead(0.27))
    assert (stuck, reasons) == ((0.0, 1.0), (STOP_DISTANCE,)), "it may turn"


def test_a_robot_that_moves_to_the_side_is_braked_there() -> None:
    left = np.stack([np.linspace(-1.0, 1.0, 41), np.full(41, 0.6)], axis=1)
    (v_x, v_y), reasons = check(SafetyLayer(), (0.0, 1.0), left, holonomic=True)
    assert v_x == 0.0
    assert 0.0 < v_y < 0.7
    assert reasons
    assert check(SafetyLayer(), (1.0, 0.0), left, holonomic=True)[1] == ()


def test_speed_and_acceleration_are_limited_and_braking_for_a_danger_is_not() -> None:
    layer = SafetyLayer(max_speed=0.5, max_turn_rate=1.0, max_acceleration=1.0, max_turn_acceleration=2.0)
    assert check(layer, (1.0, -1.5), NOTHING, now=(0.5, -1.0)) == ((0.5, -1.0), (SPEED,))
    assert check(layer, (0.5, 0.0), NOTHING, now=(0.0, 0.0)) == ((0.1, 0.0), (ACCELERATION,))
    assert check(layer, (0.0, 0.0), NOTHING, now=(0.5, 0.0))[0] == (0.4, 0.0)
    assert check(layer, (0.5, 0.0), ahead(0.27), now=(0.5, 0.0))[0] == (0.0, 0.0)
    fast = check(SafetyLayer(max_speed=0.5), (0.6, 0.8), NOTHING, holonomic=True)[0]
    assert math.hypot(*fast) == pytest.approx(0.5)


def test_off_and_warn_change_nothing_and_all_is_counted() -> None:
    points = ahead(0.5)
    assert check(SafetyLayer("off"), (1.0, 0.0), points) == ((1.0, 0.0), ())
    warn, act = SafetyLayer("warn"), SafetyLayer("act")
    for _ in range(3):
        assert check(warn, (1.0, 0.0), points) == ((1.0, 0.0), (STOP_DISTANCE,))
        assert check(act, (1.0, 0.0), points)[0][0] < 1.0
    assert warn.counts == act.counts == {"decisions": 3, STOP_DISTANCE: 3}


@pytest.mark.parametrize(
    ("field", "value"), [("mode", "loud"), ("latency_s", -0.1), ("deceleration", 0.0), ("max_speed", math.nan)]
)
def test_what_cannot_be_is_refused(field: str, value: object) -> None:
    with pytest.raises(PolicyError, match=field):
        SafetyLayer(**{field: value})  # type: ignore[arg-type]
