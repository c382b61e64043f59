"""Two machines that train one run in one storage: no lock keeps them apart, so before every commit the storage is
looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable

from robonav_ray.errors import ToldError
from robonav_ray.runs.stored_notes import shown
from robonav_ray.runs.stored_runs import stored_checkpoints


class ForeignCommitError(ToldError):
    """Another command has committed to the run since this one looked where to go on from: this one must end."""


class CommitWatch:
    """Knows the checkpoints of a stored run that this command has seen or committed."""

    def __init__(self, location: str, seen: Iterable[str] | None) -> None:
        """``seen`` are those there were when it was decided where to go on from; None: those there are now."""
        self._location = location
        self._known = set(stored_checkpoints(location) if seen is None else seen)

    def check(self) -> None:
        """Look again.

        Raises:
            ForeignCommitError: When there is one that this command does not know.
            OSError: When the storage does not answer.
        """
        foreign = sorted(set(stored_checkpoints(self._location)) - self._known)
        if foreign:
            raise ForeignCommitError(
                f"{shown(self._location)}: another command trains this run too, and has committed {foreign[-1]} since "
                "this one began: this one ends, and commits nothing"
            )

    def add(self, name: str) -> None:
        """Take note of a commit of this command."""
        self._known.add(name)
