"""Who acts in each lane of a worker whose worlds are shared with other policies, fixed for whole episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from robonav_ray.algo.policy import Policy
from robonav_ray.interfaces import HasDrivers, PolicyPool
from robonav_ray.ranges import MAX_COUNT, check_numbers, like, require
from robonav_ray.records import MAX_MEMBER_ID, NO_OPPONENTS, Opponents
from robonav_ray.rollout.member_policies import MemberPolicies
from robonav_ray.rollout.seats import Odds, draw_seating, seats_key
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.adversary import OBSTACLE

_ACTS = (lay.GIVEN, OBSTACLE)
"""Drivers whose actions a policy chooses."""


@dataclass(frozen=True)
class PartnersTask:
    """What a worker that shares its worlds is handed."""

    pool: PolicyPool
    make_policy: Callable[[], Policy]
    """Makes a policy without weights, shaped for the run."""
    num_robots: int
    """Robots of a world R; lane i is robot ``i % R`` of world ``i // R``."""
    max_policies: int
    """Policies of members that are held, beyond those under way."""
    num_learning: int | None = None
    """Robots that learn in a shared world; None draws 1 to all but one."""
    is_obstacle: bool = False
    """Whether robots that learn in shared worlds are obstacles."""


class PolicyLanes(NamedTuple):
    """Lanes that one policy acts in."""

    policy: Policy | None
    """None is the learning policy."""
    lanes: np.ndarray
    """Their indices, int64."""


