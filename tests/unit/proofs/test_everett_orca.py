"""The ORCA row of Everett's cases: how cases are scored, and where rows go."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from proofs.studies.everett_orca import main, score_cases
from robonav_ray.config.worlds import EVERETT_LEVEL, WorldConfig
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay


def test_a_case_is_solved_collided_or_stuck_by_all_of_its_robots() -> None:
    level = EVERETT_LEVEL.model_copy(update={"num_robots": 2})
    worlds = BatchedWorlds(WorldConfig(profile="everett", num_robots=3), (level,), 3, 0, 0.99)
    worlds.reset()
    lane, success = worlds.state.lane, Outcome.SUCCESS
    lane[:, :2, lay.OUTCOME] = [[success] * 2, [success, Outcome.COLLISION_ROBOT], [Outcome.TIMEOUT, success]]
    lane[:, :2, lay.STEP] = [[70, 90], [5, 5], [9, 9]]
    worlds.state.tally[0, :2, lay.T_SHORTEST] = 4.2, 6.2
    worlds.state.robot[0, :2, lay.OWN_SPEED] = 1.0, 1.5
    scores = score_cases(worlds)
    assert scores.solved.tolist() == [True, False, False]
    assert scores.collided.tolist() == [False, True, False]
    assert scores.extra_s[0] == pytest.approx(((7.0 - 4.0) + (9.0 - 4.0)) / 2, abs=1e-4)
    assert np.isnan(scores.extra_s[1:]).all()


def test_every_number_of_robots_adds_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "rows" / "orca.jsonl"
    for _ in range(2):
        main(["--robots", "2", "5", "--cases", "20", "--into", str(into)])
    rows = [json.loads(line) for line in into.read_text().splitlines()]
    assert [row["robots"] for row in rows] == [2, 5, 2, 5]
    assert rows[:2] == rows[2:], "one seed, one row"
    assert all(row["solved"] > 0.6 and row["driver"] == "orca" for row in rows)
    assert "published 0.986" in capsys.readouterr().out
