"""What a snapshot of a full replay costs a running learner, and how soon a resumed run is at full speed again.

A whole run over Ray (workers, shards, learner) fills its replay, trains, and has snapshots made of it as the controller
does. The gap is the time from the beginning of one chunk of updates to the next, as the learner itself measures it.
Then the driver leaves and `robonav train --resume` takes the run up.

    python -m proofs bench_checkpoint --rows 1000000 --json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robonav_ray.config.load import load_run_config
from robonav_ray.nodes.connection import connected
from robonav_ray.runs.checkpoint import Counters
from robonav_ray.runs.run_directory import RunDirectory, create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.wiring import RunSession, WiringFacts
from robonav_ray.screen import say

FULL_SPEED_FRAC = 0.9


def overrides(rows: int, extra: list[str]) -> list[str]:
    """Return what the run differs by: the replay holds ``rows``, and nothing is saved but on demand."""
    return [f"replay.capacity={rows}", f"replay.min_size={rows}", "checkpoint.interval_s=3600",
            "tracking.prometheus=false", "tracking.panel=plain", "tracking.interval_s=0.5", "budget.time_s=100000",
            "evaluation.num_episodes=4", *extra]  # fmt: skip


class Watch:
    """Polls a wiring as the controller does, and keeps the learner's steps and its longest gap."""

    def __init__(self, wiring: Any) -> None:
        self.wiring = wiring
        self.facts: WiringFacts = wiring.poll(0.0)
        self.begin()

    def begin(self) -> None:
        """Begin a new window."""
        self.began, self.first_step, self.gap_s = time.monotonic(), self.facts.learner_steps, 0.0
        self.first_env_step = self.facts.env_steps

    def poll(self) -> None:
        """Ask the wiring once, and note the longest gap."""
        self.facts = self.wiring.poll(0.05)
        self.gap_s = max(self.gap_s, self.facts.metrics.get("learner/gap_s_max", 0.0))

    def watch(self, seconds: float) -> dict[str, float]:
        """Poll for ``seconds``; return the window's figures."""
        self.begin()
        while time.monotonic() - self.began < seconds:
            self.poll()
        return self.result()

    def result(self) -> dict[str, float]:
        """Return the figures since the window began."""
        elapsed = time.monotonic() - self.began
        return {
            "seconds": elapsed,
            "gap_s_max": self.gap_s,
            "learner_steps_per_s": (self.facts.learner_steps - self.first_step) / elapsed,
            "env_steps_per_s": (self.facts.env_steps - self.first_env_step) / elapsed,
        }


def fill(watch: Watch, rows: int, timeout_s: float) -> float:
    """Wait until the replay is full and the learner trains; return the seconds."""
    began, steps = time.monotonic(), watch.facts.learner_steps
    while watch.facts.learner_steps < steps + 20 or watch.facts.metrics.get("replay/size", 0.0) < rows:
        watch.poll()
        if time.monotonic() - began > timeout_s:
            raise SystemExit(f"not full within {timeout_s:.0f} s: {watch.facts.metrics.get('replay/size')} rows")
    return time.monotonic() - began


def snapshot(watch: Watch, session: RunSession, number: int) -> dict[str, Any]:
    """Make one checkpoint while the run goes on."""
    from robonav_ray.runtime.saving import Saver

    saver = Saver(session, watch.wiring)
    watch.begin()
    saver.begin(Counters(watch.facts.env_steps + number, watch.facts.learner_steps, 1.0, 1))
    while (outcome := saver.take()) is None:
        watch.poll()
    if outcome.checkpoint is None:
        raise SystemExit("the snapshot failed; see the warning above")
    seconds = outcome.total_s
    watch.poll()
    files = outcome.checkpoint.read_json("manifest.json")["files"].values()
    num_bytes = sum(file["bytes"] for file in files)
    return watch.result() | {
        "cut_s": outcome.cut_s, "committed_s": seconds, "bytes": num_bytes, "mb_per_s": num_bytes / 1e6 / seconds,
        "path": str(outcome.checkpoint.path),
    }  # fmt: skip


