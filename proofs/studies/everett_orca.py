"""How often do robots that all drive by ORCA solve Everett's cases, in these worlds and on draws of their own?

A case is solved when all robots arrive; it is a collision when any of them collides, and stuck otherwise. Extra time is
the mean over robots of the time taken less (distance - .2 m) / preferred speed.

Published cases (500 each, Everett, Chen, How: GA3C-CADRL, IROS 2018) were measured with RVO2, a horizon of 5 s, radii
1.05 times as large and a turn of at most 30 degrees a step: ``PUBLISHED`` holds that row.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robonav_ray.config.worlds import EVERETT_LEVEL, WorldConfig
from robonav_ray.evaluation.statistics import wilson_interval
from robonav_ray.records import Outcome
from robonav_ray.screen import say
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay

PUBLISHED = {2: 0.986, 3: 0.924, 4: 0.934, 5: 0.908, 6: 0.896, 8: 0.832, 10: 0.856}
"""Robots -> part of 500 cases that ORCA solved."""
PUBLISHED_EXTRA_S = {2: 0.39, 3: 0.69, 4: 1.07, 5: 1.17, 6: 1.61, 8: 2.27, 10: 2.23}
"""Robots -> median extra time."""


class CaseScores(NamedTuple):
    """How the cases of a batch of worlds ended; C cases of R robots."""

    solved: np.ndarray
    """(C,) bool: all robots arrived."""
    collided: np.ndarray
    """(C,) bool: a robot collided."""
    extra_s: np.ndarray
    """(C,) float64: mean over robots of the time beyond the straight way's; nan unless solved."""


def score_cases(worlds: BatchedWorlds) -> CaseScores:
    """Return how the episodes of ``worlds``, all of which have ended, count by the published definitions."""
    lane, robot = worlds.state.lane, worlds.state.robot
    there = lane[..., lay.STEP_LIMIT] > 0
    outcome = lane[..., lay.OUTCOME]
    solved = np.asarray(((outcome == Outcome.SUCCESS) | ~there).all(axis=1))
    hit = there & (outcome >= Outcome.COLLISION_STATIC) & (outcome <= Outcome.COLLISION_ROBOT)
    way = np.maximum(worlds.state.tally[..., lay.T_SHORTEST] - worlds.config.goal_tolerance_m, 0.0)
    extra = lane[..., lay.STEP] * worlds.config.dt_s - way / robot[..., lay.OWN_SPEED].astype(np.float64)
    mean = np.where(there, extra, 0.0).sum(axis=1) / there.sum(axis=1)
    return CaseScores(solved, np.asarray(hit.any(axis=1)), np.where(solved, mean, np.nan))


def run(num_robots: int, num_cases: int, seed: int, driver: str = "orca") -> dict[str, float]:
    """Return what became of ``num_cases`` cases with ``driver`` in every seat."""
    world = WorldConfig(profile="everett", num_robots=num_robots)
    worlds = BatchedWorlds(world, (EVERETT_LEVEL,), num_cases, seed, gamma=0.99)
    worlds.reset()
    way, speed = worlds.state.tally[..., lay.T_SHORTEST].mean(), worlds.state.robot[..., lay.OWN_SPEED].mean()
    radius = worlds.state.robot[..., lay.OWN_RADIUS].mean()
    worlds.set_drivers(np.full(worlds.num_lanes, lay.DRIVERS.index(driver), np.int8))
    still = np.zeros((worlds.num_lanes, 2), np.float32)
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step_command(still, DISABLED)
    scores = score_cases(worlds)
    num_solved = int(scores.solved.sum())
    low, high = wilson_interval(num_solved, num_cases)
    return {
        "robots": num_robots,
        "cases": num_cases,
        "seed": seed,
        "solved": num_solved / num_cases,
        "low": low,
        "high": high,
        "collided": float(scores.collided.mean()),
        "stuck": float((~scores.solved & ~scores.collided).mean()),
        "extra_s": float(np.nanmedian(scores.extra_s)) if num_solved else float("nan"),
        "way_m": float(way),
        "speed": float(speed),
        "radius_m": float(radius),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the figures, and add a line for each row to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robots", type=int, nargs="+", default=list(PUBLISHED), help="numbers of robots")
    parser.add_argument("--cases", type=int, default=500, help="for each number of robots")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--driver", choices=lay.DRIVERS[1:], default="orca")
    parser.add_argument("--into", type=Path, default=Path("runs/everett_orca.jsonl"), help="where rows are added")
    args = parser.parse_args(arguments)
    args.into.parent.mkdir(parents=True, exist_ok=True)
    for robots in args.robots:
        row = {"driver": args.driver, **run(robots, args.cases, args.seed, args.driver)}
        published = PUBLISHED.get(robots)
        text = ""
        if args.driver == "orca" and published is not None:
            low, high = wilson_interval(round(500 * published), 500)
            row |= {"published": published, "published_low": low, "published_high": high}
            inside = "within" if low <= row["solved"] <= high else "outside of"
            text = f"; published {published:.3f}, {inside} {low:.3f}-{high:.3f}, {PUBLISHED_EXTRA_S[robots]:.2f} s"
        with args.into.open("a") as file:
            file.write(json.dumps(row) + "\n")
        say(
            f"{robots:>2} robots: solved {row['solved']:.3f} ({row['low']:.3f}-{row['high']:.3f}), collision "
            f"{row['collided']:.3f}, stuck {row['stuck']:.3f}, extra {row['extra_s']:.2f} s, straight way "
            f"{row['way_m']:.1f} m{text}"
        )
