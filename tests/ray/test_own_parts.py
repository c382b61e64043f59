"""A network, a tracker and a metric of the user's own over Ray: workers and ranks find them in the folder of the
command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.algo.test_own_network import MINE as NETWORKS
from tests.unit.test_user_code import MINE as PARTS

pytestmark = [pytest.mark.ray, pytest.mark.slow]
OWN = ["algo.network=my_networks:Net", "tracking.extra=[my_parts:Tracker]", "evaluation.metrics=[my_parts:length]"]
QUICK = [
    "env.id=CartPole-v1", "rollout.num_workers=1", "replay.num_shards=1", "replay.min_size=300",
    "budget.max_env_steps=20000", "evaluation.num_episodes=8", "evaluation.gif_episodes=0", "tracking.interval_s=0.5",
]  # fmt: skip


def test_a_run_over_ray_with_parts_of_ones_own_from_the_weights_of_another(tmp_path: Path) -> None:
    (tmp_path / "my_networks.py").write_text(NETWORKS)
    (tmp_path / "my_parts.py").write_text(PARTS)

    def train(*words: str) -> str:
        command = [sys.executable, "-m", "robonav_ray.cli", "train", *QUICK, *OWN, *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    train("--local", "--out", "a")
    assert "4 of 4 tensors" in train("--out", "b", "--init-from", "a")
    assert json.loads((tmp_path / "b" / "run.json").read_text())["init_from"]["left"] == {}
    assert len((tmp_path / "b" / "mine.jsonl").read_text().splitlines()) > 1
    report = json.loads((tmp_path / "b" / "evaluation.json").read_text())
    assert report["levels"][0]["metrics"]["length"]["num_values"] == 8
