"""`robonav train` over Ray as a user types it: a relative output_dir, SIGTERM, resume, a cluster that is too small."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robonav_ray.runtime.checkpoint import newest_good_checkpoint
from tests.e2e.test_local_wiring import SMALL

pytestmark = pytest.mark.ray
QUICK = [*SMALL, "evaluation.num_episodes=4", "evaluation.num_worlds=4", "tracking.interval_s=0.2", "tracking.panel=plain",
         "runtime.object_store_bytes=100000000", "replay.num_shards=1"]  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "robonav_ray.cli", "train", *QUICK, *arguments]


def environment(home: Path) -> dict[str, str]:
    """A home of its own, with a token left over by an earlier Ray: the start must not care."""
    token = home / ".ray" / "auth_token"
    token.parent.mkdir(exist_ok=True)
    token.write_text("left-over-by-an-earlier-ray-0123456789abcdef")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {**clean, "HOME": str(home)}


def run_to_end(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, env=environment(folder), check=False, timeout=150
    )


@pytest.mark.timeout(300)
def test_sigterm_over_ray_commits_and_resume_finishes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command(), cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, env=environment(tmp_path))
        until = time.monotonic() + 120
        while time.monotonic() < until:
            runs = list((tmp_path / "runs").glob("*/metrics.jsonl"))
            if runs and "learner/loss" in runs[0].read_text():
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        process.wait(timeout=90)
    assert process.returncode == 75, log.read_text()
    assert time.monotonic() - began < 60
    (run,) = (tmp_path / "runs").iterdir()
    first = newest_good_checkpoint(run / "checkpoints")[0]
    assert first is not None
    assert first.counters.learner_steps > 0
    assert (first.learner / "learner.safetensors").is_file(), "a relative output_dir must mean the same place to every actor"
    assert list((first.replay / "shard_000").iterdir())

    limit = first.counters.env_steps + 2000
    done = run_to_end(tmp_path, "--resume", "auto", f"budget.max_env_steps={limit}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"at {first.counters.env_steps:,} env steps" in done.stdout
    last = newest_good_checkpoint(run / "checkpoints")[0]
    assert last is not None
    assert last.counters.env_steps >= limit
    assert last.counters.learner_steps > first.counters.learner_steps
    assert json.loads((run / "status.json").read_text())["status"] == "finished"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines]
    points = [(line["step"], tag) for line in lines for tag in line.keys() - {"step", "time"}]
    assert steps == sorted(steps)
    assert len(points) == len(set(points)), "a tag stands once at a step, also where the resumed run begins"


@pytest.mark.timeout(120)
def test_a_cluster_too_small_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    done = run_to_end(tmp_path, "runtime.num_cpus=1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "too small" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.timeout(120)
def test_a_cluster_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = run_to_end(tmp_path, "runtime.address=127.0.0.1:1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "runtime.address" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
