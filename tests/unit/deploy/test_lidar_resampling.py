"""Any lidar becomes the one of the training: nearest return per sector."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from robonav_policy.errors import ScanError
from robonav_policy.scans import Lidar, Resampler, read_scan, sees_less
from robonav_policy.spec import ScanSpec
from tests.oracles_worlds import arena_walls, lidar

RING = ScanSpec(36, -math.pi, 2 * math.pi / 36, 2 * math.pi, 5.0, 3, 4, True, "proximity", 0.6)
FRONT = ScanSpec(19, -math.pi / 2, math.pi / 18, math.pi, 5.0, 3, 4, True, "proximity", 0.6)
CIRCLES = np.array([[1.5, 0.4, 0.3], [-1.0, -2.0, 0.5], [0.3, 2.5, 0.25], [-2.2, 1.1, 0.4]])


def fine(num: int = 719) -> Lidar:
    return Lidar(num, -math.pi, 2 * math.pi / num, 12.0, 0.05)


def seen_by(one: Lidar, pose: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Return what a lidar sees among circles in a small arena; `pose` is the robot's."""
    c, s = math.cos(pose[2]), math.sin(pose[2])
    x, y = pose[0] + c * one.mount[0] - s * one.mount[1], pose[1] + s * one.mount[0] + c * one.mount[1]
    ranges = lidar(np.array([x, y, pose[2]]), one.angles, CIRCLES, arena_walls(3.5), 100.0)
    return np.where(ranges > one.range_max, np.inf, ranges)


