"""The policies of other members that a worker holds: loaded when an episode begins with one, the least recently used
one dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection

from robonav_ray.algo.policy import Policy
from robonav_ray.interfaces import PolicyPool

NO_SNAPSHOT = "the pool has no snapshot of it"
"""Why a member is missing that the pool did not give; else its weights do not fit."""


class MemberPolicies:
    """An LRU of policies by member. One that is under way in an episode stays, so there can be more than the limit."""

    def __init__(self, pool: PolicyPool, make: Callable[[], Policy], max_policies: int) -> None:
        """Nothing is loaded yet.

        Args:
            pool: Has the snapshots; an id names the same weights always.
            make: Makes a policy without weights, shaped for the run.
            max_policies: Most that are held beyond those under way.
        """
        if max_policies < 1:
            raise ValueError(f"max_policies must be at least 1, got {max_policies}")
        self._pool, self._make, self._max_policies = pool, make, max_policies
        self._policies: OrderedDict[str, Policy] = OrderedDict()
        self.missing: dict[str, str] = {}
        """Members without weights to act with, and why; asked for again by ``get``."""

    @property
    def members(self) -> tuple[str, ...]:
        """Those that are held, the least recently used first."""
        return tuple(self._policies)

    def get(self, member: str) -> Policy | None:
        """Return the policy of ``member``; None, and noted in ``missing``, where the pool has none that fits."""
        policy = self._policies.get(member)
        if policy is None:
            policy = self._load(member)
            if policy is None:
                return None
            self._policies[member] = policy
        self._policies.move_to_end(member)
        return policy

    def _load(self, member: str) -> Policy | None:
        snapshot = self._pool.snapshot(member)
        if snapshot is None:
            self.missing[member] = NO_SNAPSHOT
            return None
        policy = self._make()
        try:
            policy.load(snapshot)
        except ValueError as error:
            self.missing[member] = str(error)
            return None
        self.missing.pop(member, None)
        return policy

    def drop_beyond_limit(self, under_way: Collection[str]) -> None:
        """Drop the least recently used ones beyond the limit; none of ``under_way``."""
        for member in self.members:
            if len(self._policies) <= self._max_policies:
                return
            if member not in under_way:
                del self._policies[member]
