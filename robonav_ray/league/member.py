"""Who can be met in a league."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from robonav_ray.errors import UserError
from robonav_ray.ranges import count, require
from robonav_ray.records import MAX_MEMBER_ID

Role = Literal["main", "exploiter", "scripted", "seed"]
_SHA256 = re.compile(r"[0-9a-f]{64}")


class LeagueError(UserError):
    """A league that cannot be as it was asked for; the message says what to do."""


@dataclass(frozen=True)
class Member:
    """One that can be met: a policy that learns, a frozen one, or a script."""

    id: str
    """Unique in its league, also among members that are gone."""
    role: Role
    """``main``: the policy that the league is for, and its snapshots; ``exploiter``: a best response to one of them;
    ``scripted``: driven by no network; ``seed``: a policy from elsewhere."""
    parent: str | None = None
    """The member whose weights it began with; None for a beginning."""
    step: int = 0
    """Env steps that its line had trained when it was frozen."""
    sha256: str | None = None
    """Of its snapshot; None for a script, and for a policy that learns and so has no fixed weights."""

    @property
    def learns(self) -> bool:
        """Whether its weights still change."""
        return self.sha256 is None and self.role != "scripted"

    @property
    def is_frozen(self) -> bool:
        """Whether it has fixed weights."""
        return self.sha256 is not None

    @property
    def is_anchor(self) -> bool:
        """Whether it always stays in the pool: what is fixed from the beginning tells progress from going in
        circles.
        """
        return self.role in ("scripted", "seed")


def check_member(member: Member) -> Member:
    """Return ``member``; LeagueError when its fields do not go together."""
    name = str(member.id)
    if name != member.id or not (0 < len(name) <= MAX_MEMBER_ID and name.isprintable()):
        raise LeagueError(
            f"{name[:80]!r} cannot be the id of a member: take up to {MAX_MEMBER_ID} printable characters"
        )
    if member.role == "scripted" and (member.sha256, member.parent) != (None, None):
        raise LeagueError(f"{member.id}: a scripted member has no weights and no parent")
    if member.role == "seed" and member.sha256 is None:
        raise LeagueError(f"{member.id}: a seed is a frozen policy: give its weights")
    return member


def member_dict(member: Member) -> dict[str, Any]:
    """Return a member as JSON takes it."""
    return asdict(member)


def read_member(name: str, value: Any) -> Member:
    """Return the member that ``member_dict`` wrote.

    Raises:
        RangeError: Beginning with ``name``, when it is none.
    """
    fields = {"id", "role", "parent", "step", "sha256"}
    require(isinstance(value, Mapping) and set(value) == fields, f"{name}: is no member of a league")
    for key in ("id", "role"):
        require(isinstance(value[key], str), f"{name}.{key}: is no text")
    require(value["role"] in get_args(Role), f"{name}.role: is none of {', '.join(get_args(Role))}")
    require(value["parent"] is None or isinstance(value["parent"], str), f"{name}.parent: is neither null nor an id")
    sha256 = value["sha256"]
    is_hash = isinstance(sha256, str) and _SHA256.fullmatch(sha256) is not None
    require(sha256 is None or is_hash, f"{name}.sha256: is neither null nor a SHA-256")
    count().check(f"{name}.step", value["step"])
    try:
        return check_member(Member(**value))
    except LeagueError as error:
        require(False, f"{name}: {error}")
        raise
