"""Settings that ``python -m proofs tune_planners`` found, on other worlds than those on which planners are judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TUNING_SEED = 4_000_037
"""Seed of the worlds on which settings were chosen; evaluations take other ones (1,000,003 by default)."""


@dataclass(frozen=True)
class Tuning:
    """Settings, and how they were found."""

    settings: dict[str, Any] = field(default_factory=dict)
    """Those that differ from the planner's own defaults."""
    how: str = "its defaults are the best found"
    """Worlds, number of tries, and success before and after."""


TUNED: dict[str, Tuning] = {
    "orca": Tuning(
        {"safety_space_m": 0.05, "share": 1.0, "horizon_s": 2.0},
        "by hand on seed 0, standard stage 4: nobody avoids the robot, so that it takes on the whole avoidance",
    ),
}
"""By the planner's name; a planner without an entry has nothing to tune."""
