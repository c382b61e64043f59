"""The members that can be met now, and all that ever could."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from robonav_ray.league.diversity import log_det_costs
from robonav_ray.league.member import LeagueError, Member, check_member, member_dict, read_member
from robonav_ray.league.payoff import Payoff
from robonav_ray.ranges import require


class Pool:
    """Members by id, in the order in which they came; at most ``capacity`` snapshots among them.

    Scripted members, seeds and policies that learn do not count for the capacity and never leave. Where one snapshot
    too many comes, the one whose results differ least from those of others leaves. ``best`` never does.
    """

    def __init__(self, capacity: int, members: Iterable[Member]) -> None:
        """Begin with ``members``, of which one at least learns.

        Raises:
            LeagueError: When none learns, an id stands twice, or the capacity is below 2.
        """
        if capacity < 2:
            raise LeagueError(f"capacity ({capacity}) must be at least 2 snapshots: the best one and the newest")
        self.capacity = capacity
        self._members: dict[str, Member] = {}
        self._gone: dict[str, Member] = {}
        self._best: str | None = None
        self.challenger: str | None = None
        """A member that plays for the place of the best, and that stays until it has, where another can leave."""
        for member in members:
            self._put(member)
        if not self.learners:
            raise LeagueError("the pool has no learner: give it a member of role main without a snapshot's hash")

    @property
    def members(self) -> tuple[Member, ...]:
        """All that are in the pool."""
        return tuple(self._members.values())

    @property
    def learners(self) -> tuple[Member, ...]:
        """Those whose weights still change."""
        return tuple(member for member in self._members.values() if member.learns)

    @property
    def frozen(self) -> tuple[Member, ...]:
        """Snapshots and seeds."""
        return tuple(member for member in self._members.values() if member.is_frozen)

    @property
    def scripted(self) -> tuple[Member, ...]:
        """Those that no network drives."""
        return tuple(member for member in self._members.values() if member.role == "scripted")

    @property
    def snapshots(self) -> tuple[Member, ...]:
        """Frozen members that were made here, in their order."""
        return tuple(member for member in self.frozen if not member.is_anchor)

    @property
    def lineage(self) -> tuple[Member, ...]:
        """All members ever, those that are gone first."""
        return (*self._gone.values(), *self._members.values())

    @property
    def best(self) -> Member | None:
        """The snapshot that was promoted last; None before the first."""
        return None if self._best is None else self._members[self._best]

    def __contains__(self, member: str) -> bool:
        return member in self._members

    def __getitem__(self, member: str) -> Member:
        """Return a member by its id; LeagueError that names all when there is none."""
        if member not in self._members:
            raise LeagueError(f"{member!r} is no member of this league; there are {', '.join(self._members)}")
        return self._members[member]

    def has_left(self, member: str) -> bool:
        """Whether it was a member, and is none any more."""
        return member in self._gone

    def add(self, member: Member, payoff: Payoff) -> tuple[Member, ...]:
        """Take in ``member``; return those that left for it, which keep their places in the lineage alone.

        Raises:
            LeagueError: When its id is taken. An anchor may come back.
        """
        if member.is_anchor:
            self._gone.pop(member.id, None)
        self._put(member)
        left: list[Member] = []
        while len(self.snapshots) > self.capacity:
            left.append(self._least_missed(payoff, member))
            self.remove(left[-1].id)
        return tuple(left)

    def remove(self, member: str) -> None:
        """Take a member out, one that is lost for instance; what is its ``best`` too. A learner stays.

        Raises:
            LeagueError: When it learns, or is none.
        """
        leaves = self[member]
        if leaves.learns:
            raise LeagueError(f"{member!r} learns, and a pool without a learner is none")
        if member == self._best:
            self._best = None
        self._gone[member] = self._members.pop(member)

    def promote(self, member: str) -> None:
        """Make ``member`` the best; LeagueError unless it is frozen."""
        if not self[member].is_frozen:
            raise LeagueError(f"{member!r} has no fixed weights: promote a snapshot of it")
        self._best = member

    def _put(self, member: Member) -> None:
        if member.id in self._members or member.id in self._gone:
            raise LeagueError(f"there is, or was, a member {member.id!r} already: ids are not used twice")
        self._members[member.id] = check_member(member)

    def _least_missed(self, payoff: Payoff, newest: Member) -> Member:
        """Return the snapshot that costs least log-determinant, neither the best nor the newest, and no challenger
        where there is another.

        Members are compared by their scores with the others and by those of the others with them. Where several are
        alike, the one whose neighbours in time are nearest leaves, so that the beginning, the middle and the end of
        learning stay in the pool (as FCP has them); then the oldest.
        """
        snapshots = [member for member in self.snapshots if member.id != newest.id]
        costs = log_det_costs(member_rows(payoff, [member.id for member in snapshots]))
        free = [i for i, member in enumerate(snapshots) if member.id != self._best]
        free = [i for i in free if snapshots[i].id != self.challenger] or free
        steps = np.array([member.step for member in (*snapshots, newest)], np.float64)
        return snapshots[min(free, key=lambda i: (round(float(costs[i]), 6), _room(steps, i), i))]

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as JSON takes it."""
        return {
            "members": [member_dict(member) for member in self._members.values()],
            "gone": [member_dict(member) for member in self._gone.values()],
            "best": self._best,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave; ValueError, and nothing changed, when it does not fit."""
        require(isinstance(state, Mapping) and set(state) == {"members", "gone", "best"}, "pool: is none of a league")
        found: dict[str, dict[str, Member]] = {}
        for key in ("members", "gone"):
            require(isinstance(state[key], list), f"pool.{key}: is no list")
            read = [read_member(f"pool.{key}[{i}]", value) for i, value in enumerate(state[key])]
            found[key] = {member.id: member for member in read}
            require(len(found[key]) == len(read), f"pool.{key}: an id stands twice")
        members, gone, best = found["members"], found["gone"], state["best"]
        require(not members.keys() & gone.keys(), "pool: a member is both there and gone")
        require(any(member.learns for member in members.values()), "pool.members: none learns")
        require(best is None or (best in members and members[best].is_frozen), "pool.best: is no frozen member")
        known = members.keys() | gone.keys()
        for member in (*members.values(), *gone.values()):
            require(member.parent is None or member.parent in known, f"pool: {member.id} has an unknown parent")
        self._members, self._gone, self._best = members, gone, best


def member_rows(payoff: Payoff, members: Sequence[str]) -> np.ndarray:
    """Return what tells ``members`` apart, (K, 2 M): their scores with all, and those of all with them."""
    rows, mean = [payoff.index(member) for member in members], payoff.mean
    return np.concatenate([mean[rows], mean[:, rows].T], axis=1)


def _room(steps: np.ndarray, i: int) -> float:
    """Return the distance in time between the neighbours of the ``i``-th; at the beginning it has no end."""
    return float(steps[i + 1] - steps[i - 1]) if i else float("inf")
