"""Bodies that are no discs, lidars that stand somewhere, drives that cannot turn on the spot: against slow twins."""

import math
from typing import Any

import numpy as np
import pytest

from robonav_ray.config.shipped import shipped_configs
from robonav_ray.config.worlds import LevelConfig, LidarConfig, RandomizationConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels import randomization as rnd
from robonav_ray.worlds.kernels.site.body import outline_distance
from robonav_ray.worlds.kernels.site.lookup import wall_clearance
from tests import oracles_worlds as oracle

KITE = [[-0.35, -0.1], [0.1, -0.3], [0.45, 0.05], [0.0, 0.02], [0.05, 0.3]]
BODIES: dict[str, dict[str, Any]] = {
    "box": {"shape": "rectangle", "length_m": 0.8, "width_m": 0.4, "x_m": 0.1},
    "kite": {"shape": "polygon", "outline": KITE},
}
WALLS = ({"x0_m": -2.0, "y0_m": 1.0, "x1_m": 1.0, "y1_m": 2.5}, {"x0_m": 2.0, "y0_m": -3.0, "x1_m": 2.0, "y1_m": 0.0})


def make(num: int = 8, level: LevelConfig | None = None, **world: Any) -> BatchedWorlds:
    worlds = BatchedWorlds(WorldConfig.model_validate(world), (level or LevelConfig(num_static=6),), num, 3, 0.99)
    worlds.reset()
    return worlds


def sides_of(corners: np.ndarray) -> np.ndarray:
    return np.concatenate([corners, np.roll(corners, -1, axis=0)], axis=1).astype(np.float32)


@pytest.mark.parametrize("name", BODIES)
def test_the_distance_from_an_outline(name: str) -> None:
    world = WorldConfig.model_validate({"robot": {"body": BODIES[name]}})
    corners, rng = np.array(world.robot.body.corners), np.random.default_rng(0)
    for point in rng.uniform(-0.8, 0.8, (100, 2)).astype(np.float32):
        twin = oracle.body_gap(corners, np.zeros((1, 3)), point[None], 0.0)
        assert outline_distance(sides_of(corners), *point) == pytest.approx(twin, abs=2e-3)


def twin_of_step(worlds: BatchedWorlds, w: int, others: list[np.ndarray]) -> float:
    """The least space during the last step of robot 0 of world ``w``; ``others``: rows (old x, y, x, y, radius)."""
    robot, config = worlds.state.robot[w, 0].astype(float), worlds.config
    corners = np.array(config.robot.body.corners)
    turn = 0.0 if config.robot.is_holonomic else robot[lay.W] * config.dt_s
    new = np.array([robot[lay.X], robot[lay.Y], math.atan2(robot[lay.SIN], robot[lay.COS])])
    poses = oracle.poses_of_step(robot[[lay.OLD_X, lay.OLD_Y]], new, turn, num=30)
    part = np.linspace(0.0, 1.0, 30)[:, None]
    places = [row[:2] + part * (row[2:4] - row[:2]) for row in others]
    gaps = [oracle.body_gap(corners, poses, at, row[4], every_m=0.02) for at, row in zip(places, others, strict=True)]
    outline = oracle.outline_points(corners, 0.02)
    for x, y, yaw in poses[[0, 10, 20, 29]]:
        c, s = math.cos(yaw), math.sin(yaw)
        at = outline @ np.array([[c, s], [-s, c]]) + (x, y)
        for wall in config.wall_lines():
            line = np.linspace(wall[:2], wall[2:], 120)
            gaps.append(float(np.linalg.norm(at[:, None] - line[None], axis=2).min()))
    gaps.append(config.side_m / 2 - float(np.abs(at).max()))
    return min(gaps)


