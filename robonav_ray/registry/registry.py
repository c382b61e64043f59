"""The registry: versions are added and never change, aliases move by compare-and-swap, each change is an entry of the
journal.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from robonav_ray.files.manifest import MANIFEST
from robonav_ray.files.place_lock import Hold, held, owner, write_whole
from robonav_ray.files.storage import exists, inside, join
from robonav_ray.registry.bundles import carried_bundle, check_carried, write_carried
from robonav_ray.registry.contents import Content, content_of, ensemble_content
from robonav_ray.registry.ensembles import checkpoint_of_one, find_ensemble, names_ensemble
from robonav_ray.registry.journal import (
    ADDED,
    MAX_REASON,
    MOVED,
    ROLLED_BACK,
    Alias,
    JournalEntry,
    now,
)
from robonav_ray.registry.mirror import Mirrors, Told, no_mirrors, tell
from robonav_ray.registry.models import EVIDENCE, MAX_EVIDENCE_BYTES, Models
from robonav_ray.registry.names import (
    CHALLENGER,
    CHAMPION,
    RegistryError,
    check_alias,
    check_name,
)
from robonav_ray.registry.versions import Version, open_version, version_numbers, write_version
from robonav_ray.runs.checkpoint_index import Which
from robonav_ray.runs.located import located
from robonav_ray.runs.run_directory import REGISTRY_FILE

BUNDLED = "bundle"
"""Kind of the journal's entry about a bundle that a version carries from then on."""


class MovedMeanwhileError(RegistryError):
    """An alias is not at the generation any more that it was moved from; nothing was changed."""


