"""Matches of a run's league: what is played in them. Which process plays them, ``match_process`` says.

::

    MatchOrder (for the place of the best) ---> challenger and best in the same worlds, company by company
    GateOrder  (for the gate of a stage)   ---> one snapshot in worlds of the stage, company by company

The worlds are held out, and the same ones in every match of a kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from robonav_ray.config import RunConfig
from robonav_ray.config.worlds import LevelConfig
from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.evaluation.together import CaseTable, Player, play_together
from robonav_ray.league.promotion import OWN
from robonav_ray.runs.policies import make_ready
from robonav_ray.runs.task import Task, describe_task
from robonav_ray.runtime.self_play.member_store import MemberStore

MATCH_WORLDS = 1 << 17
"""What the worlds of matches for the place of the best are numbered from among all that are held out; see
``judging.held_out``."""
GATE_WORLDS = 3 << 17
"""The same of matches for a gate, and the number of the stage comes on top."""
OnProgress = Callable[[EvaluationProgress], None]


class Side(NamedTuple):
    """Who plays."""

    id: str
    sha256: str | None
    """Of its weights; None for a driver of the worlds."""


@dataclass(frozen=True)
class MatchOrder:
    """A match for the place of the best."""

    config: RunConfig
    run: str
    """Directory of the run, which has the weights."""
    storage: str | None
    """Where they are besides."""
    challenger: Side
    best: Side
    anchors: tuple[Side, ...]
    """In whose company both play, beside their own kind and the best."""
    share: float = 1.0
    """Part of the machine's CPU time that it takes at most."""
    known: Mapping[str, tuple[bool, ...]] = field(default_factory=dict[str, tuple[bool, ...]])
    """By company: outcomes of the best that need not be played again."""

    def to_json(self) -> str:
        """Return it in one line."""
        return json.dumps({"for": "best", **vars(self), "config": self.config.model_dump(mode="json")})


@dataclass(frozen=True)
class GateOrder:
    """A match for the gate of a stage."""

    config: RunConfig
    run: str
    storage: str | None
    member: Side
    stage: int
    anchors: tuple[Side, ...]
    """In whose company it plays, beside its own kind."""
    share: float = 1.0

    def to_json(self) -> str:
        """Return it in one line."""
        return json.dumps({"for": "gate", **vars(self), "config": self.config.model_dump(mode="json")})


Order = MatchOrder | GateOrder


def order_from_json(text: str) -> Order:
    """Return what ``to_json`` said."""
    told = json.loads(text)
    is_gate = told.pop("for") == "gate"
    told |= {name: Side(*told[name]) for name in ("challenger", "best", "member") if name in told}
    told |= {"anchors": tuple(Side(*one) for one in told["anchors"])}
    told |= {"config": RunConfig.model_validate(told["config"])}
    if is_gate:
        return GateOrder(**told)
    return MatchOrder(**told | {"known": {name: tuple(one) for name, one in told["known"].items()}})


class Played(NamedTuple):
    """What came of a match for the place of the best."""

    outcomes: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """By company: (W,) bool of the challenger and of the best."""
    beside_itself: np.ndarray
    """(W,) bool of the challenger beside another of its kind: what it will be held against as the best."""


def played_stage(config: RunConfig) -> int:
    """Return the stage that matches of a run are played in: the one that it is held in, else the last."""
    held = config.curriculum.force_stage
    return len(config.curriculum.stages) - 1 if held is None else held


def stage_last(task: Task, stage: int) -> tuple[LevelConfig, ...]:
    """Return all levels of a task, which say what is seen, that of ``stage`` last."""
    return (*task.levels[:stage], *task.levels[stage + 1 :], task.levels[stage])


def played_levels(config: RunConfig, task: Task) -> tuple[LevelConfig, ...]:
    """Return all levels of a run, which say what is seen, that of ``played_stage`` last."""
    return stage_last(task, played_stage(config))


