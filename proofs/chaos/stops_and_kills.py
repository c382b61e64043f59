"""What `docs/operations.md` promises of stops and kills, tried on real runs of the command line.

python -m proofs promises driver-kills --times 20      # SIGKILL the driver at random times, `--resume auto` each time
python -m proofs promises stops                        # SIGTERM, SIGINT and --time-limit: seconds until over, exit code
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from robonav_ray.runs.checkpoint import newest_good_checkpoint
from robonav_ray.screen import say

MARK = "ROBONAV_PROMISES"
ORPHANS_WITHIN_S = 60.0
SMALL = [
    "algo.hidden_dims=[32, 32]", "rollout.num_worlds=8", "rollout.steps_per_fragment=16", "replay.capacity=3000",
    "replay.min_size=300", "learner.batch_size=32", "learner.batches_per_call=4", "env.world.lidar.num_beams=12",
    "evaluation.num_episodes=8", "evaluation.num_worlds=8", "tracking.interval_s=0.2", "tracking.panel=plain",
    "runtime.object_store_bytes=100000000", "checkpoint.interval_s=1.5",
]  # fmt: skip


class Run:
    """One run directory, and the command that goes on with it."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.path, self.mark = folder / "run", uuid.uuid4().hex
        self.seen: set[psutil.Process] = set()
        self._folder, self._arguments = folder, arguments
        self._command: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the command once more; ``more`` are overrides for this life only."""
        command = [
            sys.executable,
            "-m",
            "robonav_ray.cli",
            "train",
            "--resume",
            "auto",
            "--out",
            str(self.path),
            *self._arguments,
        ]
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {MARK: self.mark}
        with (self._folder / "log").open("ab") as log:
            self._command = subprocess.Popen(
                [*command, *more], stdout=log, stderr=log, cwd=self._folder, env=environment
            )
        return self._command

    def checkpoint(self) -> tuple[int, int]:
        """Env steps and learner steps of the newest whole checkpoint."""
        found, damaged = newest_good_checkpoint(self.path / "checkpoints")
        if damaged:
            raise SystemExit(f"damaged: {damaged}")
        return (found.counters.env_steps, found.counters.learner_steps) if found else (0, 0)

    def summary(self) -> dict[str, Any]:
        """The run's summary.json."""
        return json.loads((self.path / "summary.json").read_text())

    def steps(self) -> int:
        """Learner steps so far; 0 before the first summary."""
        try:
            return int(self.summary()["learner_steps"])
        except (OSError, ValueError):
            return 0

    def trains(self, since: float) -> bool:
        """Whether the life that was launched at ``since`` (epoch seconds) has made learner steps beyond what it took
        up.
        """
        try:
            return (self.path / "summary.json").stat().st_mtime > since and self.steps() > self.checkpoint()[1]
        except OSError:
            return False

    def wait_until_it_trains(self, process: subprocess.Popen[bytes], since: float) -> None:
        """Return when it does; SystemExit when the command ends before, or two minutes pass."""
        while not self.trains(since):
            if process.poll() is not None or time.time() - since > 120:
                raise SystemExit(f"it does not train:\n{self.tail()}")
            time.sleep(0.1)

    def tail(self) -> str:
        """The end of what the command printed."""
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def note(self, process: subprocess.Popen[bytes]) -> None:
        """Remember every process below the command, before it is ended: they change title, environment and parent."""
        self.seen.update(psutil.Process(process.pid).children(recursive=True))

    def processes(self) -> list[psutil.Process]:
        """Every process that was started on behalf of this run and lives."""
        mine: set[psutil.Process] = set()
        for process in self.seen | set(psutil.process_iter()):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
                if alive and (process in self.seen or process.environ().get(MARK) == self.mark):
                    mine.add(process)
        return list(mine)

    def gone_after(self) -> float:
        """Return the seconds until none of its processes is left; SystemExit when some are after ORPHANS_WITHIN_S."""
        began = time.monotonic()
        while left := self.processes():
            if time.monotonic() - began > ORPHANS_WITHIN_S:
                names = [" ".join(p.cmdline()[:3]) for p in left]
                for process in left:
                    process.kill()
                raise SystemExit(f"{len(left)} processes are left {ORPHANS_WITHIN_S:.0f} s later: {names}")
            time.sleep(0.2)
        return time.monotonic() - began

    def end(self) -> None:
        """End the command and all that was started on its behalf, where a promise was broken meanwhile."""
        if self._command is not None and self._command.poll() is None:
            self.note(self._command)
            self._command.kill()
            self._command.wait()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def duplicates(self) -> int:
        """(step, tag) pairs that stand more than once in metrics.jsonl."""
        lines = [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]
        points = [(line["step"], tag) for line in lines for tag in line.keys() - {"step", "time", "items"}]
        return len(points) - len(set(points))


@contextlib.contextmanager
def fresh_run(arguments: list[str]) -> Iterator[Run]:
    """Give a run in a folder of its own; afterwards neither its processes nor the folder are left, also when a promise
    was broken.
    """
    with tempfile.TemporaryDirectory(prefix="promises-") as temporary:
        run = Run(Path(temporary), arguments)
        try:
            yield run
        finally:
            run.end()


