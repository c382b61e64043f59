"""Does a league earn its cost? Robots on Everett's cases, by self-play and in leagues, alone and beside strangers.

    python -m proofs everett_study run --output runs/everett_study.jsonl      # all arms x 3 seeds, 20 minutes each
    python -m proofs everett_study run --arms latest uniform league --env-steps 6000000
    python -m proofs everett_study beside --output runs/everett_study.jsonl   # each policy beside each stranger
    python -m proofs everett_study table --output runs/everett_study.jsonl

Results are appended to the output file one by one; what is in it is not done again, and a training that was cut off
goes on from its newest checkpoint. Cases are draws of our own that no training sees.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from proofs.common import markdown as md
from proofs.common.checkout import ROOT
from robonav_ray.algo.policy import Policy
from robonav_ray.config.worlds import EVERETT_LEVEL
from robonav_ray.evaluation.metrics.worst_worlds import worst_share
from robonav_ray.evaluation.statistics import wilson_interval
from robonav_ray.evaluation.together import CaseTable, Player, play_together
from robonav_ray.fronts.train_call import train
from robonav_ray.runs.checkpoint import Checkpoint
from robonav_ray.runs.located import located
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.task import describe_task
from robonav_ray.screen import say

_NONE = {
    f"league.mix.{kind}": 0.0 for kind in ("current", "latest", "uniform", "prioritised", "scripted", "verification")
}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "self_play": ("everett", {}),
    "league": ("league", {}),
    "latest": ("league", _NONE | {"league.mix.current": 1.0}),
    "uniform": ("league", _NONE | {"league.mix.current": 0.35, "league.mix.uniform": 0.65}),
}
"""Name -> shipped config, and what is changed in it."""
ROBOTS = (2, 3, 4, 5, 6, 8, 10)
STRANGERS = ("orca", "social_force", "straight", "stand")
"""Scripted robots; other seeds' policies join them."""
CROWD, SEED = 8, 1_000_003
"""Robots of a case with strangers, half of them; and the seed of all cases."""
WORST_FRAC = 0.1


class Trained(NamedTuple):
    """A run that is in the file."""

    arm: str
    seed: int
    path: Path


def rows_of(output: Path, kind: str) -> list[dict[str, Any]]:
    """Return the rows of a kind that the file holds, none where there is no file."""
    if not output.exists():
        return []
    rows = [json.loads(line) for line in output.read_text().splitlines() if line.strip()]
    return [row for row in rows if row["kind"] == kind]


