"""The ORCA row of Everett's cases: where rows go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofs.studies.everett_orca import main


def test_every_number_of_robots_adds_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "rows" / "orca.jsonl"
    for _ in range(2):
        main(["--robots", "2", "5", "--cases", "20", "--into", str(into)])
    rows = [json.loads(line) for line in into.read_text().splitlines()]
    assert [row["robots"] for row in rows] == [2, 5, 2, 5]
    assert rows[:2] == rows[2:], "one seed, one row"
    assert all(row["solved"] > 0.6 and row["driver"] == "orca" for row in rows)
    assert "published 0.986" in capsys.readouterr().out
