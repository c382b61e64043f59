"""The journal of one model: numbered entries that are only ever added, each with the hash of the one before it.

An entry is there whole or not at all, and holds all aliases as they are after it. So there is no other place in which
an alias stands, and nothing that could differ from the journal.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robonav_ray.files.locations import as_folder
from robonav_ray.files.place_lock import Hold, write_whole
from robonav_ray.files.plain_files import PlainFileError
from robonav_ray.files.storage import inside, join, list_folder, read_bytes
from robonav_ray.ranges import count, require
from robonav_ray.registry.names import RegistryError, check_alias, location_word
from robonav_ray.runs.vetting import parse_json

JOURNAL = "journal"
FORMAT_VERSION = 1
ADDED, MOVED, ROLLED_BACK = "version_added", "alias_moved", "rolled_back"
FIRST = "0" * 64
"""Stands in the first entry for the hash of the one before it."""
MAX_ENTRY_BYTES = 4_000_000
MAX_REASON = 2000
_FILE = re.compile(r"([0-9]{12})\.json")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COUNT = count(high=10**9)


@dataclass(frozen=True)
class Alias:
    """Where an alias stands."""

    version: int
    generation: int
    """How often it has moved so far; who moves it says from which generation."""


@dataclass(frozen=True)
class JournalEntry:
    """What happened to a model once."""

    number: int
    """From 1, without gaps."""
    kind: str
    """``version_added``, ``alias_moved``, ``rolled_back``, or what another part of the package notes (``ab_test``)."""
    time: str
    """UTC, ``2026-11-22T18:15:00Z``."""
    who: str
    """``user@machine``."""
    reason: str
    alias: str | None = None
    from_version: int | None = None
    """Where the alias stood; None where it was new."""
    to_version: int | None = None
    """Where it stands now; of ``version_added`` the version."""
    evidence_sha256: str | None = None
    """Of a file below ``evidence/``."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What another part of the package notes with it, as JSON."""
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    """All aliases after it."""
    versions: tuple[int, ...] = ()
    """All versions that have been added so far."""
    previous_sha256: str = FIRST
    sha256: str = ""
    """Of the entry's own file."""

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON has it."""
        return {**vars(self), "facts": dict(self.facts), "aliases": _plain(self.aliases), "versions": [*self.versions]}


EMPTY = JournalEntry(0, "", "", "", "", sha256=FIRST)
"""Stands for the newest entry of a model that has none."""


def now() -> str:
    """Return the time as entries have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Journal:
    """The entries of one model. Reading waits for no one; adding is done while the model is held."""

    def __init__(self, location: str) -> None:
        """``location`` is that of the model; nothing need be there."""
        self.location = location

    def numbers(self) -> list[int]:
        """Return the numbers of the entries, in order.

        A link or a folder in place of one counts, and is refused when it is read.
        """
        here = as_folder(self._folder)
        if here is None:
            names = [name for name, _, _ in list_folder(self._folder)]
        else:
            names = os.listdir(here) if here.is_dir() else []
        found = map(_FILE.fullmatch, names)
        return sorted(int(match[1]) for match in found if match)

    def newest(self) -> JournalEntry:
        """Return the newest entry; ``EMPTY`` where there is none. RegistryError when it is damaged."""
        numbers = self.numbers()
        return self.read(numbers[-1]) if numbers else EMPTY

    def entries(self) -> list[JournalEntry]:
        """Return all entries, the oldest first.

        Raises:
            RegistryError: When one is damaged or missing, or is not the one that followed the entry before it.
        """
        found, before = list[JournalEntry](), EMPTY
        for number in self.numbers():
            if number != before.number + 1:
                raise RegistryError(f"{self._shown(before.number + 1)}: is missing, and entry {number} is there")
            entry = self.read(number)
            if entry.previous_sha256 != before.sha256:
                raise RegistryError(
                    f"{self._shown(before.number)}: is not the entry that entry {number} followed (changed afterwards)"
                )
            found.append(entry)
            before = entry
        return found

    def read(self, number: int) -> JournalEntry:
        """Return an entry; RegistryError when it is missing, damaged or not ours."""
        where = self._shown(number)
        try:
            data = read_bytes(inside(self.location, f"{JOURNAL}/{number:012d}.json"), MAX_ENTRY_BYTES)
            return _parse(data, number, where)
        except FileNotFoundError:
            raise RegistryError(f"{where}: is missing") from None
        except PlainFileError as error:
            raise RegistryError(str(error)) from None
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise RegistryError(f"{where}: is damaged ({error})") from None

    def add(self, entry: JournalEntry, hold: Hold) -> JournalEntry:
        """Write ``entry`` behind the newest one and return it as it stands there; the model is held meanwhile.

        Raises:
            RegistryError: When it could not be read again; nothing is written then.
            OSError: When it cannot be written.
        """
        document = {"format_version": FORMAT_VERSION, **entry.to_dict()}
        del document["sha256"]
        where = self._shown(entry.number)
        try:
            data = json.dumps(document, indent=1, allow_nan=False).encode()
            require(len(data) <= MAX_ENTRY_BYTES, f"has {len(data)} bytes, and {MAX_ENTRY_BYTES} at most are read")
            written = _parse(data, entry.number, where)
        except (ValueError, TypeError) as error:
            raise RegistryError(f"{where}: cannot be written: {error}") from None
        hold.check()
        write_whole(inside(self.location, f"{JOURNAL}/{entry.number:012d}.json"), data)
        return written

    @property
    def _folder(self) -> str:
        inside(self.location, f"{JOURNAL}/entry")  # no link may stand in its place
        return join(self.location, JOURNAL)

    def _shown(self, number: int) -> str:
        return location_word(join(self.location, JOURNAL, f"{number:012d}.json"))


