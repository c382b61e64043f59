"""The rows of docs/policy_quality.md come out of the suite that all entrants play."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofs.studies.policy import main
from tests.made_up_runs import make_run

SMALL = ("algo.hidden_dims=[8]",)


@pytest.mark.slow
def test_the_rows_come_out_of_the_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row, words in (("both", ()), ("fast36", ("env.world.difficulty=fast",))):
        for seed in range(2):
            make_run(tmp_path / row / f"seed-{seed}", (*SMALL, *words, f"seed={seed}", f"name={row}"), steps=(100,))
    assert main(["exam", "--output", str(tmp_path), "--episodes", "50"]) == 0
    *lines, last = capsys.readouterr().out.strip().splitlines()
    found = json.loads(last)
    assert [(one["row"], one["seed"], one["scenario"]) for one in found] == [
        ("both", 0, "standard"), ("both", 1, "standard"), ("fast36", 0, "fast"), ("fast36", 1, "fast"),
    ]  # fmt: skip
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == "| Setting | Success, mean of the seeds | Each seed | Collisions |"
    assert [row.split(" | ")[0] for row in table[2:]] == ["| both", "| fast worlds, 36 beams"]
    rates = [100 * one["success"] for one in found[:2]]
    assert f"| {rates[0]:.1f}, {rates[1]:.1f} |" in table[2]
    with pytest.raises(SystemExit, match="holds no run"):
        main(["exam", "--output", str(tmp_path / "nothing")])
