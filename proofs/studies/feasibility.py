"""How many worlds can be won? Two planners that know the true state drive the unicycle through the curriculum's stages.

ORCA reacts; the lookahead planner searches ahead. They are yardsticks for a policy that sees only the lidar, not
bounds.

    python -m proofs feasibility --planner lookahead --difficulty standard
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.planners.lookahead import LookaheadPlanner
from robonav_ray.planners.orca import OrcaPlanner
from robonav_ray.records import Outcome
from robonav_ray.screen import say
from robonav_ray.worlds.batched import DISABLED, BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay

MEASURED = {
    "orca": {"standard": (0.99, 0.98, 0.95, 0.89), "fast": (0.99, 0.94, 0.85, 0.72), "hard": (0.96, 0.77, 0.42, 0.17)},
    "lookahead": {
        "standard": (1.00, 1.00, 0.99, 0.98),
        "fast": (1.00, 0.98, 0.93, 0.88),
        "hard": (0.99, 0.89, 0.73, 0.55),
    },
}
"""Success with the default arguments; a run that differs by more than its error means that the worlds have changed."""

Drive = Callable[[BatchedWorlds], Callable[[], object]]
"""worlds -> a function that makes one step."""


def orca(args: argparse.Namespace) -> Drive:
    """Return how ORCA drives."""

    def drive(worlds: BatchedWorlds) -> Callable[[], object]:
        planner = OrcaPlanner(
            worlds, safety_space_m=args.safety_space, share=args.share, horizon_s=args.horizon, heading_gain=args.gain
        )
        return lambda: worlds.step_command(planner.command(), DISABLED)

    return drive


def lookahead(args: argparse.Namespace) -> Drive:
    """Return how the lookahead planner drives."""

    def drive(worlds: BatchedWorlds) -> Callable[[], object]:
        planner = LookaheadPlanner(worlds, margin_m=args.margin)
        return lambda: worlds.step(planner.act(), DISABLED)

    return drive


def run(world: WorldConfig, level: LevelConfig, num_episodes: int, seed: int, drive: Drive) -> dict[str, float]:
    """Return the rate of every outcome over the first episode of ``num_episodes`` worlds."""
    worlds = BatchedWorlds(world, (level,), num_episodes, seed, gamma=0.99)
    step = drive(worlds)
    worlds.reset()
    while (worlds.state.lane[..., lay.ENDED] == 0).any():
        step()
    outcome = worlds.state.lane[:, 0, lay.OUTCOME]
    return {kind.name.lower(): float((outcome == kind).mean()) for kind in Outcome if kind != Outcome.NONE}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planner", nargs="*", choices=list(MEASURED), default=list(MEASURED))
    parser.add_argument(
        "--difficulty", nargs="*", choices=("standard", "fast", "hard"), default=["standard", "fast", "hard"]
    )
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--safety-space", type=float, default=0.05, help="orca: metres added to every radius")
    parser.add_argument("--share", type=float, default=1.0, help="orca: part of the avoidance the robot takes on")
    parser.add_argument("--horizon", type=float, default=2.0, help="orca: time horizon in seconds")
    parser.add_argument("--gain", type=float, default=4.0, help="orca: heading gain in 1/s")
    parser.add_argument(
        "--margin", type=float, default=0.25, help="lookahead: clearance in metres below which a plan costs more"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args(arguments)
    table: dict[str, dict[str, float]] = {}
    for planner in args.planner:
        drive = {"orca": orca, "lookahead": lookahead}[planner](args)
        for difficulty in args.difficulty:
            world = WorldConfig.model_validate({"difficulty": difficulty})
            for i, stage in enumerate(CurriculumConfig().stages):
                rates = run(world, stage.level, args.episodes, args.seed, drive)
                table[f"{planner}/{difficulty}/{stage.name}"] = rates
                shown = "  ".join(f"{name} {rate:.3f}" for name, rate in rates.items() if rate > 0)
                say(
                    f"{planner:9s} {difficulty:9s} {stage.name:20s} (before: {MEASURED[planner][difficulty][i]:.2f})  "
                    f"{shown}"
                )
    if args.json:
        say(json.dumps({"episodes": args.episodes, "rates": table}))
