"""Which maps a config stands for, and how much memory they may take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.worlds.maps import MapConfig
from robonav_ray.worlds.maps.errors import MapError
from robonav_ray.worlds.maps.find_maps import find_maps, map_paths
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.write_map import write_map


def written(path: Path, width: int = 6) -> Path:
    path.parent.mkdir(exist_ok=True)
    free = np.zeros((4, width), np.bool_)
    write_map(GridMap("m", free, free, 0.1), path)
    return path


def test_files_and_folders_are_read_in_their_order(tmp_path: Path) -> None:
    names = [str(written(tmp_path / "z.yaml")), str(written(tmp_path / "more" / "b.yaml").parent)]
    written(tmp_path / "more" / "a.yaml", width=9)
    maps = find_maps(MapConfig(files=tuple(names)))
    assert [grid.name for grid in maps] == ["z", "a", "b"]
    assert [grid.occupied.shape for grid in maps] == [(4, 6), (4, 9), (4, 6)]


def test_held_out_maps_are_others(tmp_path: Path) -> None:
    files, held_out = (str(written(tmp_path / name)) for name in ("train.yaml", "exam.yaml"))
    config = MapConfig(files=(files,), held_out=(held_out,))
    assert [grid.name for grid in find_maps(config)] == ["train"]
    assert [grid.name for grid in find_maps(config.model_copy(update={"split": "held_out"}))] == ["exam"]


def test_generated_maps_are_made_once(tmp_path: Path) -> None:
    config = MapConfig(num_maps=3, width_m=8, height_m=8)
    maps = find_maps(config)
    assert [grid.name for grid in maps] == ["rooms 0", "rooms 1", "rooms 2"]
    assert find_maps(MapConfig(num_maps=3, width_m=8, height_m=8)) is maps
    assert maps[0].size_m == pytest.approx((8.0, 8.0))
    np.testing.assert_allclose(maps[0].to_map(np.array([1.0, 2.0])), [1.0, 2.0])
    held_out = find_maps(config.model_copy(update={"split": "held_out"}))
    assert not {grid.content for grid in maps} & {grid.content for grid in held_out}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"files": ("x" * 300,)}, "no such file, and no shipped map"),
        ({"files": ("links",)}, "env.world.map.files: links/one.yaml is no plain file"),
        (
            {"num_maps": 4096, "width_m": 100, "height_m": 100},
            "env.world.map.memory_mb (512): 4096 maps of 1.64e+04 million cells take 114816 MB",
        ),
        ({"files": ("gone.yaml",)}, "env.world.map.files: gone.yaml: no such file, and no shipped map of that name"),
        ({"files": ("empty",)}, "env.world.map.files: empty holds no map (*.yaml)"),
        ({"files": ("one.yaml",), "memory_mb": 1e-4}, "env.world.map.memory_mb (0.0001): one map of 2.4e-05 million"),
        ({"files": ("one.yaml",), "held_out": ("two.yaml",), "split": "held_out"}, "env.world.map.held_out: two.yaml"),
    ],
)
def test_what_cannot_be_found_is_told_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, object], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "one.yaml")
    (tmp_path / "empty").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "one.yaml").symlink_to(tmp_path / "one.yaml")
    with pytest.raises(MapError) as caught:
        find_maps(MapConfig.model_validate(config))
    assert told in str(caught.value)


def test_a_folder_is_listed_without_reading_it(tmp_path: Path) -> None:
    (tmp_path / "b.yml").touch()
    (tmp_path / "a.yaml").touch()
    (tmp_path / "a.png").touch()
    assert [path.name for path in map_paths(MapConfig(files=(str(tmp_path),)))] == ["a.yaml", "b.yml"]
