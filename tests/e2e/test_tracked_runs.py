"""A training that is killed with points on their way: after the resume TensorBoard and the spool hold the same,
once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from robonav_ray.tracking.items import Histogram
from robonav_ray.tracking.jsonl import read_points
from tests.e2e.test_local_wiring import SMALL

WORDS = [*SMALL, "tracking.interval_s=0.05", "tracking.histogram_interval_s=0.1", "tracking.panel=off",
         "checkpoint.interval_s=0.5", "curriculum.force_stage=0", "evaluation.num_episodes=2",
         "evaluation.num_worlds=2", "evaluation.gif_episodes=0"]  # fmt: skip


def train(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "robonav_ray.cli", "train", "--local", *arguments], cwd=folder)


def shown(run: Path) -> tuple[Counter[tuple[int, str]], Counter[tuple[int, str]]]:
    """(step, name) of the scalars and of the histograms that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "histograms": 0})
    events.Reload()
    tags = events.Tags()
    scalars = Counter((event.step, tag) for tag in tags["scalars"] for event in events.Scalars(tag))
    return scalars, Counter((event.step, tag) for tag in tags["histograms"] for event in events.Histograms(tag))


@pytest.mark.slow
@pytest.mark.parametrize("flush_s", [0, 10])
def test_a_killed_training_leaves_nothing_undelivered_and_nothing_twice(tmp_path: Path, flush_s: int) -> None:
    run = tmp_path / "run"
    process = train(tmp_path, "--out", "run", *WORDS, f"tracking.tensorboard.flush_s={flush_s}", "budget.time_s=600")
    try:
        until = time.monotonic() + 200
        while len(list(run.glob("checkpoints/env-*/manifest.json"))) < 2 and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = max(point.step for point in read_points(run / "metrics.jsonl", 0))
    resumed = train(tmp_path, "--resume", "run", f"budget.max_env_steps={last + 2000}")
    assert resumed.wait(300) == 0
    points = read_points(run / "metrics.jsonl", 0)
    scalars, histograms = shown(run)
    assert scalars == Counter((point.step, name) for point in points for name in point.metrics)
    assert histograms == Counter(
        (point.step, item.name) for point in points for item in point.items if isinstance(item, Histogram)
    )
    assert len(histograms) > 20
