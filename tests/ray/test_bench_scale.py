"""The scaling benchmark grows a real run from one sleeping worker to two."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.ray
def test_two_sleeping_workers_make_twice_the_steps_of_one(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "scripts" / "bench_scale.py"),
        "workers",
        "--max-workers",
        "2",
        "--seconds",
        "8",
    ]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((tmp_path / "workers.json").read_text())
    one, two = (point["env_steps_per_s"] for point in result["points"])
    assert one <= result["worlds_per_worker"] / result["step_s"] * 1.05, "no faster than its worlds sleep"
    assert 1.6 < two / one < 2.4
    roles = {"rollout", "rank", "shard", "host", "weights", "driver", "ray"}
    assert roles <= set(result["points"][1]["cpu_cores"])
