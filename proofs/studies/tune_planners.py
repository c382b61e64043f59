"""Which settings make a planner win most worlds of the last stage?

Hill climbing by chance: one to three settings of the best so far are drawn anew, and the better one stays. Each try is
appended to the results file, and the same command goes on from there. The worlds are not those on which planners are
judged; copy the result into ``robonav_ray/planners/tuned.py``.

    python -m proofs tune_planners dwa --seconds 500
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proofs.studies.planner_trials import Trial, append_trial, read_trials, try_planner
from robonav_ray.config.worlds import WorldConfig
from robonav_ray.planners.base import PLANNERS, find_planner
from robonav_ray.planners.tuned import TUNING_SEED
from robonav_ray.screen import say

_PLANS: dict[str, list[Any]] = {
    "goal_dist": [1.0, 2.0, 4.0, 8.0],
    "goal_align": [0.25, 0.5, 1.0, 2.0],
    "forward_point_distance_m": [0.3, 0.5, 0.8],
    "predicts": [True],
    "growth_m_per_s": [0.0, 0.03, 0.06, 0.1, 0.15],
    "margin_m": [0.15, 0.2, 0.3, 0.4, 0.5],
    "nearness": [1.0, 2.0, 4.0, 8.0, 16.0],
    "way": [0.0, 1.0, 2.0, 4.0],
    "acceleration": [0.3, 0.5, 1.0, 2.0],
    "noise_m": [0.02, 0.03, 0.05],
}
_ORCA: dict[str, list[Any]] = {
    "safety_space_m": [0.0, 0.03, 0.05, 0.1, 0.15, 0.2],
    "share": [0.5, 0.75, 1.0],
    "horizon_s": [1.0, 1.5, 2.0, 3.0, 5.0],
    "heading_gain": [2.0, 3.0, 4.0, 6.0],
}
GRIDS: dict[str, dict[str, list[Any]]] = {
    "stop_and_go": {
        "stop_m": [0.3, 0.5, 0.8, 1.2, 1.6],
        "side_m": [0.0, 0.1, 0.15, 0.3, 0.5],
        "heading_gain": [2.0, 4.0, 6.0],
    },
    "apf": {
        "repulsion": [0.01, 0.02, 0.05, 0.1, 0.2, 0.4],
        "influence_m": [0.5, 0.75, 1.0, 1.5, 2.0, 3.0],
        "swirl": [0.0, 0.25, 0.5, 0.75, 1.0],
        "heading_gain": [2.0, 4.0, 6.0],
    },
    "orca_lidar": {**_ORCA, "acceleration": [0.3, 0.5, 1.0, 2.0], "noise_m": [0.02, 0.03, 0.05]},
    "dwa": {
        **_PLANS,
        "sim_time_s": [1.4, 1.6, 2.0, 2.4],
        "step_s": [0.2],
        "first_s": [0.2, 0.4, 0.6],
        "second_s": [0.0, 0.8, 1.0, 1.2],
        "base_obstacle": [0.0, 0.005, 0.02],
        "path_dist": [0.0, 0.5, 1.0, 2.0],
        "path_align": [0.0, 0.5, 1.0],
    },
    "mppi": {
        **_PLANS,
        "num_samples": [32, 64, 96],
        "horizon_s": [1.6, 2.0, 2.4],
        "hold_s": [0.2, 0.4],
        "noise_frac": [0.25, 0.5, 0.75, 1.0],
        "temperature": [0.05, 0.1, 0.2, 0.5, 1.0],
    },
    "social_force": {
        "strength": [1.0, 2.0, 3.0, 5.0, 7.0],
        "fall_off_m": [0.1, 0.15, 0.2, 0.3, 0.5],
        "relaxation_s": [0.2, 0.5, 1.0],
        "sight": [0.0, 0.25, 0.5, 1.0],
        "lead_s": [0.0, 0.25, 0.5, 1.0],
        "heading_gain": [2.0, 4.0, 6.0],
    },
    "orca": _ORCA,
    "lookahead": {
        "horizon_s": [2.0, 3.0, 4.0],
        "margin_m": [0.15, 0.25, 0.4],
        "nearness_m_per_s": [1.0, 2.0, 4.0],
    },
}
"""Values that are tried, by planner and setting."""


def tune(name: str, seconds: float, episodes: int, results: Path, draws: random.Random) -> Trial:
    """Try settings of planner ``name`` for so long, from the best in the results file on, and return the best one."""
    end, grid = time.monotonic() + seconds, GRIDS[name]
    known = [t for t in read_trials(results) if (t.planner, t.seed, t.episodes) == (name, TUNING_SEED, episodes)]
    tried = {_key(t.settings): t for t in known}
    tuned = find_planner(name)[1]
    best = max(known, key=lambda t: t.success, default=None)
    while True:
        settings = dict(tuned) if best is None else {key: best.settings[key] for key in grid}
        if best is not None:
            for key in draws.sample(list(grid), min(draws.choice((1, 1, 2, 3)), len(grid))):
                settings[key] = draws.choice(grid[key])
        spec = PLANNERS[name]
        trial = tried.get(_key({**spec.defaults, **settings}))
        if trial is None:
            trial = try_planner(f"{name}:default", settings, episodes, TUNING_SEED, WorldConfig())
            trial = Trial(**{**vars(trial), "planner": name})
            append_trial(results, trial)
            tried[_key(trial.settings)] = trial
            say(f"{name} {trial.success:.3f} in {trial.time_s:.1f} s, {trial.decision_ms:.3f} ms: {trial.settings}")
        elif len(tried) >= _size(grid):
            return trial if best is None else best
        if best is None or trial.success >= best.success:
            best = trial
        if time.monotonic() >= end:
            return best


def _key(settings: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(settings.items()))


def _size(grid: dict[str, list[Any]]) -> int:
    size = 1
    for values in grid.values():
        size *= len(values)
    return size


def main(arguments: Sequence[str] | None = None) -> None:
    """Tune, and print the best settings that differ from the planner's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("planner", nargs="+", choices=list(GRIDS))
    parser.add_argument("--seconds", type=float, default=300.0, help="for each planner")
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--draws", type=int, default=0, help="seed of what is tried")
    parser.add_argument("--results", type=Path, default=Path("planner_trials.jsonl"), help="every try is appended here")
    args = parser.parse_args(arguments)
    for name in args.planner:
        best = tune(name, args.seconds, args.episodes, args.results, random.Random(args.draws))
        defaults = PLANNERS[name].defaults
        changed = {key: value for key, value in best.settings.items() if value != defaults[key]}
        say(f"{name}: {best.success:.3f} of {best.episodes} worlds with {changed}")