def _parse(data: bytes, number: int, where: str) -> JournalEntry:
    """Return the entry that a file holds; ValueError, TypeError, LookupError or AttributeError when it is none."""
    found = parse_json(data, where)
    require(isinstance(found, dict) and found.pop("format_version", None) == FORMAT_VERSION, "format_version: is not 1")
    names = set(JournalEntry.__dataclass_fields__) - {"sha256"}
    require(set(found) == names, f"has not the keys {', '.join(sorted(names))}")
    require(found["number"] == number, f"number: is not {number}")
    require(_KIND.fullmatch(found["kind"]), "kind: is no word")
    for key, most in {"time": 40, "who": 300, "reason": MAX_REASON}.items():
        require(isinstance(found[key], str) and len(found[key]) <= most, f"{key}: is no text")
    for key in ("from_version", "to_version"):
        if found[key] is not None:
            _COUNT.check(key, found[key])
    if found["alias"] is not None:
        check_alias(found["alias"])
    for key in ("previous_sha256", *(["evidence_sha256"] if found["evidence_sha256"] is not None else [])):
        require(_SHA256.fullmatch(found[key]), f"{key}: is no hash")
    require(isinstance(found["facts"], dict), "facts: is no mapping")
    count(None, low=1, high=10**9).check("versions", found["versions"])
    aliases = {check_alias(name): _alias(name, value) for name, value in found["aliases"].items()}
    versions = tuple(found["versions"])
    require(all(alias.version in versions for alias in aliases.values()), "aliases: name a version that there is not")
    return JournalEntry(**{**found, "aliases": aliases, "versions": versions}, sha256=hashlib.sha256(data).hexdigest())


def _alias(name: str, value: Any) -> Alias:
    require(isinstance(value, dict) and set(value) == {"version", "generation"}, f"aliases.{name}: is no alias")
    for key, number in value.items():
        _COUNT.check(f"aliases.{name}.{key}", number)
    return Alias(**value)


def _plain(aliases: Mapping[str, Alias]) -> dict[str, dict[str, int]]:
    return {name: vars(alias) for name, alias in sorted(aliases.items())}
