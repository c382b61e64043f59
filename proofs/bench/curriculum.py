"""From the command's start on an idle 2-core machine: how long until all four stages are passed, over Ray.

Each seed is one `robonav train` process with an empty budget, so that it ends when the curriculum is passed; seconds
are counted from just before the process is started.

    python -m proofs bench_curriculum --seeds 3 --json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from robonav_ray.nodes.private_folder import make_private_folder
from robonav_ray.screen import say


def run_once(seed: int, overrides: list[str], limit_s: float, directory: Path, quiet: bool) -> dict[str, float | None]:
    """Train with ``seed`` until passed, and return its seconds and env steps (None when it was not passed in time)."""
    run = directory / f"seed-{seed}"
    command = [sys.executable, "-m", "robonav_ray.cli", "train", f"seed={seed}", "budget.time_s=0",
               "evaluation.num_episodes=1", f"budget.max_time_s={limit_s}", "tracking.panel=plain",
               "runtime.keep_ray_logs=true", *overrides, "--out", str(run)]  # fmt: skip
    began = time.time()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL if quiet else sys.stderr, stderr=subprocess.STDOUT,
                               env=os.environ | {"RAY_TMPDIR": str(directory)})  # fmt: skip
    peak_pss = 0
    while process.poll() is None:
        peak_pss = max(peak_pss, proportional_set_bytes(process.pid))
        time.sleep(2.0)
    if process.returncode not in (0, 75):
        raise SystemExit(f"`{' '.join(command)}` ended with {process.returncode}")
    summary = json.loads((run / "summary.json").read_text())
    passed_at = summary["passed_at"]
    return {
        "seconds_to_pass": None if passed_at is None else round(passed_at - began, 1),
        "env_steps": summary["env_steps_to_pass"],
        "seconds_to_first_learner_step": round(summary["first_learner_step_at"] - began, 1),
        "samples_per_insert": summary["samples_per_insert"],
        "peak_pss_gb": round(peak_pss / 1e9, 2),
        "spilled": spilled(directory),
    }


def proportional_set_bytes(pid: int) -> int:
    """Return the proportional set size of a process and all its descendants (shared memory, the object store included,
    once).
    """
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in tree:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def spilled(directory: Path) -> bool:
    """Return whether a Ray session below ``directory`` has written any object to disk (the raylet logs every spill)."""
    logs = directory.glob("rn-ray-*/ray/session_latest/logs/raylet.*")
    return any("Spilled " in path.read_text(errors="replace") for path in logs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many runs, with the seeds 0, 1, ...")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=600.0, help="give one run up after this long")
    parser.add_argument("--json", action="store_true", help="print only the JSON line")
    parser.add_argument("overrides", nargs="*", help="section.key=value, passed on to the run")
    args = parser.parse_args(arguments)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    runs = []
    for seed in seeds:
        folder = make_private_folder("rb-", below="rn-ray-12345678/ray")
        runs.append(run_once(seed, args.overrides, args.limit_s, folder, args.json))
        shutil.rmtree(folder)
    seconds = [run["seconds_to_pass"] for run in runs]
    known = [s for s in seconds if s is not None]
    median = statistics.median(known) if len(known) == len(seconds) else None
    result = {**{key: [run[key] for run in runs] for key in runs[0]}, "median_seconds_to_pass": median}
    if not args.json:
        for seed, run in zip(seeds, runs, strict=True):
            say(f"seed {seed}: {run}")
    say(json.dumps(result))
