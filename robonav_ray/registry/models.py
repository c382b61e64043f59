"""What a registry holds: models, versions, aliases, journal. Reading waits for no writer and changes nothing."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path

from robonav_ray.files.locations import as_folder, check_location, is_uri, with_lost_slash
from robonav_ray.files.plain_files import PlainFileError, check_folder
from robonav_ray.files.storage import inside, join, list_folder, read_bytes
from robonav_ray.registry.journal import Alias, Journal, JournalEntry
from robonav_ray.registry.names import CHAMPION, RegistryError, check_name, location_word, version_number
from robonav_ray.registry.versions import Version, open_version, version_numbers

EVIDENCE = "evidence"
MAX_EVIDENCE_BYTES = 64_000_000


class Models:
    """All models in a folder or below a prefix of a bucket."""

    def __init__(self, place: str | Path) -> None:
        """Nothing need be there.

        Args:
            place: A folder, or a URI (``s3://bucket/models``).

        Raises:
            RegistryError: When ``place`` can be neither.
        """
        text = with_lost_slash(str(place))
        try:
            self.location = check_location(text if is_uri(text) else str(Path(text).absolute()))
        except ValueError as error:
            raise RegistryError(f"--registry {error}") from None

    @property
    def shown(self) -> str:
        """The place as people are shown it."""
        return location_word(self.location)

    def names(self) -> list[str]:
        """Return the names of all models, in order."""
        found = list_folder(self.location)
        return [name for name, is_folder, _ in found if is_folder and _is_name(name) and self._journal(name).numbers()]

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, the first first; RegistryError when there is no such model."""
        location = self._known(name)
        return [open_version(location, name, number) for number in version_numbers(location)]

    def version_numbers(self, name: str) -> list[int]:
        """Return the numbers of the versions of a model, in order; RegistryError when there is no such model."""
        return version_numbers(self._known(name))

    def version(self, name: str, ref: str | int = CHAMPION) -> Version:
        """Return the version that an alias or a number means; its weights are not looked at.

        Args:
            name: Of the model.
            ref: An alias, a number, or ``NAME@REF`` again.

        Raises:
            RegistryError: When there is no such model, alias or version, or the version is damaged.
        """
        location = self._known(name)
        word = str(ref).removeprefix(f"{name}@")
        number = version_number(word)
        if number is None:
            number = self._alias(name, word).version
        elif number not in version_numbers(location):
            there = ", ".join(map(str, version_numbers(location))) or "none"
            raise RegistryError(f"{name}@{number}: there is no such version; there are {there}")
        return open_version(location, name, number)

    def aliases(self, name: str) -> dict[str, Alias]:
        """Return where each alias of a model stands; RegistryError when there is no such model."""
        return dict(self.newest(name).aliases)

    def newest(self, name: str) -> JournalEntry:
        """Return the newest entry of a model's journal, which holds all aliases and versions; RegistryError when there
        is no such model.
        """
        self._known(name)
        return self._journal(name).newest()

    def journal(self, name: str) -> list[JournalEntry]:
        """Return what has happened to a model, the oldest first; RegistryError when an entry is missing or changed."""
        self._known(name)
        return self._journal(name).entries()

    def evidence(self, name: str, sha256: str) -> bytes:
        """Return what an entry of the journal points at; RegistryError when it is missing or changed."""
        place = inside(self._model(name), f"{EVIDENCE}/{sha256}")
        try:
            data = read_bytes(place, MAX_EVIDENCE_BYTES)
        except (FileNotFoundError, PlainFileError) as error:
            raise RegistryError(f"{name}: evidence {sha256[:12]}: {error}") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise RegistryError(
                f"{name}: evidence {sha256[:12]}: {location_word(place)} does not match its hash (damaged)"
            )
        return data

    def _alias(self, name: str, alias: str) -> Alias:
        aliases = self.aliases(name)
        if alias not in aliases:
            near = difflib.get_close_matches(alias, aliases, n=1, cutoff=0.6)
            there = ", ".join(f"{each} (version {aliases[each].version})" for each in sorted(aliases)) or "none"
            what = f"did you mean {near[0]!r}?" if near else f"there are {there}"
            hint = f"; `robonav registry promote {name}@NUMBER` makes a version the champion" * (alias == CHAMPION)
            raise RegistryError(f"{name}@{alias[:80]}: there is no such alias; {what}{hint}")
        return aliases[alias]

    def _known(self, name: str) -> str:
        """Return where a model lies; RegistryError when there is none of that name."""
        location = self._model(name)
        if not (self._journal(name).numbers() or version_numbers(location)):
            names = self.names()
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
            there = f"there are {', '.join(names[:8])}" if names else "it holds none yet"
            what = (
                f"did you mean {near[0]!r}?" if near else f"{there}; `robonav registry add RUN --name {name}` adds one"
            )
            raise RegistryError(f"{name}: there is no such model in {self.shown}; {what}")
        return location

    def _model(self, name: str) -> str:
        location = join(self.location, check_name(name))
        if (folder := as_folder(location)) is not None:
            check_folder(folder)
        return location

    def _journal(self, name: str) -> Journal:
        return Journal(join(self.location, name))


def _is_name(name: str) -> bool:
    try:
        return check_name(name) == name
    except RegistryError:
        return False
