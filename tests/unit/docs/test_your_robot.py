"""What docs/your_robot.md shows is read by the program, and its table of robots is that of the shipped ones."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robonav_ray.config.load_suite import load_suite
from robonav_ray.config.worlds import WorldConfig

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/your_robot.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the page's files: ``my_map.yaml``, ``my_building.yaml``, ``my_cart.yaml``."""
    shutil.copy(ROOT / "configs/maps/flat.png", tmp_path / "my_map.png")
    plan = (ROOT / "configs/maps/flat.yaml").read_text(encoding="utf-8")
    (tmp_path / "my_map.yaml").write_text(plan.replace("flat.png", "my_map.png"))
    for name, begin in (("my_building.yaml", "name: my_building"), ("my_cart.yaml", "drive: bicycle")):
        (block,) = (text for text in BLOCKS if begin in text)
        (tmp_path / name).write_text(block)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_table_has_the_shipped_robots_with_their_figures() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|", PAGE, flags=re.MULTILINE)
    assert {row[0] for row in rows} == {path.stem for path in (ROOT / "configs/robots").glob("*.yaml")}
    for name, _, speed, lidar in rows:
        world = WorldConfig.model_validate({"robot": name})
        linear, angular = (float(number) for number in re.findall(r"([\d.]+) (?:m|rad)/s", speed))
        assert (linear, angular) == (world.robot.max_speed, round(world.robot.max_turn_rate, 2))
        degrees, least, most, rate = (float(n) for n in re.findall(r"([\d.]+)(?:°| to| m| Hz)", lidar))
        assert degrees == round(world.lidar.field_of_view_rad * 57.2958)
        assert (least, most, rate) == (round(world.lidar.range_min_m, 2), world.lidar.range_max_m, world.lidar.rate_hz)


def test_its_files_are_read(folder: Path) -> None:
    suite = load_suite(folder / "my_building.yaml")
    assert [scenario.name for scenario in suite.scenarios] == ["busy", "empty", "ideal_lidar", "worse_lidar"]
    cart = WorldConfig.model_validate({"robot": "my_cart.yaml"})
    assert (cart.robot.drive, cart.robot.body.shape, cart.lidar.num_beams) == ("bicycle", "polygon", 54)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_its_commands_run(folder: Path) -> None:
    (text,) = re.findall(r"<!-- runs: begin -->\s+```\n(.*?)```", PAGE, flags=re.DOTALL)
    short = {
        "train": "budget.time_s=60 budget.max_time_s=90 evaluation.num_episodes=50",
        "evaluate": "--episodes 50",
        "compare": "--episodes 50",
    }
    for line in text.splitlines():
        words = shlex.split(line)[1:]
        words = [
            str(next(folder.glob(word.split("-")[0] + "-*"))) if word.startswith("runs/") else word for word in words
        ]
        words += shlex.split(short.get(words[0], ""))
        done = subprocess.run(
            [sys.executable, "-m", "robonav_ray.cli", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 75), f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert (folder / "bundle/policy.onnx").is_file()
    assert (folder / "robot.gif").is_file()
