"""Map files are read as map_server reads them, and a file that is none is refused with its name and the key."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from robonav_ray.errors import UserError
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.map_file import MapFile, Mode, read_map_file
from robonav_ray.worlds.maps.read_map import occupancy, read_map
from robonav_ray.worlds.maps.write_map import write_map
from tests.oracles_maps import occupancy_twin

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def made(folder: Path, grey: object = None, name: str = "m", **keys: Any) -> Path:
    """Write a map of 4 x 3 cells, or of ``grey``; a key of None is left out."""
    Image.fromarray(np.asarray([[254, 254, 0, 205]] * 3 if grey is None else grey, np.uint8)).save(
        folder / f"{name}.png"
    )
    all_keys = {
        "image": f"{name}.png",
        "resolution": 0.05,
        "origin": "[-1.0, 2.0, 0.5]",
        "negate": 0,
        "occupied_thresh": 0.65,
        "free_thresh": 0.196,
    } | keys
    path = folder / f"{name}.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in all_keys.items() if value is not None))
    return path


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_map(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_row_0_is_the_lowest_and_unknown_cells_are_as_the_config_says(tmp_path: Path) -> None:
    path = made(tmp_path, [[254, 0], [205, 254]])
    shut, open_ = read_map(path), read_map(path, "free")
    np.testing.assert_array_equal(shut.occupied, [[True, False], [False, True]])
    np.testing.assert_array_equal(open_.occupied, [[False, False], [False, True]])
    np.testing.assert_array_equal(shut.unknown, [[True, False], [False, False]])
    assert (shut.name, shut.resolution_m, shut.origin) == ("m", 0.05, (-1.0, 2.0, 0.5))
    assert not shut.occupied.flags.writeable


@QUICK
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["trinary", "scale", "raw"]),
    st.booleans(),
    st.booleans(),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_occupancy_is_that_of_map_server(
    seed: int, mode: Mode, negate: bool, has_alpha: bool, thresholds: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    grey = rng.choice([0, 1, 50, 89, 99, 100, 101, 127, 128, 205, 206, 254, 255], (5, 7)).astype(np.uint8)
    alpha = rng.choice([0, 254, 255], grey.shape).astype(np.uint8) if has_alpha else None
    channels = [Image.fromarray(channel) for channel in (grey, alpha) if channel is not None]
    image = Image.merge("LA", channels) if has_alpha else channels[0]
    free, occupied = sorted(thresholds)
    about = MapFile(Path("m.yaml"), Path("m.png"), 0.05, (0, 0, 0), mode, negate, occupied, free)
    np.testing.assert_array_equal(occupancy(about, image), occupancy_twin(grey, alpha, mode, negate, occupied, free))


@QUICK
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["trinary", "scale", "raw"]),
    st.tuples(st.floats(-100, 100), st.floats(-100, 100), st.floats(-7, 7)),
    st.floats(0.01, 1.0),
)
def test_a_written_map_is_read_as_it_was(
    tmp_path: Path, seed: int, mode: Mode, origin: tuple[float, float, float], resolution_m: float
) -> None:
    rng = np.random.default_rng(seed)
    state = rng.integers(3, size=rng.integers(1, 9, 2))
    state[0, 0] = 0
    grid = GridMap("m", state > 0, state == 2, resolution_m, origin)
    write_map(grid, tmp_path / "m.yaml", mode)
    back = read_map(tmp_path / "m.yaml")
    np.testing.assert_array_equal(back.occupied, grid.occupied)
    np.testing.assert_array_equal(back.unknown, grid.unknown)
    assert (back.resolution_m, back.origin, back.content) == (resolution_m, origin, grid.content)


@QUICK
@given(st.tuples(*[st.floats(-50, 50)] * 3), st.tuples(*[st.floats(-20, 20)] * 2))
def test_the_map_frame_is_turned_about_the_lower_left_corner(
    origin: tuple[float, float, float], point: tuple[float, float]
) -> None:
    grid = GridMap("m", np.zeros((3, 4), np.bool_), np.zeros((3, 4), np.bool_), 0.5, origin)
    np.testing.assert_allclose(grid.to_map(grid.to_world(np.array(point))), point, atol=1e-9)
    np.testing.assert_allclose(grid.to_map(np.array([-1.0, -0.75])), origin[:2], atol=1e-9)
    ahead = grid.to_map(np.array([0.0, -0.75])) - grid.to_map(np.array([-1.0, -0.75]))
    np.testing.assert_allclose(ahead, [np.cos(origin[2]), np.sin(origin[2])], atol=1e-9)


def test_pgm_of_every_kind_is_read(tmp_path: Path) -> None:
    path = made(tmp_path, image="m.pgm")
    written = {
        "text": b"P2\n# by hand\n2 2\n255\n254 0\n205 254\n",
        "of 8 bits": b"P5\n2 2\n255\n" + bytes([254, 0, 205, 254]),
        "with a line end": b"P5\n2 2\n255\n" + bytes([254, 0, 205, 254]) + b"\n",
        "of 16 bits": b"P5\n2 2\n65535\n" + struct.pack(">4H", *(257 * v for v in (254, 0, 205, 254))),
        "of other bits": b"P5\n2 2\n254\n" + bytes([253, 0, 204, 253]),
    }
    for kind, content in written.items():
        (tmp_path / "m.pgm").write_bytes(content)
        grid = read_map(path)
        np.testing.assert_array_equal(grid.unknown, [[True, False], [False, False]], err_msg=kind)
        np.testing.assert_array_equal(grid.occupied, [[True, False], [False, True]], err_msg=kind)


def test_colours_palettes_and_transparency_are_read(tmp_path: Path) -> None:
    path = made(tmp_path)
    grey = Image.fromarray(np.array([[254, 0, 205, 254]], np.uint8))
    clear = grey.convert("RGBA")
    clear.putpixel((3, 0), (255, 255, 255, 0))
    for image in (grey.convert("RGB"), grey.convert("P"), grey.convert("I;16").point(lambda v: v * 257), clear):
        image.save(tmp_path / "m.png")
        grid = read_map(path)
        assert grid.occupied[0, :3].tolist() == [False, True, True], image.mode
        assert bool(grid.unknown[0, 3]) == (image.mode == "RGBA")


def test_keys_may_be_left_out_and_foreign_ones_are_let_be(tmp_path: Path) -> None:
    path = made(tmp_path, negate=None, occupied_thresh=None, free_thresh=None, mode="Trinary", floor=3)
    assert read_map_file(path).mode == "trinary"
    assert read_map(path).unknown.sum() == 3


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("image", None, "m.yaml: image is missing"),
        ("image", "/etc/passwd", "m.yaml:1: image (/etc/passwd) leads out of the map's folder"),
        ("image", "../m.png", "m.yaml:1: image (../m.png) leads out"),
        ("image", "a/../../m.png", "leads out"),
        ("image", "gone.png", "m.yaml: image (gone.png): no such file"),
        ("image", "[1, 2]", "m.yaml:1: image must be the name"),
        ("image", "m.yaml", "image (m.yaml): is no PGM and no PNG"),
        ("image", ".", "is a folder"),
        ("resolution", None, "m.yaml: resolution is missing"),
        ("resolution", ".nan", "m.yaml:2: resolution must be a finite number, not nan"),
        ("resolution", "1e999", "resolution must be a finite number, not inf"),
        ("resolution", 0, "resolution is the side of a cell and must be from"),
        ("resolution", -0.05, "resolution is the side"),
        ("resolution", "fine", "resolution must be a number, not 'fine'"),
        ("resolution", "9" * 400, "resolution must be a finite number"),
        ("origin", None, "origin is missing"),
        ("origin", "[0, 0]", "m.yaml:3: origin must be three numbers"),
        ("origin", "[0, .inf, 0]", "origin must be a finite number, not inf"),
        ("origin", "[0, 1e300, 0]", "origin must lie within"),
        ("origin", "[0, 0, north]", "origin must be a number, not 'north'"),
        ("negate", 0.5, "m.yaml:4: negate must be 0 or 1"),
        ("free_thresh", 0.7, "m.yaml:6: free_thresh (0.7) must not be above occupied_thresh (0.65)"),
        ("occupied_thresh", 1.5, "occupied_thresh must be from 0 to 1, not 1.5"),
        ("occupied_thresh", "true", "occupied_thresh must be a number, not True"),
        ("mode", "ternary", "mode must be one of trinary, scale, raw, not 'ternary'"),
        ("free_tresh", 0.25, "free_tresh is not a key of map_server; did you mean 'free_thresh'?"),
    ],
)
def test_a_key_that_is_wrong_is_named(tmp_path: Path, key: str, value: object, told: str) -> None:
    keys: dict[str, Any] = {key: value} | ({"free_thresh": None} if key == "free_tresh" else {})
    assert told in refused(made(tmp_path, **keys))


def test_a_file_that_is_no_map_is_named(tmp_path: Path) -> None:
    path = made(tmp_path)
    for text, told in (("", "is no map"), ("- a", "is no map"), ("{", "not valid YAML"), ("a: &x 1", "anchors")):
        path.write_text(text)
        assert told in refused(path)
    path.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in refused(path)
    assert "no such file" in refused(tmp_path / "gone.yaml")


def test_an_image_that_is_a_link_or_lies_behind_one_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    made(outside)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "m.png").symlink_to(outside / "m.png")
    (inside / "maps").symlink_to(outside)
    for image in ("m.png", "maps/m.png"):
        path = made(inside, name="other", image=image)
        assert "is a link" in refused(path)
    (inside / "folder").mkdir()
    made(inside / "folder")
    assert read_map(made(inside, name="third", image="folder/m.png")).occupied.shape == (3, 4)


def test_a_pipe_for_an_image_does_not_hang(tmp_path: Path) -> None:
    path = made(tmp_path, image="pipe.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert "pipe" in refused(path)


def png_that_says(width: int, height: int) -> bytes:
    """Return a PNG whose header says this size, with hardly any pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 9))]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("width", [9_000, 32_768, 2_000_000])
