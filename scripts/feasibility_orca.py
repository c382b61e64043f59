"""How many worlds can be won? ORCA, knowing the true state, drives the unicycle through the curriculum's stages.

A yardstick for a policy that sees only the lidar, not a bound.
"""

from __future__ import annotations

import argparse
import json

from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.planners.orca import OrcaPlanner
from robonav_ray.records import Outcome
from robonav_ray.worlds import layout as lay
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds

MEASURED = {"standard": (0.99, 0.98, 0.95, 0.89), "fast": (0.99, 0.94, 0.85, 0.72), "hard": (0.96, 0.77, 0.42, 0.17)}
"""Success with the default arguments; a run that differs by more than its error means that the worlds have changed."""


def run(world: WorldConfig, level: LevelConfig, num_episodes: int, seed: int, **planner_args: float) -> dict[str, float]:
    """Return the rate of every outcome over the first episode of ``num_episodes`` worlds."""
    worlds = BatchedWorlds(world, (level,), num_episodes, seed, gamma=0.99)
    planner = OrcaPlanner(worlds, **planner_args)
    worlds.reset()
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        worlds.step_command(planner.command(), DISABLED)
    outcome = worlds.state.lane[:, 0, lay.OUTCOME]
    return {kind.name.lower(): float((outcome == kind).mean()) for kind in Outcome if kind != Outcome.NONE}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--safety-space", type=float, default=0.05)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--horizon", type=float, default=2.0)
    parser.add_argument("--gain", type=float, default=4.0)
    parser.add_argument("--difficulty", nargs="*", choices=list(MEASURED), default=list(MEASURED))
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args()
    table = {}
    for difficulty in args.difficulty:
        world = WorldConfig.model_validate({"difficulty": difficulty})
        for i, stage in enumerate(CurriculumConfig().stages):
            planner_args = {"safety_space_m": args.safety_space, "share": args.share}
            rates = run(
                world, stage.level, args.episodes, args.seed, **planner_args, horizon_s=args.horizon, heading_gain=args.gain
            )
            table[f"{difficulty}/{stage.name}"] = rates
            shown = "  ".join(f"{name} {rate:.3f}" for name, rate in rates.items() if rate > 0)
            print(f"{difficulty:9s} {stage.name:20s} (measured before: {MEASURED[difficulty][i]:.2f})  {shown}")
    if args.json:
        print(json.dumps({"episodes": args.episodes, "rates": table}))


if __name__ == "__main__":
    main()
