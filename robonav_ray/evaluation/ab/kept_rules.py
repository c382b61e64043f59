"""The rules by which a test in a folder began: what it guarantees holds for rules that were set before its first look.

::

    DIR/rules/KEY.json     KEY is a hash of entrants, scenarios and seed, so that a folder may hold several tests
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from robonav_ray.errors import UserError
from robonav_ray.evaluation.ab.gate import Limits
from robonav_ray.evaluation.ab.paired_test import Rules
from robonav_ray.evaluation.ab.worlds import Batches
from robonav_ray.evaluation.entrants import Entrant
from robonav_ray.files.plain_files import read_json, replace

FOLDER = "rules"
_MAX_BYTES = 10_000


class ChangedRulesError(UserError):
    """A test that has been looked at would go on by other rules; the message names the file and what to do."""


@dataclass(frozen=True)
class KeptRules:
    """The rules of one test."""

    path: Path
    rules: dict[str, float]
    """By the names of the options, with ``_``."""

    @classmethod
    def of(cls, folder: Path, entrants: Sequence[Entrant], batches: Batches, rules: Rules, limits: Limits) -> KeptRules:
        """Return the rules of the test of these entrants in these worlds, however many, in ``folder``."""
        first = batches.suite.all_scenarios()[: batches.num_scenarios]
        told = [
            [one.fingerprint for one in entrants],
            [one.model_dump(mode="json", exclude={"num_episodes"}) for one in first],
        ]
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        return cls(folder / FOLDER / f"{key}.json", {**asdict(rules), "area_margin": limits.area_margin})

    def check(self) -> None:
        """Return when the test is new, or began by the same rules.

        Raises:
            ChangedRulesError: When it began by others, naming each.
            PlainFileError: When something else stands in the place of the file.
        """
        try:
            began = read_json(self.path, _MAX_BYTES)
        except FileNotFoundError:
            return
        anew = "begin another test in other worlds (--seed)"
        if not isinstance(began, dict) or began.keys() != self.rules.keys():
            raise ChangedRulesError(f"{self.path}: does not hold the rules of a test (damaged); {anew}")
        if other := {key: began[key] for key, value in self.rules.items() if began[key] != value}:
            options = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in other.items())
            raise ChangedRulesError(
                f"{self.path}: the test began by other rules, and one that changes them after a look guarantees "
                f"nothing: go on with {options}, or {anew}"
            )

    def keep(self) -> None:
        """Write them down, before the first look; OSError when that cannot be."""
        self.path.parent.mkdir(exist_ok=True)
        replace(self.path, json.dumps(self.rules, indent=1) + "\n")