def nearest_by_sector(spec: ScanSpec, angles: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """The slow twin: for each beam, a loop over all rays."""
    found = np.full(spec.num_beams, spec.range_max)
    for i in range(spec.num_beams):
        centre = spec.angle_min + i * spec.angle_increment
        for angle, one in zip(angles, ranges, strict=True):
            away = math.remainder(angle - centre, 2 * math.pi)
            if -spec.angle_increment / 2 <= away < spec.angle_increment / 2:
                found[i] = min(found[i], one)
    return found


@pytest.mark.parametrize("spec", [RING, FRONT])
@pytest.mark.parametrize(
    "one",
    [
        fine(),
        Lidar(719, 0.0, 2 * math.pi / 719, 12.0),  # begins ahead
        Lidar(719, math.pi, -2 * math.pi / 719, 12.0),  # goes round clockwise
        Lidar(720, -math.pi, 2 * math.pi / 719, 12.0),  # both ends of the circle
        Lidar(719, -math.pi, 2 * math.pi / 719, 12.0, mount=(0.0, 0.0, 1.3)),
        Lidar(719, -math.pi, 2 * math.pi / 719, 12.0, mount=(0.0, 0.0, 1.3), upside_down=True),
    ],
)
def test_the_nearest_return_of_each_sector_is_shown(spec: ScanSpec, one: Lidar) -> None:
    ranges = seen_by(one)
    shown, twin = Resampler(spec, one)(ranges), nearest_by_sector(spec, one.angles, ranges)
    assert np.allclose(shown, twin, atol=1e-5)
    assert sees_less(one, spec) is None


def test_the_lidar_of_the_training_is_passed_through() -> None:
    ranges = np.linspace(0.3, 5.0, 36)
    assert np.array_equal(Resampler(RING, Lidar.of(RING))(ranges), ranges.astype(np.float32))


@pytest.mark.parametrize("mount", [(0.2, 0.0, 0.0), (-0.15, 0.1, 2.0)])
def test_a_mount_is_taken_into_account(mount: tuple[float, float, float]) -> None:
    """Seen from the robot's centre, what a lidar in front of it sees is as far as from there."""
    moved, centred = Lidar(720, 0.0, 2 * math.pi / 720, 12.0, mount=mount), Lidar(720, 0.0, 2 * math.pi / 720, 12.0)
    a, b = (Resampler(RING, one)(seen_by(one)) for one in (moved, centred))
    assert np.median(np.abs(a - b)) < 0.01
    assert np.quantile(np.abs(a - b), 0.8) < 0.05, "only what hides behind something differs"


def test_few_rays_leave_no_sector_empty() -> None:
    coarse = Lidar(12, -math.pi, 2 * math.pi / 12, 12.0)
    resampler = Resampler(RING, coarse)
    shown = resampler(np.array([1.0, *[2.0] * 11]))
    assert not resampler.unseen.any()
    assert shown[[35, 0, 1]].tolist() == [1.0] * 3, "the nearer of the two rays beside it"
    assert (shown[3:34] == 2.0).all()
    assert sees_less(coarse, RING) is None


def test_values_mean_what_the_message_says() -> None:
    one = Lidar(8, -math.pi, math.pi / 4, 3.0, 0.1)
    spec = ScanSpec(8, -math.pi, math.pi / 4, 2 * math.pi, 5.0, 1, 1, False, "range", 0.6)
    resampler = Resampler(spec, one)
    shown = resampler(np.array([np.inf, 3.5, -np.inf, np.nan, 0.0, 0.05, 2.0, 3.0]))
    assert shown.tolist() == [5.0, 5.0, pytest.approx(0.1), 5.0, 5.0, 5.0, 2.0, 3.0]
    assert resampler.unseen.tolist() == [False, False, False, True, True, True, False, False]
    zeros = Resampler(spec, Lidar(8, -math.pi, math.pi / 4, 3.0, 0.1, zeros="nothing"))
    zeros(np.zeros(8))
    assert not zeros.unseen.any()
    for dead in (np.full(8, np.nan), np.zeros(8)):
        with pytest.raises(ScanError, match="no measured range"):
            resampler(dead)


def test_a_beam_that_drops_out_is_not_the_one_beside_it() -> None:
    one = fine(360)
    ranges = np.full(360, 2.0)
    ranges[100:120] = np.nan
    resampler = Resampler(RING, one)
    shown = resampler(ranges)
    assert resampler.unseen.sum() == 1
    assert shown[resampler.unseen].tolist() == [5.0]


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (Lidar(270, -2.35, 4.7 / 269, 12.0), r"blind in \d+ of 36 sectors \(\d+ degrees\)"),
        (Lidar(360, 0.0, 2 * math.pi / 360, 3.5), "sees 3.5 m far, and the policy was trained with 5 m"),
    ],
)
def test_a_lidar_that_sees_less_is_told(one: Lidar, said: str) -> None:
    less = sees_less(one, RING)
    assert less is not None
    assert re.search(said, less)


def message(**fields: object) -> SimpleNamespace:
    found = {"ranges": [1.0] * 360, "angle_min": 0.0, "angle_increment": math.pi / 180, "range_min": 0.1}
    return SimpleNamespace(**{**found, "range_max": 8.0, **fields})


def test_a_message_says_its_angles_itself() -> None:
    ranges, found = read_scan(message(), Lidar.of(RING))
    assert (found.num_rays, found.range_max, found.range_min, len(ranges)) == (360, 8.0, 0.1, 360)


@pytest.mark.parametrize(
    ("scan", "said"),
    [
        (message(ranges=[]), "is empty"),
        ([], "is empty"),
        (np.zeros((2, 36)), "has shape"),
        ([1.0] * 35, "35 ranges, and the lidar has 36"),
        ("far", "neither a list of ranges"),
        (message(angle_increment=0.0), "angle_increment is 0"),
        (message(angle_min=math.nan), "must be finite"),
        (message(range_min=9.0), "range_min"),
        (SimpleNamespace(ranges=[1.0]), "not all of angle_min"),
    ],
)
def test_what_is_no_scan_is_refused(scan: object, said: str) -> None:
    with pytest.raises(ScanError, match=said):
        read_scan(scan, Lidar.of(RING))
