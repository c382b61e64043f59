"""Matches for the place of the best: two members play the same held-out worlds in the same companies, in a process of
its own that steps back behind the training.

::

    run ----MatchOrder, a line of JSON----> process: challenger and best, company by company
        <---{"outcomes": ...} or {"failed": why}---+

The process ends with the run that has started it, however that ends: its standard input is closed then.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from robonav_ray.config import RunConfig
from robonav_ray.config.worlds import LevelConfig
from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.evaluation.together import Player, play_together
from robonav_ray.league.promotion import OWN
from robonav_ray.league.snapshots import MissingSnapshotError
from robonav_ray.own_processes import ACTS, step_back
from robonav_ray.runs.policies import make_ready
from robonav_ray.runs.task import Task, describe_task
from robonav_ray.runtime.examination.child import start_child
from robonav_ray.runtime.self_play.member_store import MemberStore

MATCH_WORLDS = 1 << 17
"""What the worlds of matches are numbered from among all that are held out; see ``judging.held_out``."""
SHARE = 0.025
"""Part of the CPU time of this machine's cores that a match takes at most, where training does not wait for it."""
_SLEEP_S = 0.1
Played = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By company: (W,) bool of the challenger and of the best."""


class Side(NamedTuple):
    """Who plays."""

    id: str
    sha256: str | None
    """Of its weights; None for a driver of the worlds."""


@dataclass(frozen=True)
class MatchOrder:
    """A match."""

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

    def to_json(self) -> str:
        """Return it in one line."""
        told = {name: value for name, value in vars(self).items() if name != "config"}
        return json.dumps({**told, "config": self.config.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> MatchOrder:
        """Return what ``to_json`` said."""
        told = json.loads(text)
        sides = {name: Side(*told[name]) for name in ("challenger", "best")}
        told |= {**sides, "anchors": tuple(Side(*one) for one in told["anchors"])}
        return cls(**told | {"config": RunConfig.model_validate(told["config"])})


class MatchResult(NamedTuple):
    """What came of a match."""

    outcomes: Played
    failed: str
    """Why there are none; empty where there are."""
    wall_s: float
    cpu_s: float


class Match(Protocol):
    """A match that is under way."""

    def result(self, wait_s: float = 0.0) -> MatchResult | None:
        """Return what came of it, None while it is played; waits for that up to ``wait_s``."""
        ...

    def close(self) -> None:
        """End it; what has been played is lost."""
        ...


StartMatch = Callable[[MatchOrder], Match]


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


def play_match(order: MatchOrder, progress: Callable[[EvaluationProgress], None] | None = None) -> Played:
    """Play a match to its end; a world counts for a member when all robots arrive that it drives.

    The worlds are those of the run's last stage (or the one that it is held in), the same ones in every company and
    every match. Among its own kind a member drives all robots, else every other one, in seats drawn for each world.

    Raises:
        UserError: When a member cannot act in these worlds.
        OSError: When weights are not there.
    """
    config, task = order.config, describe_task(order.config)
    store, seed = MemberStore(order.run, order.storage), seed_for(config.evaluation.seed, ROLE_EVALUATION, MATCH_WORLDS)
    promotion = config.league.promotion if config.league is not None else None
    assert promotion is not None

    def player(side: Side) -> Player:
        return side.id if side.sha256 is None else make_ready(store.get(side.sha256), config, task, side.id)

    def arrived(one: Player, other: Player) -> tuple[np.ndarray, np.ndarray]:
        """Return (W,) bool: whether all robots of ``one`` arrived beside ``other``, and whether all did."""
        cast = [other if seat % 2 else one for seat in range(config.env.world.num_robots)]
        worlds = play_together(
            config.env.world, played_levels(config, task), cast, promotion.num_worlds, seed,
            num_worlds=config.evaluation.num_worlds, progress=progress,
        )  # fmt: skip
        return (worlds.arrived | (worlds.player != 0)).all(axis=1), worlds.solved

    challenger, best, again = player(order.challenger), player(order.best), player(order.best)
    beside_itself, own = arrived(best, again)
    outcomes = {
        OWN: (arrived(challenger, challenger)[1], own),
        order.best.id: (arrived(challenger, again)[0], beside_itself),
    }
    for anchor in order.anchors:
        company = player(anchor)
        outcomes[anchor.id] = arrived(challenger, company)[0], arrived(best, company)[0]
    return outcomes


class MatchProcess:
    """A match in a process of its own; implements Match."""

    def __init__(self, order: MatchOrder) -> None:
        self._process = start_child(serve_match)
        self._began = time.monotonic()
        self._told: dict[str, Any] | None = None
        self._heard = threading.Event()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # one that is gone says so itself, by its end
            self._process.stdin.write(order.to_json() + "\n")
            self._process.stdin.flush()
        threading.Thread(target=self._listen, name="match", daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # closed, or killed within a line
            line = self._process.stdout.readline()
            self._told = json.loads(line) if line else None
        self._heard.set()

    def result(self, wait_s: float = 0.0) -> MatchResult | None:
        """See ``Match``."""
        if not self._heard.wait(wait_s):
            return None
        wall_s = time.monotonic() - self._began
        if self._told is None:
            code = self._process.wait()
            return MatchResult({}, f"the process that played it ended (exit code {code})", wall_s, 0.0)
        outcomes = {
            name: (np.array(one, bool), np.array(other, bool))
            for name, (one, other) in self._told.get("outcomes", {}).items()
        }
        return MatchResult(outcomes, self._told.get("failed", ""), wall_s, float(self._told["cpu_s"]))

    def close(self) -> None:
        """See ``Match``."""
        self._process.kill()
        self._process.wait()
        self._heard.wait(1.0)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def serve_match() -> None:
    """Play the match that standard input tells, and tell its outcomes; behind all others for a core, and until standard
    input ends at most.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what is printed is no answer
    step_back(ACTS)
    order = MatchOrder.from_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        outcomes = play_match(order, Pacing(order.share))
        told = {name: [one.tolist(), other.tolist()] for name, (one, other) in outcomes.items()}
        answer: dict[str, Any] = {"outcomes": told}
    except (UserError, MissingSnapshotError, OSError) as error:
        answer = {"failed": str(error)}
    with contextlib.suppress(BrokenPipeError):
        answers.write(json.dumps({**answer, "cpu_s": time.process_time()}) + "\n")


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


class Pacing:
    """Sleeps between steps, so that this process takes ``share`` of the CPU time of the cores that it may use."""

    def __init__(self, share: float) -> None:
        self._share = min(1.0, share * len(os.sched_getaffinity(0)))
        self._began = time.monotonic() - time.process_time()  # what it has needed to come up counts

    def __call__(self, progress: EvaluationProgress) -> None:
        """A step has been made."""
        if self._share >= 1.0:
            return
        ahead_s = time.process_time() / self._share - (time.monotonic() - self._began)
        if ahead_s >= _SLEEP_S:
            time.sleep(ahead_s)
