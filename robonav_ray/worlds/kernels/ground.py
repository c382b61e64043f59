"""What stands in the worlds of a level: its rows among those of all levels."""

from __future__ import annotations

from robonav_ray.worlds.kernels.kernel import hot_kernel
from robonav_ray.worlds.kernels.layout import (
    BOXES_FROM,
    BOXES_TO,
    CORNERS_FROM,
    CORNERS_TO,
    WALLS_FROM,
    WALLS_TO,
)


@hot_kernel
def walls_of(wall, ground, k):
    """Return the rows of ``wall`` that stand in worlds of level ``k``."""
    return wall[ground[k, WALLS_FROM] : ground[k, WALLS_TO]]


@hot_kernel
def boxes_of(box, ground, k):
    """Return the rows of ``box`` that stand in worlds of level ``k``."""
    return box[ground[k, BOXES_FROM] : ground[k, BOXES_TO]]


@hot_kernel
def corners_of(corner, ground, k):
    """Return the rows of ``corner`` around which ways bend in worlds of level ``k``."""
    return corner[ground[k, CORNERS_FROM] : ground[k, CORNERS_TO]]
