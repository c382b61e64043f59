"""The calls of ``robonav_ray`` over Ray: in a session that exists, which stays up, and without one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import robonav_ray as rn
from robonav_ray.config import RunConfig
from robonav_ray.fronts.call_config import asked_config
from tests.unit.fronts.test_calls import SHORT, program

SMALL_RUN: dict[str, Any] = {**SHORT, "budget.max_env_steps": 1500, "rollout.num_workers": 1, "replay.num_shards": 1}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_session_that_exists_is_used_and_stays_up(tmp_path: Path) -> None:
    import ray

    async def cell() -> rn.TrainResult:
        return rn.train(SMALL_RUN, out=tmp_path / "run", quiet=True)

    before = program()
    result = asyncio.run(cell())
    assert ray.is_initialized()
    assert program() == before
    assert (result.status, result.path) == ("finished", tmp_path / "run")
    assert rn.runs(tmp_path)["status"].tolist() == ["finished"]


ALONE = """
import sys
import robonav_ray as rn
result = rn.train(eval(sys.argv[1]), out="run", quiet=True)
import ray
assert result.status == "finished" and not ray.is_initialized()
again = rn.train(resume=result.path, overrides={"budget.max_env_steps": 2500}, quiet=True)
assert again.env_steps > result.env_steps and not ray.is_initialized()
"""


@pytest.mark.slow
@pytest.mark.ray
def test_without_a_session_it_starts_its_own_and_shuts_it_down(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALONE, repr(SMALL_RUN)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_search_gives_its_trials_and_a_config_that_trains(tmp_path: Path) -> None:
    space = {"algo.gamma": {"choice": [0.9, 0.95]}}
    run, _ = asked_config(RunConfig, SHORT, None)
    trial = {"wiring": "local", "max_env_steps": 1500, "report_env_steps": 700, "evaluation_episodes": 4}
    given = {
        "name": "calls",
        "output_dir": str(tmp_path),
        "run": run,
        "space": space,
        "num_trials": 2,
        "trial": trial,
        "scheduler": {"kind": "fifo"},
    }
    before = program()
    search = rn.tune(given, {"run.tracking.backends": ["jsonl"]}, quiet=True)
    assert program() == before
    assert search.status == "finished"
    assert len(search.trials()) == 2
    assert search.best_config is not None
    assert search.best_config.algo.gamma in (0.9, 0.95)
