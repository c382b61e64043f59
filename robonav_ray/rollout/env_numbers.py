"""Numbers that an environment tells of its episodes, on their way to the metrics: sums of a worker; ``env_watch``
averages them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from robonav_ray.records import EpisodeFacts

MAX_NAMES = 32
"""Different names that are taken from an environment; later ones are dropped."""
_SHOWN = 5


class NumberSums(NamedTuple):
    """What ended episodes told: (sum, episodes) by name, and what could not be taken."""

    sums: Mapping[str, tuple[float, int]] = {}
    num_dropped: int = 0
    dropped: tuple[str, ...] = ()
    """Some of the names of what was dropped."""

    def plus(self, other: NumberSums) -> NumberSums:
        """Return both together."""
        sums = dict(self.sums)
        for name, (total, num) in other.sums.items():
            before = sums.get(name, (0.0, 0))
            sums[name] = before[0] + total, before[1] + num
        dropped = tuple(dict.fromkeys((*self.dropped, *other.dropped)))[:_SHOWN]
        return NumberSums(sums, self.num_dropped + other.num_dropped, dropped)


def sums_of(facts: EpisodeFacts, known: set[str]) -> NumberSums:
    """Return the sums of one vector step; names beyond ``MAX_NAMES`` are dropped, new ones are added to ``known``."""
    sums: dict[str, tuple[float, int]] = {}
    dropped = list(facts.dropped)
    for name, values in facts.numbers.items():
        told = values[~np.isnan(values)]
        if name in known or len(known) < MAX_NAMES:
            known.add(name)
            sums[name] = float(told.sum()), len(told)
        else:
            dropped += [name] * len(told)
    return NumberSums(sums, len(dropped), tuple(dict.fromkeys(dropped))[:_SHOWN])
