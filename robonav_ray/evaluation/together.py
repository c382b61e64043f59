"""Cases that several players share: each robot of a world has its own, a policy, a driver of the worlds, or a planner.

::

    world, levels, cast, seed --play_together--> CaseTable: a row for each case, a column for each seat

A case is one world's first episode. It is solved when all of its robots arrive, a collision when any of them collides,
and stuck otherwise (Everett, Chen, How: GA3C-CADRL, IROS 2018). Robots of one player are decided for together: one
product per policy and step.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from gymnasium.vector import AutoresetMode

from robonav_ray.algo.policy import Policy
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.counter_rng import ROLE_OPPONENTS, derive_key, seed_for, uniform01
from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import Act, EvaluationProgress
from robonav_ray.planners.commands import PlannerError
from robonav_ray.records import Outcome
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.cases import load_cases
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.adversary import OBSTACLE
from robonav_ray.worlds.vector_env import NavVectorEnv

NUM_CASES = 500
"""As many as were published for each number of robots."""
DRIVERS = lay.DRIVERS[1:]
"""Names of players that the worlds drive by themselves."""
_GAMMA = 0.99  # of rewards, which change no episode


class TogetherError(UserError):
    """Players that cannot share such worlds; the message says which, and what would fit."""


class ActsInWorlds(Protocol):
    """A player that is no policy, such as an entrant that plans."""

    def act_for(self, env: NavVectorEnv) -> Act:
        """Return what acts in ``env``, for all of its lanes; called once for each batch of worlds."""
        ...


@dataclass(frozen=True)
class Obstacle:
    """A policy as an obstacle: without a goal, and in the way of the others (``worlds.kernels.adversary``). It succeeds
    where one of them does not.
    """

    policy: Policy


Player = Policy | Obstacle | str | ActsInWorlds
"""A policy, greedy, as a robot or as an obstacle; the name of one of ``DRIVERS``; or another that acts."""
MakeWorlds = Callable[[int, int], NavVectorEnv]
"""(first case, number of cases) -> worlds that stay as they are when an episode has ended."""


@dataclass(frozen=True)
class CaseTable:
    """C cases with R seats each, in the order of ``case``."""

    case: np.ndarray
    """(C,) int64: index of the world under the seed."""
    player: np.ndarray
    """(C, R) int8: who sat there, counted in the order in which players first stand in the cast; -1: no robot."""
    outcome: np.ndarray
    """(C, R) int8: see ``Outcome``; NONE where there is no robot."""
    time_s: np.ndarray
    """(C, R) float64: from the start to the robot's end; nan where there is none, as below."""
    way_m: np.ndarray
    """(C, R) float64: the straight way."""
    path_m: np.ndarray
    """(C, R) float64: the way that was driven."""
    clearance_m: np.ndarray
    """(C, R) float64: least clearance of the robot."""
    speed: np.ndarray
    """(C, R) float64: preferred speed, m/s."""
    radius_m: np.ndarray
    """(C, R) float64."""
    robot_extra_s: np.ndarray
    """(C, R) float64: time - (straight way - goal tolerance) / preferred speed, however the robot ended."""

    @property
    def num_cases(self) -> int:
        """Rows."""
        return len(self.case)

    @property
    def there(self) -> np.ndarray:
        """(C, R) bool: seats with a robot."""
        return self.player >= 0

    @property
    def arrived(self) -> np.ndarray:
        """(C, R) bool: robots that reached their goals."""
        return self.there & (self.outcome == Outcome.SUCCESS)

    @property
    def solved(self) -> np.ndarray:
        """(C,) bool: all robots arrived."""
        return np.asarray((self.arrived | ~self.there).all(axis=1))

    @property
    def collided(self) -> np.ndarray:
        """(C,) bool: a robot collided, with anything."""
        hit = (self.outcome >= Outcome.COLLISION_STATIC) & (self.outcome <= Outcome.COLLISION_ROBOT)
        return np.asarray((hit & self.there).any(axis=1))

    @property
    def stuck(self) -> np.ndarray:
        """(C,) bool: not solved, and without a collision."""
        return ~self.solved & ~self.collided

    @property
    def extra_s(self) -> np.ndarray:
        """(C,) float64: mean over robots of ``robot_extra_s``; nan unless solved."""
        extra = np.where(self.there, self.robot_extra_s, 0.0).sum(axis=1) / self.there.sum(axis=1)
        return np.where(self.solved, extra, np.nan)

    def share_arrived(self, player: int) -> np.ndarray:
        """(C,) float64: part of the robots of ``player`` that arrived; nan in a case where it has none."""
        seats = self.player == player
        num = seats.sum(axis=1)
        return np.where(num > 0, (seats & self.arrived).sum(axis=1) / np.maximum(num, 1), np.nan)


