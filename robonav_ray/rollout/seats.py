"""Who sits where in a world for one episode: a function of (seed, world, episode), never of the worker that asks.

First the kind of world is drawn (all of its robots of the learning policy, or one of the kinds that are shared with
others), then the member that it is shared with, then how many of its robots are the member's, then which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from robonav_ray.counter_rng import ROLE_OPPONENTS, derive_key, seed_for, uniform01
from robonav_ray.records import Opponents

_KIND, _MEMBER, _NUMBER, _FIRST_SEAT = 0, 1, 2, 3
"""Which draw of an episode's stream decides what."""


class Seating(NamedTuple):
    """One episode of one world of R robots."""

    member: int | None
    """Index of the member that the world is shared with; None where all robots are of the learning policy."""
    taken: np.ndarray
    """(R,) bool: robots of the member."""


class Odds:
    """``Opponents`` as running sums, from which one number in [0, 1) draws."""

    def __init__(self, opponents: Opponents) -> None:
        self._kind = np.cumsum(opponents.share)
        self._members = [np.cumsum(row) if any(row) else None for row in opponents.probability]

    def draw(self, of_kind: float, of_member: float) -> int | None:
        """Return the index of a member by two draws; None in a kind of world that is shared with no member.

        A kind without a share, and a member without a probability, never come.
        """
        if not len(self._kind):
            return None
        members = self._members[_fall(self._kind, of_kind)]
        return None if members is None else _fall(members, of_member)


def _fall(sums: np.ndarray, draw: float) -> int:
    """Return on which of the parts with the running ``sums`` a ``draw`` in [0, 1) of their total falls."""
    total = sums[-1]
    return int(np.searchsorted(sums, min(draw * total, np.nextafter(total, 0.0)), side="right"))


def seats_key(seed: int) -> np.uint64:
    """Return the key of all seatings of the run with this ``seed``."""
    return np.uint64(seed_for(seed, ROLE_OPPONENTS))


def draw_seating(
    odds: Odds,
    key: np.uint64,
    world: int,
    episode: int,
    exists: np.ndarray,
    num_of: Callable[[int, int], int | None] | None = None,
) -> Seating:
    """Return who sits where in the episode numbered ``episode`` of the world with the global index ``world``.

    ``exists`` (R,) bool are the robots of this episode. At least one of them stays with the learning policy, so one
    alone is never shared; 1 to all but one are the member's, each number equally often, and each set of them.
    ``num_of`` says for a member and a number of robots how many are the member's; None draws it.
    """
    taken = np.zeros(len(exists), np.bool_)
    robots = np.flatnonzero(exists)
    if len(robots) < 2:
        return Seating(None, taken)
    stream = np.uint64(derive_key(np.uint64(derive_key(key, world)), episode))
    member = odds.draw(uniform01(stream, _KIND), uniform01(stream, _MEMBER))
    if member is None:
        return Seating(None, taken)
    num_taken = None if num_of is None else num_of(member, len(robots))
    if num_taken is None:
        num_taken = 1 + int(uniform01(stream, _NUMBER) * (len(robots) - 1))
    order = np.argsort([uniform01(stream, _FIRST_SEAT + int(robot)) for robot in robots], kind="stable")
    taken[robots[order[:num_taken]]] = True
    return Seating(member, taken)
