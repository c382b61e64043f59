"""Does every preset, with its defaults, learn environments that are not ours? CartPole-v1 to 450, Acrobot-v1 to -100.

Every run is ``robonav train preset=P env.id=E --local`` for a number of env steps, nothing else changed. It is judged
every 10,000 env steps as ``robonav evaluate`` does, by greedy held-out episodes of the averaged network; beside that
stands when the training episodes of the less exploring half of the worlds (the last 50, a gate's window) were there.
docs/algorithms.md has the table.

    python -m proofs study_presets run --output runs/presets.jsonl    # 2 environments x all presets x 3 seeds
    python -m proofs study_presets run --presets rainbow --environments CartPole-v1 --seeds 1 learner.learning_rate=5e-4
    python -m proofs study_presets table --output runs/presets.jsonl

Results are appended to the output file one by one; a run that is in it is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from proofs.common import markdown as md
from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.config.preset import preset_names
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.controller import Controller
from robonav_ray.runtime.judging.held_out import judge_stage
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.screen import say
from robonav_ray.tracking.fanout import open_trackers
from robonav_ray.tracking.panel import NoPanel

LOOK_ENV_STEPS = 10_000
"""Env steps between two evaluations."""


@dataclass(frozen=True)
class Goal:
    """A mean return, and the env steps within which it must be reached."""

    mean_return: float
    env_steps: int


GOALS = {"CartPole-v1": Goal(450.0, 300_000), "Acrobot-v1": Goal(-100.0, 500_000)}


@dataclass(frozen=True)
class Result:
    """The outcome of one run."""

    preset: str
    environment: str
    seed: int
    changes: tuple[str, ...]
    reached_at: int | None
    """Env steps at which the greedy policy was there; None when it never was."""
    window_at: int | None
    """Env steps at which the mean of a full window was there; None when it never was."""
    best_window: float | None
    """Highest mean of a full window; None without one."""
    greedy: float
    """Mean return of the greedy policy at the end."""
    env_steps: int
    learner_steps: int
    cpu_s: float


def run_config(preset: str, environment: str, seed: int, changes: Sequence[str] = ()) -> RunConfig:
    """Return the config of a run: the preset's defaults, for the goal's env steps; "none" is the default agent."""
    named = [] if preset == "none" else [f"preset={preset}"]
    return load_run_config(
        None,
        [
            *named, f"env.id={environment}", f"seed={seed}", "budget.time_s=1000000",
            f"budget.max_env_steps={GOALS[environment].env_steps}", "evaluation.num_episodes=50",
            "evaluation.num_worlds=50", "checkpoint.interval_s=100000", "checkpoint.replay=false", "tracking.panel=off",
            *changes,
        ],
    )  # fmt: skip


def train(
    preset: str, environment: str, seed: int, changes: Sequence[str] = (), *, stop_when_reached: bool = False
) -> Result:
    """Train and judge one run in a folder that is removed afterwards."""
    config, goal = run_config(preset, environment, seed, changes), GOALS[environment]
    began, greedy = time.process_time(), float("nan")
    best: float | None = None
    reached_at: int | None = None
    window_at: int | None = None
    with tempfile.TemporaryDirectory() as folder:
        task = describe_task(config)
        session = RunSession(config, task, create_run(config, Path(folder) / "run"), None, time.monotonic())
        wiring = LocalWiring(session)
        trackers = open_trackers(config.tracking, session.run.path, None, [])
        with session.run.locked(), NoPanel() as panel:
            controller = Controller(session, wiring, trackers, panel, StopRequest(), "local")
            ending = None
            while ending is None and not (stop_when_reached and reached_at is not None):
                ending = controller.advance(wiring.env_steps + LOOK_ENV_STEPS)
                checkpoint = controller.save() if ending is None else controller.last_saved
                if checkpoint is None:
                    continue
                table = judge_stage(load_policy(checkpoint, config, task), config, task, 0)
                greedy, window = float(table.total_return.mean()), wiring.curriculum.progress().window
                if reached_at is None and greedy >= goal.mean_return:
                    reached_at = wiring.env_steps
                if window.num_episodes == config.curriculum.window:
                    best = window.mean_return if best is None else max(best, window.mean_return)
                    window_at = (
                        wiring.env_steps if window_at is None and window.mean_return >= goal.mean_return else window_at
                    )
            controller.close()
        trackers.close()
        wiring.close()
    return Result(
        preset, environment, seed, tuple(changes), reached_at, window_at, None if best is None else round(best, 1),
        round(greedy, 1), wiring.env_steps, wiring.learner_state.learner_step, round(time.process_time() - began, 1),
    )  # fmt: skip


def read_results(path: Path) -> list[Result]:
    """Return what has been appended so far."""
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Result(**{**line, "changes": tuple(line["changes"])}) for line in lines]


def markdown(results: Sequence[Result]) -> str:
    """Return the table: a row per preset, and per environment the env steps of each seed, for the greedy policy and for
    a window.
    """
    environments = [name for name in GOALS if any(one.environment == name for one in results)]
    heads = [head for name in environments for head in (f"{name} to {GOALS[name].mean_return:g}", "training episodes")]
    rows = []
    for preset in dict.fromkeys(one.preset for one in results):
        cells = []
        for name in environments:
            mine = sorted(
                (one for one in results if (one.preset, one.environment) == (preset, name)), key=lambda one: one.seed
            )
            cells += [_thousands(one.reached_at for one in mine), _thousands(one.window_at for one in mine)]
        rows.append((f"`{preset}`", *cells))
    return md.table(("`preset`", *heads), rows) + "\n"


def _thousands(moments: Iterable[int | None]) -> str:
    return ", ".join("-" if moment is None else f"{moment / 1000:.0f} k" for moment in moments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, or print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train, judge and append")
    table = commands.add_parser("table", help="print what is in the output file")
    for command in (run, table):
        command.add_argument("--output", type=Path, default=Path("runs/presets.jsonl"))
    run.add_argument("--presets", nargs="+", choices=("none", *preset_names()), default=("none", *preset_names()))
    run.add_argument("--environments", nargs="+", choices=tuple(GOALS), default=tuple(GOALS))
    run.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    run.add_argument("--stop", action="store_true", help="end a run when the greedy policy has reached the return")
    run.add_argument("--change", action="append", default=[], help="an override, for studies")
    args = parser.parse_args(arguments)
    if args.command == "run":
        args.output.parent.mkdir(parents=True, exist_ok=True)
        done = {(one.preset, one.environment, one.seed, one.changes) for one in read_results(args.output)}
        for seed in range(args.seeds):
            for environment in args.environments:
                for preset in args.presets:
                    if (preset, environment, seed, tuple(args.change)) in done:
                        continue
                    result = train(preset, environment, seed, args.change, stop_when_reached=args.stop)
                    with args.output.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(result)) + "\n")
                    say(json.dumps(asdict(result)))
    say(markdown([one for one in read_results(args.output) if not one.changes]))
    return 0