def add_row(output: Path, row: dict[str, Any]) -> None:
    """Append a row."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("a") as file:
        file.write(json.dumps(row) + "\n")


def policy_of(run: Path) -> tuple[Policy, Checkpoint, Any]:
    """Return the policy of a run, its checkpoint and its worlds."""
    with located(str(run), which=None) as found:
        config = found.run.config
        return load_policy(found.checkpoint, config, describe_task(config)), found.checkpoint, config.env.world


def play(world: Any, cast: Sequence[Player], num_cases: int) -> CaseTable:
    """Play cases with as many robots as the cast has."""
    return play_together(world.model_copy(update={"num_robots": len(cast)}), (EVERETT_LEVEL,), cast, num_cases, SEED)


def scored(table: CaseTable) -> dict[str, Any]:
    """Return the figures of one number of robots."""
    num = int(table.solved.sum())
    return {
        "cases": table.num_cases,
        "solved": num / table.num_cases,
        "interval": wilson_interval(num, table.num_cases),
        "collided": float(table.collided.mean()),
        "stuck": float(table.stuck.mean()),
        "extra_s": float(np.nanmedian(table.extra_s)) if num else None,
        "learned_arrived": float(np.nanmean(table.share_arrived(0))),
    }


def train_one(arm: str, seed: int, folder: Path, changes: dict[str, Any], num_cases: int) -> dict[str, Any]:
    """Train a run, or go on with it, and return its row."""
    config, own = ARMS[arm]
    path, began, cpu = folder / f"{arm}-{seed}", time.time(), time.process_time()
    if (path / "config.yaml").exists():
        train(resume=path, local=True, quiet=True)
    else:
        train(ROOT / f"configs/run/{config}.yaml", {**own, **changes, "seed": seed}, out=path, local=True, quiet=True)
    wall_s, cpu_s = time.time() - began, time.process_time() - cpu
    policy, checkpoint, world = policy_of(path)
    counters = checkpoint.counters
    alone = {str(robots): scored(play(world, [policy] * robots, num_cases)) for robots in ROBOTS}
    half = scored(play(world, half_of(policy, "orca"), num_cases))
    return {
        "kind": "run", "arm": arm, "seed": seed, "changes": changes, "path": str(path), "env_steps": counters.env_steps,
        "updates": counters.learner_steps, "wall_s": round(wall_s), "cpu_s": round(cpu_s), "alone": alone,
        "half_orca": half,
    }  # fmt: skip


def half_of(policy: Player, stranger: Player) -> list[Player]:
    """Return a cast in which ``policy``, player 0, has half the seats."""
    return [policy] * (CROWD - CROWD // 2) + [stranger] * (CROWD // 2)


def beside(output: Path, num_cases: int) -> Iterator[dict[str, Any]]:
    """Play each trained policy beside each stranger that is not in the file yet; yield the rows."""
    trained = [Trained(row["arm"], row["seed"], Path(row["path"])) for row in rows_of(output, "run")]
    done = {(row["arm"], row["seed"], row["stranger"]) for row in rows_of(output, "beside")}
    policies = {f"{one.arm}-{one.seed}": policy_of(one.path) for one in trained}
    for one in trained:
        policy, _, world = policies[f"{one.arm}-{one.seed}"]
        others = {name: found[0] for name, found in policies.items() if name != f"{one.arm}-{one.seed}"}
        for name, stranger in {**{script: script for script in STRANGERS}, **others}.items():
            if (one.arm, one.seed, name) in done:
                continue
            table = play(world, half_of(policy, stranger), num_cases)
            arrived = (table.share_arrived(0) == 1.0).tolist()
            yield {
                "kind": "beside", "arm": one.arm, "seed": one.seed, "stranger": name, **scored(table),
                "all_own_arrived": "".join("01"[each] for each in arrived),
            }  # fmt: skip


def worst_cases(arrived: np.ndarray) -> tuple[float, float, float]:
    """Return the score of the worst tenth of cases (CVaR) and its 95 % interval, as ``robonav compare`` does: beside
    each stranger in the cases that are worst beside the others; ``arrived`` (strangers, cases) bool, two or more.
    """
    tails = [
        worst_share(np.delete(arrived, i, axis=0), arrived[i : i + 1], WORST_FRAC).success for i in range(len(arrived))
    ]
    value, low, high = np.array([[tail.value, tail.low, tail.high] for tail in tails]).mean(axis=0).tolist()
    return value, low, high


def strangers_of(rows: Sequence[dict[str, Any]], arm: str, seed: int) -> dict[str, np.ndarray]:
    """Return what became of a policy beside each stranger, (cases,) bool by name; policies of its own arm are of other
    seeds.
    """
    return {
        row["stranger"]: np.array([c == "1" for c in row["all_own_arrived"]])
        for row in rows
        if (row["arm"], row["seed"]) == (arm, seed)
    }


def tables(output: Path) -> str:
    """Return what the file holds as Markdown."""
    runs, met = rows_of(output, "run"), rows_of(output, "beside")
    header = ("arm, seed", *(f"{n}" for n in ROBOTS), "half ORCA", "learned", "env steps", "updates", "CPU s")
    lines, strange = [], []
    for row in runs:
        alone, half = row["alone"], row["half_orca"]
        cells = [f"{alone[str(n)]['solved']:.3f} ({alone[str(n)]['extra_s'] or float('nan'):.2f} s)" for n in ROBOTS]
        cost = (f"{row['env_steps'] / 1e6:.1f} M", str(row["updates"]), str(row["cpu_s"]))
        own = (f"{half['solved']:.3f}", f"{half['learned_arrived']:.3f}")
        lines.append((f"{row['arm']} {row['seed']}", *cells, *own, *cost))
        found = strangers_of(met, row["arm"], row["seed"])
        if len(found) < 2:
            continue
        worst = min(found, key=lambda name: float(found[name].mean()))
        low, high = wilson_interval(int(found[worst].sum()), len(found[worst]))
        cvar = worst_cases(np.stack(list(found.values())))
        strange.append((
            f"{row['arm']} {row['seed']}", str(len(found)), worst,
            f"{found[worst].mean():.3f} ({low:.3f} to {high:.3f})", f"{cvar[0]:.3f} ({cvar[1]:.3f} to {cvar[2]:.3f})",
        ))  # fmt: skip
    parts = [md.table(header, lines)]
    if strange:
        parts.append(
            md.table(("arm, seed", "strangers", "the worst", "all of its own arrive", "worst tenth of cases"), strange)
        )
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, play, or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "beside", "table"))
    parser.add_argument("--output", type=Path, default=Path("runs/everett_study.jsonl"), help="where rows are added")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--env-steps", type=int, help="of each training, in place of its config's time")
    parser.add_argument("--cases", type=int, default=500, help="for each number of robots, and each stranger")
    args = parser.parse_args(arguments)
    changes: dict[str, Any] = {}
    if args.env_steps is not None:
        changes = {"budget.env_steps": args.env_steps, "budget.time_s": 0.0}
    if args.what == "run":
        done = {(row["arm"], row["seed"], json.dumps(row["changes"])) for row in rows_of(args.output, "run")}
        for seed in range(args.seeds):
            for arm in args.arms:
                if (arm, seed, json.dumps(changes)) not in done:
                    row = train_one(arm, seed, args.output.parent / args.output.stem, changes, args.cases)
                    add_row(args.output, row)
                    four, eight = (row["alone"][robots]["solved"] for robots in ("4", "8"))
                    say(f"{arm} {seed}: {four:.3f} of the cases of 4 robots, {eight:.3f} of 8")
    elif args.what == "beside":
        for row in beside(args.output, args.cases):
            add_row(args.output, row)
            say(f"{row['arm']} {row['seed']} beside {row['stranger']}: {row['learned_arrived']:.3f} arrive")
    else:
        say(tables(args.output))
