"""The table of an exam comes back as it was written, and what is damaged in its files is told with file and key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.exam_table import (
    EPISODES_PARQUET,
    EXAM_JSON,
    Decisions,
    EntrantFacts,
    ExamTable,
    ExamTableError,
    ScenarioFacts,
    write_rows,
)


def episodes(num: int, seed: int, **extra: np.ndarray) -> EpisodeTable:
    rng = np.random.default_rng(seed)
    floats = {
        name: rng.random(num, np.float32)
        for name in (
            "task_return",
            "total_return",
            "goals_reached",
            "path_length_m",
            "shortest_path_length_m",
            "min_clearance_m",
        )
    }
    length, outcome = rng.integers(1, 400, num).astype(np.int32), rng.integers(1, 7, num).astype(np.int8)
    return EpisodeTable(np.arange(num), outcome, length, **floats, step_s=0.1, max_steps=400, extra=extra)


def an_exam() -> ExamTable:
    entrants = [
        EntrantFacts(name, "planner", "true state", name, None, name, {"revision": "x"}) for name in ("orca", "dwa")
    ]
    scenarios = [
        ScenarioFacts("clean", "?", "mine", "robustness", "slip", 0.0, "full_challenge", {"a": 1}, 60, 7, 0.1, 400),
        ScenarioFacts("beams", "?", "mine", "generalisation", "", None, "full_challenge", {}, 60, 7, 0.1, 400),
    ]
    cells = {
        (0, 0): episodes(60, 1, danger_frac=np.linspace(0, 1, 60)),
        (1, 0): episodes(60, 2),
        (0, 1): episodes(60, 3),
    }
    return ExamTable.of_cells(
        entrants,
        scenarios,
        cells,
        missing={(1, 1): "sees 36 beams"},
        decisions={(0, 0): Decisions(1e-5, 2e-5, 400, 256)},
    )


def test_it_comes_back_as_it_was_written(tmp_path: Path):
    exam = an_exam()
    exam.save(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    exam.save(tmp_path)
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}, "same input, same bytes"
    read = ExamTable.load(tmp_path)
    assert (read.entrants, read.scenarios, read.missing, read.decisions) == (
        exam.entrants, exam.scenarios, exam.missing, exam.decisions
    )  # fmt: skip
    for name, column in exam.columns.items():
        assert read.columns[name].dtype == column.dtype
        np.testing.assert_array_equal(read.columns[name], column)


def test_two_suites_may_have_a_scenario_of_one_name(tmp_path: Path):
    exam = an_exam()
    assert exam.scenario_names == ("clean", "beams")
    twice = replace(exam, scenarios=(exam.scenarios[0], replace(exam.scenarios[1], name="clean", suite="other")))
    twice.save(tmp_path)
    assert ExamTable.load(tmp_path).scenario_names == ("mine:clean", "other:clean")
    changed(tmp_path, lambda d: d["scenarios"][1].update(suite="mine"))
    with pytest.raises(ExamTableError, match="scenarios: there must be some, each by a name of its own"):
        ExamTable.load(tmp_path)


def test_a_cell_is_a_table_of_episodes():
    exam = an_exam()
    cell, wanted = exam.cell(0, 0), episodes(60, 1)
    for name in ("world", "outcome", "length", "path_length_m"):
        np.testing.assert_array_equal(getattr(cell, name), getattr(wanted, name))
    assert (cell.step_s, cell.max_steps, list(cell.extra)) == (0.1, 400, ["danger_frac"])
    assert exam.cell(1, 0).extra == {}, "what was told in no episode is no column"
    assert exam.cell(1, 1).num_episodes == 0
    assert exam.num_rows == 180


def changed(folder: Path, change) -> None:
    document = json.loads((folder / EXAM_JSON).read_text())
    change(document)
    (folder / EXAM_JSON).write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(format_version=2), "format_version is 2"),
        (lambda d: d["entrants"][0].pop("knows"), r"entrants\.0\.knows is missing"),
        (lambda d: d["entrants"][0].update(knows=3), r"entrants\.0\.knows is '3', and str belongs there"),
        (lambda d: d["entrants"][1].update(name="orca"), "entrants: there must be some, each by a name of its own"),
        (lambda d: d["scenarios"][0].update(num_episodes=-1), r"scenarios\.0\.num_episodes is '-1'"),
        (lambda d: d["scenarios"][0].update(level=float("inf")), r"scenarios\.0\.level is 'inf'"),
        (
            lambda d: d["scenarios"][0]["changes"].update(draw="x"),
            r"scenarios\.0\.changes\.draw is 'x', and int belongs",
        ),
        (lambda d: d["missing"][0].update(entrant=2), r"missing\.0: entrant and scenario must be numbers of some"),
        (lambda d: d["decisions"][0].update(p51_s=2), r"decisions\.0\.p51_s: unknown key"),
        (lambda d: d["sha256"].update({EPISODES_PARQUET: "0"}), "is not the file that .*exam.json was written for"),
        (lambda d: d.update(entrants=[]), "entrants: there must be some"),
        (lambda d: d.update(scenarios=3), "scenarios is no list"),
    ],
)
def test_what_exam_json_says_is_vetted(tmp_path: Path, change, told: str):
    an_exam().save(tmp_path)
    changed(tmp_path, change)
    with pytest.raises(ExamTableError, match=told):
        ExamTable.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("entrant", np.full(180, 2, np.int32), r"entrant\[0\] is 2"),
        ("outcome", np.full(180, -1, np.int8), r"outcome\[0\] is -1"),
        ("length", np.full(180, -1, np.int32), r"length\[0\] is -1"),
        ("total_return", np.full(180, np.inf, np.float32), r"total_return\[0\] is inf"),
        ("danger_frac", np.full(180, "x"), "danger_frac' holds object"),
        ("world", np.zeros(180, np.int64), "has played one world of a scenario twice"),
        ("path_length_m", None, "path_length_m' is missing"),
    ],
)
def test_what_the_rows_hold_is_vetted(tmp_path: Path, name: str, value, told: str):
    exam = an_exam()
    exam.save(tmp_path)
    columns = (
        {**exam.columns, name: value} if value is not None else {k: v for k, v in exam.columns.items() if k != name}
    )
    data = write_rows(columns)
    (tmp_path / EPISODES_PARQUET).write_bytes(data)
    changed(tmp_path, lambda d: d["sha256"].update({EPISODES_PARQUET: hashlib.sha256(data).hexdigest()}))
    with pytest.raises(ExamTableError, match=told):
        ExamTable.load(tmp_path)


def test_no_exam_and_no_parquet_are_told(tmp_path: Path):
    with pytest.raises(ExamTableError, match=r"holds no exam\.json"):
        ExamTable.load(tmp_path)
    an_exam().save(tmp_path)
    (tmp_path / EPISODES_PARQUET).write_bytes(b"PAR1")
    changed(tmp_path, lambda d: d["sha256"].update({EPISODES_PARQUET: hashlib.sha256(b"PAR1").hexdigest()}))
    with pytest.raises(ExamTableError, match="no parquet file that can be read"):
        ExamTable.load(tmp_path)
    (tmp_path / EPISODES_PARQUET).unlink()
    with pytest.raises(ExamTableError, match=r"holds no episodes\.parquet"):
        ExamTable.load(tmp_path)
