"""The report says the same thing to people and to programs."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from test_evaluation_statistics import make_table

from robonav_ray.evaluation.report import (
    EvaluationReport,
    StageReport,
    print_report,
    to_markdown,
    verdict,
    write_report,
)
from robonav_ray.evaluation.statistics import summarize
from robonav_ray.screen import Screen

NAVIGATION = StageReport("full_challenge", summarize(make_table([1] * 783 + [3] * 201 + [6] * 16)))
OPEN = StageReport("open", summarize(make_table([0] * 20, total_return=np.full(20, 480.0, np.float32))))
_UNKNOWN = np.full(20, np.nan, np.float32)
GOAL_ENV = StageReport(
    "open",
    summarize(
        make_table(
            [1] * 18 + [6] * 2, goals_reached=_UNKNOWN, path_length_m=_UNKNOWN, min_clearance_m=_UNKNOWN, step_s=None
        )
    ),
)


def make_report(*levels: StageReport) -> EvaluationReport:
    return EvaluationReport(
        "run curriculum-1", "lidar only", "robonav_ray/Nav-v0", 1_000_003, levels, env_steps=1_200_000
    )


def test_verdict_is_one_line_with_its_interval():
    assert verdict(NAVIGATION) == (
        "full_challenge: success in 78.3% of 1,000 unseen worlds (95% interval 75.6% to 80.7%), 20.1% collisions, 1.6% "
        "timeouts"
    )
    assert verdict(OPEN) == "open: mean return 480.00 (480.00 to 480.00) over 20 unseen episodes"


@pytest.mark.parametrize("width", [60, 120])
def test_table_for_the_terminal(width):
    console = Screen(file=io.StringIO(), width=width)
    print_report(make_report(NAVIGATION, OPEN), console)
    text = console.file.getvalue()
    assert "78.3%" in text
    assert "lidar only" in text
    assert max(map(len, text.splitlines())) <= width


def test_kinds_that_never_happened_are_left_out_and_unknown_cells_are_dashes():
    text = to_markdown(make_report(NAVIGATION, OPEN))
    assert "with a moving obstacle" in text
    assert "with a wall" not in text
    row = next(line for line in text.splitlines() if line.startswith("| success |"))
    assert row == "| success | 78.3% (75.6% to 80.7%) | - |"
    assert "after 1,200,000 env steps" in text


def test_an_environment_that_tells_success_alone_has_no_rows_of_navigation():
    text = to_markdown(make_report(GOAL_ENV))
    shown = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ") and line[2] != "|"]
    assert shown == ["episodes", "success", "total return", "length in steps"]
    assert verdict(GOAL_ENV) == "open: success in 90.0% of 20 unseen episodes (95% interval 69.9% to 97.2%)"


def test_files_are_written_and_read_back(tmp_path):
    report = make_report(NAVIGATION, OPEN)
    paths = write_report(report, tmp_path)
    assert [p.name for p in paths] == ["evaluation.json", "evaluation.md"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evaluation.json", "evaluation.md"]
    data = json.loads(paths[0].read_text())
    assert data["levels"][0]["summary"]["success"]["count"] == 783
    assert data["levels"][1]["summary"]["success"] is None
    assert data["verdict"][0] == verdict(NAVIGATION)
    assert paths[1].read_text() == to_markdown(report)


@pytest.mark.parametrize(
    "names", [("basic_navigation", "static_obstacles", "dynamic_obstacles", "full_challenge", "fifth"), ("x" * 90,)]
)
def test_the_table_fits_80_columns(names):
    console = Screen(file=io.StringIO(), width=80, soft_wrap=True)
    print_report(make_report(*(StageReport(name, NAVIGATION.summary) for name in names)), console)
    table = [line for line in console.file.getvalue().splitlines() if "unseen worlds" not in line]
    assert max(map(len, table)) <= 80
    assert sum("78.3%" in cell for line in table for cell in line.split()) == len(names)
