"""What decides the policy's quality on the last stage: one change after the other, several seeds each, judged on
held-out worlds.

Every run is the whole curriculum from scratch in one process for 30,000 updates, the learning rate falling by half a
cosine to 2 %; then greedy episodes of the averaged network on the last stage. docs/policy_quality.md has the
results.

    python -m proofs study_policy list
    python -m proofs study_policy run both munchausen --seeds 3 --parallel 2 --output runs/study
    python -m proofs study_policy exam --output runs/study

Runs that are done are kept in the output directory and not run again. ``exam`` has all that are there play the suite
``difficulties`` side by side, as ``robonav compare`` does, and prints the same rows of it: ``standard`` and ``fast``
there are the worlds of ``run``. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofs.common import markdown as md
from robonav_ray.evaluation.metrics.registry import known_metrics
from robonav_ray.evaluation.statistics import wilson_interval
from robonav_ray.fronts.compare_call import compare
from robonav_ray.screen import say

UPDATES = 30_000
_OLD_LIDAR = ("env.world.lidar.encoding=range", "env.world.lidar.stack_interval=1", "env.world.lidar.align=false")
_BATCH_256 = ("learner.batch_size=256", "learner.precision=float32")
_DOUBLE = ("algo.munchausen=false", "algo.double=true")


@dataclass(frozen=True)
class Row:
    """One setting: the navigation preset with these changes."""

    text: str
    changes: tuple[str, ...]


ROWS = {
    "before": Row("ranges, consecutive scans; double, batches of 256", (*_OLD_LIDAR, *_BATCH_256, *_DOUBLE)),
    "proximity": Row("ranges as proximity", (*_OLD_LIDAR[1:], *_BATCH_256, *_DOUBLE)),
    "aligned": Row(
        "older scans .4 s and .8 s back, shown from where the robot is now", (_OLD_LIDAR[0], *_BATCH_256, *_DOUBLE)
    ),
    "both": Row("both", (*_BATCH_256, *_DOUBLE)),
    "munchausen": Row("Munchausen in place of double", _BATCH_256),
    "batch512": Row("batches of 512 in bf16: the navigation preset", ()),
    "beams72": Row("72 beams", ("env.world.lidar.num_beams=72",)),
    "fast36": Row("fast worlds, 36 beams", ("env.world.difficulty=fast",)),
    "fast72": Row("fast worlds, 72 beams", ("env.world.difficulty=fast", "env.world.lidar.num_beams=72")),
}


def overrides(row: Row, seed: int) -> list[str]:
    """Return what a run of ``row`` is begun with: it ends at the env steps that give UPDATES at two samples per
    insert.
    """
    batch = 256 if "learner.batch_size=256" in row.changes else 512
    return [
        "preset=navigation", *row.changes, f"seed={seed}", f"learner.lr_schedule_steps={UPDATES}",
        "budget.time_s=1000000", f"budget.max_env_steps={UPDATES * batch // 2 + 5_000}", "checkpoint.interval_s=100000",
        "checkpoint.replay=false", "evaluation.num_episodes=2000", "tracking.panel=off",
    ]  # fmt: skip


def run_one(name: str, seed: int, output: Path) -> dict[str, Any]:
    """Train and judge one seed of one row, unless that is done already; return its figures."""
    folder = output / name / f"seed-{seed}"
    done = folder / "evaluation.json"
    if not done.is_file():
        if folder.exists():
            folder.rename(folder.with_name(f"{folder.name}-{os.urandom(3).hex()}"))
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "robonav_ray.cli",
            "train",
            *overrides(ROWS[name], seed),
            "--local",
        ]
        with (folder.parent / f"seed-{seed}.txt").open("w") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            code = subprocess.run(
                [*command, "--out", str(folder)], stdout=log, stderr=log, env=environment, check=False
            ).returncode
        if code:
            raise SystemExit(f"{name}, seed {seed}, ended with {code}; see {log.name}")
    level = json.loads(done.read_text())["levels"][-1]["summary"]
    summary = json.loads((folder / "summary.json").read_text())
    found = {"row": name, "seed": seed, "success": level["success"]["frac"], "low": level["success"]["low"],
             "high": level["success"]["high"], "collision": level["collision"]["frac"],
             "episodes": level["num_episodes"], "train_s": summary["train_s"],
             "updates": summary["learner_steps"]}  # fmt: skip
    say(f"{name} seed {seed}: {found['success']:.1%} after {found['updates']:,} updates, {found['train_s']:.0f} s")
    return found


def examine(output: Path, episodes: int) -> list[dict[str, Any]]:
    """Have every run in ``output`` play the suite, and return the figures of each in the worlds of its row."""
    runs = {
        f"{name}-s{folder.name.removeprefix('seed-')}": folder
        for name in ROWS
        for folder in sorted((output / name).glob("seed-*"))
        if folder.name.removeprefix("seed-").isdecimal()
    }
    if not runs:
        raise SystemExit(f"{output}: holds no run; `study_policy run` makes them")
    table = compare(runs, suite="difficulties", episodes=episodes, out=output / "exam")
    found = list[dict[str, Any]]()
    for e, entrant in enumerate(table.entrants):
        name, _, seed = entrant.name.rpartition("-s")
        asked = "fast" if "env.world.difficulty=fast" in ROWS[name].changes else "standard"
        scenario = next(s for s, facts in enumerate(table.scenarios) if facts.name == asked)
        cell = table.cell(e, scenario)
        told = known_metrics(cell)
        success, collision = told["success"], told["collision"]
        low, high = wilson_interval(int(success.sum()), len(success))
        found.append(
            {"row": name, "seed": int(seed), "scenario": asked, "success": float(success.mean()), "low": low,
             "high": high, "collision": float(collision.mean()), "episodes": len(success)}
        )  # fmt: skip
    return found


def markdown(found: Sequence[dict[str, Any]]) -> str:
    """Return the table: one line per row, with the mean over its seeds, each seed, and the mean's interval of two
    standard errors.
    """
    rows = []
    for name in dict.fromkeys(one["row"] for one in found):
        mine = [one for one in found if one["row"] == name]
        rates = [100 * one["success"] for one in mine]
        error = f" ± {2 * statistics.stdev(rates) / len(rates) ** 0.5:.1f}" if len(rates) > 1 else ""
        each = ", ".join(f"{rate:.1f}" for rate in rates)
        collisions = statistics.fmean(100 * one["collision"] for one in mine)
        rows.append((ROWS[name].text, f"{statistics.fmean(rates):.1f}{error}", each, f"{collisions:.1f}"))
    return md.table(("Setting", "Success, mean of the seeds", "Each seed", "Collisions"), rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """List, or train and judge; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the rows")
    run = commands.add_parser("run", help="train and judge")
    run.add_argument("rows", nargs="*", choices=[*ROWS, []], help="default: all")
    run.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    run.add_argument("--parallel", type=int, default=2, help="processes side by side, one core each")
    run.add_argument("--output", type=Path, default=Path("runs/study"))
    exam = commands.add_parser("exam", help="judge the runs that are there by the suite difficulties")
    exam.add_argument("--episodes", type=int, default=2000, help="of each scenario")
    exam.add_argument("--output", type=Path, default=Path("runs/study"))
    args = parser.parse_args(arguments)
    if args.command == "list":
        say("\n".join(f"{name:<12}{row.text}" for name, row in ROWS.items()))
        return 0
    if args.command == "exam":
        found = examine(args.output.absolute(), args.episodes)
        say(markdown(found))
        say(json.dumps(found))
        return 0
    jobs = [(name, seed) for seed in range(args.seeds) for name in args.rows or ROWS]
    with ThreadPoolExecutor(args.parallel) as pool:
        found = list(pool.map(lambda job: run_one(job[0], job[1], args.output.absolute()), jobs))
    found.sort(key=lambda one: (list(ROWS).index(one["row"]), one["seed"]))
    (args.output / "study.md").write_text(markdown(found), encoding="utf-8")
    say(markdown(found))
    say(json.dumps(found))
    return 0
