"""What an A/B test has come to, and its files: ``ab.json``, whose bytes are the evidence of a promotion, and
``ab.html``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.evaluation.ab.gate import Gate, Limits
from robonav_ray.evaluation.ab.paired_test import Decision, PairedTest, Rules, Standing
from robonav_ray.evaluation.exam_table import EntrantFacts
from robonav_ray.files.plain_files import PlainFileError, read_json
from robonav_ray.report.written import strict

AB_JSON, AB_HTML = "ab.json", "ab.html"
FORMAT_VERSION = 1
_MAX_BYTES = 64_000_000


@dataclass(frozen=True)
class AbRecord:
    """A test, its gate, and where it comes from."""

    champion: EntrantFacts
    challenger: EntrantFacts
    num_planned: int
    """Worlds that it may take."""
    rules: Rules
    limits: Limits
    standings: tuple[Standing, ...]
    """After each batch, up to the one that ended it."""
    rates: np.ndarray
    """(2, 2): success and collisions of the challenger, then of the champion, share of worlds."""
    gate: Gate
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Scenarios, seed, command, versions: JSON values."""

    @classmethod
    def of(
        cls,
        facts: Sequence[EntrantFacts],
        num_planned: int,
        test: PairedTest,
        limits: Limits,
        gate: Gate,
        **origin: Any,
    ) -> AbRecord:
        """Return the record of ``test``; ``facts`` are the champion's and the challenger's."""
        standings = tuple(test.standings)
        return cls(facts[0], facts[1], num_planned, test.rules, limits, standings, test.rates, gate, origin)

    @property
    def last(self) -> Standing:
        """Where the test ended."""
        return self.standings[-1]

    @property
    def decision(self) -> Decision:
        """What the paired test says."""
        return self.last.decision

    @property
    def headline(self) -> str:
        """What came of it, in one line."""
        if self.gate.passed:
            return f"{self.challenger.name} is better than {self.champion.name}, and the gate is passed"
        named = ", ".join(row.name for row in self.gate.failed)
        said = {
            Decision.BETTER: f"{self.challenger.name} is better than {self.champion.name}",
            Decision.NOT_YET: f"{self.challenger.name} is not better yet than {self.champion.name}",
            Decision.FUTILE: f"no number of worlds would show {self.challenger.name} to be worth the change",
        }[self.decision]
        return f"{said}; the gate fails at: {named}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        document = {
            "format_version": FORMAT_VERSION,
            "decision": str(self.decision),
            "passed": self.gate.passed,
            "headline": self.headline,
            "rows": [asdict(row) for row in self.gate.rows],
            "num_worlds": self.last.num_worlds,
            "num_planned": self.num_planned,
            "champion": asdict(self.champion),
            "challenger": asdict(self.challenger),
            "rates": {
                one: {"success": float(success), "collision": float(collision)}
                for one, (success, collision) in zip(("challenger", "champion"), self.rates, strict=True)
            },
            "rules": asdict(self.rules),
            "limits": asdict(self.limits),
            "looks": [
                {**asdict(one), "success": one.success._asdict(), "collisions": one.collisions._asdict()}
                for one in self.standings
            ],
            "provenance": dict(self.provenance),
        }
        return strict(document)

    def to_bytes(self) -> bytes:
        """Return ``ab.json``."""
        return (json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n").encode()


def written_in(folder: Path) -> tuple[Path, Path]:
    """Return where the files of a test lie."""
    return folder / AB_HTML, folder / AB_JSON


def found_before(record: AbRecord, folder: Path) -> AbRecord:
    """Return ``record``, told as when ``folder`` was given the same finding before.

    A test that is over and called again finds nothing new: its evidence stays the same file, whose hash the journal
    knows.
    """
    try:
        before = read_json(written_in(folder)[1], _MAX_BYTES)
    except (FileNotFoundError, PlainFileError):  # what is no record of ours is written anew
        return record
    told = before.get("provenance") if isinstance(before, dict) else None
    if not isinstance(told, dict):
        return record
    again = replace(record, provenance=told)
    same_worlds = all(told.get(key) == strict(record.provenance[key]) for key in ("seed", "scenarios"))
    return again if same_worlds and again.to_dict() == before else record
