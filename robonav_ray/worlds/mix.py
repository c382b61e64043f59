"""Which worlds of a stage run which of its parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import ValidationError

from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.config.worlds.level import PartConfig

GOLDEN = (5.0**0.5 - 1.0) / 2.0


def with_parts(levels: Sequence[LevelConfig]) -> tuple[LevelConfig, ...]:
    """Return the levels and, behind all of them, what the worlds of each one's parts run."""
    return (*levels, *(part for level in levels for part in level.of_parts))


def worlds_with_parts(world: WorldConfig, levels: Sequence[LevelConfig]) -> tuple[WorldConfig, ...]:
    """Return what the worlds of each level in ``with_parts(levels)`` are like: ``world``, of parts as they have it.

    Raises:
        ValueError: Naming the part, for one that does not go with ``world``.
    """
    parts = [(i, j, part) for i, level in enumerate(levels) for j, part in enumerate(level.mix)]
    return (*(world for _ in levels), *(_in_part(world, i, j, part) for i, j, part in parts))


def _in_part(world: WorldConfig, level: int, number: int, part: PartConfig) -> WorldConfig:
    own = part.of_world
    if not own:
        return world
    try:
        return WorldConfig.model_validate({**world.model_dump(), **own})
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"level {level}, mix.{number} ({', '.join(own)}): {said}") from None


class Mix:
    """The level in ``with_parts(levels)`` of every world.

    A world's part hangs on its number in the run alone, so that any split of worlds over workers gives the same ones.
    World i stands at the fractional part of i times the golden ratio: any run of neighbours is spread evenly over the
    parts (Kronecker's sequence), and so is each part over the ladder of exploration.
    """

    def __init__(self, levels: Sequence[LevelConfig]) -> None:
        """Take the levels, each with its parts."""
        self.num_levels = len(levels)
        self._edges = [np.cumsum([part.frac for part in level.mix]) for level in levels]
        sizes = [len(level.mix) for level in levels]
        self._first = [len(levels) + sum(sizes[:i]) for i in range(len(levels))]
        self._whole = np.concatenate([np.arange(len(levels)), np.repeat(np.arange(len(levels)), sizes)])

    def of_worlds(self, level: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return (N,) int64: what the worlds with the numbers ``index`` (N,) run at their levels ``level`` (N,), parts
        standing for the levels that they are of.
        """
        level, spot = self._whole[level], (index * GOLDEN) % 1.0
        found = level.copy()
        for i, edges in enumerate(self._edges):
            part = np.searchsorted(edges, spot, side="right")
            np.copyto(found, self._first[i] + part, where=(level == i) & (part < len(edges)))
        return found
