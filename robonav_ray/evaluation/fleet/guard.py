"""Whether a challenger on a fleet goes on driving: collisions, and whether episodes were split as they should be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from scipy import stats

from robonav_ray.errors import UserError
from robonav_ray.evaluation.comparing.rates import Interval
from robonav_ray.evaluation.comparing.sequential import RunningBounds
from robonav_ray.evaluation.fleet.outcomes import Fate, FleetBook
from robonav_ray.evaluation.fleet.split import Arm, FleetSplit

LOOK_EACH, LOOK_GROWTH = 50, 1.02
"""A look after so many outcomes, or so much more of them, whichever is later."""
FIRST_CHECK, MISMATCH_P = 200, 0.001
"""The split is held against its share at so many episodes and each time that they have doubled."""


class Status(StrEnum):
    """Whether the challenger goes on."""

    WATCHING = "watching"
    MISMATCH = "split is off"
    """Episodes are not split by the share: no difference between the arms can be trusted. Collisions are still
    watched."""
    WITHIN = "within the rail"
    """That it collides more by the rail is excluded. It goes on being watched."""
    ROLL_BACK = "roll back"


@dataclass(frozen=True)
class Rail:
    """What is asked of a challenger, and how surely."""

    collisions: float = 0.05
    """It is within the rail when its collisions are surely not more by this share of episodes."""
    alpha: float = 0.05
    """How probably a bound is ever wrong, over all looks."""

    def __post_init__(self) -> None:
        """UserError for what cannot be."""
        for option, name, low, high in (("rail", "collisions", 0.001, 0.5), ("alpha", "alpha", 1e-6, 0.25)):
            if not low <= vars(self)[name] <= high:
                raise UserError(f"--{option} {vars(self)[name]}: must be from {low:g} to {high:g} ({name} of a Rail)")


class SplitCheck:
    """Holds counts of two arms against the share (chi-square), at counts that double, so that peeking does not add up.

    A thousand episodes or a million: a split that is right is found wrong with a probability of about 1 %.
    """

    def __init__(self, share: float) -> None:
        """``share`` is the challenger's."""
        self._share, self._next = share, FIRST_CHECK
        self.is_off = False
        """Once found so, for good."""

    def look(self, challenger: int, champion: int) -> None:
        """Take in the counts so far, where it is time to."""
        if challenger + champion >= self._next:
            self._next = 2 * (challenger + champion)
            self.is_off |= split_p(challenger, champion, self._share) < MISMATCH_P


def split_p(challenger: int, champion: int, share: float) -> float:
    """Return p of the chi-square test that two counts are split by ``share``; 1 for none."""
    total = challenger + champion
    if not total:
        return 1.0
    expected = (total * share, total * (1.0 - share))
    return float(stats.chisquare((challenger, champion), expected).pvalue)


@dataclass(frozen=True)
class FleetStanding:
    """Where a test on a fleet stands."""

    status: Status
    reason: str
    difference: Interval
    """Collisions of the challenger minus the champion's, share of episodes, at the last look; each bound holds at all
    looks with probability 1 - alpha."""
    num_looks: int
    exposed: Mapping[Arm, int]
    ended: Mapping[Arm, int]
    collided: Mapping[Arm, int]
    split_p: dict[str, float]
    """Of exposures and of outcomes: an arm that loses outcomes shows in the second."""
    lines: Mapping[str, Mapping[Fate, int]]
    """What became of each line, by file and fate."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        told = dataclasses.asdict(self)
        told["difference"] = {k: None if math.isnan(v) else v for k, v in self.difference._asdict().items()}
        return told


@dataclass
class FleetGuard:
    """Takes in lines from a fleet in the order in which they come, and says when its challenger has to go.

    The difference in collisions is the mean of y t / s - y (1 - t) / (1 - s): y a collision, t the challenger's arm, s
    its share (Horvitz & Thompson 1952). Its bounds are those of ``comparing.sequential``, so that every look counts and
    rates may drift, as long as they drift for both arms.

    ``ROLL_BACK`` comes when the lower bound is above 0: it surely collides more. ``WITHIN`` says that the upper bound
    is at most the rail: harm of that size is excluded. Each is wrong with a probability of alpha at most.
    """

    split: FleetSplit
    rail: Rail = field(default_factory=Rail)

    def __post_init__(self) -> None:
        """Begin without an episode."""
        self.book = FleetBook(self.split)
        share = self.split.share
        self._values = (-1.0 / (1.0 - share), 0.0, 1.0 / share)
        self._counts = np.zeros(3, np.int64)
        self._bounds = RunningBounds(self._values, self.rail.alpha)
        self._found = Interval(math.nan, self._values[0], self._values[2])
        self._next_look, self._num_looks = LOOK_EACH, 0
        self._checks = SplitCheck(share), SplitCheck(share)
        self._why = ""

    def take_exposures(self, lines: Iterable[bytes | None]) -> None:
        """Take in lines of the exposure log; None for one that was too long."""
        exposed = self.book.exposed
        for line in lines:
            if self.book.take_exposure(line) == "taken":
                self._checks[0].look(exposed["challenger"], exposed["champion"])

    def take_outcomes(self, lines: Iterable[bytes | None]) -> None:
        """Take in lines from robots; what comes after a rollback is counted, and changes nothing."""
        ended = self.book.ended
        for line in lines:
            found = self.book.take_outcome(line)
            if found is None:
                continue
            self._checks[1].look(ended["challenger"], ended["champion"])
            self._counts[1 if not found.collided else 2 if found.arm == "challenger" else 0] += 1
            if ended.total() >= self._next_look and not self._why:
                self._look()

    def _look(self) -> None:
        total = int(self._counts.sum())
        self._next_look = max(total + LOOK_EACH, math.ceil(total * LOOK_GROWTH))
        self._num_looks += 1
        self._found = found = self._bounds.look(self._counts)
        if found.low > 0.0:
            self._why = f"the challenger surely collides more often: by at least {100 * found.low:.2f} points"

    @property
    def must_roll_back(self) -> bool:
        """Whether the challenger has to go."""
        return bool(self._why)

    def standing(self) -> FleetStanding:
        """Return where the test stands."""
        book = self.book
        off = [what for what, check in zip(("exposures", "outcomes"), self._checks, strict=True) if check.is_off]
        if self._why:
            status, reason = Status.ROLL_BACK, self._why
        elif off:
            share = f"{100 * self.split.share:g} %"
            status, reason = Status.MISMATCH, f"{' and '.join(off)} are not split as {share} to the challenger"
        elif self._found.high <= self.rail.collisions:
            status, reason = Status.WITHIN, f"collisions surely not more by {100 * self.rail.collisions:g} points"
        else:
            status, reason = Status.WATCHING, "nothing speaks against the challenger"
        counts = {"exposures": book.exposed, "outcomes": book.ended}
        return FleetStanding(
            status,
            reason,
            self._found,
            self._num_looks,
            dict(book.exposed),
            dict(book.ended),
            dict(book.collided),
            {what: split_p(n["challenger"], n["champion"], self.split.share) for what, n in counts.items()},
            {"exposures": dict(book.exposure_fates), "outcomes": dict(book.outcome_fates)},
        )