def resumed(run: RunDirectory, speed: float, extra: list[str], timeout_s: float) -> float:
    """Return the seconds from typing `robonav train --resume` until the learner is at FULL_SPEED_FRAC of ``speed``."""
    command = [sys.executable, "-m", "robonav_ray.cli", "train", "--resume", str(run.path), *extra]
    metrics = run.path / "metrics.jsonl"
    began_wall = time.time()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while time.time() - began_wall < timeout_s and process.poll() is None:
            time.sleep(0.25)
            points = _points(metrics, began_wall)
            for (t0, s0), (t1, s1) in zip(points, points[2:], strict=False):
                if s1 - s0 >= FULL_SPEED_FRAC * speed * (t1 - t0):
                    return t1 - began_wall
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    raise SystemExit(f"not at full speed within {timeout_s:.0f} s: {_points(metrics, began_wall)[-5:]}")


def _points(metrics: Path, since: float) -> list[tuple[float, float]]:
    if not metrics.is_file():
        return []
    lines = [json.loads(line) for line in metrics.read_text().splitlines() if line.endswith("}")]
    return [
        (line["time"], line["learner/learner_step"])
        for line in lines
        if line["time"] > since and "learner/learner_step" in line
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--snapshots", type=int, default=3)
    parser.add_argument(
        "--between-s", type=float, default=10.0, help="seconds of undisturbed training that are measured before each"
    )
    parser.add_argument("--fill-timeout-s", type=float, default=400.0)
    parser.add_argument("--out", type=Path, default=None, help="where the run is made (a temporary directory)")
    parser.add_argument("--no-resume", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="key=value of the run's config")
    args = parser.parse_args(arguments)
    config = load_run_config(None, overrides(args.rows, args.overrides))
    with tempfile.TemporaryDirectory(prefix="bench-checkpoint-") as temporary:
        run = create_run(config, (args.out or Path(temporary)) / "run")
        task = describe_task(config)
        session = RunSession(config, task, run, None, time.monotonic())
        with connected(config.runtime) as cluster:
            from robonav_ray.nodes.resources import plan_when_free
            from robonav_ray.runtime.over_ray.ray_wiring import RayWiring

            wiring = RayWiring(session, plan_when_free(config, cluster), cluster.nodes)
            try:
                watch = Watch(wiring)
                report: dict[str, Any] = {"rows": args.rows, "row_bytes": task.spec.row_bytes}
                report["fill_s"] = fill(watch, args.rows, args.fill_timeout_s)
                report["outside"], report["snapshots"] = [], []
                for number in range(args.snapshots):
                    report["outside"].append(watch.watch(args.between_s))
                    report["snapshots"].append(snapshot(watch, session, number))
            finally:
                wiring.close()
        speed = statistics.median(part["learner_steps_per_s"] for part in report["outside"])
        if not args.no_resume:
            report["resumed_full_speed_s"] = resumed(run, speed, [], 120.0)
    show(report, as_json=args.json)


def show(report: dict[str, Any], *, as_json: bool) -> None:
    """Print the report, for people or as JSON."""
    if as_json:
        say(json.dumps(report, indent=1))
        return
    say(f"{report['rows']:,} rows of {report['row_bytes']} bytes, filled in {report['fill_s']:.0f} s")
    for outside, during in zip(report["outside"], report["snapshots"], strict=True):
        say(
            f"outside: {outside['learner_steps_per_s']:.0f} learner steps/s, {outside['env_steps_per_s']:.0f} env "
            f"steps/s, longest gap {outside['gap_s_max']:.3f} s"
        )
        say(
            f"during:  {during['learner_steps_per_s']:.0f} learner steps/s, {during['env_steps_per_s']:.0f} env "
            f"steps/s, longest gap {during['gap_s_max']:.3f} s; committed after {during['committed_s']:.1f} s (cut "
            f"{during['cut_s']:.2f} s), {during['bytes'] / 1e6:.0f} MB, {during['mb_per_s']:.0f} MB/s"
        )
    if "resumed_full_speed_s" in report:
        say(
            f"resumed: at {FULL_SPEED_FRAC:.0%} of that speed {report['resumed_full_speed_s']:.1f} s after the command "
            "was typed"
        )
