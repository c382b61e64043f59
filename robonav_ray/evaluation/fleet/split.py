"""Which arm drives an episode: a hash of robot and episode decides, so that a robot needs no server to tell."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import open_new, read_json
from robonav_ray.ranges import MAX_COUNT

Arm = Literal["champion", "challenger"]
SPLIT_JSON = "split.json"
MAX_NAME = 128
"""Characters of a robot's name."""
LEAST_SHARE, MOST_SHARE = 0.01, 0.5
FORMAT_VERSION = 1


class FleetError(UserError):
    """A fleet's folder or a line in it is not what it must be; the message names it."""


@dataclass(frozen=True)
class FleetSplit:
    """Two versions of a model, and the share of episodes that the challenger drives."""

    name: str
    """Of the model."""
    champion: str
    """A version of it, which drives all other episodes."""
    challenger: str
    share: float = 0.1
    salt: str = field(default_factory=lambda: secrets.token_hex(8))
    """Another one splits anew: two tests at once must not put the same episodes into the same arms."""

    def __post_init__(self) -> None:
        """FleetError for what cannot be."""
        for key in ("name", "champion", "challenger", "salt"):
            check_word(vars(self)[key], key)
        if self.champion == self.challenger:
            raise FleetError(f"champion and challenger are both version {self.champion}; there is nothing to compare")
        share = self.share
        if not isinstance(share, int | float) or isinstance(share, bool) or not LEAST_SHARE <= share <= MOST_SHARE:
            raise FleetError(f"share is {share!r} and must be from {LEAST_SHARE} to {MOST_SHARE}")

    @property
    def key(self) -> str:
        """Changes with anything that an assignment depends on."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def arm_of(self, robot: str, episode: int) -> Arm:
        """Return who drives this episode of this robot: the same each time, on every machine.

        The first 53 bits of SHA-256 over salt, robot and episode, as a number in [0, 1), against the share.

        Raises:
            FleetError: For a name or a number that cannot be.
        """
        check_word(robot, "robot")
        check_episode(episode)
        digest = hashlib.sha256(json.dumps([self.salt, robot, episode]).encode()).digest()
        return "challenger" if (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53 < self.share else "champion"

    def version_of(self, arm: Arm) -> str:
        """Return the version that drives in an arm."""
        return self.challenger if arm == "challenger" else self.champion

    def save(self, folder: Path) -> Path:
        """Write ``split.json`` into ``folder``, made if missing; FleetError when one is there: it never changes."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / SPLIT_JSON
        text = json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=1, allow_nan=False) + "\n"
        try:
            with open_new(path) as file:
                file.write(text.encode())
        except FileExistsError:
            raise FleetError(f"{path}: is there already, and a split never changes; name another folder") from None
        return path

    @classmethod
    def load(cls, folder: Path) -> FleetSplit:
        """Return the split in ``folder``; FleetError when there is none, or it is damaged."""
        path = folder / SPLIT_JSON
        try:
            document: Any = read_json(path, 100_000)
        except FileNotFoundError:
            raise FleetError(f"{folder}: holds no {SPLIT_JSON}; `robonav fleet begin` makes one") from None
        keys = {"format_version", "name", "champion", "challenger", "share", "salt"}
        if not isinstance(document, dict) or set(document) != keys or document["format_version"] != FORMAT_VERSION:
            raise FleetError(f"{path}: must hold {', '.join(sorted(keys))}, of format_version {FORMAT_VERSION}")
        try:
            return cls(**{key: value for key, value in document.items() if key != "format_version"})
        except FleetError as error:
            raise FleetError(f"{path}: {error}") from None


def check_word(word: object, key: str) -> str:
    """Return a name; FleetError, naming ``key``, for what is no printable text of at most MAX_NAME characters."""
    if not isinstance(word, str) or not 0 < len(word) <= MAX_NAME or not word.isprintable():
        raise FleetError(f"{key} is {str(word)[:40]!r} and must be printable text of 1 to {MAX_NAME} characters")
    return word


def check_episode(episode: object) -> int:
    """Return the number of an episode; FleetError for what is none."""
    if type(episode) is not int or not 0 <= episode <= MAX_COUNT:
        raise FleetError(f"episode is {str(episode)[:40]!r} and must be a whole number from 0 to {MAX_COUNT}")
    return episode


def check_time_s(time_s: object) -> float:
    """Return seconds since 1970; FleetError for what cannot be."""
    if type(time_s) not in (int, float) or not 0 <= time_s <= 1e11:  # type: ignore[operator]
        raise FleetError(f"time_s is {str(time_s)[:40]!r} and must be seconds since 1970")
    return float(time_s)  # type: ignore[arg-type]
