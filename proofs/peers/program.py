"""Ours, Stable-Baselines3's DQN and RLlib's DQN on the same worlds: seconds and env steps to the same greedy success
rate.

For every stage and seed, one process after the other, each from scratch with the whole machine: ours first, as a user
starts it, over Ray and in one process (``robonav train --local``), then each peer for at most ``--cap-factor`` times
the seconds of our faster one. Seconds count from the start of the process. The success rate is that of greedy episodes
on the same held-out worlds. A peer that does not get there gives a lower bound.

    pip install -c constraints.txt -e '.[bench]'
    python -m proofs bench_peers --stages 1 2 3 4 --seeds 1 --target 0.7 --output runs/peers

Finished processes are kept in the output directory and not run again. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from proofs.common import markdown as md
from proofs.common.checkout import with_proofs
from proofs.peers.track import POINTS, Point, Task, read_points
from robonav_ray.screen import say, write_to

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
OURS, OURS_LOCAL, PEERS = "robonav_ray", "robonav_ray_local", ("stable_baselines3", "rllib")
WIRINGS = {"ray": OURS, "local": OURS_LOCAL}
MODULES = {
    OURS: "proofs.peers.ours",
    OURS_LOCAL: "proofs.peers.ours_local",
    "stable_baselines3": "proofs.peers.sb3_dqn",
    "rllib": "proofs.peers.rllib_dqn",
}
NEEDS = {"stable_baselines3": ("stable_baselines3",), "rllib": ("ray.rllib", "lz4", "tree")}
NAMES = {
    OURS: "robonav_ray (Ray wiring)",
    OURS_LOCAL: "robonav_ray (one process)",
    "stable_baselines3": "Stable-Baselines3 DQN",
    "rllib": "RLlib DQN",
}


class BenchError(RuntimeError):
    """A learner's process failed, or a library is missing."""


