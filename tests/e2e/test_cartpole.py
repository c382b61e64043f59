"""CartPole-v1 through the whole Ray wiring: a mean return of 450 within 200 k env steps (RLlib's own learning test)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_cartpole_reaches_450_within_200k_env_steps(tmp_path: Path, seed: int) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "robonav_ray.cli", "train", str(ROOT / "configs/run/cartpole.yaml"),
               f"seed={seed}", "budget.max_env_steps=200_000", "--out", str(run)]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((run / "summary.json").read_text())
    assert summary["passed"], f"not at 450 within 200 k env steps: {done.stdout[-2000:]}"
    assert summary["env_steps_to_pass"] <= 200_000
