"""How much judging slows a training over Ray: updates per second of one run while a policy is judged, against the time
before and after.

``python -m proofs bench_judging`` trains ``preset=navigation`` for ``--seconds``, judged every ``--interval`` seconds.
Each judgement gives one ratio: updates per second during it over their mean in the pauses before and after it, so that
what grows or falls slowly cancels. Printed is their median with its interval, and the part of a core that the judge's
thread took: on a machine whose cores are all busy, the training loses no more of them than that. Exit code 1 says that
the part is above 3 %, or that the median is surely below .97. On a machine whose speed varies by several percent from
second to second, the interval is narrower than 3 % after some hundred judgements.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import robonav_ray as rn
from proofs.bench.turns import MIN_TURNS, median_interval, ratio_figures
from robonav_ray.screen import say
from robonav_ray.tracking.jsonl import read_metrics

LEAST_RATIO = 0.97
"""What is promised: a judged training loses less than 3 %."""
MARGIN_S = 0.5
"""Before and after a judgement, which counts for neither: it is told at a look of the controller."""
LEAST_S = 3.0
"""A pause or a judgement that is shorter tells no rate."""
CONFIG: dict[str, object] = {
    "preset": "navigation",
    "tracking.interval_s": 1.0,
    "evaluation.gif_episodes": 0,
    "evaluation.num_episodes": 50,
    "checkpoint.interval_s": 1e5,
}


def ratios(lines: Sequence[dict[str, Any]]) -> list[float]:
    """Return for each judgement of a run its updates per second over those of the pauses beside it.

    Args:
        lines: Of metrics.jsonl. Judgements before the curriculum is passed, and beside too short a pause, give none.
    """
    passed = [line for line in lines if line.get("curriculum/passed") == 1.0 and "learner/learner_step" in line]
    points = [(line["time"], line["learner/learner_step"]) for line in passed]
    times, steps = np.array([time for time, _ in points]), np.array([step for _, step in points])
    told = [(line["time"], line["evaluation/judgement_s"]) for line in lines if "evaluation/judgement_s" in line]
    spans = [(end - seconds, end) for end, seconds in told]

    def rate(begin: float, end: float) -> float | None:
        inside = np.flatnonzero((times >= begin) & (times <= end))
        if len(inside) < 2 or times[inside[-1]] - times[inside[0]] < LEAST_S:
            return None
        return float((steps[inside[-1]] - steps[inside[0]]) / (times[inside[-1]] - times[inside[0]]))

    found = []
    for (_, before), (begin, end), (after, _) in zip(spans, spans[1:], spans[2:], strict=False):
        judged = rate(begin + MARGIN_S, end - MARGIN_S)
        pauses = [rate(before + MARGIN_S, begin - MARGIN_S), rate(end + MARGIN_S, after - MARGIN_S)]
        known = [pause for pause in pauses if pause is not None]
        if judged is not None and len(known) == len(pauses):
            found.append(judged / (sum(known) / len(known)))
    return found


def core_part(lines: Sequence[dict[str, Any]]) -> float:
    """Return the part of one core that the judge's thread took from the first learner step to the last line."""
    began = next(line["time"] for line in lines if line.get("learner/learner_step", 0.0) > 0.0)
    return sum(line.get("evaluation/judgement_cpu_s", 0.0) for line in lines) / (lines[-1]["time"] - began)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=420.0, help="of training")
    parser.add_argument("--interval", type=float, default=24.0, help="evaluation.interval_s")
    parser.add_argument("--episodes", type=int, default=50, help="evaluation.judged_episodes")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        judged = {"evaluation.interval_s": args.interval, "evaluation.judged_episodes": args.episodes}
        config = {**CONFIG, **judged, "budget.time_s": args.seconds}
        run = rn.train(None, config, out=Path(folder) / "run", quiet=True)
        lines = read_metrics(run.path / "metrics.jsonl")
    found = ratios(lines)
    if len(found) < MIN_TURNS:
        say(
            f"{len(found)} judgements with a pause on both sides, and {MIN_TURNS} make an interval: take more --seconds"
        )
        return 1
    report = {
        "judgements": len(found),
        "core_part": round(core_part(lines), 4),
        **ratio_figures("updates_ratio", found),
    }
    say(json.dumps(report, indent=1))
    return int(median_interval(found)[0] < LEAST_RATIO)