@dataclass(frozen=True)
class Race:
    """One learner on one stage with one seed."""

    learner: str
    stage: int
    seed: int
    points: tuple[Point, ...]
    target: float

    @property
    def reached(self) -> Point | None:
        """The first evaluation at the target; None when there was none."""
        return next((p for p in self.points if p.success >= self.target), None)

    @property
    def seconds(self) -> float:
        """Seconds to the target; infinite when it was not reached."""
        return math.inf if self.reached is None else self.reached.seconds

    def seconds_to(self, success: float) -> float | None:
        """Seconds to another success rate than the target; None when it was not seen."""
        return next((p.seconds for p in self.points if p.success >= success), None)

    @property
    def lasted(self) -> float:
        """Seconds of the last evaluation; 0 without any."""
        return self.points[-1].seconds if self.points else 0.0

    def rate(self, what: str) -> float:
        """Return env steps or updates per second between the first and the last evaluation; 0 for fewer than two."""
        if len(self.points) < 2:
            return 0.0
        first, last = self.points[0], self.points[-1]
        return (getattr(last, what) - getattr(first, what)) / (last.seconds - first.seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON takes them."""
        reached = self.reached
        return {
            "learner": self.learner,
            "stage": self.stage,
            "seed": self.seed,
            "seconds": None if reached is None else reached.seconds,
            "env_steps": None if reached is None else reached.env_steps,
            "updates": None if reached is None else reached.updates,
            "best_success": max((p.success for p in self.points), default=0.0),
            "seconds_to": {f"{level:g}": self.seconds_to(level) for level in LEVELS},
            "lasted_s": self.lasted,
            "env_steps_per_s": round(self.rate("env_steps")),
            "updates_per_s": round(self.rate("updates"), 1),
        }


def factor(ours: Race, peers: Sequence[Race]) -> tuple[float, bool]:
    """Return how many times our seconds the faster peer needs, and whether that is only a lower bound (none got there
    in time).
    """
    if math.isinf(ours.seconds):
        return 0.0, False
    best = min(peer.seconds for peer in peers)
    if math.isinf(best):
        return min(peer.lasted for peer in peers) / ours.seconds, True
    return best / ours.seconds, False


def faster(races: Sequence[Race]) -> Race:
    """Return the first of our races to reach the target."""
    return min((race for race in races if race.learner in WIRINGS.values()), key=lambda race: race.seconds)


def run_race(learner: str, task: Task) -> Race:
    """Run one learner's process unless it has finished before with this task: at the target, or after as long as it is
    given now.
    """
    done = task.output / "done.json"
    asked = {"target": task.target, "num_episodes": task.num_episodes, "stage": task.stage, "seed": task.seed}
    if done.is_file() and json.loads(done.read_text()) == asked:
        before = Race(learner, task.stage + 1, task.seed, tuple(read_points(task.output)), task.target)
        if before.reached or learner in WIRINGS.values() or before.lasted >= task.limit_s:
            return before
    if task.output.exists():
        task.output.rename(task.output.with_name(f"{task.output.name}-{os.urandom(3).hex()}"))
    task.output.mkdir(parents=True)
    command = [sys.executable, "-W", "ignore", "-m", MODULES[learner], "--stage", str(task.stage), "--seed",
               str(task.seed), "--target", str(task.target), "--limit-s", str(task.limit_s), "--episodes",
               str(task.num_episodes), "--output", str(task.output)]  # fmt: skip
    with (task.output / "log.txt").open("w") as log:
        code = subprocess.run(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=with_proofs({**os.environ, "OMP_NUM_THREADS": "1"}),
            check=False,
        ).returncode
    if code or not (task.output / POINTS).is_file():
        raise BenchError(
            f"{learner} ended with {code}:\n{(task.output / 'log.txt').read_text(errors='replace')[-3000:]}"
        )
    done.write_text(json.dumps(asked))
    return Race(learner, task.stage + 1, task.seed, tuple(read_points(task.output)), task.target)


def warm_up() -> None:
    """Have Numba's kernels compiled and cached, so that no learner pays for it: one episode of a world, one
    evaluation.
    """
    task = Task(0, 0, 1.0, 0.0, 8, Path())
    task.held_out_success(lambda obs: np.zeros(len(obs), np.int64))
    env = gym.make("robonav_ray/Nav-v0", levels=task.config.curriculum.stages[0].level)
    env.reset(seed=0)
    while not any(env.step(0)[2:4]):
        pass


def run_stage(stage: int, seed: int, args: argparse.Namespace) -> list[Race]:
    """Run ours, then the peers within their cap."""

    def task(learner: str, limit_s: float) -> Task:
        folder = args.output.absolute() / f"stage-{stage}" / f"seed-{seed}" / learner
        return Task(stage - 1, seed, args.target, round(limit_s, 1), args.episodes, folder)

    races = []
    for wiring in args.wirings:
        races.append(run_race(WIRINGS[wiring], task(WIRINGS[wiring], args.our_limit_s)))
        say_race(races[-1])
    ours = faster(races)
    cap = args.cap_factor * (ours.lasted if math.isinf(ours.seconds) else ours.seconds)
    for peer in args.peers:
        races.append(run_race(peer, task(peer, cap)))
        say_race(races[-1])
    return races


def say_race(race: Race) -> None:
    """Print one line about a finished process."""
    found = race.to_dict()
    what = "not reached" if race.reached is None else f"{race.seconds:.0f} s, {found['env_steps']:,} env steps"
    say(
        f"stage {race.stage} seed {race.seed} {NAMES[race.learner]}: {what}; best {found['best_success']:.1%} in "
        f"{race.lasted:.0f} s; {found['env_steps_per_s']:,} env steps/s, {found['updates_per_s']:,} updates/s"
    )


def summarize(races: Sequence[Race], peers: Sequence[str]) -> dict[str, Any]:
    """Return the factor per stage (median over the seeds) and the least of them."""
    stages = {}
    for stage in sorted({race.stage for race in races}):
        found = []
        for seed in sorted({race.seed for race in races if race.stage == stage}):
            here = [race for race in races if (race.stage, race.seed) == (stage, seed)]
            found.append(factor(faster(here), [race for race in here if race.learner in peers]))
        middle = statistics.median(value for value, _ in found)
        stages[str(stage)] = {"factor": round(middle, 2), "is_lower_bound": any(bound for _, bound in found)}
    return {"least_factor": min(s["factor"] for s in stages.values()), "stages": stages}


def markdown(races: Sequence[Race], summary: Mapping[str, Any]) -> str:
    """Return the table: one line per process, then the factors."""
    rows = []
    for race in races:
        found = race.to_dict()
        seconds = f"> {race.lasted:.0f}" if race.reached is None else f"{race.seconds:.1f}"
        steps = "–" if race.reached is None else f"{found['env_steps']:,}"
        rows.append((
            f"{race.stage}", f"{race.seed}", NAMES[race.learner], seconds, steps, f"{found['best_success']:.1%}",
            f"{found['env_steps_per_s']:,}", f"{found['updates_per_s']:,}",
        ))  # fmt: skip
    header = (
        "Stage",
        "Seed",
        "Learner",
        "Seconds to target",
        "Env steps to target",
        "Best success",
        "Env steps/s",
        "Updates/s",
    )
    lines = [md.table(header, rows)]
    for stage, found in summary["stages"].items():
        sign = "at least " if found["is_lower_bound"] else ""
        lines.append(
            "\n"
            f"Stage {stage}: the faster peer needs {sign}{found['factor']:.1f} times the seconds of our faster wiring."
        )
    return "\n".join(lines) + "\n"


def draw(races: Sequence[Race], path: Path) -> None:
    """Draw success against seconds (log) and against env steps, one row per stage."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter

    stages = sorted({race.stage for race in races})
    colours = {OURS: "#1f5f8b", OURS_LOCAL: "#4ba3c3", "stable_baselines3": "#c0792b", "rllib": "#7a4fa3"}
    figure, axes = plt.subplots(
        len(stages), 2, figsize=(9, 2.7 * len(stages)), squeeze=False, layout="constrained", sharey=True
    )
    for row, stage in zip(axes, stages, strict=True):
        for axis, what, label in zip(
            row, ("seconds", "env_steps"), ("seconds from the start of the process", "env steps"), strict=True
        ):
            for race in (r for r in races if r.stage == stage):
                shown = {NAMES[race.learner]} - {line.get_label() for line in axis.get_lines()}
                axis.plot(
                    [getattr(p, what) for p in race.points], [p.success for p in race.points],
                    color=colours[race.learner], linewidth=1.5, marker=".", label=next(iter(shown), None),
                )  # fmt: skip
            axis.axhline(races[0].target, color="#444444", linewidth=1.0, linestyle="--")
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_xlabel(label, fontsize=9)
            axis.grid(alpha=0.25)
        row[0].set_ylabel(f"stage {stage}: success")
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=9, frameon=False
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def check_installed(peers: Sequence[str]) -> None:
    """BenchError, with what to type, when a peer's library is not there."""
    for peer in peers:
        for module in NEEDS[peer]:
            if importlib.util.find_spec(module) is None:
                raise BenchError(f"{peer} needs {module}: pip install -c constraints.txt -e '.[bench]'")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--stages", type=int, nargs="+", choices=range(1, 5), default=[1, 2, 3, 4], help="of the default curriculum"
    )
    parser.add_argument("--seeds", type=int, default=1, help="how many: 1, 2, ...")
    parser.add_argument("--target", type=float, default=0.7, help="greedy success rate on held-out worlds")
    parser.add_argument("--episodes", type=int, default=200, help="held-out worlds per evaluation")
    parser.add_argument("--cap-factor", type=float, default=12.0, help="a peer stops after this many times our seconds")
    parser.add_argument("--our-limit-s", type=float, default=1200.0, help="ours stops after this long")
    parser.add_argument("--wirings", nargs="+", choices=list(WIRINGS), default=list(WIRINGS), help="of ours")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--output", type=Path, default=Path("runs/peers"))
    parser.add_argument("--json", action="store_true", help="print only the JSON line")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Race; return the exit code."""
    args = make_parser().parse_args(arguments)
    try:
        check_installed(args.peers)
        warm_up()
        races = [
            race for stage in args.stages for seed in range(1, args.seeds + 1) for race in run_stage(stage, seed, args)
        ]
    except BenchError as error:
        write_to(sys.stderr, f"{error}\n")
        return 1
    summary = summarize(races, args.peers)
    (args.output / "peers.md").write_text(markdown(races, summary), encoding="utf-8")
    draw(races, args.output / "peers.png")
    result = {**summary, "target": args.target, "races": [race.to_dict() for race in races]}
    (args.output / "peers.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not args.json:
        say(markdown(races, summary))
    say(json.dumps(result))
    return 0
