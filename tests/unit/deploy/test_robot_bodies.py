"""A bundle of a robot that is no disc, with a lidar that stands somewhere, along a path."""

import math
from typing import Any

import numpy as np
import pytest

from robonav_nav.limits import Limits
from robonav_nav.parameters import checked_settings
from robonav_policy import Lidar, Policy, PolicyError, SafetyLayer
from robonav_policy.alignment import Aligner
from robonav_policy.errors import BundleError
from robonav_policy.observation import points_ahead
from robonav_policy.safety import STOP_DISTANCE, Body
from robonav_policy.scans import Resampler
from robonav_policy.spec import PathSpec, _outline, _path, _scan, _Section, layout_of
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.worlds.scan_contract import scan_contract
from tests.robot_side import spec_for
from tests.unit.deploy.test_ros_driver import make, odom, scan

BOX = ((-0.4, -0.2), (0.4, -0.2), (0.4, 0.2), (-0.4, 0.2))
REACH = math.hypot(0.4, 0.2)


def test_the_distance_from_an_outline() -> None:
    body = Body(REACH, BOX)
    x, y = np.array([0.0, 1.0, 0.0, 0.7, 0.39]), np.array([0.0, 0.0, -0.5, 0.6, 0.0])
    assert body.distance(x, y) == pytest.approx([-0.2, 0.6, 0.3, 0.5, -0.01])
    assert Body(0.3).distance(x, y) - Body(0.3).surface_m == pytest.approx(np.hypot(x, y) - 0.3)


@pytest.mark.parametrize(
    ("point", "command", "driven"),
    [
        ((0.0, 0.3), (0.5, 0.0), (0.5, 0.0)),  # beside the box, within its outer circle
        ((0.0, 0.32), (0.0, 1.0), (0.0, 0.4)),  # where a corner comes past on the spot
        ((0.0, 0.6), (0.0, 1.0), (0.0, 1.0)),
        ((0.6, 0.0), (1.0, 0.0), None),
    ],
)
def test_an_outline_brakes_for_what_it_meets(
    point: tuple[float, float], command: tuple[float, float], driven: tuple[float, float] | None
) -> None:
    layer = SafetyLayer(min_time_to_collision_s=1.2)
    found, reasons = layer.check(
        command, (0.0, 0.0), np.array([point]), radius_m=REACH, dt_s=0.1, holonomic=False, outline=BOX
    )
    if driven is None:
        assert found[0] < 0.5
        assert reasons == (STOP_DISTANCE,)
    else:
        assert found == driven
        assert bool(reasons) == (driven != command)


def test_old_documents_have_discs_at_whose_centre_the_lidar_stands() -> None:
    scan = vars(scan_contract(WorldConfig()))
    old = {key: value for key, value in scan.items() if key not in ("mount", "yaw", "range_min")}
    assert _scan(_Section({"scan": old}, "scan")) == scan_contract(WorldConfig())
    assert _outline(_Section({"body": {"shape": "disc", "radius_m": 0.2}}, "body")) == ()
    assert _path({}) is None
    assert "path" not in layout_of(36)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"outline": [[0, 0], [1, 1]]}, "body.outline: is no list of 3 to 64 corners"),
        ({"outline": [[0, 0], [1, 1], [1]]}, "body.outline: holds what is no pair of numbers"),
        ({"outline": 3}, "body.outline: is no list"),
    ],
)
def test_an_outline_that_is_none_is_told(body: dict[str, Any], told: str) -> None:
    with pytest.raises(BundleError, match=told):
        _outline(_Section({"body": body}, "body"))


def test_a_lidar_as_in_training_is_taken_as_it_is() -> None:
    lidar = {"x_m": 0.12, "y_m": -0.05, "yaw_rad": 1.5, "range_min_m": 0.1, "num_beams": 40}
    spec = scan_contract(WorldConfig.model_validate({"lidar": lidar}))
    same = Resampler(spec, Lidar.of(spec))
    ranges = np.linspace(0.2, 4.9, 40)
    assert same(ranges) == pytest.approx(ranges)
    bearing = 1.5 - math.pi + 2 * math.pi / 40 * np.arange(40)
    x, y = 0.12 + ranges * np.cos(bearing), -0.05 + ranges * np.sin(bearing)
    assert same.points == pytest.approx(np.stack([x, y], axis=1), abs=1e-5)
    elsewhere = Resampler(spec, Lidar(720, -math.pi, math.pi / 360, 5.0, mount=(0.0, 0.0, 0.0)))
    angle = -math.pi + math.pi / 360 * np.arange(720)
    wall = np.where(np.cos(angle) > 1e-9, 2.0 / np.maximum(np.cos(angle), 1e-9), 10.0)  # 2 m ahead of the centre
    shown = elsewhere(wall)
    ahead = int(np.argmin(np.abs(np.remainder(bearing + math.pi, 2 * math.pi) - math.pi)))
    assert shown[ahead] == pytest.approx(2.0 - 0.12, abs=0.03)


