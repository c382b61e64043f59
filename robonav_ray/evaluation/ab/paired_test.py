"""The paired test of an A/B: success better, collisions not worse by a margin, looked at after every batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from robonav_ray.errors import UserError
from robonav_ray.evaluation.comparing.power import mcnemar_worlds
from robonav_ray.evaluation.comparing.rates import Interval, paired_rates
from robonav_ray.evaluation.comparing.sequential import PAIR_VALUES, RunningBounds, pair_counts, refuted


class Decision(StrEnum):
    """What the worlds so far say."""

    BETTER = "better"
    """The challenger succeeds more often, and collides not more often by the margin."""
    NOT_YET = "not better yet"
    """More worlds may show it."""
    FUTILE = "futile"
    """It gains surely less than is worth a change, or surely collides more often by the margin."""


@dataclass(frozen=True)
class Rules:
    """What the test holds a challenger to."""

    alpha: float = 0.05
    """How probably a challenger that is no better is ever called better, over all looks; the same for the margin."""
    collision_margin: float = 0.02
    """Share of worlds by which its collisions must surely not be more."""
    least_gain: float = 0.01
    """Gain in success below which a change is not worth it: the test ends where the gain is surely less."""

    def __post_init__(self) -> None:
        """UserError for what cannot be."""
        for name, low, high in (("alpha", 1e-6, 0.25), ("collision_margin", 0.001, 0.5), ("least_gain", 0.001, 0.5)):
            value = vars(self)[name]
            if not low <= value <= high:
                raise UserError(f"{name} is {value!r} and must be from {low:g} to {high:g}")


class Looks(NamedTuple):
    """What has been shown by each look, (..., L) bool each; what has been shown stays so."""

    better: np.ndarray
    not_worse: np.ndarray
    futile: np.ndarray

    @property
    def decided(self) -> np.ndarray:
        """(...) int64: number of the look that ends the test, L for none."""
        ends = (self.better & self.not_worse) | self.futile
        return np.where(ends.any(-1), ends.argmax(-1), ends.shape[-1])

    @property
    def wins(self) -> np.ndarray:
        """(...) bool: whether the test ends with a challenger that is better."""
        last = np.minimum(self.decided, self.better.shape[-1] - 1)[..., None]
        return np.take_along_axis(self.better & self.not_worse, last, -1)[..., 0]


def look_at(success: np.ndarray, collisions: np.ndarray, rules: Rules) -> Looks:
    """Return what running totals (..., L, 3) of pairs say at each of L looks; see ``sequential.PAIR_VALUES``."""
    alpha, margin = rules.alpha, rules.collision_margin
    return Looks(
        refuted(success, PAIR_VALUES, 0.0, alpha, above=True),
        refuted(collisions, PAIR_VALUES, margin, alpha, above=False),
        refuted(success, PAIR_VALUES, rules.least_gain, alpha, above=False)
        | refuted(collisions, PAIR_VALUES, margin, alpha, above=True),
    )


@dataclass(frozen=True)
class Standing:
    """Where the test stands after a batch."""

    decision: Decision
    num_worlds: int
    success: Interval
    """Challenger minus champion, share of worlds; each bound holds at all looks with probability 1 - alpha."""
    collisions: Interval
    is_better: bool
    is_not_worse: bool
    discordant_frac: float
    """Worlds in which just one of the two succeeds: the fewer, the sooner a difference is found."""


@dataclass
class PairedTest:
    """Takes in batches of worlds that both have played, and says where the test stands."""

    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        """Begin without a world."""
        self._totals = list[np.ndarray]()
        self._bounds = [RunningBounds(PAIR_VALUES, self.rules.alpha) for _ in range(2)]
        self.standings = list[Standing]()
        """After each batch."""
        self.rates = np.zeros((2, 2))
        """Share of worlds with success and with a collision, of the challenger and of the champion."""

    def add(self, challenger: np.ndarray, champion: np.ndarray) -> Standing:
        """Take in a batch, (2, W) bool each: success and collision in the same worlds; return where it stands.

        Raises:
            ValueError: When the two have not played the same number of worlds.
        """
        if challenger.shape != champion.shape or challenger.ndim != 2 or len(challenger) != 2:
            raise ValueError(f"a batch is (2, W) twice, not {challenger.shape} and {champion.shape}")
        counts = np.stack([pair_counts(paired_rates(*pair)) for pair in zip(challenger, champion, strict=True)])
        self._totals.append(counts + self._totals[-1] if self._totals else counts)
        total, more = int(self._totals[-1][0].sum()), challenger.shape[1]
        self.rates += (np.stack([challenger.mean(1), champion.mean(1)]) - self.rates) * more / total
        success, collisions = np.swapaxes(np.array(self._totals), 0, 1)
        looks = look_at(success, collisions, self.rules)
        better, not_worse, futile = (bool(shown[-1]) for shown in looks)
        decision = Decision.BETTER if better and not_worse else Decision.FUTILE if futile else Decision.NOT_YET
        gain, harm = (kept.look(one) for kept, one in zip(self._bounds, self._totals[-1], strict=True))
        alone = 1.0 - int(self._totals[-1][0, 1]) / total
        self.standings.append(Standing(decision, total, gain, harm, better, not_worse, alone))
        return self.standings[-1]


def more_worlds(standing: Standing) -> int | None:
    """Return about how many worlds a difference as large as the one seen takes in all; None for none or a loss.

    That is what McNemar's test takes for it at 80 %, times the price of looking after every batch (about 1.7).
    """
    if not standing.success.value > 0.0:
        return None
    needed = mcnemar_worlds(standing.discordant_frac, standing.success.value)
    return None if needed is None else math.ceil(1.7 * needed / 250) * 250