@pytest.mark.parametrize(
    ("name", "drive"),
    [
        ("box", "unicycle"),
        ("kite", "holonomic"),
        pytest.param("kite", "unicycle", marks=pytest.mark.slow),
        pytest.param("box", "bicycle", marks=pytest.mark.slow),
    ],
)
def test_collisions_and_clearances_are_those_of_the_outline(name: str, drive: str) -> None:
    robot = {"body": BODIES[name], "drive": drive, "max_speed": 2.0, "max_turn_rate": 3.0, "actions": "continuous"}
    robot |= {"min_turn_radius_m": 0.6} if drive == "bicycle" else {}
    worlds, rng = make(6, robot=robot, segments=WALLS), np.random.default_rng(1)
    seen = dict.fromkeys(("hit", "close", "free"), 0)
    for _ in range(40):
        worlds.step(rng.uniform((-0.5, -1.0), (1.5, 1.0), (6, 2)), autoreset=DISABLED)
        state = worlds.state
        for w in range(6):
            robot_row = state.robot[w, 0]
            clearance = float(robot_row[lay.CLEARANCE])
            circle = state.circle[w, :, : state.world[w, lay.NUM_CIRCLES]].astype(float)
            near = [row for row in circle.T if np.hypot(row[0] - robot_row[lay.X], row[1] - robot_row[lay.Y]) < 2.2]
            others = [row[[lay.C_OLD_X, lay.C_OLD_Y, lay.C_X, lay.C_Y, lay.C_RADIUS]] for row in near]
            if worlds.out.parked[w]:
                continue
            twin = min(twin_of_step(worlds, w, others), 1.0)
            hit = int(state.lane[w, 0, lay.OUTCOME]) in (
                Outcome.COLLISION_STATIC, Outcome.COLLISION_DYNAMIC, Outcome.COLLISION_WALL
            )  # fmt: skip
            assert hit == (clearance < 0.0)
            if clearance > 0.0:
                assert clearance == pytest.approx(max(twin, 0.0), abs=0.035), (name, drive)
            if abs(twin) > 0.03:
                assert hit == (twin < 0.0)
            seen["hit" if hit else "close" if twin < 0.2 else "free"] += 1
        worlds.reset((state.lane[..., lay.ENDED] != 0).all(axis=1))
    assert min(seen.values()) >= 3, seen


def test_an_outline_meets_the_walls_of_a_map() -> None:
    plan = {"generator": "rooms", "num_maps": 2, "width_m": 10.0, "height_m": 8.0, "resolution_m": 0.1}
    robot = {"body": BODIES["kite"], "max_speed": 1.5, "max_turn_rate": 3.0, "actions": "continuous"}
    worlds = make(8, level=LevelConfig(num_static=0, num_dynamic=0, num_goals=1), map=plan, robot=robot)
    worlds.check_valid()
    outline = oracle.outline_points(np.array(worlds.config.robot.body.corners), 0.01)
    rng, site, seen = np.random.default_rng(2), worlds.params.site, [0, 0, 0]
    for _ in range(40):
        worlds.step(rng.uniform((0.0, -1.0), (1.5, 1.0), (8, 2)), autoreset=DISABLED)
        for w in np.flatnonzero(~worlds.out.parked):
            row, least = worlds.state.robot[w, 0], 1.0
            new = np.array([row[lay.X], row[lay.Y], math.atan2(row[lay.SIN], row[lay.COS])])
            for x, y, yaw in oracle.poses_of_step(row[[lay.OLD_X, lay.OLD_Y]], new, row[lay.W] * 0.1, num=12):
                c, s = math.cos(yaw), math.sin(yaw)
                for at in (outline @ np.array([[c, s], [-s, c]]) + (x, y)).astype(np.float32):
                    least = min(least, float(wall_clearance(site, np.int64(site.map_of[w]), *at)))
            clearance, hit = float(row[lay.CLEARANCE]), worlds.state.lane[w, 0, lay.OUTCOME] == Outcome.COLLISION_WALL
            assert hit == (clearance < 0.0)
            if abs(least) > 0.05:
                assert hit == (least < 0.0)
            assert hit or clearance == pytest.approx(max(least, 0.0), abs=0.06 + 0.2 * abs(least))
            seen[0 if hit else 1 if clearance < 0.2 else 2] += 1
        worlds.reset((worlds.state.lane[..., lay.ENDED] != 0).all(axis=1))
    assert min(seen) >= 3, seen


def test_worlds_of_discs_with_a_lidar_in_their_middle_have_no_site() -> None:
    assert make(1).params.site is None
    assert make(1, lidar={"noise_m": 0.02, "rate_hz": 10.0}).params.site is None
    for lidar in ({"x_m": 0.1}, {"yaw_rad": 0.1}, {"range_min_m": 0.1}, {"rate_hz": 5.0}):
        assert make(1, lidar=lidar).params.site is not None


def test_a_lidar_stands_where_it_is_mounted() -> None:
    own = {"x_m": 0.3, "y_m": -0.1, "yaw_rad": 2.0, "field_of_view_rad": 3.0, "num_beams": 31, "range_min_m": 0.35}
    worlds, angles = make(6, lidar=own, segments=WALLS), 2.0 - 1.5 + 0.1 * np.arange(31)
    assert worlds.beam_angle == pytest.approx(angles, abs=1e-5)
    walls = np.concatenate([oracle.arena_walls(5.0), np.array(worlds.config.wall_lines())])
    hidden = 0
    for w in range(6):
        scene = worlds.scene(w)
        x, y, yaw = scene.robot_pose[0].astype(float)
        at = np.array(
            [x + math.cos(yaw) * 0.3 + math.sin(yaw) * 0.1, y + math.sin(yaw) * 0.3 - math.cos(yaw) * 0.1, yaw]
        )
        twin = oracle.lidar(at, angles, np.column_stack([scene.circles[:, :2], scene.circles[:, 2]]), walls, 5.0)
        hidden += int((twin < 0.35).sum())
        assert scene.ranges[0] == pytest.approx(np.where(twin < 0.35, 5.0, twin), abs=2e-3)


