"""The folder of a test on a fleet, watched: new lines are taken in, and a challenger that has to go is rolled back.

::

    DIR/split.json         who drives what; never changes
    DIR/rail.json          what ends a challenger, and how surely; never changes after the first look
    DIR/exposures.jsonl    written by what assigns, one line before an episode
    DIR/outcomes.jsonl     written by the robots, one line after it
    DIR/rolled_back.json   makes the champion drive everything, from the moment when it is there
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from robonav_ray.evaluation.fleet.exposures import EXPOSURES, OUTCOMES, ROLLED_BACK, whole_lines
from robonav_ray.evaluation.fleet.guard import FleetGuard, FleetStanding, Rail
from robonav_ray.evaluation.fleet.kept_rail import keep_rail, rail_of
from robonav_ray.evaluation.fleet.split import FleetError, FleetSplit
from robonav_ray.files.plain_files import check_folder, read_bytes, replace
from robonav_ray.registry.names import CHALLENGER, CHAMPION, version_number
from robonav_ray.registry.registry import Registry

ROLLBACK = "fleet_rollback"
"""Kind of the journal's entry."""


class FleetWatch:
    """Reads what has come since it last looked; what it decides follows from the lines alone, in their order."""

    def __init__(
        self, folder: Path, registry: Registry | None = None, rail: Rail | None = None, outcomes: Path | None = None
    ) -> None:
        """Watch a folder that holds a split.

        Args:
            folder: Of the test.
            registry: Whose aliases a rollback moves, and whose journal tells of it; None for a model that is in none.
            rail: What ends a challenger; None takes the one that the test began with, else the default.
            outcomes: File of the robots' lines; None takes the one in ``folder``.

        Raises:
            FleetError: When there is no split, it is damaged, or the test began with another rail.
        """
        check_folder(folder)
        self.split = FleetSplit.load(folder)
        self.guard = FleetGuard(self.split, rail_of(folder, **({} if rail is None else asdict(rail))))
        self._folder, self._registry = folder, registry
        self._files = folder / EXPOSURES, folder / OUTCOMES if outcomes is None else outcomes
        self._read = [0, 0]

    @property
    def is_rolled_back(self) -> bool:
        """Whether the champion drives everything."""
        return os.path.lexists(self._folder / ROLLED_BACK)

    def poll(self) -> FleetStanding:
        """Take in new lines, roll the challenger back where it has to go, and return where the test stands.

        Raises:
            PlainFileError: When something else stands in the place of a file.
            UserError: When the registry cannot be moved (robots drive the champion already), or the test began with
                another rail.
        """
        keep_rail(self._folder, self.guard.rail)
        outcomes = self._files[1]
        until = outcomes.lstat().st_size if os.path.lexists(outcomes) else 0  # their exposures are all there by now
        self.guard.take_exposures(self._new_lines(0))
        self.guard.take_outcomes(self._new_lines(1, until))
        standing = self.guard.standing()
        if self.guard.must_roll_back or self.is_rolled_back:
            self._roll_back(standing)
        return standing

    def _new_lines(self, which: int, until: float = math.inf) -> Iterator[bytes | None]:
        for line, behind in whole_lines(self._files[which], self._read[which]):
            if behind > until:
                return
            self._read[which] = behind
            yield line

    def _roll_back(self, standing: FleetStanding) -> None:
        """First the robots, then the registry; what was broken off between the two is finished by the next poll."""
        marker = self._folder / ROLLED_BACK
        if not self.is_rolled_back:
            told = {"split": self.split.key, **standing.to_dict()}
            replace(marker, json.dumps(told, indent=1, allow_nan=False) + "\n")
        if self._registry is not None:
            self._move_aliases(self._registry, standing, read_bytes(marker))

    def _move_aliases(self, registry: Registry, standing: FleetStanding, evidence: bytes) -> None:
        split = self.split
        name, champion, challenger = split.name, version_number(split.champion), version_number(split.challenger)
        if champion is None or challenger is None:
            raise FleetError(f"{name}: {split.champion} and {split.challenger} are no versions of a registry")
        why = standing.reason if self.guard.must_roll_back else f"{ROLLED_BACK} was put there"
        reason = f"rolled back on the fleet: {why}"
        known = (entry for entry in registry.journal(name) if entry.kind == ROLLBACK)
        noted = next((entry for entry in known if entry.facts.get("split") == split.key), None)
        if noted is None:
            facts = {"split": split.key, "champion": champion, "challenger": challenger, "ended": standing.ended}
            noted = registry.note(name, ROLLBACK, reason, facts=facts, evidence=evidence)
        for alias in (CHAMPION, CHALLENGER):
            stands = registry.aliases(name).get(alias)
            if stands != noted.aliases.get(alias):  # moved since: by this rollback, or on purpose
                continue
            if stands is not None and stands.version == challenger:
                registry.set_alias(
                    name, alias, champion, expected_generation=stands.generation, reason=reason, evidence=evidence
                )
