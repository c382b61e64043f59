"""The tables of the evaluation study: a row for each entrant, the seeds of one method together.

Success in per cent with 95 % intervals: Wilson's of a planner, t over seeds and worlds of a method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from proofs.common import markdown as md
from robonav_ray.evaluation.comparing.robustness import relative_area
from robonav_ray.evaluation.exam_report.metrics import pooled
from robonav_ray.evaluation.exam_report.sweeps import factors_of
from robonav_ray.evaluation.exam_report.view import Contestant, ExamView
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.metrics.worst_worlds import tails_of

NONE = ""
STRESS = {
    "crowd_20": "20 obstacles",
    "crowd_50": "50",
    "intercepting": "Intercepting",
    "narrow_gaps": "Narrow gaps",
    "four_times_speed": "2.4 m/s",
    "goals_in_a_row": "16 goals",
}
BEYOND = {
    "density_14": "14 obstacles",
    "speed_1.2": "1.2 m/s",
    "speed_1.8": "1.8 m/s",
    "size_2": "Twice as large",
    "arena_6": "6 m arena",
    "arena_20": "20 m arena",
    "behaviour_all": "All behaviours",
    "beams_12": "12 beams",
}
LAST_STAGE = "full_challenge"


class Study:
    """An exam of all entrants, asked by the names of scenarios."""

    def __init__(self, table: ExamTable) -> None:
        """Look at ``table``."""
        self.view = ExamView(table)
        self.at = {(facts.suite, facts.name): s for s, facts in enumerate(table.scenarios)}

    def success(self, one: Contestant, suite: str, *names: str) -> str:
        """Return success over scenarios with its interval; nothing where one was not played."""
        known = [self.at[suite, name] for name in names if (suite, name) in self.at]
        found = self.view.estimate(one, known) if len(known) == len(names) else None
        if found is None:
            return NONE
        return f"{100 * found.value:.1f} ({100 * max(found.low, 0):.0f} to {100 * min(found.high, 1):.0f})"

    def mean(self, one: Contestant, metric: str, suite: str, name: str, form: Callable[[float], str]) -> str:
        """Return the mean of a metric over the episodes of a scenario that tell it."""
        if (suite, name) not in self.at:
            return NONE
        values = pooled(self.view, one, metric, [self.at[suite, name]])
        values = values[np.isfinite(values)]
        return form(float(values.mean())) if len(values) else NONE

    def worst(self, one: Contestant, share: float) -> str:
        """Return success in the worst ``share`` of the worlds, found on other draws: the mean over seeds."""
        found = [
            tail.success.value
            for entrant in one.entrants
            for tails in tails_of(self.view.table, entrant).values()
            for tail in tails
            if tail.share == share and tail.success.value is not None
        ]
        return f"{100 * float(np.mean(found)):.1f}" if found else NONE

    def rate(self, one: Contestant, s: int) -> float:
        """Return success in one scenario; NaN where it was not played."""
        return float(self.view.values(one, s).mean()) if self.view.has(one, s) else float("nan")


def study_tables(table: ExamTable) -> str:
    """Return all tables as Markdown."""
    study = Study(table)
    parts = [standard(study), stress(study), beyond(study), robustness(study), weakest(study)]
    return "\n\n".join(parts)


def _table(study: Study, head: Sequence[str], cells: Callable[[Contestant], Sequence[str]]) -> str:
    rows = [(f"`{one.name}`", *cells(one)) for one in study.view.contestants]
    return md.table(("Entrant", *head), [row for row in rows if any(row[1:])])


def standard(study: Study) -> str:
    """Return how all do at the stages of the curriculum, and how they drive at the last one."""

    def cells(one: Contestant) -> list[str]:
        last = "standard", LAST_STAGE
        return [
            one.knows + (f", {one.num_seeds} seeds" if one.num_seeds > 1 else ""),
            study.success(one, "standard", "basic_navigation", "obstacle_avoidance", "multi_goal_planning", LAST_STAGE),
            study.success(one, *last),
            study.mean(one, "collision", *last, lambda x: f"{100 * x:.1f}"),
            study.mean(one, "spl", *last, lambda x: f"{x:.2f}"),
            study.mean(one, "time_success_s", *last, lambda x: f"{x:.1f}"),
            study.success(one, "difficulties", "fast"),
            study.success(one, "difficulties", "hard"),
        ]

    head = ("Knows", "Four stages", "Last stage", "Collision", "SPL", "Time (s)", "Fast", "Hard")
    return _table(study, head, cells)


def stress(study: Study) -> str:
    """Return what is meant to be too hard, the worst worlds and CrowdNav's circle."""

    def cells(one: Contestant) -> list[str]:
        return [
            *(study.success(one, "stress", name) for name in STRESS),
            study.worst(one, 0.1),
            study.success(one, "crowdnav", "circle_crossing"),
        ]

    return _table(study, (*STRESS.values(), "Worst 10 %", "CrowdNav"), cells)


