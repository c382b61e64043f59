"""``robonav map show``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.write_map import write_map
from tests.conftest import Robonav


@pytest.fixture
def dotted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of maps are a dot: matplotlib takes longer than all the rest."""

    def draw(report: Any, robot: Any, path: Path) -> None:
        Image.new("L", (1, 1)).save(path)

    monkeypatch.setattr("robonav_ray.report.map_picture.draw_map", draw)


def room(path: Path, *, door: int = 0, size: tuple[int, int] = (40, 60)) -> Path:
    occupied = np.zeros(size, np.bool_)
    occupied[:, 40:41] = True
    occupied[10 : 10 + door, 40:41] = False
    write_map(GridMap("m", occupied, np.zeros_like(occupied), 0.1, (0.0, 0.0, 0.5)), path)
    return path


def test_a_map_is_drawn_and_told_of(robonav_here: Robonav, tmp_path: Path) -> None:
    done = robonav_here("map", "show", room(tmp_path / "my map.yaml"), "--robot", "turtlebot3_burger", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "my map: 6 x 4 m, cells of 0.1 m" in done.stdout
    assert "are out of reach: walls close them off" in done.stdout
    with Image.open(tmp_path / "my-map-map.png") as picture:
        assert picture.width > 1000


@pytest.mark.usefixtures("dotted")
def test_json_holds_the_report(robonav_here: Robonav, tmp_path: Path) -> None:
    robonav = robonav_here
    path = room(tmp_path / "m.yaml", door=9)
    told = json.loads(robonav("map", "show", path, "--json", cwd=tmp_path).stdout)
    assert (told["width_m"], told["problems"], told["clearance_m"]) == (6.0, [], 0.35)
    assert told["written"] == "m-map.png"
    path.write_text(path.read_text().replace("0.196", "0.25"))
    write_map(GridMap("m", np.eye(40) > 0, np.tri(40) > 0, 0.1), tmp_path / "n.yaml")
    (tmp_path / "n.yaml").write_text((tmp_path / "n.yaml").read_text().replace("0.196", "0.25"))
    told = json.loads(robonav("map", "show", "n.yaml", "--json", cwd=tmp_path).stdout)
    assert [problem["kind"] for problem in told["problems"]] == ["unknown_as_free"]


@pytest.mark.usefixtures("dotted")
def test_shipped_and_generated_maps_are_shown(robonav_here: Robonav, tmp_path: Path) -> None:
    assert "flat: 12 x 9 m" in robonav_here("map", "show", "flat", cwd=tmp_path).stdout
    words = ("env.world.map.generator=maze", "env.world.map.width_m=8", "--number", "3")
    assert "maze 3: 8 x 20 m" in robonav_here("map", "show", *words, cwd=tmp_path).stdout
    assert {path.name for path in tmp_path.iterdir()} == {"flat-map.png", "maze-3-map.png"}


@pytest.mark.usefixtures("dotted")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "name a map: robonav map show FILE"),
        (("gone.yaml",), "env.world.map.files: gone.yaml: no such file, and no shipped map of that name (flat, office"),
        (("ofice",), "ofice"),
        (("office", "--robot", "burger"), "there is no robot 'burger'"),
        (("office", "--number", "1"), "--number 1: there are maps 0 to 0"),
        (("office", "--output", "map.txt"), "--output map.txt: name a picture"),
        (("office", "env.world.map.clearance=1"), "unknown key; did you mean 'clearance_m'?"),
        (("office", "env.world.map.generator=rooms"), "files and held_out would be ignored with generator=rooms"),
        (("narrow.yaml",), "env.world.map: narrow: has no room for the robot"),
        (("office", "env.world.map.clearance_m=4.5"), "env.world.map: office: has no room for the robot"),
    ],
)
def test_what_is_wrong_is_one_message_and_exit_code_2(
    robonav_here: Robonav, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    room(tmp_path / "narrow.yaml", size=(5, 60))
    done = robonav_here("map", "show", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
