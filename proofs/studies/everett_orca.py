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

import numpy as np

from robonav_ray.config.worlds import EVERETT_LEVEL, WorldConfig
from robonav_ray.evaluation.statistics import wilson_interval
from robonav_ray.evaluation.together import DRIVERS, play_together
from robonav_ray.screen import say

PUBLISHED = {2: 0.986, 3: 0.924, 4: 0.934, 5: 0.908, 6: 0.896, 8: 0.832, 10: 0.856}
"""Robots -> part of 500 cases that ORCA solved."""
PUBLISHED_EXTRA_S = {2: 0.39, 3: 0.69, 4: 1.07, 5: 1.17, 6: 1.61, 8: 2.27, 10: 2.23}
"""Robots -> median extra time."""


def run(num_robots: int, num_cases: int, seed: int, driver: str = "orca") -> dict[str, float]:
    """Return what became of ``num_cases`` cases with ``driver`` in every seat."""
    world = WorldConfig(profile="everett", num_robots=num_robots)
    table = play_together(world, (EVERETT_LEVEL,), [driver] * num_robots, num_cases, seed)
    num_solved = int(table.solved.sum())
    low, high = wilson_interval(num_solved, num_cases)
    return {
        "robots": num_robots,
        "cases": num_cases,
        "seed": seed,
        "solved": num_solved / num_cases,
        "low": low,
        "high": high,
        "collided": float(table.collided.mean()),
        "stuck": float(table.stuck.mean()),
        "extra_s": float(np.nanmedian(table.extra_s)) if num_solved else float("nan"),
        "way_m": float(table.way_m.mean()),
        "speed": float(table.speed.mean()),
        "radius_m": float(table.radius_m.mean()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the figures, and add a line for each row to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robots", type=int, nargs="+", default=list(PUBLISHED), help="numbers of robots")
    parser.add_argument("--cases", type=int, default=500, help="for each number of robots")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--driver", choices=DRIVERS, default="orca")
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
