"""What an A/B test does to the registry: an entry of the journal in any case, and the champion's alias moved when the
gate is passed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from robonav_ray.evaluation.ab.record import AbRecord
from robonav_ray.evaluation.find_entrants import split_name
from robonav_ray.registry.journal import MAX_REASON, JournalEntry
from robonav_ray.registry.names import RegistryError, model_named, version_number
from robonav_ray.registry.registry import Registry
from robonav_ray.registry.versions import Version

AB_TEST = "ab_test"
"""Kind of the entry."""


@dataclass(frozen=True)
class Contest:
    """Two versions of one model, as they stood when the test began."""

    registry: Registry
    champion: Version
    challenger: Version
    alias: str | None
    """By which the champion was named, and which a promotion moves; None where it was named by number."""
    generation: int = 0
    """Of the alias: a promotion is refused when it has moved meanwhile."""
    names: tuple[str | None, str | None] = (None, None)
    """That the user gave champion and challenger; None for their own."""

    @classmethod
    def of(cls, champion: str, challenger: str, opened: Callable[[str | None], Registry]) -> Contest | None:
        """Return the contest of two words ``NAME@REF`` or ``old=NAME@REF``; None unless both name versions of one
        model.

        ``opened`` gives the registry at a place, None for the one that is looked in unless a word names another.

        Raises:
            RegistryError: For a word that can be nothing but a model's name and is wrong, or a model, an alias or a
                version that there is not.
        """
        (old, champion), (new, challenger) = split_name(champion), split_name(challenger)
        first, second = model_named(champion), model_named(challenger)
        if first is None or second is None or (first.place, first.name) != (second.place, second.name):
            return None
        registry = opened(first.place)
        alias = None if version_number(first.ref) is not None else first.ref
        stands = None if alias is None else registry.aliases(first.name).get(alias)
        return cls(
            registry,
            registry.version(first.name, first.ref if stands is None else stands.version),
            registry.version(first.name, second.ref),
            alias,
            0 if stands is None else stands.generation,
            (old, new),
        )

    @property
    def words(self) -> tuple[str, str]:
        """Champion and challenger as entrants of an exam: pinned to their versions, by names that tell them apart."""
        names = [self.names[0] or self.champion.ref, self.names[1] or self.challenger.ref]
        if names[0] == names[1]:
            names[1] += " again"
        return f"{names[0]}={self.champion.location}", f"{names[1]}={self.challenger.location}"

    def check_promotable(self) -> None:
        """Raise RegistryError when a promotion would move nothing."""
        if self.alias is None:
            raise RegistryError(
                f"--promote: {self.champion.ref} names a version, and a promotion moves an alias; name the champion by "
                f"its alias ({self.champion.name}@champion)"
            )

    def note(self, record: AbRecord, evidence: bytes) -> JournalEntry:
        """Write into the journal what the test has come to, once for each finding, and return the entry.

        Raises:
            RegistryError: When the journal is damaged.
            OSError: When it cannot be written.
        """
        sha256 = hashlib.sha256(evidence).hexdigest()
        for entry in self.registry.journal(self.champion.name):
            if entry.kind == AB_TEST and entry.evidence_sha256 == sha256:
                return entry
        facts = {
            "champion": self.champion.number,
            "challenger": self.challenger.number,
            "decision": str(record.decision),
            "passed": record.gate.passed,
            "failed": [row.name for row in record.gate.failed],
            "num_worlds": record.last.num_worlds,
        }
        return self.registry.note(self.champion.name, AB_TEST, _reason(record), facts=facts, evidence=evidence)

    def promote(self, record: AbRecord, evidence: bytes) -> JournalEntry | None:
        """Move the alias to the challenger; None when it stands there already.

        Raises:
            RefusedError: Unless the gate is passed.
            MovedMeanwhileError: When the alias has moved since the test began.
        """
        record.gate.require()
        self.check_promotable()
        assert self.alias is not None
        return self.registry.set_alias(
            self.champion.name,
            self.alias,
            self.challenger.number,
            expected_generation=self.generation,
            reason=_reason(record),
            evidence=evidence,
        )


def _reason(record: AbRecord) -> str:
    return record.headline[:MAX_REASON]
