from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from robonav_ray.config.worlds import Box, LevelConfig, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import BatchedWorlds, Scene
from robonav_ray.worlds.kernels.layout import STATIC, WAYPOINT
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.render import SceneRenderer, Trail, contact_sheet, render_scene, save_gif, save_png

SIZE = 400
VIEW_HALF_M = 5.0 * 1.04


def plain_scene(**changes) -> Scene:
    """One robot at the origin looking along x, one goal at (3, 3), nothing else."""
    scene = Scene(
        half_side_m=5.0,
        walls=True,
        robot_pose=np.zeros((1, 3), np.float32),
        robot_radius_m=0.25,
        robot_ended=np.zeros(1, bool),
        goals=np.array([[[3.0, 3.0]]], np.float32),
        goal_index=np.zeros(1, np.int32),
        circles=np.zeros((0, 5), np.float32),
        circle_kind=np.zeros(0, np.int32),
        inner_walls=np.zeros((0, 4), np.float32),
        ranges=np.full((1, 4), 5.0, np.float32),
        range_max_m=5.0,
        beam_angle=np.array([-np.pi, -np.pi / 2, 0, np.pi / 2], np.float32),
        step=0,
        level=0,
        episode=0,
        outcome=np.zeros(1, np.int32),
    )
    return replace(scene, **changes)


def draw(scene, trail=None, **kwargs):
    return render_scene(scene, trail, size_px=SIZE, hud=False, **kwargs)


def pixel(picture, x, y):
    """The colour at world position (x, y)."""
    scale = SIZE / (2 * VIEW_HALF_M)
    return picture[round((VIEW_HALF_M - y) * scale), round((VIEW_HALF_M + x) * scale)].astype(int)


