"""The robustness study: a line for each cell once, a broken-off run that goes on, and a table beside its targets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import robonav_ray
from proofs.studies import robustness as study
from proofs.studies.weathers import CELLS, VARIANTS
from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.config.load_suite import load_suite
from robonav_ray.errors import UserError
from robonav_ray.evaluation.exam_table import ExamTable
from tests.made_up_exam import made_up_exam

SMALL = ("run", "--only", "baseline", "noise", "--seeds", "2", "--worlds", "60", "--updates", "1000")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was trained, gone on with and played; figures are made up."""
    words: list[str] = []

    def train(_: Any = None, overrides: Any = None, *, out: Path | None = None, resume: Path | None = None, **__: Any):
        folder = out or resume
        assert folder is not None
        words.append(f"{'go on' if resume else 'train'} {folder.name}")
        (folder / "checkpoints" / "checkpoint-1").mkdir(parents=True, exist_ok=resume is not None)
        (folder / "summary.json").write_text(json.dumps({"train_s": 12.34, "env_steps_to_pass": 600}))
        (folder / "evaluation.json").write_text("{}")
        return SimpleNamespace(status="finished", env_steps=7)

    def compare(entrants: dict[str, Path], *, episodes: int, **_: Any) -> ExamTable:
        words.append(f"play {next(iter(entrants.values())).name}")
        made = made_up_exam(episodes, ("dwa",), 1)
        facts = [replace(one, name=cell) for one, cell in zip(made.scenarios, CELLS, strict=False)]
        return ExamTable.of_cells(made.entrants, facts, {(0, s): made.cell(0, s) for s in range(len(CELLS))})

    monkeypatch.setattr(robonav_ray, "train", train)
    monkeypatch.setattr(robonav_ray, "compare", compare)
    return words


def test_every_cell_is_one_line_and_nothing_is_done_twice(
    tmp_path: Path, done: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows, where = tmp_path / "rows.jsonl", ("--rows", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path))
    assert study.main([*SMALL, *where]) == 0
    runs = [f"{name}-1000-seed{seed}" for seed in range(2) for name in ("baseline", "noise")]
    assert done == [f"{what} {run}" for run in runs for what in ("train", "play")]
    kept = study.read_rows(rows)
    assert len(kept) == len({(*row.key, row.cell) for row in kept}) == 4 * len(CELLS)
    assert (kept[0].train_s, kept[0].passed_steps, kept[0].worlds) == (12.3, 600, 60)
    assert study.main([*SMALL, *where]) == 0
    assert len(done) == 8
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:-1]))
    (tmp_path / "runs" / runs[-1] / "evaluation.json").unlink()
    assert study.main([*SMALL, *where, "--json"]) == 0
    assert done[8:] == [f"go on {runs[-1]}", f"play {runs[-1]}"]
    assert study.read_rows(rows) == kept
    (tmp_path / "runs" / "baseline-2000-seed0").mkdir()  # killed at once
    assert study.main(["run", "--only", "baseline", "--seeds", "1", "--worlds", "60", "--updates", "2000", *where]) == 0
    assert done[10:] == ["train baseline-2000-seed0", "play baseline-2000-seed0"]
    assert study.main([*SMALL, *where, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [one["cell"] for one in told[: len(CELLS)]] == list(CELLS)
    assert told[0]["success"] == pytest.approx((kept[0].success + kept[2 * len(CELLS)].success) / 2)


def test_the_table_says_what_must_be_reached_and_what_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        study.Row("baseline", seed, 60_000, "hard", 500, success, 0.2, 0.4, 0.5, 0.2, 1.0, 600)
        for seed, success in enumerate((0.2, 0.3, 0.4))
    ]
    rows.append(replace(rows[0], updates=1000, success=0.25))
    study.append(tmp_path / "rows.jsonl", rows)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{study.BEGIN}\nold\n{study.END}\nafter\n")
    monkeypatch.setattr(study, "PAGE", page)
    assert study.main(["summary", "--write", "--rows", str(tmp_path / "rows.jsonl")]) == 0
    assert "**30.0 (18 to 42)**" in page.read_text()
    assert "old" not in page.read_text()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| Cell | Now | Must | Aim | baseline, 60 k, 3 x 500 |"
    assert "| `hard` | 9 | 25 | 45 | **30.0 (18 to 42)** |" in lines
    assert lines[-1].startswith("| `baseline`, 1 k | 25.0 |")


def test_the_cells_are_the_suite_and_every_variant_is_a_config() -> None:
    assert [scenario.name for scenario in load_suite(Path("all_weathers")).scenarios] == list(CELLS)
    for variant in VARIANTS.values():
        updates = study.updates_of(variant, 1.0)
        changes = {"preset": "navigation", **study.bounded(updates), **variant.changes}
        config = load_run_config(variant.file, [f"{key}={json.dumps(value)}" for key, value in changes.items()])
        assert isinstance(config, RunConfig)
        rows = config.budget.max_env_steps
        assert rows is not None
        assert rows == updates * config.learner.batch_size / config.replay.samples_per_insert + config.replay.min_size


@pytest.mark.usefixtures("done")
def test_what_cannot_be_ends_with_2_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> ExamTable:
        raise UserError("episodes: at least 50")

    monkeypatch.setattr(robonav_ray, "compare", refuse)
    rows = tmp_path / "rows.jsonl"
    where = ("--rows", str(rows), "--output", str(tmp_path))
    assert study.main(["run", "--only", "baseline", "--seeds", "1", "--worlds", "3", *where]) == 2
    assert capsys.readouterr().err == "episodes: at least 50\n"
    rows.write_text("{}\n")
    assert study.main(["summary", "--rows", str(rows)]) == 2
    assert "line 1: is no row of this study" in capsys.readouterr().err
