"""Samplers that learn nothing from the trials: chance, and every combination in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robonav_ray.tuning.samplers.base import draw
from robonav_ray.tuning.space import Params, Space


class _Deaf:
    """A sampler whose answer for trial ``number`` depends on nothing but the number."""

    def assume(self, number: int, params: Mapping[str, Any]) -> None:
        """Nothing to take note of."""

    def tell(self, number: int, params: Mapping[str, Any], objective: float | None) -> None:
        """Nothing to learn."""


class RandomSampler(_Deaf):
    """Independent values for every trial (Bergstra and Bengio 2012), a function of (seed, number)."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.seed = space, seed

    def ask(self, number: int) -> Params:
        """Return the values of trial ``number``."""
        return draw(self.space, self.seed, number)


class GridSampler(_Deaf):
    """All combinations in order, the first key changing most slowly."""

    def __init__(self, space: Space) -> None:
        """ValueError when a key has no end of values."""
        self.space = space
        space.grid_point(0)

    def ask(self, number: int) -> Params | None:
        """Return combination ``number``, or None behind the last."""
        return self.space.grid_point(number) if number < (self.space.grid_size or 0) else None
