"""A map that worlds cannot take place in ends a command before it begins: one message with file and key, exit code
2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.write_map import write_map
from tests.conftest import Robonav

YAML = "image: {image}\nresolution: 0.05\norigin: [0, 0, 0]\nnegate: 0\noccupied_thresh: 0.65\nfree_thresh: {free}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with maps, good and bad."""
    free = np.zeros((100, 100), np.bool_)
    write_map(GridMap("good", free, free, 0.05), tmp_path / "good.yaml")
    write_map(GridMap("thin", free[:8], free[:8], 0.05), tmp_path / "thin.yaml")
    split = free.copy()
    split[:, 50] = True
    split[:, 99] = True
    write_map(GridMap("split", split, free, 0.05), tmp_path / "split.yaml")
    (tmp_path / "thresh.yaml").write_text(YAML.format(image="good.png", free=0.7))
    (tmp_path / "away.yaml").write_text(YAML.format(image="../good.png", free=0.2))
    (tmp_path / "none.yaml").write_text(YAML.format(image="none.png", free=0.2))
    return tmp_path


@pytest.mark.parametrize("command", [("config", "validate"), ("train", "--local"), ("pipeline", "run")])
def test_commands_refuse_before_they_begin(folder: Path, robonav_here: Robonav, command: tuple[str, ...]) -> None:
    if command[0] == "pipeline":
        (folder / "p.yaml").write_text(
            "# Is it refused?\nname: p\nsteps: [prepare, train]\ntrain: {overrides: {env.world.map: thresh.yaml}}\n"
        )
        done = robonav_here(*command, "p.yaml", cwd=folder)
    else:
        done = robonav_here(*command, "quick", "env.world.map=thresh.yaml", cwd=folder)
    assert done.returncode == 2
    assert "thresh.yaml:6: free_thresh (0.7) must not be above occupied_thresh (0.65)" in " ".join(done.stderr.split())
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("env.world.map=gone.yaml",), "env.world.map.files: gone.yaml: no such file"),
        (("env.world.map=none.yaml",), "none.yaml: image (none.png): no such file"),
        (("env.world.map=away.yaml",), "away.yaml:1: image (../good.png) leads out of the map's folder"),
        (("env.world.map=thin.yaml",), "env.world.map: thin: there is no place that is 0.35 m from all walls"),
        (("env.world.map=[good.yaml,gone.yaml]",), "gone.yaml: no such file"),
        (
            ("env.world.map=[good.yaml,good.yaml]", "env.world.map.memory_mb=0.1"),
            "env.world.map.memory_mb (0.1): 2 maps",
        ),
        (("env.world.map=good.yaml", "env.world.map.held_out=[thin.yaml]"), "env.world.map: thin: there is no place"),
        (
            ("env.world.map=split.yaml", "env.world.map.goals=[{x_m: 1.0, y_m: 1.0},{x_m: 4.0, y_m: 1.0}]"),
            "the robot cannot reach (4, 1) in split; the nearest place that it reaches is (2.1",
        ),
        (
            ("env.world.map.generator=maze", "env.world.map.width_m=4", "env.world.map.passage_m=5"),
            "env.world.map: generator=maze with passage_m=5 does not fit into 4 x 20 m",
        ),
    ],
)
def test_what_is_wrong_is_named(folder: Path, robonav_here: Robonav, words: tuple[str, ...], told: str) -> None:
    done = robonav_here("config", "validate", "quick", *words, cwd=folder)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_good_maps_are_valid(folder: Path, robonav_here: Robonav) -> None:
    words = ("env.world.map=[good.yaml,office]", "env.world.map.held_out=[flat]", "env.world.robot=turtlebot3_burger")
    done = robonav_here("config", "validate", "quick", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
