"""What every generator is given, and the lengths that it works with in cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

from robonav_ray.config.worlds.maps import MapConfig


@dataclass(frozen=True)
class Plan:
    """Size and measures of a map that is to be made, in cells."""

    rows: int
    columns: int
    resolution_m: float
    passage_m: float
    fill_frac: float
    index: int
    """Number of the map among those of its config."""

    @property
    def passage(self) -> int:
        """Least width of a passage: one cell more than ``passage_m`` takes, so that of an even number of cells, too,
        some centre is ``passage_m / 2`` from either wall.
        """
        return self.cells(self.passage_m) + 1

    @property
    def wall(self) -> int:
        """How thick a wall is: 15 cm."""
        return max(1, round(0.15 / self.resolution_m))

    def cells(self, length_m: float) -> int:
        """Return the number of cells that a length takes, at least one."""
        return max(1, math.ceil(length_m / self.resolution_m - 1e-6))


def plan_of(config: MapConfig, index: int) -> Plan:
    """Return the measures of map number ``index``."""
    return Plan(
        rows=round(config.height_m / config.resolution_m),
        columns=round(config.width_m / config.resolution_m),
        resolution_m=config.resolution_m,
        passage_m=config.passage_m,
        fill_frac=config.fill_frac,
        index=index,
    )


class NoRoomError(ValueError):
    """Passages of this width do not fit into a map of this size."""
