"""What docs/python_api.md shows runs as it stands there, in a program of a user's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs/python_api.md").read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
)
CALLS = """
assert (result.status, again.status) == ("finished", "finished")
assert again.path == result.path and again.env_steps > result.env_steps > 0
assert frame["learner/learner_step"].iloc[-1] > 0
assert (len(report.levels), report.levels[0].summary.num_episodes) == (1, 200) and report.changes
assert runs["status"].tolist() == ["finished"]
assert isinstance(action, int) and actions.shape == (2,) and actions.dtype == np.int32 and values.shape == (15,)
assert DistributedTrainer and results.success()["mine"].keys() == results.success()["orca"].keys()
import sys
assert "ray" not in sys.modules
"""
SEARCH = """
assert search.status == "finished" and len(search.trials()) == 4
assert (result.status, result.evaluation.levels[-1].summary.num_episodes) == ("finished", 1000)
"""


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("program", "num_runs"), [("calls", 1), ("search", 2)])
def test_the_page_runs_as_written(tmp_path: Path, program: str, num_runs: int) -> None:
    calls, policy, search, names, exam = BLOCKS
    lines = {"calls": [calls, policy, names, exam, CALLS], "search": ["import robonav_ray as rn\n", search, SEARCH]}
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "program.py").write_text("".join(lines[program]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(list((tmp_path / "runs").iterdir())) == num_runs  # a search is one, the training of its best another
