"""The evaluation study: exams that are finished are one table, and each cell is a line of the results once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from proofs.studies import evaluation_study as study
from robonav_ray.evaluation.exam_table import ExamTable
from tests.made_up_exam import made_up_exam


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that were played, each with figures that are made up."""
    names: list[str] = []

    def compare(*entrants: dict[str, Any], out: Path, episodes: int, **_: Any) -> ExamTable:
        asked = [name for entrant in entrants for name in entrant]
        names.extend(asked)
        table = made_up_exam(episodes, tuple("orca" if name == "lookahead" else name for name in asked), 1)
        table.save(out)
        return table

    monkeypatch.setattr("robonav_ray.compare", compare)
    return names


def asked(**more: Any) -> argparse.Namespace:
    given = {"entrants": ["dwa", "random"], "groups": ["wide"], "seeds": 1, "processes": 1, "write": False}
    episodes = {"run_episodes": (60, 60), "episodes": (60, 60), "slow_episodes": (60, 60)}
    return argparse.Namespace(**{**given, **episodes, **more})


def test_each_cell_is_one_line_and_all_are_one_exam(
    tmp_path: Path, played: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    study.play(tmp_path, asked())
    study.play(tmp_path, asked())
    assert played == ["random", "dwa"] * 2
    rows = study.read_rows(tmp_path / "results.csv")
    cells = [(row["entrant"], row["suite"], row["scenario"]) for row in rows]
    assert len(cells) == len(set(cells)) > 20
    assert {row["episodes"] for row in rows} == {"60"}
    study.table(tmp_path, asked())
    together = ExamTable.load(tmp_path / "exam")
    assert [one.name for one in together.entrants] == ["random", "dwa"]
    success = next(int(row["success"]) for row in rows if cells[0] == (row["entrant"], row["suite"], row["scenario"]))
    assert int((together.cell(0, 0).outcome == 1).sum()) == success
    assert "| `dwa` | lidar only |" in capsys.readouterr().out


def test_planners_wait_for_the_run_whose_body_they_get(
    tmp_path: Path, played: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    study.play(tmp_path, asked(groups=["crowdnav"]))
    assert played == []
    assert "random-crowdnav: waits for" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no exam is finished"):
        study.table(tmp_path, asked())
