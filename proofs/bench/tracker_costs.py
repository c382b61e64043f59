"""What our own backends cost a training: speed with all of them against none, and the memory of each.

``python -m proofs bench_tracker_costs`` holds two trainings of one config in processes of their own
(``tracked_run.py``): one writes metrics.jsonl alone, the other also goes to TensorBoard, MLflow (a local store) and W&B
(offline), with a histogram of all weights every 10 s. They go on in turns. A process and its children are stopped while
it is not their turn, so that what a backend does in the background counts as its own. Printed is the median over turns
of (time with) / (time without), with its interval. Then a training with each backend alone shows how much more memory
(proportional set size, of the process and its children) it takes. Exit code 1 says that the median may be above 1.02,
or that all backends take more than 250 MB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from proofs.bench.trackers import MOST_RATIO
from proofs.bench.turns import MIN_TURNS, median_interval, ratio_figures, time_ratios
from robonav_ray.screen import say

MOST_BYTES = 250_000_000
"""More than without trackers, with all of them."""
BACKENDS = {
    "tensorboard": ["tracking.tensorboard={}"],
    "mlflow": ["tracking.mlflow={}"],
    "wandb": ["tracking.wandb.mode=offline"],
}


class Turns:
    """A training in a process of its own that goes on when it is its turn, and is stopped else."""

    def __init__(self, folder: Path, overrides: Sequence[str]) -> None:
        """Start it; it stands before its first env step when this returns."""
        folder.mkdir(parents=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "proofs.bench.tracked_run", str(folder), *overrides],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(folder / "stderr.txt").open("w"), text=True,
        )  # fmt: skip
        self.memory_bytes = 0
        """The most that was seen at the end of a turn."""
        self._answer()
        self._signal(signal.SIGSTOP)

    def advance(self, env_steps: int) -> float:
        """Train to ``env_steps`` and return the seconds that it took."""
        self._signal(signal.SIGCONT)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{env_steps}\n")
        self._process.stdin.flush()
        seconds = float(self._answer())
        self._signal(signal.SIGSTOP)
        self.memory_bytes = max(self.memory_bytes, self._memory())
        return seconds

    def close(self) -> None:
        """Let it end in order; by force after a minute."""
        self._signal(signal.SIGCONT)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            for process in self._all():
                process.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("#"):
                return line[1:]
        raise RuntimeError(f"the training has ended with {self._process.wait()}; see stderr.txt in its folder")

    def _all(self) -> list[psutil.Process]:
        process = psutil.Process(self._process.pid)
        return [process, *process.children(recursive=True)]

    def _signal(self, number: signal.Signals) -> None:
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _memory(self) -> int:
        total = 0
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
        return total


@contextlib.contextmanager
def training(folder: Path, overrides: Sequence[str]) -> Iterator[Turns]:
    """Give a training; it is over afterwards."""
    with contextlib.closing(Turns(folder, overrides)) as turns:
        yield turns


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interval", type=float, default=2.0, help="tracking.interval_s (as a run's default)")
    parser.add_argument("--histograms", type=float, default=10.0, help="tracking.histogram_interval_s")
    parser.add_argument("--steps", type=int, default=12000, help="env steps of a turn")
    parser.add_argument("--turns", type=int, default=60, help="turns that are measured, after two that are not")
    parser.add_argument("--memory-turns", type=int, default=6, help="turns of each training whose memory is measured")
    args = parser.parse_args(arguments)
    if args.turns < MIN_TURNS:
        parser.error(f"--turns must be at least {MIN_TURNS}: fewer have no interval")
    common = [f"tracking.interval_s={args.interval}", f"tracking.histogram_interval_s={args.histograms}"]
    every = [word for words in BACKENDS.values() for word in words]
    memory = dict[str, int]()
    with tempfile.TemporaryDirectory() as folder:
        with ExitStack() as exits:
            none = exits.enter_context(training(Path(folder) / "none", common))
            most = exits.enter_context(training(Path(folder) / "all", [*common, *every]))
            ratios = time_ratios(none.advance, most.advance, args.turns, args.steps)
            memory |= {"none": none.memory_bytes, "all": most.memory_bytes}
        for name, words in BACKENDS.items():
            with training(Path(folder) / name, [*common, *words]) as alone:
                for turn in range(args.memory_turns):
                    alone.advance((turn + 1) * args.steps)
                memory[name] = alone.memory_bytes
    more = {name: round((size - memory["none"]) / 1e6, 1) for name, size in memory.items() if name != "none"}
    report = {
        "turns": len(ratios),
        "env_steps_a_turn": args.steps,
        **ratio_figures("time_ratio", ratios),
        "memory_none_mb": round(memory["none"] / 1e6, 1),
        "memory_more_mb": more,
    }
    say(json.dumps(report, indent=1))
    return int(median_interval(ratios)[1] > MOST_RATIO or more["all"] * 1e6 > MOST_BYTES)
