"""Ours on one stage: ``robonav train preset=navigation curriculum.force_stage=K``; its checkpoints are judged
afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from proofs.peers.track import POINTS, Point, Task, parse_task, write_point
from robonav_ray.runs.checkpoint import list_checkpoints, open_checkpoint
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import describe_task

_MARGIN = 0.08
"""The run ends when the gate's window wins this much more often than asked for: it is small, and half of the target are
held out."""


def overrides(task: Task) -> Sequence[str]:
    """Return what differs from the defaults: the preset, and the stage alone, from full exploration, until it is won
    often enough.
    """
    stage = f"curriculum.stages.{task.stage}"
    return (
        "preset=navigation",
        "learner.lr_schedule=constant",  # a run that ends when it is good enough has no end to fall towards
        "learner.lr_final_frac=0.1",
        f"seed={task.seed}",
        f"curriculum.force_stage={task.stage}",
        f"{stage}.epsilon.start=1.0",
        f"{stage}.gate.min_success_frac={min(0.99, task.target + _MARGIN)}",
        f"{stage}.gate.min_return=null",
        f"{stage}.gate.max_collision_frac=null",
        "curriculum.window=200",
        "budget.time_s=0",
        f"budget.max_time_s={task.limit_s}",
        "checkpoint.interval_s=0.5",
        "checkpoint.keep=10000",
        "checkpoint.replay=false",
        "evaluation.num_episodes=1",
        "tracking.panel=plain",
    )


def main(*flags: str) -> None:
    """Run it, ``flags`` added to its command."""
    task = parse_task(__doc__)
    run = RunDirectory((task.output / "run").absolute())
    command = [sys.executable, "-m", "robonav_ray.cli", "train", *overrides(task), *flags, "--out", str(run.path)]
    task.output.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("RAY_AUTH_MODE", "RAY_ADDRESS")}
    with (task.output / "train.txt").open("w") as log:
        began = time.time()
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False)
    if done.returncode not in (0, 75):
        raise SystemExit(f"`{' '.join(command)}` ended with {done.returncode}; see {log.name}")
    shapes = describe_task(run.config)
    (task.output / POINTS).write_text("", encoding="utf-8")
    for path in list_checkpoints(run.checkpoints):
        checkpoint = open_checkpoint(path)
        success = task.held_out_success(load_policy(checkpoint, run.config, shapes).greedy)
        counters = checkpoint.counters
        write_point(
            task.output,
            Point(round(checkpoint.created - began, 2), counters.env_steps, counters.learner_steps, success),
        )


if __name__ == "__main__":
    main()
