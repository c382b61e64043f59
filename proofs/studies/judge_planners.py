"""How many held-out worlds of the last stage does each planner win, tuned and as it comes, and how fast does it decide?

Every row is appended to the results file, and the same command goes on from there; ``--write`` puts the table of
``docs/planners.md`` together.

    python -m proofs judge_planners --results planner_rows.jsonl --write
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from proofs.common.checkout import ROOT
from proofs.studies.planner_trials import HELD_OUT_SEED, Trial, append_trial, read_trials, try_planner
from robonav_ray.config.worlds import WorldConfig
from robonav_ray.evaluation.statistics import wilson_interval
from robonav_ray.planners.base import DEFAULT, PLANNERS
from robonav_ray.screen import say

PAGE = ROOT / "docs" / "planners.md"
BEGIN, END = "<!-- judged: begin -->", "<!-- judged: end -->"
SLOW = {"lookahead": 200, "lookahead:default": 200}
"""Episodes of those that take longer."""


def entries() -> list[str]:
    """Return what is judged: each planner, and those that were tuned as they come, too."""
    names = list[str]()
    for name, spec in PLANNERS.items():
        names += [name, f"{name}:{DEFAULT}"] if spec.tuning.settings else [name]
    return names


def table(trials: dict[str, Trial]) -> list[str]:
    """Return the rows of the page."""
    lines = [
        "| Planner | Knows | Success | 95 % interval | Collision | Timeout | Time (s) | Decision (ms) | Episodes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, t in trials.items():
        low, high = wilson_interval(round(t.success * t.episodes), t.episodes)
        knows = PLANNERS[name.partition(":")[0]].knows
        time_s = f"{t.time_s:.1f}" if t.success else ""
        lines.append(
            f"| `{name}` | {knows} | {t.success:.3f} | {low:.3f} to {high:.3f} | {t.collision:.3f} | {t.timeout:.3f} | "
            f"{time_s} | {t.decision_ms:.4f} | {t.episodes:,} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge what has no row yet, and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planner", nargs="*", choices=entries(), default=entries())
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=Path("planner_rows.jsonl"), help="every row is appended here")
    parser.add_argument("--write", action="store_true", help="put the table into docs/planners.md")
    args = parser.parse_args(arguments)
    rows = {t.planner: t for t in read_trials(args.results) if t.seed == HELD_OUT_SEED}
    for name in args.planner:
        if name not in rows:
            episodes = min(args.episodes, SLOW.get(name, args.episodes))
            rows[name] = try_planner(name, {}, episodes, HELD_OUT_SEED, WorldConfig())
            append_trial(args.results, rows[name])
            say(f"{name}: {rows[name].success:.3f}, {rows[name].decision_ms:.4f} ms")
    lines = table({name: rows[name] for name in entries() if name in rows})
    say("\n".join(lines))
    if args.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text("\n".join([before + BEGIN, "", *lines, "", END + rest.partition(END)[2]]))
