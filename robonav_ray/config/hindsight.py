"""Hindsight: what else an episode shows than how to reach the goal that was asked for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robonav_ray.config.base import Section


class HindsightConfig(Section):
    """Hindsight experience replay (Andrychowicz et al. 2017): transitions are stored again as if another goal had been
    desired.
    """

    strategy: Literal["none", "future", "final", "episode"] = "none"
    """Where the goals of relabelled transitions come from (section 4.5): what was achieved later in the same episode
    (``future``), at its end (``final``) or anywhere in it (``episode``); ``none`` is off. Needs a goal-env."""
    num_goals: int = Field(default=4, ge=1, le=32)
    """k of the paper: relabelled transitions per transition made; ``final`` has one goal, so there it has no effect."""
    max_segment: int = Field(default=1_000, ge=1, le=100_000)
    """Env steps after which a running episode is relabelled in pieces (the bound of what is kept per world)."""

    @property
    def rows_per_step(self) -> int:
        """Rows that hindsight adds per env step; 0 when it is off."""
        return {"none": 0, "final": 1}.get(self.strategy, self.num_goals)
