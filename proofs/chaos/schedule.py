"""When which fault comes, and to whom: a function of the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proofs.chaos.kinds import Kind

JITTER_FRAC = 0.25
"""A fault comes up to so much of a period earlier or later, so that it meets the run's own rhythms at any phase."""


@dataclass(frozen=True)
class Planned:
    """One fault to come."""

    number: int
    kind: Kind
    at_s: float
    """Since the first moment at which the run was well."""
    draw: float
    """In [0, 1): which of the candidates, in the order in which they started."""

    def pick(self, num_candidates: int) -> int:
        """Return the index of the victim."""
        return int(self.draw * num_candidates)


def make_schedule(kinds: Sequence[Kind], seed: int, period_s: float, num_faults: int) -> list[Planned]:
    """Return ``num_faults`` faults, one a period: all kinds in random order, then all again.

    ValueError without a kind, or unless ``period_s`` is above 0.
    """
    if not kinds or period_s <= 0.0:
        raise ValueError("a schedule needs a kind of fault and a period above 0 s")
    rng = np.random.default_rng(seed)
    order: list[Kind] = []
    while len(order) < num_faults:
        order += [kinds[i] for i in rng.permutation(len(kinds))]
    planned = []
    for number, kind in enumerate(order[:num_faults]):
        shift, draw = rng.uniform(-JITTER_FRAC, JITTER_FRAC), rng.random()
        planned.append(Planned(number, kind, period_s * (number + 1 + shift), draw))
    return planned
