"""What came of the fleet's episodes: every line vetted by value, counted by what it was, and taken at most once."""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple

from robonav_ray.evaluation.fleet.exposures import Exposure, OtherSplitError, mapping_of, vetted_exposure
from robonav_ray.evaluation.fleet.split import Arm, FleetError, FleetSplit, check_episode, check_time_s, check_word
from robonav_ray.records import Outcome

MAX_EPISODES = 1_000_000
"""Episodes of a test that are held; later ones are counted as over."""
WINDOW_S = 24 * 3600.0
"""An outcome that comes later than this after its exposure is late."""
SKEW_S = 300.0
"""By so much the clocks of a robot and of what assigns may differ."""
ENDINGS: dict[str, bool] = {
    **{one.name.lower(): one.is_collision for one in Outcome if one is not Outcome.NONE},
    "collision": True,
}
"""What an outcome may say, and whether it is a collision."""

Fate = Literal["taken", "malformed", "too long", "unknown", "repeated", "contradicted", "late", "over", "other split"]
"""What became of a line. unknown: no exposure of that episode; repeated: the same again; contradicted: another outcome
for an episode that has one, which is kept; over: beyond MAX_EPISODES."""


class Ended(NamedTuple):
    """An episode with its outcome."""

    arm: Arm
    collided: bool


class FleetBook:
    """The episodes of a test: who drove them, and how they ended."""

    def __init__(self, split: FleetSplit, window_s: float = WINDOW_S) -> None:
        """Begin without an episode."""
        self._split, self._window_s = split, window_s
        self._exposures: dict[tuple[str, int], Exposure] = {}
        self._endings: dict[tuple[str, int], str] = {}
        self.exposure_fates: Counter[Fate] = Counter()
        self.outcome_fates: Counter[Fate] = Counter()
        self.exposed: Counter[Arm] = Counter()
        """Episodes that were given each arm."""
        self.ended: Counter[Arm] = Counter()
        """Episodes with an outcome."""
        self.collided: Counter[Arm] = Counter()

    def take_exposure(self, line: bytes | None) -> Fate:
        """Take in a line of the exposure log (None: one that was too long); return what became of it."""
        fate = self._exposure_fate(line)
        self.exposure_fates[fate] += 1
        return fate

    def take_outcome(self, line: bytes | None) -> Ended | None:
        """Take in a line from a robot; return the episode that it ends, None for a line that counts for nothing."""
        found = self._ended(line)
        self.outcome_fates["taken" if isinstance(found, Ended) else found] += 1
        if not isinstance(found, Ended):
            return None
        self.ended[found.arm] += 1
        self.collided[found.arm] += found.collided
        return found

    def _exposure_fate(self, line: bytes | None) -> Fate:
        if line is None:
            return "too long"
        try:
            told = vetted_exposure(line, self._split)
        except OtherSplitError:
            return "other split"
        except FleetError:
            return "malformed"
        key = told.robot, told.episode
        if key in self._exposures:
            return "repeated"
        if len(self._exposures) >= MAX_EPISODES:
            return "over"
        self._exposures[key] = told
        self.exposed[told.arm] += 1
        return "taken"

    def _ended(self, line: bytes | None) -> Ended | Fate:
        if line is None:
            return "too long"
        try:
            told = mapping_of(line)
            key = check_word(told.get("robot"), "robot"), check_episode(told.get("episode"))
            ending = told.get("outcome")
            time_s = None if told.get("time_s") is None else check_time_s(told["time_s"])
        except FleetError:
            return "malformed"
        if not isinstance(ending, str) or ending not in ENDINGS:
            return "malformed"
        exposure = self._exposures.get(key)
        if exposure is None:
            return "unknown"
        if key in self._endings:
            return "repeated" if self._endings[key] == ending else "contradicted"
        age_s = 0.0 if time_s is None else time_s - exposure.time_s
        if not -SKEW_S <= age_s <= self._window_s:
            return "late" if age_s > 0.0 else "malformed"
        self._endings[key] = ending
        return Ended(exposure.arm, ENDINGS[ending])
