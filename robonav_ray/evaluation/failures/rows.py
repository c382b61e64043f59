"""The episodes of an exam that failed, a row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.metrics.meter import END_COLUMNS, LOOK_COLUMNS, LOOK_TENTHS_S
from robonav_ray.records import Outcome

TOLD = (*END_COLUMNS, *LOOK_COLUMNS, "remaining_m")
"""Columns of an exam that say what led to a failure; NaN where the meter did not run."""
_KINDS = {
    Outcome.COLLISION_STATIC: "hit an obstacle that stands",
    Outcome.COLLISION_DYNAMIC: "hit an obstacle that moves",
    Outcome.COLLISION_WALL: "hit a wall",
    Outcome.COLLISION_ROBOT: "hit another robot",
    Outcome.TIMEOUT: "time up",
    Outcome.CUT_OFF: "cut off",
}


def kind_text(outcome: int) -> str:
    """Return how an episode failed, for people."""
    return _KINDS[Outcome(outcome)]


@dataclass(frozen=True)
class Failures:
    """Failed episodes in the order of the exam, (F,) arrays."""

    table: ExamTable
    row: np.ndarray
    """(F,) int64: rows of the exam."""

    def __len__(self) -> int:
        return len(self.row)

    def of(self, name: str) -> np.ndarray:
        """Return a column of the exam for these episodes, (F,); all NaN where the exam has none of this name."""
        column = self.table.columns.get(name)
        return np.full(len(self), np.nan) if column is None else column[self.row]

    def only(self, mask: np.ndarray) -> Failures:
        """Return those with ``mask`` (F,) bool, or at these positions."""
        return Failures(self.table, self.row[mask])

    @property
    def impact(self) -> np.ndarray:
        """(F,) float64: how fast the two bodies came together along the line of centres, m/s; 0 where none was hit."""
        hit = (self.of("outcome") >= Outcome.COLLISION_STATIC) & (self.of("outcome") <= Outcome.COLLISION_ROBOT)
        speed = self.of("end_own_closing") + self.of("end_other_closing")
        return np.where(hit & np.isfinite(speed), speed, 0.0)

    def at(self, name: str, i: int) -> float:
        """Return one number of one of them; NaN where the exam has no column of this name."""
        column = self.table.columns.get(name)
        return float("nan") if column is None else float(column[self.row[i]])

    def cell(self, i: int) -> tuple[int, int]:
        """Return (entrant, scenario) of one of them, by number."""
        return int(self.at("entrant", i)), int(self.at("scenario", i))

    def case(self, i: int) -> str:
        """Return the name of a case, as ``robonav play --case`` takes it: ``SUITE:SCENARIO:INDEX``."""
        facts = self.table.scenarios[self.cell(i)[1]]
        return f"{facts.suite}:{facts.name}:{int(self.at('world', i))}"

    def record(self, i: int) -> dict[str, Any]:
        """Return one row for people and programs: None where a number is not told."""
        entrant, scenario = self.cell(i)
        facts, outcome = self.table.scenarios[scenario], Outcome(int(self.at("outcome", i)))
        own, other = self.at("end_own_closing", i), self.at("end_other_closing", i)
        is_told = outcome.is_collision and np.isfinite(own + other)
        return {
            "entrant": self.table.entrants[entrant].name,
            "suite": facts.suite,
            "scenario": facts.name,
            "index": int(self.at("world", i)),
            "case": self.case(i),
            "kind": kind_text(outcome),
            "step": int(self.at("length", i)),
            "bearing_deg": _rounded(np.degrees(self.at("end_bearing_rad", i)), 1),
            "speed_of_other": _rounded(self.at("end_other_speed", i), 3),
            "own_speed": _rounded(self.at("end_own_speed", i), 3),
            "moved_into_the_other": None if not is_told else "robot" if own > other else "other",
            "density_per_m2": _rounded(self.at("end_density_per_m2", i), 3),
            "clearance_before_m": _rounded(self.at("end_clearance_before_m", i), 3),
        }


def failures_of(table: ExamTable, entrant: int | None = None) -> Failures:
    """Return the failed episodes of an exam, or of one entrant; those whose environment tells no outcome are none, nor
    are cases that several share, which are no one robot's failures.
    """
    outcome = table.columns["outcome"]
    failed = (outcome != Outcome.SUCCESS) & (outcome != Outcome.NONE)
    shared = [s for s, facts in enumerate(table.scenarios) if facts.beside is not None]
    failed &= ~np.isin(table.columns["scenario"], shared)
    if entrant is not None:
        failed &= table.columns["entrant"] == entrant
    return Failures(table, np.flatnonzero(failed))


def looks(failures: Failures) -> np.ndarray:
    """Return the last 2 s of each in the robot's frame, (F, 5, 4) float64, newest first.

    The four numbers are x and y of the thing, the robot's speed and its turn rate.
    """
    names = [f"last_{tenths:02d}_{what}" for tenths in LOOK_TENTHS_S for what in ("x_m", "y_m", "speed", "turn_rate")]
    return np.stack([failures.of(name) for name in names], axis=-1).reshape(len(failures), len(LOOK_TENTHS_S), 4)


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
