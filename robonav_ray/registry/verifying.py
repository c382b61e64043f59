"""Whether a model is as it was written: its versions by hash and by value, its journal, its evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from robonav_ray.errors import UserError
from robonav_ray.registry.bundles import check_carried
from robonav_ray.registry.journal import ADDED, Alias, JournalEntry
from robonav_ray.registry.models import Models
from robonav_ray.registry.versions import Version
from robonav_ray.runs.located import located
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.task import describe_task


@dataclass
class Verified:
    """What was looked at, and what is wrong with it."""

    name: str
    versions: int = 0
    entries: int = 0
    problems: list[str] = field(default_factory=list)
    """Each one sentence that names the version or the file."""

    def does(self, look: Callable[[], object]) -> bool:
        """Whether ``look`` finds nothing wrong; what it does find is noted."""
        try:
            look()
        except (UserError, OSError) as error:
            self.problems.append(str(error))
            return False
        return True


def verify(models: Models, name: str) -> Verified:
    """Return what is wrong with a model; RegistryError when there is none of that name."""
    found = Verified(name)
    entries = list[JournalEntry]()
    aliases = models.aliases(name) if found.does(lambda: models.aliases(name)) else {}
    if found.does(lambda: entries.extend(models.journal(name))):
        found.entries = len(entries)
        _check_moves(found, entries)
        _check_versions(found, entries)
    added = set(entries[-1].versions) if entries else set[int]()
    there = models.version_numbers(name)
    for number in sorted(added.difference(there)):
        found.problems.append(f"{name}@{number}: is in the journal, and there is no such version")
    for number in there:
        found.versions += 1
        found.does(lambda number=number: check_version(models.version(name, number)))
    for alias, stands in aliases.items():
        if stands.version not in there:
            found.problems.append(f"{name}@{alias}: stands at version {stands.version}, which there is not")
    for entry in entries:
        if (sha256 := entry.evidence_sha256) is not None:
            found.does(lambda sha256=sha256: models.evidence(name, sha256))
    return found


def check_version(version: Version) -> None:
    """Open a version as a verb would, up to a policy that could act; UserError when that cannot be."""
    version.check()
    check_carried(version)
    with located(version.location) as model:
        config = model.run.config
        load_policy(model.checkpoint, config, describe_task(config))


def _check_moves(found: Verified, entries: list[JournalEntry]) -> None:
    """Hold what each entry says has moved against the aliases that stand in it and in the one before it."""
    before = dict[str, Alias]()
    for entry in entries:
        expected = dict(before)
        if entry.alias is not None and entry.alias in entry.aliases:
            expected[entry.alias] = entry.aliases[entry.alias]
            stood = before.get(entry.alias)
            told = (entry.from_version, entry.to_version)
            if told != (stood and stood.version, entry.aliases[entry.alias].version):
                found.problems.append(
                    f"{found.name}: entry {entry.number} of the journal tells another move than it holds"
                )
        if expected != entry.aliases:
            found.problems.append(f"{found.name}: entry {entry.number} of the journal moves more than it tells")
        before = dict(entry.aliases)


def _check_versions(found: Verified, entries: list[JournalEntry]) -> None:
    """Hold the versions that stand in each entry against those of the one before it: one is added by an entry that
    tells it, and none is ever taken away.
    """
    before = tuple[int, ...]()
    for entry in entries:
        told = () if entry.kind != ADDED or entry.to_version is None else (entry.to_version,)
        if entry.versions != (*before, *told):
            gone = ", ".join(str(number) for number in before if number not in entry.versions)
            what = f"lacks version {gone}, which was added before" if gone else "holds other versions than it tells"
            found.problems.append(f"{found.name}: entry {entry.number} of the journal {what}")
        before = entry.versions