def play_together(
    world: WorldConfig,
    levels: Sequence[LevelConfig],
    cast: Sequence[Player],
    num_cases: int | None = None,
    seed: int = 0,
    *,
    first_case: int = 0,
    permute: bool = True,
    num_worlds: int = 256,
    progress: Callable[[EvaluationProgress], None] | None = None,
    ends_with: int | None = None,
) -> CaseTable:
    """Play cases of ``world`` with the players of ``cast`` in its seats; the same seed has the same cases and the same
    order of seats for every cast.

    Args:
        world: The worlds; a file of cases is one of its keys.
        levels: The last one is played; others only make room in the observation.
        cast: A player for each of the world's robots; the same object may sit in several seats. A case of fewer
            robots has the first ones.
        num_cases: Cases to play; None takes those of the world's file, else 500. Of a file no case is played twice.
        seed: Of the worlds and of who sits where.
        first_case: Index of the first one.
        permute: Whether the cast takes its seats in an order drawn for each case; else player i is robot i.
        num_worlds: Cases side by side; it changes no result.
        progress: Called after every vector step; what it raises ends the game.
        ends_with: Number of the player with whose last robot a case ends; others that are under way then have the
            outcome NONE. None plays all to their ends.

    Raises:
        TogetherError: For players that cannot share these worlds.
        CasesError: For a file that holds no cases of such worlds.
        ValueError: For a number below 1.
    """
    num = _num_cases(world, num_cases, first_case)
    make = partial(_make_worlds, world, tuple(levels), seed)
    return play_cases(make, cast, num, seed, first_case=first_case, permute=permute, num_worlds=num_worlds,
                      progress=progress, ends_with=ends_with)  # fmt: skip


def play_cases(
    make: MakeWorlds,
    cast: Sequence[Player],
    num_cases: int,
    seed: int,
    *,
    first_case: int = 0,
    permute: bool = True,
    num_worlds: int = 256,
    progress: Callable[[EvaluationProgress], None] | None = None,
    ends_with: int | None = None,
) -> CaseTable:
    """As ``play_together``, in worlds that ``make`` gives."""
    if num_cases < 1 or num_worlds < 1:
        raise ValueError(f"num_cases ({num_cases}) and num_worlds ({num_worlds}) must be at least 1")
    parts = list[CaseTable]()
    num_steps = 0
    for first in range(first_case, first_case + num_cases, num_worlds):
        env = make(first, min(num_worlds, first_case + num_cases - first))
        try:
            game = _Game(env, cast, seed if permute else None)
            for num_through in game.play(ends_with):
                if progress is not None:
                    progress(
                        EvaluationProgress(first - first_case + num_through, num_cases, num_steps + game.num_steps)
                    )
            parts.append(read_cases(env.worlds, game.player))
            num_steps += game.num_steps
        finally:
            env.close()
    return CaseTable(*(np.concatenate([vars(part)[one.name] for part in parts]) for one in fields(CaseTable)))


