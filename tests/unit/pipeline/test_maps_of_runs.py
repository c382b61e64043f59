"""A pipeline looks at the maps of its runs before it trains, and trains again when one has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.pipeline.maps_of_runs import check_maps, map_file_hashes
from robonav_ray.pipeline.steps import prepare, train
from robonav_ray.worlds.maps.errors import MapError
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.maps.write_map import write_map


def written(path: Path, rows: int = 60) -> str:
    occupied = np.zeros((rows, 60), np.bool_)
    occupied[:, 40] = True
    write_map(GridMap("m", occupied, np.zeros_like(occupied), 0.1), path)
    return str(path)


def run_in(**keys: Any) -> RunConfig:
    return RunConfig.model_validate({"env": {"world": {"map": keys}}})


def test_what_is_wrong_with_a_map_is_said(tmp_path: Path) -> None:
    said = list[str]()
    check_maps(run_in(files=[written(tmp_path / "m.yaml")], held_out=["office"]), said.append)
    assert "map m:" in said[0]
    assert "are out of reach" in said[0]
    assert said[1:] == [
        "1 maps to train in: the robot gets to 18 m² at least of each",
        "1 maps held out: the robot gets to 217 m² at least of each",
    ]


def test_both_splits_of_a_generator_are_made(tmp_path: Path) -> None:
    said = list[str]()
    check_maps(run_in(num_maps=2, width_m=8.0, height_m=8.0), said.append)
    assert [line.split(":")[0] for line in said] == ["2 maps to train in", "2 maps held out"]
    check_maps(RunConfig(), said.append)
    assert len(said) == 2


def test_a_held_out_map_without_room_is_refused(tmp_path: Path) -> None:
    files = {"files": ["office"], "held_out": [written(tmp_path / "thin.yaml", rows=4)]}
    with pytest.raises(MapError, match=r"env\.world\.map: thin: has no room for the robot"):
        check_maps(run_in(**files), print)


def test_a_changed_image_is_another_input(tmp_path: Path) -> None:
    path = written(tmp_path / "m.yaml")
    overrides = {"env.world.map.files": [path], "env.world.map.held_out": ["office"]}
    config = PipelineConfig.model_validate({"train": {"overrides": overrides}, "steps": ["prepare", "train"]})
    before = [step.inputs(config)["maps"] for step in (prepare, train)]
    assert list(before[0]) == [path, str(tmp_path / "m.png"), "configs/maps/office.yaml", "configs/maps/office.png"]
    written(tmp_path / "m.yaml", rows=50)
    after = [step.inputs(config)["maps"] for step in (prepare, train)]
    assert [name for name in before[0] if before[1][name] != after[1][name]] == [str(tmp_path / "m.png")]
    assert before[0] == before[1]
    assert "maps" not in train.inputs(PipelineConfig())
    assert map_file_hashes([RunConfig()]) == {}