def driver_kills(arguments: argparse.Namespace) -> dict[str, Any]:
    """Kill the driver again and again, never at the same point of its life; then let it finish."""
    rng, kills = random.Random(arguments.seed), []
    with fresh_run([*SMALL, *arguments.overrides]) as run:
        for number in range(arguments.times):
            before = run.checkpoint()
            launched, process = time.time(), run.start()
            at_start = number % 4 == 3
            if not at_start:  # the instant is drawn from the time in which it trains
                run.wait_until_it_trains(process, launched)
            pause_s = rng.uniform(0.5, arguments.life_s if at_start else arguments.life_s / 3)
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise SystemExit(f"ended too soon, with {process.wait(pause_s)}:\n{run.tail()}")
            life_s, trained = time.time() - launched, not at_start or run.trains(launched)
            run.note(process)
            process.send_signal(signal.SIGKILL)
            process.wait()
            gone_s, after = run.gone_after(), run.checkpoint()
            kills.append(
                {
                    "life_s": life_s,
                    "gone_s": gone_s,
                    "env_steps": after[0],
                    "learner_steps": after[1],
                    "trained": trained,
                }
            )
            say(
                f"kill {number + 1:2d} after {life_s:5.1f} s, {'training' if trained else 'at its start'}: all gone "
                f"{gone_s:4.1f} s later, checkpoint at {after[0]:,} env steps"
            )
            if after < before:
                raise SystemExit(f"the counters went back from {before} to {after}")
        last = run.checkpoint()
        process = run.start(f"budget.max_env_steps={last[0] + 3000}")
        exit_code = process.wait(300)
        finished, status = run.checkpoint(), json.loads((run.path / "status.json").read_text())["status"]
        report = {
            "kills": kills, "gone_s_max": max(kill["gone_s"] for kill in kills), "exit_code": exit_code,
            "status": status, "env_steps": finished[0],
            "sessions": len(json.loads((run.path / "run.json").read_text())["sessions"]),
            "duplicate_points": run.duplicates(), "gone_at_the_end_s": run.gone_after(),
        }  # fmt: skip
        kept = exit_code == 0 and status == "finished" and finished >= last and not report["duplicate_points"]
        if not kept:
            raise SystemExit(f"promise broken: {report}\n{run.tail()}")
    in_training = sum(kill["trained"] for kill in kills)
    if in_training < arguments.times // 2:
        raise SystemExit(f"only {in_training} of {arguments.times} kills met a run that trained")
    say(
        f"{arguments.times} kills, {in_training} of them in training: always taken up, counters never back, one run of "
        f"{report['sessions']} sessions, no duplicate (step, tag), all processes gone {report['gone_s_max']:.1f} s "
        "after a kill at most; finished with exit code 0"
    )
    return report


def stops(arguments: argparse.Namespace) -> dict[str, Any]:
    """End a run by SIGTERM, SIGINT and the time limit, each time resumed; then let it finish."""
    report: dict[str, Any] = {}
    with fresh_run([*SMALL, *arguments.overrides]) as run:
        for name in ("SIGTERM", "SIGINT", "time limit"):
            before = run.checkpoint()
            began = time.monotonic()
            process = run.start(*([f"budget.max_time_s={arguments.limit_s}"] if name == "time limit" else []))
            if name != "time limit":
                run.wait_until_it_trains(process, time.time() - (time.monotonic() - began))
                time.sleep(2.0)
                run.note(process)
                began = time.monotonic()
                process.send_signal(getattr(signal, name))
            exit_code, took_s = process.wait(120), time.monotonic() - began
            after = run.checkpoint()
            report[name] = {
                "exit_code": exit_code,
                "over_after_s": took_s,
                "gone_s": run.gone_after(),
                "env_steps": after[0],
            }
            say(
                f"{name}: over after {took_s:.1f} s with exit code {exit_code}, nothing left "
                f"{report[name]['gone_s']:.1f} s later, checkpoint at {after[0]:,} env steps"
            )
            late = took_s > arguments.limit_s if name == "time limit" else took_s + report[name]["gone_s"] > 30.0
            if exit_code != 75 or not after > before or late:
                raise SystemExit(f"promise broken: {report}\n{run.tail()}")
        process = run.start(f"budget.max_env_steps={run.checkpoint()[0] + 3000}")
        report["finished"] = {"exit_code": process.wait(300), "duplicate_points": run.duplicates()}
        if report["finished"] != {"exit_code": 0, "duplicate_points": 0}:
            raise SystemExit(f"promise broken: {report}\n{run.tail()}")
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, try the promises, write the report; SystemExit with what broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None, help="write the report there")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("driver-kills", "stops"):
        verb = verbs.add_parser(name)
        verb.add_argument("overrides", nargs="*", help="key=value of the run's config")
        if name == "driver-kills":
            verb.add_argument("--times", type=int, default=20)
            verb.add_argument("--seed", type=int, default=0)
            verb.add_argument(
                "--life-s",
                type=float,
                default=25.0,
                help="one life in four is ended so many seconds after its start at most, the others up to a third of "
                "that after they train",
            )
        else:
            verb.add_argument("--limit-s", type=float, default=60.0)
    args = parser.parse_args(arguments)
    report = {"driver-kills": driver_kills, "stops": stops}[args.verb](args)
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1))