def beyond(study: Study) -> str:
    """Return success where the world is another than in training."""
    return _table(
        study, tuple(BEYOND.values()), lambda one: [study.success(one, "generalisation", name) for name in BEYOND]
    )


def robustness(study: Study) -> str:
    """Return what is left under faults: areas under the curves, the worst fault, all at once."""
    view = study.view
    factors = {name: found for name, found in factors_of(view, "robustness").items() if name != "everything"}

    def cells(one: Contestant) -> list[str]:
        if not factors or not all(view.has(one, s) for found in factors.values() for s in found):
            return [NONE] * 7
        levels = [float(view.table.scenarios[s].level or 0.0) for s in next(iter(factors.values()))]
        areas = [
            relative_area(levels, [view.values(one, s).mean(0) for s in found]).value for found in factors.values()
        ]
        hardest = sorted((study.rate(one, found[-1]), name) for name, found in factors.items())[:2]
        triples = [study.rate(one, s) for (_, name), s in study.at.items() if name.startswith("triple_")]
        return [
            study.success(one, "robustness", "slip_0"),
            f"{np.mean(areas):.2f}" if np.isfinite(areas).all() else NONE,
            *(f"{name.replace('_', ' ')}: {100 * rate:.1f}" for rate, name in hardest),
            *(study.success(one, "robustness", f"everything_{level}") for level in (1, 3)),
            f"{100 * min(triples):.1f}" if triples else NONE,
        ]

    head = (
        "Without faults", "Mean area", "Hardest at level 3", "Next", "All at level 1", "All at level 3", "Worst triple"
    )  # fmt: skip
    return _table(study, head, cells)


def weakest(study: Study) -> str:
    """Return each entrant's weakest cell, and for policies where the best planner on the scan is furthest ahead."""
    view, facts = study.view, study.view.table.scenarios
    scans = [one for one in view.contestants if one.num_seeds == 1 and one.knows == "lidar only"]

    def named(s: int) -> str:
        return f"{facts[s].suite}:{facts[s].name}"

    def cells(one: Contestant) -> list[str]:
        rates = {s: study.rate(one, s) for s in range(len(facts)) if view.has(one, s)}
        low = min(rates, key=lambda s: rates[s])
        row = [f"`{named(low)}`", f"{100 * rates[low]:.1f}"]
        behind = {
            s: (max((study.rate(other, s), other.name) for other in scans if view.has(other, s)), rate)
            for s, rate in rates.items()
            if one.num_seeds > 1 and any(view.has(other, s) for other in scans)
        }
        if not behind:
            return [*row, NONE]
        most = max(behind, key=lambda s: behind[s][0][0] - behind[s][1])
        (best, name), mine = behind[most]
        return [*row, f"`{named(most)}`: {100 * mine:.1f}, and {100 * best:.1f} of `{name}`"]

    return _table(study, ("Weakest cell", "Success", "Furthest behind a planner on the scan"), cells)