class Partners:
    """The seats of W worlds with R robots each, L = W R lanes."""

    def __init__(self, task: PartnersTask, world_index: np.ndarray, seed: int, drivers: HasDrivers | None) -> None:
        """All lanes are the learning policy's.

        Args:
            task: Pool, robots and bounds.
            world_index: (L,) int64 global indices of the lanes.
            seed: Of the seatings, together with each world's global index and episode.
            drivers: Drives robots by itself; None where the environment cannot.
        """
        robots, num_lanes = task.num_robots, len(world_index)
        if robots < 2 or num_lanes % robots or world_index[0] % robots:
            raise ValueError(
                f"worlds can be shared where several robots are in each; here are {num_lanes} lanes from "
                f"{world_index[0]} on with {robots} robots a world"
            )
        self._robots, self._drivers = robots, drivers
        self._num_learning, self._own_driver = task.num_learning, OBSTACLE if task.is_obstacle else lay.GIVEN
        self._world = world_index[::robots] // robots
        self._policies = MemberPolicies(task.pool, task.make_policy, task.max_policies)
        self._key = seats_key(seed)
        num_worlds = num_lanes // robots
        self.seat = np.tile(np.arange(robots, dtype=np.int32), num_worlds)
        """(L,) int32: which robot of its world a lane is."""
        self.learns = np.ones(num_lanes, np.bool_)
        """(L,) bool: lanes of the learning policy; a new array after each change."""
        self.member = np.full(num_lanes, "", np.dtype("<U1"))
        """(L,) str: the member that the lane's world is shared with, "" for none; a new array after each change."""
        self.groups: tuple[PolicyLanes, ...] = ()
        """Lanes by policy; those that the environment drives are in none."""
        self._shared_with = [""] * num_worlds
        self._driver = np.zeros(num_worlds, np.int8)
        self._episode = np.full(num_worlds, -1, np.int64)
        self._opponents, self._odds = NO_OPPONENTS, Odds(NO_OPPONENTS)
        self._met_missing: set[str] = set()
        self._regroup()

    def meet(self, opponents: Opponents) -> None:
        """Episodes that begin from now on are shared as ``opponents`` says."""
        if opponents == self._opponents:
            return
        if self._drivers is None and any(opponents.driver):
            raise ValueError("scripted members need worlds that can drive robots, and this environment cannot")
        self._opponents, self._odds = opponents, Odds(opponents)

    def take_missing(self) -> dict[str, str]:
        """Return the members that were drawn since the last call and could not act, and why."""
        found = {member: self._policies.missing.get(member, "") for member in sorted(self._met_missing)}
        self._met_missing = set()
        return found

    def begin_all(self, active: np.ndarray | None) -> None:
        """All worlds begin an episode; ``active`` (L,) bool are the robots that are in it, None for all."""
        everyone = np.ones(len(self.learns), np.bool_)
        self.begin_anew(everyone, everyone, everyone if active is None else active)

    def begin_anew(self, ended: np.ndarray, before: np.ndarray | None, after: np.ndarray | None) -> None:
        """Draw the seats of the worlds in which an episode has begun with the last step.

        Args:
            ended: (L,) bool: lanes whose episode ended in it.
            before: (L,) bool: lanes that took part in it; None for all.
            after: (L,) bool: lanes that take part in the next one; None for all.
        """
        fresh = ended if before is None else ended | ~before
        now = np.ones(len(self.learns), np.bool_) if after is None else after
        exists = now.reshape(-1, self._robots)
        begun = np.flatnonzero((fresh & now).reshape(-1, self._robots).any(axis=1)).tolist()
        if not begun:
            return
        learns = self.learns.copy().reshape(-1, self._robots)
        for world in begun:
            self._episode[world] += 1
            learns[world] = ~self._seat(world, exists[world])
        self.learns = learns.ravel()
        self._regroup()

    def _seat(self, world: int, exists: np.ndarray) -> np.ndarray:
        """Draw the episode of one world; return the (R,) robots of another member."""
        seating = draw_seating(
            self._odds, self._key, int(self._world[world]), int(self._episode[world]), exists, self._num_taken
        )
        self._shared_with[world], self._driver[world] = "", 0
        if seating.member is None:
            return seating.taken
        member, driver = self._opponents.member[seating.member], self._opponents.driver[seating.member]
        if driver in _ACTS and self._policies.get(member) is None:
            self._met_missing.add(member)
            return np.zeros_like(seating.taken)  # the learning policy takes these seats too
        self._shared_with[world], self._driver[world] = member, driver
        return seating.taken

    def _num_taken(self, member: int, num_robots: int) -> int | None:
        """Return how many of ``num_robots`` are the member's: an obstacle has one seat; None to have it drawn."""
        if self._num_learning is not None:
            return max(1, num_robots - self._num_learning)
        return 1 if self._opponents.driver[member] == OBSTACLE else None

    def _regroup(self) -> None:
        """Bring groups, members and drivers of the lanes up to the seats of the worlds."""
        shared_with = np.array(self._shared_with, np.str_)
        self.member = np.repeat(shared_with, self._robots)
        own_driver = np.where(self.member == "", lay.GIVEN, self._own_driver)
        driver = np.where(self.learns, own_driver, np.repeat(self._driver, self._robots)).astype(np.int8)
        if self._drivers is not None:
            self._drivers.set_drivers(driver)
        own = self.learns.copy()
        groups: list[PolicyLanes] = []
        under_way = sorted(
            {m for m, d in zip(self._shared_with, self._driver.tolist(), strict=True) if m and d in _ACTS}
        )
        for member in under_way:
            lanes = ~self.learns & (self.member == member)
            policy = self._policies.get(member)
            if policy is None:  # after a resume: its episode goes on, with the learning policy in its seats
                self._met_missing.add(member)
                own |= lanes
            else:
                groups.append(PolicyLanes(policy, np.flatnonzero(lanes)))
        self._policies.drop_beyond_limit(under_way)
        self.groups = (PolicyLanes(None, np.flatnonzero(own)), *groups)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return who sits where, as arrays."""
        return {
            "episode": self._episode.copy(),
            "member": np.array(self._shared_with, np.str_),
            "driver": self._driver.copy(),
            "learns": self.learns.copy(),
        }

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Restore what ``state_dict`` returned; ValueError, and nothing changed, when it does not fit.

        A member whose snapshot is gone since is missing: the learning policy sits in its seats, unrecorded, until the
        episode ends.
        """
        members = state.get("member", np.zeros(0, np.str_))
        if members.dtype.kind != "U" or members.shape != self._episode.shape:
            raise ValueError(f"member: expected the names of {len(self._episode)} members")
        shared_with: list[str] = members.tolist()
        fit = (len(m) <= MAX_MEMBER_ID and (not m or m.isprintable()) for m in shared_with)
        require(all(fit), "member: holds what is no member's id")
        check_numbers(
            "seats",
            {name: array for name, array in state.items() if name != "member"},
            {
                "episode": like(self._episode, 0, MAX_COUNT),
                "driver": like(self._driver, 0, 0 if self._drivers is None else np.iinfo(np.int8).max),
                "learns": like(self.learns, 0, 1),
            },
        )
        learns, is_shared = state["learns"].reshape(-1, self._robots), members != ""
        require(learns.any(axis=1), "learns: a world in which no robot learns")
        require(learns.all(axis=1) != is_shared, "learns: does not fit the members that worlds are shared with")
        require(is_shared | (state["driver"] == 0), "driver: of a world that is not shared")
        self._episode[:], self._driver[:] = state["episode"], state["driver"]
        self._shared_with, self.learns = shared_with, state["learns"].copy()
        self._regroup()
