"""How much a tracker that takes 5 s for every point, or is down, slows a training: two runs turn about in one process,
as a ratio.

``python -m proofs bench_trackers`` trains one config twice in the one-process wiring, where the thread that hands
points to trackers is the one that learns, so that any waiting shows: once with metrics.jsonl alone, once with a slow
and a broken backend besides. Both go on in turns of ``--steps`` env steps; what is printed is the median over turns of
(time with) / (time without), with its interval: single turns differ by several percent, many of them tell 2 %. Exit
code 1 says that the median may be above 1.02.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from proofs.bench.turns import MIN_TURNS, Advance, median_interval, ratio_figures, time_ratios
from robonav_ray.config.load import load_run_config
from robonav_ray.interfaces import Tracker
from robonav_ray.records import Metrics
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.live import LiveRun, start_local
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.wiring import RunSession, Wiring
from robonav_ray.screen import say
from robonav_ray.tracking.jsonl import read_metrics

CONFIG = ["rollout.num_worlds=64", "tracking.panel=off", "tracking.tensorboard=null", "tracking.close_timeout_s=1",
          "budget.time_s=1e6", "checkpoint.interval_s=1e6", "replay.capacity=50000"]  # fmt: skip


MOST_RATIO = 1.02
"""What is promised of a training beside trackers that are slow or down."""


class SlowTracker:
    """Takes ``delay_s`` for every point."""

    def __init__(self, delay_s: float):
        self.delay_s, self.num_points = delay_s, 0

    def log(self, metrics: Metrics, step: int) -> None:
        """Take the delay."""
        time.sleep(self.delay_s)
        self.num_points += 1

    def save(self, path: Path) -> None:
        """Take the delay."""
        time.sleep(self.delay_s)

    def close(self) -> None:
        """Nothing is open."""
        pass


class DownTracker(SlowTracker):
    """Waits as long and fails, as a server that is gone does."""

    def log(self, metrics: Metrics, step: int) -> None:
        """Take the delay."""
        time.sleep(self.delay_s)
        raise OSError("connection timed out")


def run(folder: Path, extra: list[Tracker], interval_s: float, overrides: Sequence[str] = ()) -> LiveRun:
    """Start a run in this process with ``extra`` trackers."""
    words = [*CONFIG, f"output_dir={folder}", f"tracking.interval_s={interval_s}", *overrides]
    config = load_run_config(None, words)
    session = RunSession(config, describe_task(config), create_run(config), None, time.monotonic())

    def start(session: RunSession) -> tuple[Wiring, list[Tracker]]:
        return start_local(session)[0], extra

    return LiveRun(session, start, wiring_name="local", stop=StopRequest(), command=["bench_trackers"])


def _timed(live: LiveRun) -> Advance:
    def advance(env_steps: int) -> float:
        began = time.perf_counter()
        live.advance(env_steps)
        return time.perf_counter() - began

    return advance


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=5.0, help="seconds that the slow backend takes for a point")
    parser.add_argument("--interval", type=float, default=0.25, help="tracking.interval_s (a run's default is 2)")
    parser.add_argument("--steps", type=int, default=6000, help="env steps of a turn")
    parser.add_argument("--turns", type=int, default=100, help="turns that are measured, after two that are not")
    args = parser.parse_args(arguments)
    if args.turns < MIN_TURNS:
        parser.error(f"--turns must be at least {MIN_TURNS}: fewer have no interval")
    slow, down = SlowTracker(args.delay), DownTracker(args.delay)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as exits:
        runs = [exits.enter_context(run(Path(folder) / "none", [], args.interval)),
                exits.enter_context(run(Path(folder) / "slow", [slow, down], args.interval))]  # fmt: skip
        ratios = time_ratios(_timed(runs[0]), _timed(runs[1]), args.turns, args.steps)
        points = len(read_metrics(runs[1].session.run.path / "metrics.jsonl"))
        report = {
            "delay_s": args.delay,
            "turns": len(ratios),
            **ratio_figures("time_ratio", ratios),
            "points_logged": points,
            "points_taken_by_the_slow_backend": slow.num_points,
        }
    say(json.dumps(report, indent=1))
    return int(median_interval(ratios)[1] > MOST_RATIO)
