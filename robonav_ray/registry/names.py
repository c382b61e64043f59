"""Names of models and aliases, and what ``NAME@champion`` means."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from robonav_ray.errors import UserError
from robonav_ray.files.locations import is_uri, with_lost_slash
from robonav_ray.text import path_word

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_RESERVED = re.compile(r"latest|v?[0-9]+", re.IGNORECASE)
CHAMPION, CHALLENGER = "champion", "challenger"


class RegistryError(UserError):
    """Something about a model by name that only the user can put right; the message names it and what to do."""


@dataclass(frozen=True)
class ModelName:
    """``PLACE/NAME@REF``, taken apart."""

    place: str | None
    """Folder or bucket of the registry; None for the default one."""
    name: str
    ref: str
    """An alias, or the number of a version."""


def location_word(location: str) -> str:
    """Return a location as a person types it here: a URI without its options, a path relative where it lies below."""
    return location.partition("?")[0] if is_uri(location) else path_word(location)


def check_name(name: str) -> str:
    """Return the name of a model; RegistryError for one that is none."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise RegistryError(
            f"{name[:80]!r} is no name of a model: write letters, digits, `_`, `-` and `.` (robot_nav), 64 at most, "
            "without slashes, colons or spaces"
        )
    return name


def check_alias(alias: str) -> str:
    """Return the name of an alias; RegistryError for one that is none, or that could be the number of a version."""
    if not _NAME.fullmatch(alias) or _RESERVED.fullmatch(alias):
        raise RegistryError(
            f"{alias[:80]!r} is no name of an alias: write letters, digits, `_`, `-` and `.` (champion), 64 at most, "
            "no number and not `latest`"
        )
    return alias


def version_number(ref: str | int) -> int | None:
    """Return the number that a reference is; None where it is an alias."""
    return int(ref) if _NUMBER.fullmatch(str(ref)) else None


def split_reference(word: str) -> tuple[str, str]:
    """Return NAME and REF of ``NAME@REF``; RegistryError where a part is missing or is none."""
    name, at, ref = word.partition("@")
    if not at or not ref:
        raise RegistryError(f"{word[:80]!r}: write NAME@ALIAS or NAME@NUMBER (robot_nav@champion, robot_nav@3)")
    return check_name(name), ref if version_number(ref) is not None else check_alias(ref)


def model_named(word: str) -> ModelName | None:
    """Return the model that ``word`` names; None for anything else: a path, a URI, a planner, a function.

    A file or folder of that very name wins, and only the last part of a path is looked at.

    Raises:
        RegistryError: When it can be nothing but a model's name, and is written wrongly.
    """
    word = with_lost_slash(word)
    place, slash, last = word.rpartition("/")
    if "@" not in last or (slash and place.endswith(":/")) or os.path.exists(word):
        return None
    name, ref = split_reference(last)
    return ModelName(place if slash else None, name, ref)
