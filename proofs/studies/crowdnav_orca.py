"""How often does ORCA cross CrowdNav's circle?

Published (Chen et al., ICRA 2019): success .43, collision .57, 10.86 s; with a safety space of .15 m: .90, .08, 12.20
s.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import numpy as np

from robonav_ray.config.worlds import CROWDNAV_LEVEL, WorldConfig
from robonav_ray.planners.orca import OrcaPlanner
from robonav_ray.records import Outcome
from robonav_ray.screen import say
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay


def run(num_cases: int, seed: int, safety_space_m: float) -> dict[str, float]:
    """Return success, collision and timeout rates over the first episode of ``num_cases`` worlds, and the time of
    successes.
    """
    world = WorldConfig(profile="crowdnav")
    worlds = BatchedWorlds(world, (CROWDNAV_LEVEL,), num_cases, seed, gamma=0.9)
    planner = OrcaPlanner(worlds, safety_space_m)
    worlds.reset()
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step_command(planner.command(), DISABLED)
    outcome = worlds.state.lane[:, 0, lay.OUTCOME]
    success = outcome == Outcome.SUCCESS
    return {
        "safety_space_m": safety_space_m,
        "success": float(success.mean()),
        "collision": float((outcome == Outcome.COLLISION_DYNAMIC).mean()),
        "timeout": float((outcome == Outcome.TIMEOUT).mean()),
        "time_s": float(worlds.state.lane[success, 0, lay.STEP].mean() * world.dt_s) if success.any() else float("nan"),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args(arguments)
    rows = [run(args.cases, args.seed, space) for space in (0.0, 0.15)]
    for row, published in zip(rows, ((0.43, 0.57, 10.86), (0.90, 0.08, 12.20)), strict=True):
        say(
            f"safety space {row['safety_space_m']:.2f} m: success {row['success']:.3f} ({published[0]:.2f} published), "
            f"collision {row['collision']:.3f} ({published[1]:.2f}), time {row['time_s']:.2f} s ({published[2]:.2f})"
        )
    if args.json:
        say(json.dumps({"cases": args.cases, "rows": rows, "numpy": np.__version__}))
