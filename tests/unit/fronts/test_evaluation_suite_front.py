"""``EvaluationSuite``: functions and planners in one exam, and its report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import robonav_ray
from robonav_ray.config.evaluation_suite import Scenario
from robonav_ray.errors import UserError


def act(obs):
    return np.full(len(obs), 12)


def test_it_runs_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    suite = robonav_ray.EvaluationSuite(
        scenarios=[
            Scenario(name="empty", stage="basic_navigation", changes={"level.num_static": 0}),
            {"name": "easy", "stage": "basic_navigation", "changes": {"level.max_steps": 120}},
        ],
        episodes=50,
    )
    results = suite.run({"mine": act, "go": "go_to_goal", "orca": "orca"}, quiet=True)
    success = results.success()
    assert list(success) == ["mine", "go", "orca"]
    assert success["go"]["empty"] == 1.0
    assert success["mine"]["empty"] < 0.5
    assert not list(tmp_path.iterdir()), "nothing is left where it was run"
    results.report("out")
    table = robonav_ray.exam("out")
    assert table.num_rows == 300
    assert (tmp_path / "out/report.html").is_file()


@pytest.mark.parametrize(
    ("scenarios", "told"),
    [
        ([], "scenarios: there is none"),
        ([3], r"scenarios\.0: int is no scenario"),
        ([{"name": "a", "stag": "x"}], r"scenarios\.0\.stag: unknown key; did you mean 'stage'"),
        ("nothing", "no such file"),
    ],
)
def test_what_is_no_scenario_is_told(scenarios, told: str):
    with pytest.raises(UserError, match=told):
        robonav_ray.EvaluationSuite(scenarios=scenarios).run({"orca": "orca"}, quiet=True)


def test_what_is_no_entrant_is_told():
    with pytest.raises(UserError, match="mine: int is no entrant"):
        robonav_ray.EvaluationSuite("quick").run({"mine": 3}, quiet=True)  # type: ignore[dict-item]