def play_match(order: MatchOrder, progress: OnProgress | None = None) -> Played:
    """Play a match to its end; a world counts for a member when all robots arrive that it drives.

    The worlds are those of the run's last stage (or the one that it is held in). Among its own kind a member drives all
    robots, else every other one, in seats drawn for each world.

    Raises:
        UserError: When a member cannot act in these worlds.
        OSError: When weights are not there.
    """
    promotion = None if order.config.league is None else order.config.league.promotion
    assert promotion is not None
    ground = _Ground(order, played_stage(order.config), MATCH_WORLDS, promotion.num_worlds, progress)
    challenger, best = ground.player(order.challenger), ground.player(order.best)

    def among_their_own(one: Player, side: Side) -> tuple[np.ndarray, np.ndarray]:
        cases = ground.play(one, ground.player(side), both_count=True)
        return cases.solved, _all_arrived(cases)

    def beside(one: Player, other: Player) -> np.ndarray:
        return _all_arrived(ground.play(one, other))

    own, beside_itself = among_their_own(challenger, order.challenger)
    shown = {name: np.array(outcome, bool) for name, outcome in order.known.items()}
    if not {OWN, order.best.id} <= set(shown):
        shown[OWN], shown[order.best.id] = among_their_own(best, order.best)
    outcomes = {OWN: (own, shown[OWN]), order.best.id: (beside(challenger, best), shown[order.best.id])}
    for anchor in order.anchors:
        company = ground.player(anchor)
        known = shown[anchor.id] if anchor.id in shown else beside(best, company)
        outcomes[anchor.id] = beside(challenger, company), known
    return Played(outcomes, beside_itself)


def play_for_gate(order: GateOrder, progress: OnProgress | None = None) -> dict[str, float]:
    """Return by company the part of the member's robots that arrive, from 0 to 1, in worlds of the stage; ``OWN`` is
    its own kind. Beside a partner it drives every other robot, in seats drawn for each world.

    Raises:
        UserError: When a member cannot act in these worlds.
        OSError: When weights are not there.
    """
    assert order.config.league is not None
    num, first_seed = order.config.league.num_gate_worlds, GATE_WORLDS + order.stage
    ground = _Ground(order, order.stage, first_seed, num, progress)
    member = ground.player(order.member)

    def arrived(company: Player) -> float:
        cases = ground.play(member, company)
        return float((cases.arrived & (cases.player == 0)).sum() / (cases.player == 0).sum())

    return {OWN: arrived(member)} | {anchor.id: arrived(ground.player(anchor)) for anchor in order.anchors}


class _Ground:
    """The worlds of a match, and who can play in them."""

    def __init__(self, order: Order, stage: int, numbered: int, num: int, progress: OnProgress | None) -> None:
        self._config, self._task = order.config, describe_task(order.config)
        self._store = MemberStore(order.run, order.storage)
        self._levels = stage_last(self._task, stage)
        self._seed = seed_for(order.config.evaluation.seed, ROLE_EVALUATION, numbered)
        self._num, self._progress = num, progress

    def player(self, side: Side) -> Player:
        """Return a player of its own for ``side``."""
        if side.sha256 is None:
            return side.id
        return make_ready(self._store.get(side.sha256), self._config, self._task, side.id)

    def play(self, one: Player, other: Player, *, both_count: bool = False) -> CaseTable:
        """Let ``one``, which is player 0, drive every other robot, and ``other`` the rest; a case ends with the robots
        of player 0, or with all where ``both_count``.
        """
        world = self._config.env.world
        cast = [other if seat % 2 else one for seat in range(world.num_robots)]
        return play_together(
            world, self._levels, cast, self._num, self._seed, num_worlds=self._config.evaluation.num_worlds,
            progress=self._progress, ends_with=None if both_count else 0,
        )  # fmt: skip


def _all_arrived(cases: CaseTable) -> np.ndarray:
    """(W,) bool: whether all robots of player 0 arrived."""
    return (cases.arrived | (cases.player != 0)).all(axis=1)