def read_cases(worlds: BatchedWorlds, player: np.ndarray) -> CaseTable:
    """Return what became of the episodes of ``worlds``, all of which have ended; ``player`` (N, R) sat in the seats."""
    lane, robot, tally = worlds.state.lane, worlds.state.robot, worlds.state.tally
    there = lane[..., lay.STEP_LIMIT] > 0

    def told(values: np.ndarray) -> np.ndarray:
        return np.where(there, values.astype(np.float64), np.nan)

    time_s, way_m = told(lane[..., lay.STEP] * worlds.config.dt_s), told(tally[..., lay.T_SHORTEST])
    speed = told(robot[..., lay.OWN_SPEED])
    return CaseTable(
        case=worlds.state.world[:, lay.INDEX].copy(),
        player=np.where(there, player, -1).astype(np.int8),
        outcome=np.where(there, lane[..., lay.OUTCOME], Outcome.NONE).astype(np.int8),
        time_s=time_s,
        way_m=way_m,
        path_m=told(tally[..., lay.T_PATH]),
        clearance_m=told(tally[..., lay.T_CLEARANCE]),
        speed=speed,
        radius_m=told(robot[..., lay.OWN_RADIUS]),
        robot_extra_s=time_s - np.maximum(way_m - worlds.config.goal_tolerance_m, 0.0) / speed,
    )


def refusal(player: Player, worlds: BatchedWorlds) -> str | None:
    """Return why ``player`` cannot sit in a seat of ``worlds``, in one sentence; None when it can."""
    if isinstance(player, str):
        if player in DRIVERS:
            return None
        near = difflib.get_close_matches(player, DRIVERS, n=1, cutoff=0.6)
        meant = f"did you mean {near[0]!r}? " if near else ""
        return f"{player}: no driver of the worlds has this name; {meant}There are {', '.join(DRIVERS)}"
    if isinstance(player, Obstacle):
        return refusal(player.policy, worlds)
    if not isinstance(player, Policy):
        return None
    table = worlds.action_table
    num_actions = None if table is None else len(table)
    if player.num_actions == num_actions and player.takes(worlds.obs_dim):
        return None
    given = "continuous actions" if num_actions is None else f"{num_actions} actions"
    return (
        f"takes {player.obs_dim} observations and {player.num_actions} actions, and there are {worlds.obs_dim} and "
        f"{given} here; train it in worlds of profile {worlds.config.profile} with observation="
        f"{worlds.config.observation}, and with encoder deep_set or attention where numbers of robots differ"
    )


def seats_of(num_there: np.ndarray, num_seats: int, first_case: int, seed: int | None) -> np.ndarray:
    """Return who of the cast sits where, (C, R) int64 indices into it; -1 where there is no robot.

    The first ``num_there`` (C,) of the cast are there. Case i takes them in an order drawn from (seed, i), or as they
    stand where ``seed`` is None.
    """
    found = np.full((len(num_there), num_seats), -1, np.int64)
    key = None if seed is None else np.uint64(seed_for(seed, ROLE_OPPONENTS))
    for i, num in enumerate(num_there.tolist()):
        order = np.arange(num)
        if key is not None:
            stream = np.uint64(derive_key(key, first_case + i))
            order = np.argsort([uniform01(stream, seat) for seat in range(num)], kind="stable")
        found[i, :num] = order
    return found


def distinct(cast: Sequence[Player]) -> tuple[list[Player], np.ndarray]:
    """Return the players of ``cast``, each once in the order of their first seats, and which of them each one is."""
    players = list[Player]()
    number = np.zeros(len(cast), np.int64)
    for i, one in enumerate(cast):
        known = [n for n, other in enumerate(players) if other is one or (isinstance(one, str) and other == one)]
        number[i] = known[0] if known else len(players)
        if not known:
            players.append(one)
    return players, number