def test_an_image_of_a_gigapixel_is_refused_from_its_header(tmp_path: Path, width: int) -> None:
    path = made(tmp_path, image="m.pgm")
    (tmp_path / "m.pgm").write_bytes(b"P5\n%d %d\n255\n" % (width, width))
    assert "67,108,864" in refused(path)
    path = made(tmp_path)
    (tmp_path / "m.png").write_bytes(png_that_says(width, width))
    assert "67,108,864" in refused(path)


@pytest.mark.parametrize(
    "content",
    [
        b"P5\n4 4\n255\n" + bytes(12),
        b"P5\n4 4\n255\n" + bytes(40),
        b"P5\n4 4\n65535\n" + bytes(16),
        b"P2\n4 4\n255\n1 2 3",
        png_that_says(40, 30),
    ],
)
def test_an_image_of_another_size_than_it_says_is_refused(tmp_path: Path, content: bytes) -> None:
    path = made(tmp_path)
    (tmp_path / "m.png").write_bytes(content)
    assert "that its header says" in refused(path) or "than its header says" in refused(path)


def test_a_map_of_which_all_is_unknown_is_refused(tmp_path: Path) -> None:
    assert "image (m.png): every cell is unknown" in refused(made(tmp_path, [[205] * 4] * 4))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_image_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = made(tmp_path)
    image = tmp_path / "m.png"
    content = bytearray(image.read_bytes() if data.draw(st.booleans()) else b"P5\n4 3\n255\n" + bytes(12))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    image.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(UserError):  # and nothing else
        read_map(path)
