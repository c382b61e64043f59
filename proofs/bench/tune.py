"""What a search costs and saves, measured: stopping early against not stopping, a trial against a plain run, and what
is left behind.

    python -m proofs bench_tune asha --trials 16        # ASHA against the same trials to the end, the same seeds
    python -m proofs bench_tune overhead --wiring ray   # a trial against `robonav train`; time to the first report
    python -m proofs bench_tune soak --trials 30        # memory, descriptors, processes and groups, before and after

Each search runs in a process of its own, as a user starts it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proofs.common.checkout import ROOT
from robonav_ray.screen import say
from robonav_ray.tracking.jsonl import read_metrics
from robonav_ray.tuning.search_records import History, Records, TrialHistory

CONFIG = ROOT / "configs" / "tuning" / "asha.yaml"
SMALL = [
    "run.algo.hidden_dims=[64]", "run.replay.capacity=20_000", "run.replay.min_size=1_000", "run.learner.batch_size=64",
    "run.rollout.num_worlds=32", "space.learner.learning_rate={loguniform: [1e-4, 1e-2]}",
    "trial.evaluation_episodes=32",
]  # fmt: skip


def robonav(*arguments: str) -> float:
    """Run a command to its end and return the seconds that it took; SystemExit with its output when it fails."""
    began = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "robonav_ray.cli", *arguments], capture_output=True, text=True,
        env=environment, check=False
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(
            f"robonav {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return time.monotonic() - began


def searched(directory: Path, *arguments: str) -> tuple[History, float, float]:
    """Search; return the history, the seconds of the whole command, and those to the first report."""
    began = time.time()
    seconds = robonav("tune", *arguments, "--out", str(directory), "--table", "off")
    history = Records(directory).history
    return history, seconds, min(trial.reports[0].time for trial in history.trials.values() if trial.reports) - began


def last_success(trial: TrialHistory) -> float:
    """Return stage + held-out success of the best report."""
    return 0.0 if trial.best is None else trial.best.objective


def bench_asha(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """ASHA, then the same trials without stopping: the same values, the same seeds."""
    common = [
        str(args.config),
        f"num_trials={args.trials}",
        f"trial.wiring={args.wiring}",
        f"seed={args.seed}",
        *args.overrides,
    ]
    stopped, seconds, first_s = searched(folder / "asha", *common)
    rest = [*common, "scheduler={kind: fifo}"]
    unstopped, unstopped_s, _ = searched(folder / "fifo", *rest)
    same = all(stopped.trials[i].first_params == unstopped.trials[i].first_params for i in stopped.trials)
    best, other = stopped.best_trial, unstopped.best_trial
    assert best is not None
    assert other is not None
    found = {
        "trials": len(stopped.trials), "same_values": same, "asha_s": round(seconds, 1),
        "unstopped_s": round(unstopped_s, 1), "first_report_s": round(first_s, 1), "asha_env_steps": stopped.env_steps,
        "unstopped_env_steps": unstopped.env_steps, "env_steps_frac": round(stopped.env_steps / unstopped.env_steps, 3),
        "asha_best": last_success(best), "unstopped_best": last_success(other),
        "best_is_the_same_trial": best.id == other.id,
        "states": {
            state: sum(t.state == state for t in stopped.trials.values()) for state in ("finished", "stopped", "failed")
        },
    }  # fmt: skip
    say(
        f"ASHA: {args.trials} trials in {seconds:.0f} s ({unstopped_s:.0f} s unstopped), {found['env_steps_frac']:.0%} "
        f"of the env steps; best objective {found['asha_best']:.3f} against {found['unstopped_best']:.3f}; first "
        f"report after {first_s:.0f} s"
    )
    return found


def bench_overhead(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One trial, one report at its end, against the same env steps through ``robonav train``; alternating, median of
    the ratios.
    """
    ratios, seconds, firsts = [], [], []
    for repeat in range(args.repeats):
        config = [*SMALL, "num_trials=1", "scheduler={kind: fifo}", f"trial.wiring={args.wiring}",
                  f"trial.max_env_steps={args.env_steps}", f"trial.report_env_steps={args.env_steps // 4}",
                  "space={learner.learning_rate: {choice: [0.001]}}"]  # fmt: skip
        history, search_s, first_s = searched(folder / f"tune-{repeat}", *config)
        run = [c.removeprefix("run.") for c in SMALL if c.startswith("run.")]
        train_s = robonav(
            "train", *run, "budget.time_s=1000000", f"budget.max_env_steps={args.env_steps}",
            "evaluation.num_episodes=32", "tracking.panel=off", "checkpoint.replay=false", "rollout.num_workers=1",
            *(["--local"] if args.wiring == "local" else []), "--out", str(folder / f"train-{repeat}"),
        )  # fmt: skip
        (trial,) = history.trials.values()
        assert trial.last is not None
        summary = json.loads((folder / f"train-{repeat}" / "summary.json").read_text())
        run_s = time_of_run(folder / f"train-{repeat}", summary)
        ratios.append(trial.last.seconds / run_s)
        seconds.append((round(trial.last.seconds, 1), round(run_s, 1), round(search_s, 1), round(train_s, 1)))
        firsts.append(round(first_s, 1))
        say(
            f"trial {trial.last.seconds:.1f} s, plain run {run_s:.1f} s: {ratios[-1]:.3f}; first report after "
            f"{first_s:.1f} s"
        )
    return {"wiring": args.wiring, "ratio": round(sorted(ratios)[len(ratios) // 2], 3),
            "ratios": [round(r, 3) for r in ratios], "trial_run_search_train_s": seconds,
            "first_report_s": firsts}  # fmt: skip


def time_of_run(directory: Path, summary: dict[str, Any]) -> float:
    """Return seconds from where a plain run's session had Ray (or its imports) to its last log: what a trial's
    ``seconds`` count.
    """
    began = (directory / "config.yaml").stat().st_mtime
    return read_metrics(directory / "metrics.jsonl")[-1]["time"] - began


def bench_soak(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Many short trials in one process, watched from within: what there is of everything after each, and at the end."""
    from robonav_ray.config.load import load_tuning_config
    from robonav_ray.runtime.signals import StopRequest
    from robonav_ray.tuning.search import check_search, search

    overrides = [*SMALL, f"num_trials={args.trials}", "scheduler={kind: fifo}", f"trial.wiring={args.wiring}",
                 "trial.max_env_steps=12_000", "trial.report_env_steps=6_000",
                 "resources.cpus_per_trial=0.9"]  # fmt: skip
    config = load_tuning_config(None, overrides)
    check_search(config)
    from robonav_ray.screen import Screen

    samples: list[dict[str, float]] = []
    over = threading.Event()
    watcher = threading.Thread(target=watch, args=(samples, over), daemon=True)
    watcher.start()
    found = search(
        config, None, directory=folder / "soak", stop=StopRequest(), time_limit_s=None, table="plain", console=Screen()
    )
    over.set()
    watcher.join()
    states = [trial.state for trial in found.records.history.trials.values()]
    third = max(1, len(samples) // 3)
    settled, last = samples[third : 2 * third], samples[-third:]

    def most(part: Sequence[dict[str, float]], key: str) -> float:
        return max(sample[key] for sample in part)

    result = {
        "trials": len(states), "finished": states.count("finished"), "samples": len(samples),
        **{f"{key}_middle_third": most(settled, key) for key in samples[0]},
        **{f"{key}_last_third": most(last, key) for key in samples[0]},
    }  # fmt: skip
    say(json.dumps(result, indent=1))
    return result


def watch(samples: list[dict[str, float]], over: threading.Event) -> None:
    """Note, twice a second, what this process and its Ray hold."""
    import psutil
    import ray
    from ray.util.placement_group import placement_group_table

    me = psutil.Process()
    while not over.wait(0.5):
        if not ray.is_initialized():
            continue
        processes = [p for p in me.children(recursive=True) if p.is_running()]
        names = [_name(p) for p in processes]
        groups = [g for g in placement_group_table().values() if g.get("state") not in ("REMOVED",)]
        samples.append(
            {
                "driver_rss_mb": me.memory_info().rss / 1e6,
                "descriptors": float(me.num_fds()),
                "actor_processes": float(sum(name.startswith("ray::") and "IDLE" not in name for name in names)),
                "processes": float(len(processes)),
                "placement_groups": float(len(groups)),
            }
        )


def _name(process: Any) -> str:
    import psutil

    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["asha", "overhead", "soak"])
    parser.add_argument("overrides", nargs="*", help="asha: of the search's config")
    parser.add_argument("--config", type=Path, default=CONFIG, help="asha: the search")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wiring", choices=["ray", "local"], default="local")
    parser.add_argument("--env-steps", type=int, default=400_000, help="overhead: of the trial and the run")
    parser.add_argument("--repeats", type=int, default=3, help="overhead: pairs")
    parser.add_argument("--output", type=Path, help="where directories are kept; default: nowhere")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="robonav-bench-tune-") as scratch:
        folder = (args.output or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        found = {"asha": bench_asha, "overhead": bench_overhead, "soak": bench_soak}[args.what](args, folder)
    say(json.dumps(found))
    return 0
