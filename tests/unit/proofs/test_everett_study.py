"""The study of leagues on Everett's cases: how cases with strangers are scored, and what the tables say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from proofs.common.checkout import ROOT
from proofs.studies.everett_study import ARMS, ROBOTS, add_row, half_of, main, play, scored, worst_cases
from robonav_ray.config.load import load_run_config
from robonav_ray.config.worlds import WorldConfig


def test_every_arm_is_a_config_of_its_own() -> None:
    configs = {
        name: load_run_config(ROOT / f"configs/run/{base}.yaml", [f"{key}={value}" for key, value in own.items()])
        for name, (base, own) in ARMS.items()
    }
    assert [name for name, config in configs.items() if config.league is None] == ["self_play"]
    worlds = {config.env.world.model_dump_json() for config in configs.values()}
    assert len(worlds) == 1, "all arms learn in the same worlds"


def test_the_worst_tenth_of_cases_is_found_beside_the_others() -> None:
    arrived = np.ones((2, 40), np.bool_)
    arrived[0, :3], arrived[1, :2] = False, False
    found, low, high = worst_cases(arrived)
    assert found == pytest.approx((2 / 4 + 1 / 4) / 2), "cases 0 to 3 beside the first, whichever ranks"
    assert low < found < high


def test_a_file_of_rows_becomes_two_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = scored(play(WorldConfig(profile="everett"), half_of("orca", "straight"), 10))
    assert own["cases"] == 10
    assert 0.0 < own["learned_arrived"] < 1.0
    output = tmp_path / "rows" / "study.jsonl"
    cost = {"env_steps": 3_000_000, "updates": 6000, "cpu_s": 118}
    alone = {str(robots): own for robots in ROBOTS}
    add_row(output, {"kind": "run", "arm": "league", "seed": 0, "alone": alone, "half_orca": own, **cost})
    for stranger, all_own_arrived in (("orca", "1" * 20), ("straight", "1" * 15 + "0" * 5)):
        row = {"kind": "beside", "arm": "league", "seed": 0, "stranger": stranger, "all_own_arrived": all_own_arrived}
        add_row(output, row)
    main(["table", "--output", str(output)])
    printed = capsys.readouterr().out
    assert "| league 0 | 2 | straight | 0.750 (0.531 to 0.888) |" in printed
    assert "| 3.0 M | 6000 | 118 |" in printed
