"""A pipeline from its config to a report, with the verbs; killed, it ends with the same weights and tables."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from robonav_ray.config.load import load_section_file
from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.pipeline.runs_of_steps import weights_digest
from tests.conftest import Robonav
from tests.e2e.test_local_wiring import SMALL
from tests.unit.pipeline.test_pipeline_session import marks

ROOT = Path(__file__).parents[2]
OVERRIDES = {
    **{key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in SMALL)},
    "budget.time_s": 0,
    "budget.max_env_steps": 400,
    "evaluation.num_episodes": 8,
    "evaluation.num_worlds": 8,
    "tracking.tensorboard": None,
}
SUITE = """
name: small
num_episodes: 50
scenarios:
  - {name: first, stage: basic_navigation, changes: {level.max_steps: 40}}
"""


def write_pipeline(folder: Path, **keys: Any) -> Path:
    """Write a small pipeline of our worlds, and the suite that it plays."""
    (folder / "small.yaml").write_text(SUITE)
    config = {
        "name": "small",
        "wiring": "local",
        "prepare": {"warm": False},
        "steps": ["prepare", "train", "select", "evaluate"],
        "train": {"overrides": OVERRIDES},
        "evaluate": {"suites": ["small.yaml"]},
        **keys,
    }
    path = folder / "pipeline.yaml"
    path.write_text(f"# Does it work?\n{yaml.safe_dump(config)}")
    return path


def done_in(folder: Path) -> list[str]:
    lines = [json.loads(line) for line in (folder / "pipelines/small/pipeline.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["event"] == "step_done"]


@pytest.mark.usefixtures("undrawn")
def test_a_pipeline_by_its_verbs(tmp_path: Path, robonav_here: Robonav) -> None:
    write_pipeline(tmp_path)
    planned = robonav_here("pipeline", "run", "pipeline.yaml", "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count("is not done yet") == 4
    assert not (tmp_path / "pipelines").exists()
    done = robonav_here("pipeline", "run", "pipeline.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done_in(tmp_path) == ["prepare", "train", "select", "evaluate"]
    assert "train | " in done.stdout
    again = robonav_here("pipeline", "run", "pipeline.yaml", "--json")
    assert (again.returncode, json.loads(again.stdout)["done"]) == (0, [])
    before = marks(tmp_path)
    other = robonav_here("pipeline", "run", "pipeline.yaml", "evaluate.episodes=60", "--dry-run", "--json")
    assert marks(tmp_path) == before, "a dry run touches nothing"
    assert [step["state"] for step in json.loads(other.stdout)] == ["done", "done", "done", "to do"]
    shown = robonav_here("pipeline", "status")
    assert "held-out success" in shown.stdout
    told = robonav_here("pipeline", "explain", "train")
    assert "robonav_ray.learner" in told.stdout
    root = tmp_path / "pipelines/small"
    before, lock = digests(tmp_path), json.loads((root / "pipeline.lock.json").read_text())
    del lock["steps"]["train"]
    (root / "pipeline.lock.json").write_text(json.dumps(lock))
    (root / "train/seed-0/evaluation.json").unlink()
    (root / "train/seed-0/evaluation.md").unlink()
    killed = robonav_here("pipeline", "run", "pipeline.yaml")
    assert killed.returncode == 0, killed.stdout + killed.stderr
    assert digests(tmp_path) == before, "trained and not judged: it is judged, and trained no round more"
    assert done_in(tmp_path)[4:] == ["train"], "the same facts: nothing that follows is done again"
    wrong = robonav_here("pipeline", "explain", "trian")
    assert (wrong.returncode, "did you mean 'train'" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["zzz"], "zzz: no such file"),
        (["pipeline.yaml", "steps=[prepare, dance]"], "there is no step 'dance'"),
        (["pipeline.yaml", "evaluate.suites=[nosuch]"], "evaluate.suites: nosuch"),
        (["pipeline.yaml", "train.overrides={algo.gama: 1}"], "train: override 'algo.gama=1'"),
        (["pipeline.yaml", "train.given=[runs/none]"], "runs/none"),
        (["pipeline.yaml", "train.seeds=[1000003]"], "would not be held out|must differ from seed"),
        (["pipeline.yaml", "search.given=none.yaml", "steps=[search]"], "search.given: none.yaml"),
        (["pipeline.yaml", "--from", "dance"], "--from dance: the pipeline has no such step"),
    ],
)
def test_wrong_input_is_one_message_before_anything_is_made(
    tmp_path: Path, robonav_here: Robonav, words: list[str], told: str
) -> None:
    import re

    write_pipeline(tmp_path)
    ended = robonav_here("pipeline", "run", *words, cwd=tmp_path)
    assert ended.returncode == 2
    assert re.search(told, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "pipelines").exists()


def test_both_names_of_the_default_pipeline_are_one_config() -> None:
    first, second = (
        load_section_file(PipelineConfig, ROOT / name, (), "pipeline")
        for name in ("configs/pipeline/default.yaml", "configs/pipeline_config.yaml")
    )
    assert first == second


def digests(folder: Path) -> dict[str, Any]:
    """Return what a pipeline has made: weights of all seeds, and the rows of its exam."""
    root = folder / "pipelines/small"
    table = ExamTable.load(root / "evaluate/exam")
    rows = {name: column.tolist() for name, column in table.columns.items()}
    seeds = [run for run in sorted((root / "train").glob("seed-*")) if run.is_dir()]
    return {"weights": [weights_digest(run) for run in seeds], "rows": json.dumps(rows)}


@pytest.mark.slow
def test_the_script_is_the_verb(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    command = [sys.executable, ROOT / "scripts/run_pipeline.py", "pipeline.yaml", "--dry-run"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.count("is not done yet") == 4


@pytest.mark.slow
def test_killed_at_any_time_it_ends_with_the_same_weights_and_tables(tmp_path: Path) -> None:
    steps = {**OVERRIDES, "budget.max_env_steps": 4_000, "checkpoint.interval_s": 1}
    train = {"seeds": [0, 1], "overrides": steps}
    command = [sys.executable, "-m", "robonav_ray.cli", "pipeline", "run", "pipeline.yaml"]
    whole = tmp_path / "whole"
    whole.mkdir()
    write_pipeline(whole, train=train)
    began = time.monotonic()
    subprocess.run(command, cwd=whole, check=True, capture_output=True)
    took_s = time.monotonic() - began
    wanted, rng, killed = digests(whole), random.Random(19), 0
    for number in range(20):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        write_pipeline(folder, train=train)
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(0.0, took_s))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        again = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stdout + again.stderr
        assert digests(folder) == wanted, f"instant {number}"
        done = done_in(folder)
        assert sorted(done) == sorted(set(done)), "no finished step is done twice"
        shutil.rmtree(folder)
    print(f"{killed} of 20 were killed before the end, of a pipeline of {took_s:.1f} s")