class _Game:
    """The first episodes of one batch of worlds."""

    def __init__(self, env: NavVectorEnv, cast: Sequence[Player], seed: int | None) -> None:
        """Begin the episodes; with a ``seed`` it draws the order of the cast for each case."""
        worlds, self._env = env.worlds, env
        if len(cast) != worlds.num_robots:
            raise TogetherError(
                f"{len(cast)} players for {worlds.num_robots} robots: name one for each seat of a world"
            )
        players, number = distinct(cast)
        for player in players:
            if (why := refusal(player, worlds)) is not None:
                raise TogetherError(why)
        acts = [self._act_of(player) for player in players]
        self._obs, _ = env.reset()
        num_there = (worlds.state.lane[..., lay.STEP_LIMIT] > 0).sum(axis=1)
        seats = seats_of(num_there, worlds.num_robots, worlds.first_world, seed)
        self.player = np.where(seats >= 0, number[seats], -1)
        """(N, R) int64: who sits where."""
        self.num_steps = 0
        """Env steps so far, all robots together."""
        lanes = [np.flatnonzero(self.player == n) for n in range(len(players))]
        driver = np.zeros(worlds.num_lanes, np.int8)
        for player, own in zip(players, lanes, strict=True):
            if isinstance(player, str):
                driver[own] = lay.DRIVERS.index(player)
            if isinstance(player, Obstacle):
                driver[own] = OBSTACLE
        worlds.set_drivers(driver)
        self._groups = [
            _Group(act, own, isinstance(player, Policy | Obstacle))
            for player, act, own in zip(players, acts, lanes, strict=True)
            if act is not None
        ]

    def _act_of(self, player: Player) -> Act | None:
        """Return what decides for ``player``; None for a driver."""
        if isinstance(player, str):
            return None
        if isinstance(player, Policy):
            return player.greedy
        if isinstance(player, Obstacle):
            return player.policy.greedy
        try:
            return player.act_for(self._env)
        except PlannerError as error:
            raise TogetherError(str(error)) from None

    def play(self, ends_with: int | None) -> Iterator[int]:
        """Step until all cases have ended; yield how many are through, after each step."""
        worlds = self._env.worlds
        ended = worlds.state.lane[..., lay.ENDED]
        others = np.zeros_like(self.player, bool) if ends_with is None else self.player != ends_with
        action = np.zeros((worlds.num_lanes, 2), np.float32)
        if worlds.action_table is not None:
            action = np.zeros(worlds.num_lanes, np.int64)
        while (running := (ended == 0).ravel()).any():
            for group in self._groups:
                group.decide(self._obs, running, action)
            self._obs = self._env.step(action)[0]
            self.num_steps += int(running.sum())
            ended[((ended != 0) | others).all(axis=1)] = 1
            yield int((ended != 0).all(axis=1).sum())


class _Group(NamedTuple):
    """The lanes that one player acts in."""

    act: Act
    lanes: np.ndarray
    takes_rows: bool
    """Whether it can be asked about some lanes alone; else it is asked about all."""

    def decide(self, obs: np.ndarray, running: np.ndarray, action: np.ndarray) -> None:
        """Write the actions of its ``running`` lanes (L,) bool into ``action``."""
        own = self.lanes[running[self.lanes]]
        if len(own):
            action[own] = self.act(obs[own]) if self.takes_rows else self.act(obs)[own]


def _num_cases(world: WorldConfig, asked: int | None, first_case: int) -> int:
    if world.cases is None:
        return NUM_CASES if asked is None else asked
    in_file = len(load_cases(world)[0]) - first_case
    return in_file if asked is None else min(asked, in_file)


def _make_worlds(
    world: WorldConfig, levels: tuple[LevelConfig, ...], seed: int, first_case: int, num_cases: int
) -> NavVectorEnv:
    env = NavVectorEnv(
        num_cases * world.num_robots,
        world=world,
        levels=levels,
        seed=seed,
        gamma=_GAMMA,
        first_world=first_case,
        autoreset_mode=AutoresetMode.DISABLED,
        copy=False,
    )
    env.set_level(len(levels) - 1)
    return env