def centre_of(picture, color, tolerance=40):
    """The world position of the middle of everything of about ``color``."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - color).sum(axis=-1) < tolerance)
    scale = SIZE / (2 * VIEW_HALF_M)
    return (columns.mean() + 0.5) / scale - VIEW_HALF_M, VIEW_HALF_M - (rows.mean() + 0.5) / scale


@pytest.mark.parametrize(("size", "hud"), [(480, True), (480, False), (97, True), (720, True)])
def test_shape_and_dtype(size, hud):
    renderer = SceneRenderer(size, "a stage with a very long name that cannot possibly fit", hud, max_steps=100)
    picture = renderer.render(plain_scene())
    assert picture.dtype == np.uint8
    assert picture.shape == (size + renderer.hud_height, size, 3)
    assert (renderer.hud_height > 0) == hud


def test_the_robot_is_where_it_should_be_and_moves():
    for pose in ((0.0, 0.0, 0.0), (-3.0, 1.5, 1.0), (2.0, -4.0, -2.0)):
        picture = draw(plain_scene(robot_pose=np.array([pose], np.float32)))
        assert centre_of(picture, col.ROBOT[0]) == pytest.approx(pose[:2], abs=0.06)


def test_the_nose_points_ahead():
    picture = draw(plain_scene(robot_pose=np.array([[0.0, 0.0, np.pi / 2]], np.float32)))
    # just inside the disc: white ahead (up), blue behind
    assert pixel(picture, 0.0, 0.12).min() > 200
    assert np.abs(pixel(picture, 0.0, -0.2) - col.ROBOT[0]).sum() < 60


def test_obstacles_are_at_the_right_pixels_in_their_colours():
    circles = np.array([[2.0, -3.0, 0.5, 0, 0], [-3.0, -2.0, 0.4, 0.6, 0.0]], np.float32)
    picture = draw(plain_scene(circles=circles, circle_kind=np.array([STATIC, WAYPOINT], np.int32)))
    for x, y, radius, color in ((2.0, -3.0, 0.5, col.STATIC), (-3.0, -2.0, 0.4, col.MOVING)):
        for dx, dy in ((0, 0.8), (0, -0.8), (-0.8, 0)):
            assert np.abs(pixel(picture, x + dx * radius, y + dy * radius) - color).sum() < 30
        assert np.abs(pixel(picture, x + 1.4 * radius, y) - col.FLOOR).sum() < 40
    tail = pixel(picture, -3.6, -2.0)  # behind the one that drives along x
    assert np.abs(tail - col.FLOOR).sum() > 60


def test_goals_show_their_state():
    goals = np.array([[[-3.0, 3.0], [0.0, 3.0], [3.0, 3.0]]], np.float32)
    picture = draw(plain_scene(goals=goals, goal_index=np.array([1], np.int32)))
    off = 0.2  # beside number and tick
    tones = [np.abs(pixel(picture, x - off, 3.0 + 0.1) - col.SUCCESS).sum() for x in (-3.0, 0.0, 3.0)]
    assert tones[1] < 30 < min(tones[0], tones[2])


def test_walls_and_boxes():
    world = WorldConfig(boxes=(Box(x_m=-2.0, y_m=-2.0, width_m=1.0, height_m=2.0),))
    scene = plain_scene(inner_walls=np.array(world.wall_lines(), np.float32))
    picture = draw(scene)
    assert np.abs(pixel(picture, -2.0, -2.0) - col.BOX).sum() < 20
    assert np.abs(pixel(picture, 5.1, 0.3) - col.WALL).sum() < 20
    assert np.abs(pixel(draw(plain_scene(walls=False, half_side_m=20.0)), 0.0, 1.3) - col.FLOOR).sum() < 50


def test_the_trail_leads_to_the_robot():
    trail = Trail()
    for step, x in enumerate(np.linspace(-3, 0, 40)):
        scene = plain_scene(robot_pose=np.array([[x, 0.55, 0]], np.float32), step=step)
        trail.add(scene)
        trail.add(scene)  # again: no second entry
    assert trail.positions.shape == (40, 1, 2)
    bare, led = draw(scene), draw(scene, trail)
    old, young = (np.abs(pixel(led, x, 0.55) - pixel(bare, x, 0.55)).sum() for x in (-2.6, -0.6))
    assert 60 < old < young
    trail.add(plain_scene(step=0, episode=1))
    assert len(trail) == 1


def test_lidar_is_shown_when_it_sees_something():
    ranges = np.array([[2.0, 5.0, 2.0, 5.0]], np.float32)
    blind, seeing = draw(plain_scene()), draw(plain_scene(ranges=ranges))
    assert np.array_equal(pixel(blind, 1.3, 0.3), col.FLOOR)
    assert pixel(seeing, 1.3, 0.3)[0] < col.FLOOR[0] - 10
    assert np.array_equal(pixel(seeing, 2.4, 0.3), col.FLOOR)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_end_is_told(outcome):
    ended = outcome != Outcome.NONE
    scene = plain_scene(outcome=np.array([outcome], np.int32), robot_ended=np.array([ended]))
    changed = (draw(scene) != draw(plain_scene()))[-SIZE // 8 :]
    assert changed.any() == ended


def test_many_robots_have_their_own_colours():
    pose = np.array([[-3, -3, 0], [0, -3, 0], [3, -3, 0]], np.float32)
    scene = plain_scene(
        robot_pose=pose,
        robot_ended=np.zeros(3, bool),
        goals=np.array([[[-3.0, 3.0]], [[0.0, 3.0]], [[3.0, 3.0]]], np.float32),
        goal_index=np.zeros(3, np.int32),
        ranges=np.full((3, 4), 5.0, np.float32),
        outcome=np.zeros(3, np.int32),
    )
    picture = draw(scene)
    for r in range(3):
        assert np.abs(pixel(picture, pose[r, 0], 3.0) - col.ROBOT[r]).sum() < 30
        assert np.abs(pixel(picture, pose[r, 0] - 0.18, -3.0) - col.ROBOT[r]).sum() < 60


def test_without_walls_the_view_follows_what_there_is():
    world = WorldConfig(profile="crowdnav")
    worlds = BatchedWorlds(
        world, (LevelConfig(num_dynamic=5, behaviours=("orca",), num_goals=1, max_steps=100),), 1, 3, 0.99
    )
    worlds.reset()
    picture = render_scene(worlds.scene(0), size_px=SIZE, hud=False)
    assert (np.abs(picture.astype(int) - col.ROBOT[0]).sum(axis=-1) < 40).sum() > 250  # far less in a view of all 20 m


def film(num):
    frames = []
    for i in range(num):
        pose = np.array([[-3.0 + 0.2 * i, 0, 0]], np.float32)
        outcome = np.array([Outcome.SUCCESS if i >= num - 3 else Outcome.NONE], np.int32)
        frames.append(render_scene(plain_scene(robot_pose=pose, step=min(i, num - 3), outcome=outcome), size_px=160))
    return frames


@pytest.mark.parametrize("as_iterator", [False, True])
def test_gif_plays_what_was_filmed(tmp_path, as_iterator):
    frames = film(40)
    path = tmp_path / "new" / "film.gif"
    assert save_gif(iter(frames) if as_iterator else frames, path, fps=10) == 40
    with Image.open(path) as image:
        shown, when = [], 0
        for k in range(image.n_frames):
            image.seek(k)
            shown += [np.asarray(image.convert("RGB")).astype(int)] * (image.info["duration"] // 100)
            when += image.info["duration"]
        assert image.info["loop"] == 0
    assert when == 40 * 100
    assert len(shown) == 40
    for frame, seen in zip(frames, shown, strict=True):
        assert np.abs(seen - frame).mean() < 2.5
    assert path.stat().st_size < 60_000


def test_a_late_colour_is_in_the_palette_of_a_stream(tmp_path):
    scene = plain_scene()
    end = plain_scene(outcome=np.array([Outcome.COLLISION_WALL], np.int32), robot_ended=np.ones(1, bool), step=1)
    frames = [draw(scene)] * 60 + [draw(end)]
    save_gif(iter(frames), tmp_path / "f.gif", fps=20)
    with Image.open(tmp_path / "f.gif") as image:
        image.seek(image.n_frames - 1)
        last = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(pixel(last, -0.24, 0.0) - col.FAILURE).sum() < 30


def test_contact_sheet(tmp_path):
    frames = film(30)
    height, width, _ = frames[0].shape
    sheet = contact_sheet(frames, num=6, num_columns=3, gap_px=10)
    assert sheet.shape == (2 * (height + 10) + 10, 3 * (width + 10) + 10, 3)
    np.testing.assert_array_equal(sheet[10 : 10 + height, 10 : 10 + width], frames[0])
    np.testing.assert_array_equal(sheet[-10 - height : -10, -10 - width : -10], frames[-1])
    save_png(sheet, tmp_path / "a" / "sheet.png")
    with Image.open(tmp_path / "a" / "sheet.png") as image:
        np.testing.assert_array_equal(np.asarray(image), sheet)
    assert contact_sheet(frames[:2], num=5).shape[1] == 2 * (width + 12) + 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: save_gif([], p, 10), "no frames"),
        (lambda p: save_gif(iter([]), p, 10), "no frames"),
        (lambda p: save_gif(film(3), p, 0), "fps"),
        (lambda p: contact_sheet([]), "no frames"),
        (lambda p: contact_sheet(film(3), num=0), "num"),
    ],
)
def test_nothing_to_save_is_an_error(tmp_path, call, message):
    with pytest.raises(ValueError, match=message):
        call(tmp_path / "x.gif")


def test_players_have_a_colour_a_name_and_a_legend():
    pose = np.array([[-3.0, 0.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]], np.float32)
    several = {"robot_pose": pose, "robot_ended": np.zeros(3, bool), "goals": pose[:, None, :2] + 9.0,
                   "goal_index": np.zeros(3, np.int32), "outcome": np.zeros(3, np.int32),
                   "ranges": np.full((3, 4), 5.0, np.float32)}  # fmt: skip
    scene = plain_scene(**several, player=np.array([1, 0, 1]))
    renderer = SceneRenderer(SIZE, hud=False, players=("runs/a (best)", "orca"))
    picture = renderer.render(scene)
    assert picture.shape == (SIZE + renderer.legend_height, SIZE, 3)
    assert renderer.legend_height > 10
    for x, number in ((-3.0, 1), (0.0, 0), (3.0, 1)):
        assert np.abs(pixel(picture, x - 0.2, 0.0) - col.ROBOT[number]).sum() < 60
    bare = draw(scene)
    assert bare.shape == (SIZE, SIZE, 3)
    assert (picture[:SIZE] != bare).any(), "names beside the robots"
    legend = picture[SIZE:].astype(int)
    for number in (0, 1):
        assert (np.abs(legend - col.ROBOT[number]).sum(axis=-1) < 20).any()
    many = SceneRenderer(SIZE, players=[f"a member with a long name {i}" for i in range(8)])
    assert many.legend_height > 2 * renderer.legend_height
