"""Pictures of worlds that take place in a map: by a scene made by hand, so that each pixel is known."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds import play
from robonav_ray.worlds.batched import BatchedWorlds, Scene
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.floor_plan import FloorPlan
from robonav_ray.worlds.pictures.framing import MARGIN_FRAC
from robonav_ray.worlds.pictures.render import SceneRenderer, Trail, contact_sheet, render_scene
from robonav_ray.worlds.scene import shown_part_m

SIZE = 400
NOWHERE = np.zeros((0, 2))


def floor_plan(width_m: float, height_m: float, resolution_m: float = 0.1) -> GridMap:
    """A hall with a wall along its upper edge, a block in its lower left quarter, and a corner that is unknown."""
    rows, columns = round(height_m / resolution_m), round(width_m / resolution_m)
    occupied, unknown = np.zeros((2, rows, columns), bool)
    occupied[-2:] = True
    occupied[rows // 8 : rows // 4, columns // 8 : columns // 4] = True
    unknown[: rows // 8, -columns // 8 :] = True
    return GridMap("hall", occupied | unknown, unknown, resolution_m)


def scene_on(plan: GridMap, pose=(0.0, 0.0, 0.0), goal=(3.0, 2.0), **changes) -> Scene:
    scene = Scene(
        half_side_m=max(plan.size_m) / 2,
        walls=True,
        robot_pose=np.array([pose], np.float32),
        robot_radius_m=0.25,
        robot_ended=np.zeros(1, bool),
        goals=np.array([[goal]], np.float32),
        goal_index=np.zeros(1, np.int32),
        circles=np.zeros((0, 5), np.float32),
        circle_kind=np.zeros(0, np.int32),
        inner_walls=np.zeros((0, 4), np.float32),
        ranges=np.full((1, 37), 4.0, np.float32),
        range_max_m=5.0,
        beam_angle=np.linspace(-np.pi / 2, np.pi / 2, 37, dtype=np.float32),
        step=0,
        level=0,
        episode=0,
        outcome=np.zeros(1, np.int32),
        map=plan,
        shown_m=shown_part_m((plan,), 0.5),
        routes=(np.array([pose[:2], goal]),),
    )
    return replace(scene, **changes)


def pixel(picture: np.ndarray, plan: GridMap, x: float, y: float) -> np.ndarray:
    """The colour at world position (x, y) in a picture of all of ``plan``, without words."""
    height, width = picture.shape[:2]
    scale = min(width / plan.size_m[0], height / plan.size_m[1]) / (1 + 2 * MARGIN_FRAC)
    return picture[round(height / 2 - y * scale), round(width / 2 + x * scale)].astype(int)


def is_like(seen: np.ndarray, color, tolerance: int = 24) -> bool:
    return bool(np.abs(seen - color).sum() < tolerance)


def num_of(picture: np.ndarray, color, tolerance: int = 40) -> int:
    return int((np.abs(picture.astype(int) - color).sum(axis=-1) < tolerance).sum())


@pytest.mark.parametrize(
    ("size_m", "shape"),
    [
        ((20.0, 20.0), (400, 400)),
        ((20.0, 12.0), (240, 400)),
        ((12.0, 20.0), (400, 240)),
        ((24.0, 2.0), (160, 400)),
        ((100.0, 100.0), (400, 400)),
        ((100.0, 12.0), (200, 400)),
        ((6.0, 100.0), (400, 240)),
    ],
)
def test_pictures_have_the_sides_of_what_is_shown(size_m, shape):
    plan = floor_plan(*size_m, resolution_m=0.2)
    scene = scene_on(plan, goal=(1.0, 0.0))
    picture = render_scene(scene, size_px=SIZE, hud=False)
    assert picture.shape == (*shape, 3)
    renderer = SceneRenderer(SIZE, players=("a name", "another"))
    with_words = renderer.render(replace(scene, player=np.zeros(1, int)))
    assert with_words.shape == (shape[0] + renderer.hud_height + renderer.legend_height, shape[1], 3)


def test_cells_are_where_they_are_and_as_they_are():
    plan = floor_plan(20.0, 12.0)
    picture = render_scene(scene_on(plan), size_px=SIZE, hud=False)
    block = (-10 + 20 * 3 / 16, -6 + 12 * 3 / 16)
    assert is_like(pixel(picture, plan, *block), col.WALL)
    assert is_like(pixel(picture, plan, 5.5, 5.9), col.WALL)
    assert is_like(pixel(picture, plan, -block[0] + 0.5, -block[1] + 0.5), col.FLOOR)
    unknown = pixel(picture, plan, 9.4, -5.6)
    assert not is_like(unknown, col.FLOOR)
    assert not is_like(unknown, col.WALL)
    assert is_like(picture[2, 2].astype(int), unknown, 60), "beyond the edge nothing is known either"
    free = render_scene(scene_on(replace(plan, occupied=plan.occupied & ~plan.unknown)), size_px=SIZE, hud=False)
    assert not is_like(pixel(free, plan, 9.4, -5.6), unknown)


def test_a_body_has_its_outline_and_stands_on_its_centre_of_rotation():
    plan = floor_plan(10.0, 10.0)
    outline = np.array([[1.5, 0.4], [-0.5, 0.4], [-0.5, -0.4], [1.5, -0.4]])
    shown = scene_on(plan, pose=(0.0, 0.0, np.pi / 2), outline=outline, robot_radius_m=1.6, routes=())
    picture = render_scene(shown, size_px=SIZE, hud=False)
    assert is_like(pixel(picture, plan, 0.2, 1.3), col.ROBOT[0])
    assert is_like(pixel(picture, plan, 0.3, -0.4), col.ROBOT[0])
    assert not is_like(pixel(picture, plan, 0.6, 0.5), col.ROBOT[0], 100)
    assert not is_like(pixel(picture, plan, 0.0, -0.8), col.ROBOT[0], 100)
    for outcome, tone in ((Outcome.SUCCESS, col.SUCCESS), (Outcome.COLLISION_WALL, col.FAILURE)):
        ended = replace(shown, outcome=np.array([outcome], np.int32), robot_ended=np.ones(1, bool))
        assert is_like(pixel(render_scene(ended, size_px=SIZE, hud=False), plan, 0.3, 1.4), tone)


def test_the_lidar_looks_from_its_mount_over_its_field_of_view_only():
    plan = floor_plan(20.0, 20.0)
    shown = scene_on(plan, pose=(0.5, 0.5, 0.0), goal=(-8.0, 8.0), lidar_xy=(0.0, -2.0), routes=())
    fan, blind = (render_scene(s, size_px=SIZE, hud=False) for s in (shown, replace(shown, range_max_m=1e-3)))
    assert not is_like(pixel(fan, plan, 2.5, -1.3), col.FLOOR, 12)
    assert pixel(fan, plan, 4.5, -1.5) == pytest.approx(pixel(blind, plan, 4.5, -1.5), abs=200)
    assert is_like(pixel(fan, plan, -0.6, -1.3), col.FLOOR, 12), "behind the sensor"
    wide = replace(shown, beam_angle=np.linspace(-2.6, 2.6, 37, dtype=np.float32))
    picture = render_scene(wide, size_px=SIZE, hud=False)
    assert is_like(pixel(picture, plan, -1.6, -1.6), col.FLOOR, 12), "60 of 360 degrees are not seen"
    assert not is_like(pixel(picture, plan, 0.6, -3.7), col.FLOOR, 12)


def test_the_route_and_the_observed_points_are_shown_until_the_end():
    plan = floor_plan(10.0, 10.0)
    bare = scene_on(plan, pose=(-2.0, 0.0, 0.0), goal=(2.5, 3.0), routes=(), ranges=np.full((1, 37), 0.1, np.float32))
    route = np.array([[-2.0, 0.0], [2.5, 0.0], [2.5, 3.0]])
    led = replace(bare, routes=(route,), path=np.array([[[-0.6, 0.0], [0.6, 0.0]]]))
    before, after = (render_scene(s, size_px=SIZE, hud=False) for s in (bare, led))
    assert not np.array_equal(pixel(before, plan, 1.5, 0.0), pixel(after, plan, 1.5, 0.0))
    assert is_like(pixel(after, plan, 0.6, 0.0), col.SUCCESS, 60)
    over = {"robot_ended": np.ones(1, bool), "outcome": np.array([Outcome.TIMEOUT], np.int32)}
    ends = [render_scene(replace(s, **over), size_px=SIZE, hud=False) for s in (bare, led)]
    np.testing.assert_array_equal(*ends)


def drive(plan: GridMap, num: int, way_m: float, **changes) -> list[Scene]:
    half = plan.size_m[0] / 2
    return [
        scene_on(plan, (-half + 2 + way_m * k / num, 0.5, 0.0), (half - 2, 0.5), step=k, robot_radius_m=0.15, **changes)
        for k in range(num)
    ]


def test_the_view_of_a_large_map_goes_with_the_robot_and_mostly_stands():
    plan = floor_plan(100.0, 60.0, 0.2)
    renderer, trail, frames = SceneRenderer(200, hud=False), Trail(), []
    for scene in drive(plan, 80, 32.0):
        trail.add(scene)
        frames.append(renderer.render(scene, trail))
        assert num_of(frames[-1], col.ROBOT[0], 120) > 4, "a robot of .3 m is seen wherever it is"
    assert len({frame.shape for frame in frames}) == 1
    rows = slice(150, None)  # nothing but the floor
    still = [np.array_equal(a[rows], b[rows]) for a, b in pairwise(frames)]
    assert sum(still) > 40
    assert not all(still)
    again = renderer.render(drive(plan, 80, 32.0)[-1], trail)
    np.testing.assert_array_equal(again[rows], frames[-1][rows])


def test_an_overview_shows_the_rest_of_a_large_map():
    plan = floor_plan(100.0, 100.0, 0.2)
    shown = scene_on(plan, (0.0, 0.0, 0.0), (40.0, 40.0))
    picture = render_scene(shown, size_px=SIZE, hud=False)
    corner = picture[: SIZE // 3, -SIZE // 3 :]
    assert num_of(corner, col.SUCCESS) > 5, "the goal is in it, though not in the view"
    near = render_scene(scene_on(plan, (49.0, 49.0, 0.0), (40.0, 45.0)), size_px=SIZE, hud=False)
    assert num_of(near[: SIZE // 3, : SIZE // 3], col.SUCCESS) > 5, "it gives way to the robot"
    assert render_scene(shown, size_px=96, hud=False).shape == (96, 96, 3)


def test_several_robots_are_in_one_picture():
    plan = floor_plan(100.0, 100.0, 0.2)
    poses = np.array([[-40.0, -40.0, 0.0], [40.0, 30.0, 1.0]], np.float32)
    scene = scene_on(
        plan,
        robot_pose=poses,
        robot_ended=np.zeros(2, bool),
        goals=np.array([[[-30.0, 0.0]], [[0.0, 40.0]]], np.float32),
        goal_index=np.zeros(2, np.int32),
        outcome=np.zeros(2, np.int32),
        ranges=np.full((2, 37), 5.0, np.float32),
        routes=(NOWHERE, NOWHERE),
    )
    picture = render_scene(scene, size_px=SIZE, hud=False)
    for number in range(2):
        assert num_of(picture, col.ROBOT[number]) > 20


def test_thin_walls_stay_in_coarse_pictures():
    occupied = np.zeros((2000, 2000), bool)
    occupied[:, 1000] = True
    plan = GridMap("a line", occupied, np.zeros_like(occupied), 0.01)
    picture = render_scene(scene_on(plan, pose=(-5.0, 0.0, 0.0), goal=(5.0, 0.0), routes=()), size_px=100, hud=False)
    assert (picture[:40, 48:53].sum(axis=-1).min(axis=1) < sum(col.FLOOR) - 60).all()


def test_a_map_is_a_small_png_with_its_free_cells_transparent():
    plan = floor_plan(20.0, 12.0)
    with Image.open(io.BytesIO(FloorPlan(plan).png())) as image:
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels.shape == (120, 200, 4)
    np.testing.assert_array_equal(pixels[..., 3] > 0, plan.occupied[::-1])
    large = GridMap("large", np.zeros((5000, 1000), bool), np.zeros((5000, 1000), bool), 0.02)
    file = FloorPlan(large).png()
    assert len(file) < 5000
    with Image.open(io.BytesIO(file)) as image:
        assert image.size == (334, 1667)


def test_pictures_of_several_sizes_share_a_sheet():
    frames = [np.full((h, w, 3), 7, np.uint8) for h, w in ((20, 40), (40, 20))]
    sheet = contact_sheet(frames, 2, 2, gap_px=2)
    assert sheet.shape == (44, 86, 3)
    assert (sheet == 7).all(axis=-1).sum() == 1600


def test_a_scene_of_the_worlds_has_its_map_its_way_and_the_robots_shape():
    world = WorldConfig.model_validate(
        {
            "map": {"generator": "rooms", "num_maps": 2, "width_m": 12.0, "height_m": 8.0, "num_goals": 8},
            "path": {"num_points": 3, "spacing_m": 0.5},
            "robot": "jackal",
            "num_robots": 2,
        }
    )
    level = LevelConfig(num_static=0, num_dynamic=0, num_goals=1, max_steps=100)
    worlds = BatchedWorlds(world, (level,), 4, 3, 0.99)
    worlds.reset()
    for w in range(4):
        scene = worlds.scene(w)
        assert scene.map is worlds.maps[worlds.map_index[w]]
        assert (scene.shown_m, scene.half_side_m) == ((12.0, 8.0), 6.0)
        np.testing.assert_allclose(scene.outline, world.robot.body.corners)
        assert scene.lidar_xy == (0.12, 0.0)
        assert scene.path is not None
        for r, route in enumerate(scene.routes):
            np.testing.assert_allclose(route[[0, -1]], [scene.robot_pose[r, :2], scene.goals[r, 0]], atol=1e-5)
            first = route[0] + (route[1] - route[0]) * min(1.0, 0.5 / np.linalg.norm(route[1] - route[0]))
            if np.linalg.norm(route[1] - route[0]) > 0.5:
                np.testing.assert_allclose(scene.path[r, 0], first, atol=0.02)
        picture = render_scene(scene, size_px=SIZE, hud=False)
        assert picture.shape == (266, 400, 3)
        assert num_of(picture, col.WALL) > 1000


def test_a_film_of_a_long_episode_in_a_map_leaves_steps_out(monkeypatch: pytest.MonkeyPatch):
    world = WorldConfig.model_validate({"map": {"generator": "rooms", "num_maps": 1, "width_m": 8.0, "height_m": 8.0}})
    level = LevelConfig(num_static=0, num_dynamic=0, num_goals=1, max_steps=41)
    monkeypatch.setattr(play, "MAX_PICTURES", 10)
    frames = play.record_episodes(
        lambda obs: np.array([2]), world, (level,), level=0, seed=3, gamma=0.99, num_episodes=1, size_px=96
    )
    assert len(frames) == 1 + 41 // 4 + 1 + round(play.HOLD_S / world.dt_s)
