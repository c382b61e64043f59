"""`robonav train` over Ray as a user types it: a relative output_dir, SIGTERM, resume, a cluster that is too small.

What needs no process of its own runs in this one, over the Ray that the suite shares.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from robonav_ray.runs.checkpoint import newest_good_checkpoint
from tests.conftest import Robonav
from tests.e2e.test_local_wiring import SMALL

pytestmark = pytest.mark.ray
GRACE_S = 120
QUICK = [
    *SMALL, "evaluation.num_episodes=4", "evaluation.num_worlds=4", "tracking.interval_s=0.2", "tracking.panel=plain",
    "runtime.object_store_bytes=100000000", "replay.num_shards=1", "rollout.num_workers=1", "rollout.spares=false",
    "runtime.start_timeout_s=400", f"budget.grace_s={GRACE_S}",
]  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "robonav_ray.cli", "train", *QUICK, *arguments]


def environment(home: Path) -> dict[str, str]:
    """A home of its own, with a token left over by an earlier Ray: the start must not care."""
    token = home / ".ray" / "auth_token"
    token.parent.mkdir(exist_ok=True)
    token.write_text("left-over-by-an-earlier-ray-0123456789abcdef")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {**clean, "HOME": str(home)}


@contextlib.contextmanager
def learning(folder: Path, *arguments: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Give a command that has begun to learn, and the file with all that it says; it is ended with the block."""
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command(*arguments),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(folder),
            **options,
        )
    try:
        until = time.monotonic() + 400
        while time.monotonic() < until:
            runs = list((folder / "runs").glob("*/metrics.jsonl"))
            lines = runs[0].read_text().splitlines(keepends=True) if runs else []
            if any(json.loads(line).get("learner/learner_step", 0) > 20 for line in lines if line.endswith("\n")):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        yield process, log
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("victim", "is_saved"), [("gcs_server", True), ("raylet", False)])
def test_a_run_whose_own_ray_dies_ends_with_its_name(tmp_path: Path, victim: str, is_saved: bool) -> None:
    with learning(tmp_path) as (process, log):
        (found,) = [child for child in psutil.Process(process.pid).children(recursive=True) if child.name() == victim]
        found.kill()
        assert process.wait(120) == 1, log.read_text()
    told = log.read_text()
    assert f"the {victim} of the run's own Ray has died" in told
    assert "Traceback" not in told
    (run,) = (tmp_path / "runs").iterdir()
    assert victim in json.loads((run / "status.json").read_text())["reason"]
    assert "Traceback" in (run / "error.txt").read_text()
    if is_saved:
        saved = newest_good_checkpoint(run / "checkpoints")[0]
        assert saved is not None
        assert saved.counters.learner_steps > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_signal_to_the_whole_group_is_an_orderly_end(tmp_path: Path) -> None:
    with learning(tmp_path, start_new_session=True) as (process, log):
        os.killpg(process.pid, signal.SIGTERM)  # as `timeout` and a closing terminal send it
        assert process.wait(120) == 75, log.read_text()
    (run,) = (tmp_path / "runs").iterdir()
    saved = newest_good_checkpoint(run / "checkpoints")[0]
    assert saved is not None
    assert saved.counters.learner_steps > 0
    assert json.loads((run / "status.json").read_text())["status"] == "unfinished"


def test_sigterm_over_ray_commits_and_resume_finishes(tmp_path: Path, ray_session: None, robonav_here: Robonav) -> None:
    with learning(tmp_path) as (process, log):
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=GRACE_S + 60)
    assert process.returncode == 75, log.read_text()
    (run,) = (tmp_path / "runs").iterdir()
    first = newest_good_checkpoint(run / "checkpoints")[0]
    assert first is not None
    assert first.counters.learner_steps > 0
    assert (first.learner / "learner.safetensors").is_file(), (
        "a relative output_dir must mean the same place to every actor"
    )
    assert list((first.replay / "shard_000").iterdir())
    num_lines = len((run / "metrics.jsonl").read_text().splitlines())

    limit = first.counters.env_steps + 2000
    done = robonav_here("train", *QUICK, "--resume", "auto", f"budget.max_env_steps={limit}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"at {first.counters.env_steps:,} env steps" in done.stdout
    last = newest_good_checkpoint(run / "checkpoints")[0]
    assert last is not None
    assert last.counters.env_steps >= limit
    assert last.counters.learner_steps > first.counters.learner_steps
    first_learner, last_learner = (c.read_json("learner/learner.json")["counters"] for c in (first, last))
    assert last_learner["policy_version"] > first_learner["policy_version"]
    episodes = [sum(stage["num_episodes"] for stage in c.read_json("curriculum.json")["totals"]) for c in (first, last)]
    assert 0 < episodes[0] < episodes[1], "the curriculum goes on too"
    assert json.loads((run / "status.json").read_text())["status"] == "finished"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines]
    points = [(line["step"], tag) for line in lines for tag in line.keys() - {"step", "time", "items"}]
    assert steps == sorted(steps)
    assert len(points) == len(set(points)), "a tag stands once at a step, also where the resumed run begins"
    sizes = [line["replay/size"] for line in lines[num_lines:] if "replay/size" in line]
    assert sizes
    assert min(sizes) >= 300, "its rows are there from the first"


@pytest.mark.slow
def test_a_run_that_is_shorter_than_its_start_learns(tmp_path: Path, ray_session: None, robonav_here: Robonav) -> None:
    """Worlds have made so few env steps before the learner is up."""
    words = [*QUICK, "budget.time_s=0", "budget.max_env_steps=301", "--out", "run"]
    done = robonav_here("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first = newest_good_checkpoint(tmp_path / "run" / "checkpoints")[0]
    assert first is not None
    assert first.counters.learner_steps > 0
    limit = first.counters.env_steps + 1
    done = robonav_here("train", "--resume", "run", f"budget.max_env_steps={limit}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = newest_good_checkpoint(tmp_path / "run" / "checkpoints")[0]
    assert last is not None
    assert last.counters.learner_steps > first.counters.learner_steps
    assert last.counters.env_steps >= limit


def test_a_cluster_too_small_is_refused_and_nothing_is_made(
    tmp_path: Path, ray_session: None, robonav_here: Robonav
) -> None:
    done = robonav_here("train", *QUICK, "runtime.cpus_per_rank=100", cwd=tmp_path)
    assert done.returncode == 2
    assert "too small" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, robonav_here: Robonav
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # it would be taken before any address
    done = robonav_here("train", *QUICK, "runtime.address=127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 2
    assert "runtime.address" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
