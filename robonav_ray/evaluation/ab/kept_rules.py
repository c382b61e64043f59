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

from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.errors import UserError
from robonav_ray.evaluation.ab.gate import Limits
from robonav_ray.evaluation.ab.paired_test import Rules
from robonav_ray.evaluation.ab.worlds import Batches
from robonav_ray.evaluation.entrants import Entrant
from robonav_ray.files.plain_files import read_json, replace

FOLDER = "rules"
_MAX_BYTES = 10_000
_LATER = frozenset(("area_worlds", "area_sweeps"))
"""What a test that was begun before these were kept does not hold: it goes on, and keeps them from then on."""


class ChangedRulesError(UserError):
    """A test that has been looked at would go on by other rules; the message names the file and what to do."""


@dataclass(frozen=True)
class KeptRules:
    """The rules of one test."""

    path: Path
    rules: dict[str, float | str]
    """By the names of the options, with ``_``; ``area_sweeps`` is a hash of the sweeps of the robustness area."""

    @classmethod
    def of(
        cls,
        folder: Path,
        entrants: Sequence[Entrant],
        batches: Batches,
        area: Suite | None,
        rules: Rules,
        limits: Limits,
    ) -> KeptRules:
        """Return the rules of the test of these entrants in these worlds, however many, in ``folder``; ``area`` is the
        suite of the robustness area.
        """
        first = batches.suite.all_scenarios()[: batches.num_scenarios]
        told = [
            [one.fingerprint for one in entrants],
            [one.model_dump(mode="json", exclude={"num_episodes"}) for one in first],
        ]
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        swept = () if area is None else area.all_scenarios()
        sweeps = json.dumps([one.model_dump(mode="json", exclude={"num_episodes"}) for one in swept], sort_keys=True)
        kept = {
            **asdict(rules),
            "area_margin": limits.area_margin,
            "area_worlds": max((one.num_episodes for one in swept), default=0),
            "area_sweeps": hashlib.sha256(sweeps.encode()).hexdigest()[:16],
        }
        return cls(folder / FOLDER / f"{key}.json", kept)

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
        if not isinstance(began, dict) or began.keys() | _LATER != self.rules.keys():
            raise ChangedRulesError(f"{self.path}: does not hold the rules of a test (damaged); {anew}")
        if other := {key: began[key] for key, value in self.rules.items() if began.get(key, value) != value}:
            options = " ".join(
                "the --suite whose sweeps it began with"
                if key == "area_sweeps"
                else f"--{key.replace('_', '-')} {said}"
                for key, said in other.items()
            )
            raise ChangedRulesError(
                f"{self.path}: the test began by other rules, and one that changes them after a look guarantees "
                f"nothing: go on with {options}, or {anew}"
            )

    def keep(self) -> None:
        """Write them down, before the first look; OSError when that cannot be."""
        self.path.parent.mkdir(exist_ok=True)
        replace(self.path, json.dumps(self.rules, indent=1) + "\n")
