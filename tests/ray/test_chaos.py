"""The chaos suite, short: two Ray nodes, a worker, a shard, a rank and a node killed in a real training, and nothing
lost for good."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.mark.timeout(1800)
def test_a_run_survives_one_of_each(tmp_path: Path) -> None:
    output = tmp_path / "chaos"
    command = [
        sys.executable, str(ROOT / "scripts" / "chaos.py"), "--faults", "worker,shard,rank,node", "--times", "4",
        "--period", "8", "--nodes", "2", "--seed", "1", "--output", str(output),
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said, _ = process.communicate(timeout=1700)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # it ends its cluster and the run; a kill would leave them
            said, _ = process.communicate()
    assert (output / "chaos.json").is_file(), said + (output / "command.log").read_text()[-5000:]
    report = json.loads((output / "chaos.json").read_text())
    assert sorted(fault["kind"] for fault in report["faults"]) == ["node", "rank", "shard", "worker"]
    assert all(fault["victim"] != "nobody" for fault in report["faults"])
    broken = [
        f"{name}: {verdict['text']}: {verdict['worst']}"
        for name, promise in report["promises"].items()
        for verdict in promise["verdicts"]
        if not verdict["kept"] and not verdict["speed"]
    ]
    broken += [
        f"{check['text']}: {check['found']}" for check in report["checks"] if not check["kept"] and not check["speed"]
    ]
    assert broken == [], said
    assert (output / "chaos.png").stat().st_size > 10_000