def test_scans_are_aligned_alike_wherever_the_lidar_looks() -> None:
    """A turned lidar shows what one that looks ahead does, its beams numbered from elsewhere."""
    rng, step = np.random.default_rng(0), 2 * math.pi / 72
    old = np.where(rng.random((1, 72)) < 0.3, 1.0, rng.uniform(0.2, 0.9, (1, 72))).astype(np.float32)
    taken, now = np.array([[0.3, -0.2, 1.0, 0.0]], np.float32), np.array([0.0, 0.1, math.cos(0.4), math.sin(0.4)])
    plain = Aligner(72, -math.pi, step, 5.0, 0.6)(old, taken, now.astype(np.float32))
    for beams in (1, 20, 36, 60):
        turned = Aligner(72, -math.pi + beams * step, step, 5.0, 0.6, yaw=beams * step)
        shown = turned(np.roll(old, -beams, axis=1), taken, now.astype(np.float32))
        assert np.roll(shown, beams, axis=1) == pytest.approx(plain, abs=2e-3)


def test_the_points_ahead_on_a_path() -> None:
    corner = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    assert points_ahead(corner, 1.0, 0.3, 3, 0.8) == pytest.approx(np.array([[1.8, 0.0], [2.0, 0.6], [2.0, 1.4]]))
    assert points_ahead(corner, 2.1, 1.5, 2, 0.8).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert points_ahead(corner[:1], 5.0, 5.0, 2, 0.8).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert points_ahead(corner[[0, 0, 1]], -1.0, 0.0, 1, 0.5).tolist() == [[0.5, 0.0]]


def test_a_policy_that_sees_a_path_needs_one() -> None:
    spec = spec_for(WorldConfig(), LevelConfig())
    spec = type(spec)(**{**vars(spec), "path": PathSpec(2, 0.5, 10.0), "obs_dim": spec.obs_dim + 4})
    seen: list[np.ndarray] = []

    def model(obs: np.ndarray) -> np.ndarray:
        seen.append(obs)
        return np.eye(15, dtype=np.float32)[[12]]

    policy = Policy(spec, model)
    policy.act([5.0] * 36, (0.0, 0.0, math.pi / 2), (2.0, 0.0))
    assert policy.last.problem is not None
    assert "the next 2 points of a path to its goal, 0.5 m apart" in policy.last.problem
    policy.act([5.0] * 36, (0.0, 0.0, math.pi / 2), (2.0, 0.0), path=[(0.0, 0.0), (2.0, 0.0)])
    assert policy.last.problem is None
    assert seen[0][0, -4:] == pytest.approx([0.0, -0.05, 0.0, -0.1], abs=1e-6)
    for wrong in ([], [(1.0, math.nan)], 3, "x"):
        policy.act([5.0] * 36, (0.0, 0.0, 0.0), (2.0, 0.0), path=wrong)
        assert str(policy.last.problem).startswith("path: ")


def test_the_node_hears_a_plan() -> None:
    driver = make()
    assert driver._path("odom") is None
    spec = driver.policy.spec
    object.__setattr__(driver.policy, "spec", type(spec)(**{**vars(spec), "path": PathSpec(2, 0.5, 10.0)}))
    with pytest.raises(PolicyError, match="no plan has come"):
        driver._path("odom")
    driver.take_plan([(0.0, 0.0), (1.0, 0.0)], "odom")
    assert driver._path("odom") == [(0.0, 0.0), (1.0, 0.0)]
    driver.take_plan([(0.0, 0.0), (1.0, 0.0)], "map")
    driver._locate = lambda frame, other: (0.0, 2.0, math.pi / 2)
    assert driver._path("odom") == [pytest.approx((0.0, 2.0)), pytest.approx((0.0, 3.0))]
    driver.take_goals([(3.0, 0.0)], "odom")
    driver.take_odometry(odom(0.1), 0.1)
    assert isinstance(driver.decide(0.1).status.message, str)


def test_the_node_decides_at_its_rate_where_the_lidar_was_slower() -> None:
    driver = make(world={"lidar": {"rate_hz": 5.0}})
    assert driver.on_timer
    assert driver.timeout_s == pytest.approx(1.8 * 0.2)
    driver.take_goals([(3.0, 0.0)], "odom")
    driver.take_odometry(odom(0.1), 0.1)
    assert driver.take_scan(scan(), 0.1, 0.1) is None
    for now in (0.1, 0.2, 0.3):
        driver.take_odometry(odom(now), now)
        order = driver.be_due(now)
        assert order is not None
        assert order.twist == (1.0, 0.0)
    assert driver.decisions == 3
    order = driver.be_due(0.5)
    assert order is not None
    assert order.status.state == "stopped"
    assert not make(world={"lidar": {"rate_hz": 12.0}}).on_timer


def test_a_bicycle_turns_as_fast_as_it_drives() -> None:
    world = {"robot": {"drive": "bicycle", "min_turn_radius_m": 0.5}}
    spec = spec_for(WorldConfig.model_validate(world), LevelConfig())
    left = np.eye(15, dtype=np.float32)
    for action, twist in ((14, (1.0, 1.5)), (9, (0.5, 1.0)), (4, (0.0, 0.0))):
        policy = Policy(spec, lambda obs, chosen=action: left[[chosen]])
        assert tuple(policy.act([5.0] * 36, (0.0, 0.0, 0.0), (2.0, 0.0))) == twist
    limits = Limits(spec, checked_settings({}), 0.1)
    assert limits.hold((0.2, 1.5), (0.0, 0.0), False) == (0.2, 0.4)
