"""What hears of a registry's changes: MLflow's model registry, W&B's artifacts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from robonav_ray.registry.journal import JournalEntry
from robonav_ray.registry.versions import Version

_FAILURES = (OSError, RuntimeError, ValueError)
logger = logging.getLogger(__name__)


class Mirror(Protocol):
    """A registry elsewhere that follows ours. Ours is the truth: it has changed already when a mirror is called.

    A call may come a second time for the same thing, and changes nothing then.
    """

    name: str
    """What it is called in a message: ``mlflow``."""

    def version_added(self, version: Version) -> None:
        """Take over a version; OSError or RuntimeError when that cannot be."""
        ...

    def alias_moved(self, name: str, alias: str, version: Version, entry: JournalEntry) -> None:
        """Have ``alias`` of the model ``name`` point at ``version``; ``entry`` says from where, when, who and why."""
        ...


Mirrors = Callable[[Version], Sequence[Mirror]]
"""Gives the mirrors that are on for a version, by the ``tracking`` section of its config."""


def no_mirrors(version: Version) -> Sequence[Mirror]:
    """Return none."""
    return ()


@dataclass(frozen=True)
class Told:
    """A mirror that was told of one change."""

    ref: str
    """Of the version: ``NAME@3``."""
    mirror: str | None
    """None where it could not be opened."""
    failure: str | None
    """None where it took the change over."""


def tell(mirrors: Mirrors, version: Version, call: Callable[[Mirror], None]) -> list[Told]:
    """Call each mirror; one that fails is named in a warning, and the others are called all the same."""
    again = f"the registry itself is as it shall be; `robonav registry sync {version.name}` tells it again"
    try:
        opened = mirrors(version)
    except _FAILURES as error:
        logger.warning("%s: a mirror cannot be opened (%s); %s", version.ref, error, again)
        return [Told(version.ref, None, str(error))]
    told = list[Told]()
    for mirror in opened:
        failure = None
        try:
            call(mirror)
        except _FAILURES as error:
            failure = str(error)
            logger.warning("%s: %s has not heard of it (%s); %s", version.ref, mirror.name, error, again)
        told.append(Told(version.ref, mirror.name, failure))
    return told
