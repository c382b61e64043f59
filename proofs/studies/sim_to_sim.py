"""Does a bundle drive in a simulator that is not ours? The same worlds here and in ir-sim, through robonav_policy.

Arena, walls, robot, lidar, goals and circles begin alike. ``static``: the circles stand, so that the two differ by
integration, ray casting and collision test alone. ``dash`` and ``rvo``: the circles move as ir-sim's obstacles do,
beside ours of the kin: waypoint, and ORCA that sees the robot. Sizes and speeds are the same; where they go is drawn by
each simulator. Needs ``pip install 'robonav_ray[irsim]'``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proofs.common.markdown import table
from proofs.studies.irsim_worlds import KINDS, Ending, drive, lidar_of, world_document
from robonav_policy import Policy
from robonav_policy.bundle import read_bundle
from robonav_ray.deploy.export import export
from robonav_ray.evaluation.bundle_entrant import is_bundle, training_config
from robonav_ray.evaluation.comparing.rates import mcnemar_p, newcombe_paired, paired_rates
from robonav_ray.evaluation.statistics import wilson_interval
from robonav_ray.records import Outcome
from robonav_ray.screen import say
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay

OURS = {"static": "waypoint", "dash": "waypoint", "rvo": "orca"}
"""Behaviour of our own circles beside each kind of ir-sim's."""
DEFAULT_EPISODES = 300


@dataclass(frozen=True)
class Beside:
    """The episodes of one kind of obstacles, ours and ir-sim's, world by world."""

    kind: str
    ours: tuple[Ending, ...]
    theirs: tuple[Ending, ...]


def make_worlds(bundle: Path, kind: str, num: int, seed: int, *, walls: bool = True) -> tuple[BatchedWorlds, Policy]:
    """Return ``num`` worlds of ours at their start, those of the training's last stage with circles of ``kind``, and
    the policy; without the arena's ``walls`` where they are not wanted.
    """
    found = read_bundle(bundle)
    config, policy = training_config(found, str(bundle)), Policy.load(found)
    last = config.curriculum.stages[-1].level
    circles = last.num_static + last.num_dynamic
    static, moving = (circles, 0) if kind == "static" else (0, circles)
    level = last.model_copy(
        update={"num_static": static, "num_dynamic": moving, "behaviours": (OURS[kind],), "num_robots": None}
    )
    sees = config.env.world.obstacles.model_copy(update={"orca_reacts_prob": 1.0})
    world = config.env.world.model_copy(update={"obstacles": sees, "num_robots": 1, "walls": walls})
    worlds = BatchedWorlds(world, (level,), num, seed, config.algo.gamma)
    worlds.reset()
    return worlds, policy


def drive_ours(worlds: BatchedWorlds, policy: Policy) -> tuple[Ending, ...]:
    """Drive the robots of all worlds until each has ended."""
    lane = worlds.state.lane[:, 0]
    while (lane[:, lay.ENDED] == 0).any():
        worlds.step(policy.q_values(worlds.out.obs).argmax(axis=1), DISABLED)
    return tuple(Ending(Outcome(int(row[lay.OUTCOME])), int(row[lay.STEP])) for row in lane)


def beside(bundle: Path, kind: str, num: int, seed: int, folder: Path, *, walls: bool = True) -> Beside:
    """Drive the policy in ``num`` worlds of ours, and in ir-sim's that begin alike; their YAML is kept in
    ``folder``.
    """
    worlds, policy = make_worlds(bundle, kind, num, seed, walls=walls)
    speeds = [worlds.state.circle[w, lay.C_SPEED, : len(worlds.scene(w).circles)].copy() for w in range(num)]
    documents = [world_document(worlds.scene(w), speeds[w], policy.spec, kind) for w in range(num)]
    robot = Policy.load(bundle, lidar=lidar_of(policy.spec))
    max_steps = worlds.levels[0].max_steps
    theirs = tuple(
        drive(document, robot, max_steps, seed + w, folder / f"{kind}-{w:03d}.yaml")
        for w, document in enumerate(documents)
    )
    return Beside(kind, drive_ours(worlds, policy), theirs)


def row(found: Beside) -> dict[str, Any]:
    """Return the figures of one kind."""
    ours, theirs = (np.array([one.outcome == Outcome.SUCCESS for one in ends]) for ends in (found.ours, found.theirs))
    pairs = paired_rates(theirs, ours)
    difference = newcombe_paired(pairs)
    same = [a.outcome == b.outcome for a, b in zip(found.ours, found.theirs, strict=True)]
    return {
        "kind": found.kind,
        "episodes": len(ours),
        "ours": _side(found.ours),
        "irsim": _side(found.theirs),
        "difference": [difference.value, difference.low, difference.high],
        "mcnemar_p": mcnemar_p(pairs),
        "same_outcome_frac": float(np.mean(same)),
    }


def _side(ends: Sequence[Ending]) -> dict[str, Any]:
    counts = Counter(one.outcome.name.lower() for one in ends)
    low, high = wilson_interval(counts["success"], len(ends))
    steps = [one.steps for one in ends if one.outcome == Outcome.SUCCESS]
    return {
        "success": counts["success"] / len(ends),
        "success_low": low,
        "success_high": high,
        "outcomes": dict(sorted(counts.items())),
        "steps_of_successes": float(np.mean(steps)) if steps else None,
    }


def page(rows: Sequence[dict[str, Any]]) -> str:
    """Return the figures as a table of Markdown."""
    header = ("Circles in ir-sim", "Episodes", "Success here", "Success in ir-sim", "Difference", "Same outcome")
    return table(header, [_line(one) for one in rows])


def _line(one: dict[str, Any]) -> list[str]:
    value, low, high = (100 * part for part in one["difference"])
    return [
        one["kind"],
        str(one["episodes"]),
        *(
            f"{s['success']:.3f} ({s['success_low']:.3f} to {s['success_high']:.3f})"
            for s in (one["ours"], one["irsim"])
        ),
        f"{value:+.1f} points ({low:+.1f} to {high:+.1f})",
        f"{100 * one['same_outcome_frac']:.0f} %",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a bundle, or a run, which is exported first")
    parser.add_argument("--episodes", type=int, default=DEFAULT_EPISODES, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--no-walls", action="store_true", help="leave the arena's walls away, in both")
    parser.add_argument("--keep", type=Path, help="folder for the YAML of ir-sim's worlds")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        folder = options.keep or Path(place, "worlds")
        folder.mkdir(parents=True, exist_ok=True)
        bundle = options.run if is_bundle(options.run) else export(options.run, out=Path(place, "bundle")).folder
        rows = []
        for kind in options.kinds:
            found = beside(bundle, kind, options.episodes, options.seed, folder, walls=not options.no_walls)
            rows.append(row(found))
            say(json.dumps(rows[-1]))
    say(page(rows))
    say(json.dumps({"rows": rows}))