def test_the_proximity_is_1_where_the_nearest_side_is() -> None:
    assert WorldConfig(lidar=LidarConfig(range_min_m=0.2)).contact_m == 0.25
    assert WorldConfig(lidar=LidarConfig(x_m=0.1)).contact_m == pytest.approx(0.15)
    box = {"robot": {"body": BODIES["box"]}, "lidar": {"x_m": 0.2}}
    assert WorldConfig.model_validate(box).contact_m == pytest.approx(0.2)
    worlds = make(4, **box)
    shown, ranges = worlds.out.obs[:, :36], worlds.state.scan[:, 0, 0] * 5.0
    near = np.maximum(ranges, 0.2)
    assert shown == pytest.approx((0.2 / near - 0.04) / 0.96, abs=1e-5)


def test_what_is_too_near_is_not_seen() -> None:
    worlds = make(4, lidar={"range_min_m": 4.9}, level=LevelConfig(num_static=0, num_dynamic=0))
    scan = worlds.state.scan[:, 0, 0] * 5.0
    assert ((scan >= 4.9) | (scan == 5.0)).all()


@pytest.mark.parametrize(("rate_hz", "fresh"), [(5.0, [2, 4, 6, 8]), (2.5, [4, 8]), (7.0, [2, 3, 5, 6, 8, 9])])
def test_a_slow_lidar_stands_between_its_scans(rate_hz: float, fresh: list[int]) -> None:
    lidar = {"rate_hz": rate_hz, "noise_m": 0.05}
    worlds = make(3, lidar=lidar, level=LevelConfig(num_static=3, num_dynamic=3))
    last, found = worlds.state.scan[:, 0, 0].copy(), []
    for step in range(1, 10):
        worlds.step(np.full(3, 7), autoreset=DISABLED)
        head = worlds.state.lane[0, 0, lay.HEAD]
        newest = worlds.state.scan[:, 0, head].copy()
        if not np.array_equal(newest, last):
            found.append(step)
        last = newest
    assert found == fresh


def test_a_bicycle_turns_no_faster_than_its_circle() -> None:
    robot = {"drive": "bicycle", "min_turn_radius_m": 0.8, "max_turn_rate": 3.0, "actions": "continuous"}
    worlds, rng = make(16, robot=robot, level=LevelConfig(num_static=0, num_dynamic=0)), np.random.default_rng(0)
    for _ in range(50):
        worlds.step(rng.uniform(-1.0, 1.0, (16, 2)).astype(np.float32))
        v, omega = worlds.state.robot[:, 0, lay.V], worlds.state.robot[:, 0, lay.W]
        assert (np.abs(omega) <= np.abs(v) / 0.8 + 1e-6).all()
    assert np.abs(omega).max() > 0.3


def test_noise_and_delay_of_the_robot_join_those_of_the_level() -> None:
    world = WorldConfig.model_validate({"lidar": {"noise_m": 0.03}, "robot": {"command_delay_s": 0.24}})
    faulty = LevelConfig(randomization=RandomizationConfig(range_noise=1, action_latency=2))
    row = rnd.level_row(faulty, world)
    assert row[rnd.RANGE_NOISE] == pytest.approx(math.hypot(0.02, 0.03))
    assert row[rnd.ACTION_LATENCY] == 4
    plain = rnd.level_row(LevelConfig(), world)
    assert (plain[rnd.RANGE_NOISE], plain[rnd.ACTION_LATENCY]) == (pytest.approx(0.03), 2)
    assert (plain[rnd.SENSOR_FAULTS], plain[rnd.MOTION_FAULTS]) == (1, 1)
    usual = rnd.level_row(LevelConfig(), WorldConfig())
    assert usual[[rnd.SENSOR_FAULTS, rnd.MOTION_FAULTS, rnd.RANGE_NOISE, rnd.ACTION_LATENCY]].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("robot", [robot.name for robot in shipped_configs("robot")])
def test_every_shipped_robot_drives_to_goals(robot: str) -> None:
    level = LevelConfig.model_validate({"num_static": 0, "num_dynamic": 0, "num_goals": 1, "max_steps": None})
    worlds = make(32, robot=robot, level=level)
    worlds.set_drivers(np.full(32, 3, np.int8))  # straight to the goal
    worlds.check_valid()
    space, arrived = worlds.observation_space, 0
    for _ in range(worlds.levels[0].max_steps):
        worlds.step(np.zeros(32, np.int64))
        arrived += int((worlds.out.final_lane[worlds.out.finished, 0] == Outcome.SUCCESS).sum())
    assert space.contains(worlds.out.obs[0])
    assert arrived >= 24