class Registry(Models):
    """A registry that is written to. Any number of processes may use it at once."""

    def __init__(self, place: str | Path, mirrors: Mirrors = no_mirrors) -> None:
        """As ``Models``; nothing is made before the first ``add``. ``mirrors`` gives what hears of each change."""
        super().__init__(place)
        self._mirrors = mirrors

    def add(
        self,
        run: str | Path,
        name: str,
        *,
        checkpoint: Which | None = None,
        alias: str | None = None,
        reason: str = "",
    ) -> Version:
        """Make a version of a run; the same config and weights give the version that is there already.

        Args:
            run: A run or a checkpoint, by directory or URI; or an ensemble, by its file or as ``ensemble:A,B``.
            name: Of the model.
            checkpoint: ``best`` or ``last``, of a run; None takes the best, and the last of a run that was not judged.
            alias: To be moved to the version, wherever it stands.
            reason: For the journal.

        Raises:
            UserError: When it is no run, is damaged, or ``name`` is none.
            OSError: When it cannot be written.
        """
        check_name(name)
        reason = _checked_reason(reason)
        if alias is not None:
            check_alias(alias)
        if names_ensemble(str(run)):
            checkpoint_of_one(checkpoint)
            content = ensemble_content(find_ensemble(str(run)), reason)
        else:
            with located(str(run), which=checkpoint) as found:
                content = content_of(found, reason)
        version = self.add_content(content, name, reason=reason)
        if alias is not None:
            self.set_alias(name, alias, version.number, expected_generation=None, reason=reason)
        return version

    def add_content(self, content: Content, name: str, *, reason: str) -> Version:
        """As ``add``, of what a version holds."""
        location = self._model(name)
        with self._held(name) as (hold, newest):
            version = self._same(location, name, content, newest)
            is_new = version is None
            if version is None:
                number = 1 + max((*newest.versions, *version_numbers(location)), default=0)
                version = write_version(location, name, number, content, hold)
                self._write_added(name, newest, number, reason, hold)
        if is_new:
            self._tell_added(version)
        return version

    def set_alias(
        self,
        name: str,
        alias: str,
        version: int,
        *,
        expected_generation: int | None,
        reason: str = "",
        evidence: bytes | None = None,
    ) -> JournalEntry | None:
        """Have an alias stand at a version, if it has not moved since ``expected_generation``.

        Args:
            name: Of the model.
            alias: ``champion``, ``challenger``, or another name; made if there is none.
            version: Number of a version, which is held against its hashes first.
            expected_generation: That of ``aliases(name)[alias]``, 0 for an alias that is not there; None moves it from
                wherever it stands.
            reason: For the journal.
            evidence: What the move rests on, kept below ``evidence/`` by its hash.

        Returns:
            The entry of the journal; None when the alias stood there already, and nothing was written.

        Raises:
            MovedMeanwhileError: When another writer has moved it; nothing was changed.
            RegistryError: When there is no such model or version, or the version is damaged.
            OSError: When it cannot be written.
        """
        return self._move(name, alias, version, expected_generation, MOVED, reason, evidence)

    def promote(
        self,
        name: str,
        ref: str | int = CHALLENGER,
        *,
        alias: str = CHAMPION,
        expected_generation: int | None = None,
        reason: str = "",
        evidence: bytes | None = None,
    ) -> JournalEntry | None:
        """Have the champion (or another ``alias``) stand where ``ref`` stands; the rest is as for ``set_alias``.

        With ``expected_generation`` None it is the one that is found now.
        """
        version = self.version(name, ref)
        if expected_generation is None:
            expected_generation = self._generation(name, check_alias(alias))
        return self.set_alias(
            name, alias, version.number, expected_generation=expected_generation, reason=reason, evidence=evidence
        )

    def rollback(
        self,
        name: str,
        *,
        alias: str = CHAMPION,
        expected_generation: int | None = None,
        reason: str = "",
        evidence: bytes | None = None,
    ) -> JournalEntry:
        """Have an alias stand again where it stood before it was moved last; twice goes back by two moves.

        Raises:
            RegistryError: As for ``set_alias``, and when it never stood elsewhere.
        """
        if expected_generation is None:
            expected_generation = self._alias(name, alias).generation
        before = _stood_at(self.journal(name), alias)
        if not before:
            raise RegistryError(f"{name}@{alias}: never stood elsewhere, so there is nothing to go back to")
        entry = self._move(name, alias, before[-1], expected_generation, ROLLED_BACK, reason, evidence)
        assert entry is not None  # it stands elsewhere at this generation
        return entry

    def note(
        self,
        name: str,
        kind: str,
        reason: str,
        *,
        facts: Mapping[str, Any] | None = None,
        evidence: bytes | None = None,
    ) -> JournalEntry:
        """Add an entry of one's own, such as what an A/B test has found; aliases stay where they are.

        Args:
            name: Of the model.
            kind: A word for it, ``ab_test``; not one of the registry's own.
            reason: For people: what was found.
            facts: As JSON takes them.
            evidence: Kept below ``evidence/`` by its hash.

        Raises:
            RegistryError: When there is no such model, or the entry would be none.
            OSError: When it cannot be written.
        """
        if kind in (ADDED, MOVED, ROLLED_BACK, BUNDLED):
            raise RegistryError(f"{kind}: is written by the registry itself; give what is noted another word")
        self._known(name)
        with self._held(name) as (hold, newest):
            return self._write(name, newest, hold, kind, reason, facts=dict(facts or {}), evidence=evidence)

    def carry(self, version: Version, files: Mapping[str, bytes], reason: str = "") -> JournalEntry | None:
        """Have a version carry a bundle, in place of the one that it carried; None when it carries this very one.

        Args:
            version: Which.
            files: Name -> content of all files of the bundle, ``manifest.json`` among them.
            reason: For the journal, which keeps the bundle's hash.

        Raises:
            RegistryError: When there is no such model.
            OSError: When it cannot be written.
        """
        self._known(version.name)
        sha256 = hashlib.sha256(files[MANIFEST]).hexdigest()
        with self._held(version.name) as (hold, newest):
            with contextlib.suppress(RegistryError):  # a damaged one is replaced
                carried = carried_bundle(version)
                check_carried(version)
                if carried is not None and carried.sha256 == sha256:
                    return None
            write_carried(version, files, hold)
            facts = {"version": version.number, "bundle_sha256": sha256}
            return self._write(version.name, newest, hold, BUNDLED, reason, facts=facts)

    def sync(self, name: str) -> list[Told]:
        """Tell the mirrors of all versions again, and of where each alias stands: for one that has missed a change.

        Raises:
            RegistryError: When there is no such model, or it is damaged.
        """
        told = [one for version in self.versions(name) for one in self._tell_added(version)]
        moves = {entry.alias: entry for entry in self.journal(name) if entry.alias is not None}
        for alias, entry in sorted(moves.items()):
            told += self._tell_moved(self.version(name, alias), alias, entry)
        return told

    def _tell_added(self, version: Version) -> list[Told]:
        return tell(self._mirrors, version, lambda mirror: mirror.version_added(version))

    def _tell_moved(self, version: Version, alias: str, entry: JournalEntry) -> list[Told]:
        return tell(self._mirrors, version, lambda mirror: mirror.alias_moved(version.name, alias, version, entry))

    def _move(
        self,
        name: str,
        alias: str,
        number: int,
        expected_generation: int | None,
        kind: str,
        reason: str,
        evidence: bytes | None,
    ) -> JournalEntry | None:
        check_alias(alias)
        version = self.version(name, number)
        version.check()
        with self._held(name) as (hold, newest):
            stands = newest.aliases.get(alias)
            generation = 0 if stands is None else stands.generation
            if expected_generation is not None and generation != expected_generation:
                where = "is not there" if stands is None else f"stands at version {stands.version}"
                raise MovedMeanwhileError(
                    f"{name}@{alias}: has moved meanwhile (generation {generation}, not {expected_generation}) and "
                    f"{where}; nothing was changed: look at it (`robonav registry show {name}`) and say it again"
                )
            if stands is not None and stands.version == number:
                return None
            aliases = {**newest.aliases, alias: Alias(number, generation + 1)}
            entry = self._write(
                name,
                replace(newest, aliases=aliases),
                hold,
                kind,
                reason,
                alias=alias,
                from_version=None if stands is None else stands.version,
                to_version=number,
                evidence=evidence,
            )
        self._tell_moved(version, alias, entry)
        return entry

    @contextlib.contextmanager
    def _held(self, name: str) -> Iterator[tuple[Hold, JournalEntry]]:
        """Hold a model and give the newest entry of its journal, after an entry for each version that has none: its
        writer was killed.
        """
        location = self._model(name)
        with held(location) as hold:
            marker = join(self.location, REGISTRY_FILE)
            if not exists(marker):
                write_whole(marker, json.dumps({"format_version": 1}).encode())
            newest = self._journal(name).newest()
            for number in version_numbers(location):
                if number not in newest.versions:
                    newest = self._write_added(name, newest, number, "found whole; its writer had ended", hold)
            yield hold, newest

    def _write_added(self, name: str, newest: JournalEntry, number: int, reason: str, hold: Hold) -> JournalEntry:
        after = replace(newest, versions=(*newest.versions, number))
        return self._write(name, after, hold, ADDED, reason, to_version=number)

    def _write(
        self,
        name: str,
        after: JournalEntry,
        hold: Hold,
        kind: str,
        reason: str,
        *,
        evidence: bytes | None = None,
        **said: Any,
    ) -> JournalEntry:
        """Write the entry behind ``after``, which holds the aliases and versions as they are with it."""
        sha256 = None
        if evidence is not None:
            if len(evidence) > MAX_EVIDENCE_BYTES:
                raise RegistryError(f"evidence: has {len(evidence)} bytes, and {MAX_EVIDENCE_BYTES} at most are kept")
            sha256 = hashlib.sha256(evidence).hexdigest()
            write_whole(inside(self._model(name), f"{EVIDENCE}/{sha256}"), evidence)
        entry = JournalEntry(
            number=after.number + 1,
            kind=kind,
            time=now(),
            who=owner(),
            reason=_checked_reason(reason),
            evidence_sha256=sha256,
            aliases=after.aliases,
            versions=after.versions,
            previous_sha256=after.sha256,
            **said,
        )
        return self._journal(name).add(entry, hold)

    def _same(self, location: str, name: str, content: Content, newest: JournalEntry) -> Version | None:
        """Return the version that has this content already."""
        for number in reversed(newest.versions):
            with contextlib.suppress(RegistryError):  # a damaged version is none to give back
                version = open_version(location, name, number)
                if version.content_id == content.content_id:
                    return version
        return None

    def _generation(self, name: str, alias: str) -> int:
        stands = self.aliases(name).get(alias)
        return 0 if stands is None else stands.generation


def _stood_at(entries: Sequence[JournalEntry], alias: str) -> list[int]:
    """Return where an alias stood before, the newest last; a rollback takes one away."""
    stood = list[int]()
    for entry in entries:
        if entry.alias == alias and entry.kind == ROLLED_BACK:
            del stood[-1:]  # an entry that a stranger made may go back further than any move
        elif entry.alias == alias and entry.kind == MOVED and entry.from_version is not None:
            stood.append(entry.from_version)
    return stood


def _checked_reason(reason: str) -> str:
    if len(reason) > MAX_REASON:
        raise RegistryError(f"--reason: has {len(reason)} characters, and {MAX_REASON} at most are kept")
    return reason
