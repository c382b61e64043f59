"""What a sampler promises, and what those that learn from the trials have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from robonav_ray.tuning.space import Params, Space

MAX_PROPOSALS = 3
"""How often a model is asked again when it proposes what was tried already."""
MAX_DRAWS = 100
"""How often values are drawn at random, after that, before one that was tried already is given out again."""


class Sampler(Protocol):
    """Chooses the values of trials. Trials are numbered from 0; the objective is maximised.

    What it answers depends on the seed and on what it was told and asked, not on when: one that is built anew and told
    of all trials so far (``tell``, and ``assume`` for the unfinished) goes on as if there had been no interruption.
    """

    def ask(self, number: int) -> Params | None:
        """Return the values of trial ``number``; None when there is nothing left to try."""
        ...

    def assume(self, number: int, params: Mapping[str, Any]) -> None:
        """Take note of a trial that an earlier session asked for and that has not ended."""
        ...

    def tell(self, number: int, params: Mapping[str, Any], objective: float | None) -> None:
        """Take note of how a trial ended; None, and what is not finite, means that it failed."""
        ...


class Result(NamedTuple):
    """A trial that has ended."""

    point: np.ndarray
    """Its values (d,) in the unit cube."""
    objective: float


def draw(space: Space, seed: int, number: int, attempt: int = 0) -> Params:
    """Return random values, a function of (seed, number, attempt)."""
    return space.sample(np.random.default_rng([seed, number, attempt]))


class ModelSampler(ABC):
    """A sampler with a model of the objective. The first ``num_startup`` trials are random, and so are all until one
    has succeeded.

    The model is made anew at every question, from the trials in the order of their numbers and from a seed of (seed,
    number). No values are given out twice while others are left to be found in a few draws.
    """

    def __init__(self, space: Space, seed: int, num_startup: int) -> None:
        self.space, self.seed, self.num_startup = space, seed, num_startup
        self._pending: dict[int, np.ndarray] = {}
        self._told: dict[int, tuple[np.ndarray, float | None]] = {}

    @abstractmethod
    def _propose(self, results: Sequence[Result], pending: Sequence[np.ndarray], seed: int) -> np.ndarray:
        """Return the most promising point (d,), given results (at least one) and the points that are being tried."""

    def ask(self, number: int) -> Params:
        """Return the values of trial ``number``, which counts as unfinished from now on."""
        params = self._choose(number)
        self.assume(number, params)
        return params

    def assume(self, number: int, params: Mapping[str, Any]) -> None:
        """Count a trial as unfinished; its values are kept away from."""
        self._pending[number] = self.space.encode(params)

    def tell(self, number: int, params: Mapping[str, Any], objective: float | None) -> None:
        """Learn from a trial that has ended; one that failed counts like the worst of the others."""
        self._pending.pop(number, None)
        succeeded = objective is not None and math.isfinite(objective)
        self._told[number] = (self.space.encode(params), objective if succeeded else None)

    @property
    def results(self) -> list[Result]:
        """Trials that have ended, by number; none while all have failed."""
        worst = min((value for _, value in self._told.values() if value is not None), default=None)
        if worst is None:
            return []
        ended = (self._told[number] for number in sorted(self._told))
        return [Result(point, worst if value is None else value) for point, value in ended]

    def _choose(self, number: int) -> Params:
        tried = {_identity(point) for point in (*self._pending.values(), *(point for point, _ in self._told.values()))}
        results = self.results
        if number >= self.num_startup and results:
            pending = [self._pending[other] for other in sorted(self._pending)]
            for attempt in range(MAX_PROPOSALS):
                seed = int(np.random.SeedSequence([self.seed, number, attempt]).generate_state(1)[0])
                params = self.space.decode(self._propose(results, pending, seed))
                point = self.space.encode(params)
                if _identity(point) not in tried:
                    return params
                pending = [*pending, point]
        for attempt in range(MAX_DRAWS):
            params = draw(self.space, self.seed, number, attempt)
            if _identity(self.space.encode(params)) not in tried:
                return params
        return draw(self.space, self.seed, number)


def _identity(point: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(point, 9).tolist())
