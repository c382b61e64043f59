"""An exam: every entrant plays every scenario, on the same worlds, episode by episode.

::

    entrant, scenario --seat_of--> Seat (worlds, stage, seed), or why there is none
    Seat --play--> Played (EpisodeTable, Decisions) --> a cell of the ExamTable

Worlds are those of ``robonav evaluate``: their seed comes from the scenario's and the number of its stage. What an
entrant senses
and how its body turns has no part in how worlds are drawn.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from robonav_ray.compiled import fingerprint
from robonav_ray.config.evaluation_suite import Scenario, Suite
from robonav_ray.config.load import ConfigError
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.evaluation.entrants import DEFAULT_GAMMA, Entrant, cannot_drive
from robonav_ray.evaluation.episodes import Act, EpisodeTable, EvaluationProgress, evaluate_policy
from robonav_ray.evaluation.exam_table import BESIDE, DRAW, Cell, Decisions, ScenarioFacts
from robonav_ray.evaluation.metrics.meter import start_meter
from robonav_ray.evaluation.placed_worlds import Body, PlacedWorlds
from robonav_ray.evaluation.shared_cases import Company, cases_hash, company_of, play_shared
from robonav_ray.worlds.kernels import layout as lay
from robonav_ray.worlds.kernels.actions import action_table, own_speeds
from robonav_ray.worlds.kernels.observation import ObservationLayout
from robonav_ray.worlds.kernels.randomization import check_levels, max_circles
from robonav_ray.worlds.mix import with_parts, worlds_with_parts
from robonav_ray.worlds.redrawn import RedrawnVectorEnv
from robonav_ray.worlds.vector_env import NavVectorEnv

NUM_WORLDS = 256
"""Worlds side by side."""
SINGLE_DECISIONS = 100
"""Decisions for one world alone whose time is taken."""
SEE_SCAN = {"env.world.observation": "lidar"}


@dataclass(frozen=True)
class Question:
    """A scenario as it stands in an exam."""

    suite: str
    scenario: Scenario
    partner: Company | None = None
    """Who has half of the robots, where it is not the scenario that says so."""

    @property
    def company(self) -> Company | None:
        """Who has half of the robots; None where an episode is one robot's."""
        return self.partner or (None if self.scenario.beside is None else company_of(self.scenario.beside))

    @property
    def facts(self) -> ScenarioFacts:
        """What the table of the exam says of it."""
        s, company = self.scenario, self.company
        world, level = s.worlds()
        return ScenarioFacts(
            name=s.name if self.partner is None else f"{s.name}_beside_{self.partner.name}",
            question=s.question or "",
            suite=self.suite,
            family=s.family,
            factor=s.factor or "",
            level=s.level,
            stage=s.stage,
            changes={
                **s.changes,
                **({"planners": s.planners} if s.planners else {}),
                **({DRAW: s.draw} if s.draw else {}),
                **({} if company is None else {BESIDE: company.name}),
            },
            num_episodes=s.num_episodes,
            seed=s.seed,
            step_s=world.dt_s,
            max_steps=level.max_steps if company is None else None,  # each robot has a limit of its own
        )


def questions_of(
    suites: Sequence[Suite], num_episodes: int | None = None, partners: Sequence[Company] = ()
) -> list[Question]:
    """Return the scenarios of ``suites``; with ``num_episodes`` each has so many, of a file of cases at most those that
    are there. With ``partners`` each is played beside every one of them, whoever it names itself.
    """
    found = dict[str, list[Question]]()
    for suite in suites:
        for scenario in suite.all_scenarios():
            one = _with_episodes(scenario, num_episodes)
            own = {"name", "question", "factor", "level", "beside"} if partners else set[str]()
            worlds = f"{suite.name} {one.model_dump_json(exclude=own)}"
            found.setdefault(worlds, [Question(suite.name, one, partner) for partner in partners or (None,)])
    return [question for questions in found.values() for question in questions]


def _with_episodes(scenario: Scenario, num_episodes: int | None) -> Scenario:
    if num_episodes is None:
        return scenario
    is_bounded = "env.world.cases" in scenario.changes
    num = min(num_episodes, scenario.num_episodes) if is_bounded else num_episodes
    return scenario.model_copy(update={"num_episodes": num})


@dataclass(frozen=True)
class Seat:
    """The worlds that one entrant plays one scenario in."""

    world: WorldConfig
    levels: tuple[LevelConfig, ...]
    """The last one is played; others only make room in the observation."""
    seed: int
    gamma: float
    num_episodes: int
    draw: int = 0
    """Of what happens in the worlds; see ``worlds.redrawn``."""
    placed_for: Body | None = None
    """Body for which the worlds are drawn; None for that of their own robot."""
    company: Company | None = None
    """Who has half of the robots; None where an episode is one robot's."""

    @property
    def level(self) -> LevelConfig:
        """The stage that is played."""
        return self.levels[-1]

    def make_env(self, first_world: int, num_worlds: int) -> NavVectorEnv:
        """Return worlds that stay as they are when an episode has ended: only the first one counts."""
        make = partial(RedrawnVectorEnv, draw=self.draw) if self.draw else NavVectorEnv
        if self.placed_for is not None:
            make = partial(PlacedWorlds, placed_for=self.placed_for, draw=self.draw)
        env = make(
            num_worlds * self.world.num_robots,
            world=self.world,
            levels=self.levels,
            seed=self.seed,
            gamma=self.gamma,
            first_world=first_world,
            autoreset_mode=AutoresetMode.DISABLED,
            copy=False,
        )
        env.set_level(len(self.levels) - 1)
        return env

    @property
    def key(self) -> str:
        """Changes when the worlds may."""
        content = {
            "world": self.world.model_dump(mode="json"),
            "levels": [level.model_dump(mode="json") for level in self.levels],
            "plays": [
                self.seed,
                self.num_episodes,
                self.gamma,
                *([self.draw] if self.draw else []),
                *(self.placed_for or ()),
                *([] if self.company is None else ["beside", self.company.fingerprint]),
                *cases_hash(self.world),
            ],
            "kernels": fingerprint(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seat_of(entrant: Entrant, scenario: Scenario, company: Company | None = None) -> Seat | str:
    """Return the worlds in which ``entrant`` plays ``scenario``, beside ``company`` where that is given, or in one
    sentence why it cannot.
    """
    outfit = entrant.outfit
    see = SEE_SCAN if entrant.needs_scan and not (outfit is not None and outfit.observation == "lidar") else {}
    own = None if outfit is None else outfit.keys
    if own is not None and see:
        own = {**own, "lidar": {}}  # that of a true-state run has never been looked through
    try:
        world, level = scenario.worlds(own, planner=entrant.is_planner, more=see)
        check_levels(world, (level,))
        worlds_with_parts(world, (level,))
    except ConfigError as error:
        return str(error)
    except ValueError as error:
        return f"the stage does not go with these worlds: {error}"
    levels = (*_room_for(outfit.levels if outfit is not None else (), world, level), level)
    table = action_table(world.robot)
    obs_dim = ObservationLayout.of(world, max(max_circles(one) for one in with_parts(levels))).size
    num_actions = None if table is None else len(table)
    for one in (entrant, *([] if company is None else [company])):
        if (refused := one.refusal(obs_dim, num_actions)) is not None:
            return refused
    seed = seed_for(scenario.seed, ROLE_EVALUATION, scenario.stage_index)
    num_episodes = min(scenario.num_episodes, entrant.most_episodes or scenario.num_episodes)
    gamma = DEFAULT_GAMMA if outfit is None else outfit.gamma
    placed_for = _placed_for(entrant, scenario, world)
    company = None if company is None else company.beside(entrant)
    seat = Seat(world, levels, seed, gamma, num_episodes, scenario.draw, placed_for, company)
    env = seat.make_env(0, 1)
    try:
        return cannot_drive(entrant, env) or _company_cannot(company, env) or seat
    finally:
        env.close()


def _company_cannot(company: Company | None, env: NavVectorEnv) -> str | None:
    """Return why who has half of the robots cannot drive them; None when it can."""
    if company is None or company.player is None or isinstance(company.player, str):
        return None
    why = cannot_drive(company.player, env)
    return None if why is None else f"{company.name}, beside it: {why}"


def _placed_for(entrant: Entrant, scenario: Scenario, world: WorldConfig) -> Body | None:
    """Return the body for which all entrants' worlds are drawn; None where ``world`` has it, or draws it, and for an
    outline, which is no larger or smaller disc.
    """
    if entrant.placed_for is None or world.robot.radius_min_m is not None or own_speeds(world):
        return None
    if world.robot.body.shape != "circle":
        return None
    first = entrant.placed_for
    robot = {**world.robot.model_dump(), "radius_m": first.radius_m, "max_speed": first.max_speed}
    drawn = scenario.worlds({"robot": robot})[0].robot  # a scenario may name the body of all
    body = Body(drawn.radius_m, drawn.max_speed)
    return None if body == (world.robot.radius_m, world.robot.max_speed) else body


def _room_for(trained: tuple[LevelConfig, ...], world: WorldConfig, level: LevelConfig) -> tuple[LevelConfig, ...]:
    """Return the fullest stage of the training where an observation has a place for every circle, and ``level`` has
    fewer.
    """
    if world.observation == "lidar" or not trained:
        return ()
    fullest = max(with_parts(trained), key=max_circles)
    return (
        (level.model_copy(update={"num_dynamic": max_circles(fullest), "num_static": 0}),)
        if _fuller(fullest, level)
        else ()
    )


def _fuller(one: LevelConfig, other: LevelConfig) -> bool:
    return max_circles(one) > max_circles(other)


@dataclass(frozen=True)
class Played:
    """The result of a cell."""

    episodes: EpisodeTable
    decisions: Decisions


def play(
    entrant: Entrant,
    seat: Seat,
    progress: Callable[[EvaluationProgress], None] | None = None,
    num_worlds: int = NUM_WORLDS,
) -> Played:
    """Play the episodes of a cell, and take the time of the decisions.

    Raises:
        EntrantError: When the entrant fails.
    """
    if seat.company is not None:
        return _play_shared(entrant, seat, seat.company, progress, num_worlds)
    clock = _Clock(entrant)
    episodes = evaluate_policy(
        clock.act,
        lambda first, count: clock.begin(seat.make_env(first, count)),
        seat.num_episodes,
        num_worlds=num_worlds,
        step_s=seat.world.dt_s,
        max_steps=seat.level.max_steps,
        cut_off_after=seat.level.max_steps,
        progress=progress,
        meter=start_meter,
    )
    return Played(episodes, clock.decisions(_decide_alone(entrant, seat)))


def _play_shared(
    entrant: Entrant,
    seat: Seat,
    company: Company,
    progress: Callable[[EvaluationProgress], None] | None,
    num_worlds: int,
) -> Played:
    """Play cases; the time of a decision is that for one world alone."""
    episodes = play_shared(
        entrant,
        company,
        seat.make_env,
        seat.world.num_robots,
        seat.num_episodes,
        seat.seed,
        step_s=seat.world.dt_s,
        num_worlds=num_worlds,
        progress=progress,
    )
    alone = _decide_alone(entrant, seat)
    p50, p99 = np.percentile(alone, (50, 99)).tolist()
    return Played(episodes, Decisions(p50, p99, len(alone), seat.world.num_robots, p50, p99))


class _Clock:
    """Acts as an entrant does, and takes the time of each call."""

    def __init__(self, entrant: Entrant) -> None:
        self._entrant = entrant
        self._act: Act | None = None
        self._ended = np.zeros(0)
        self._lanes = 0
        self.seconds = list[float]()
        """Of each call, for one world that was still under way."""

    def begin(self, env: NavVectorEnv) -> NavVectorEnv:
        """Act in ``env`` from now on."""
        self._act, self._lanes = self._entrant.act_for(env), max(self._lanes, env.num_envs)
        self._ended = env.worlds.state.lane[:, :, lay.ENDED]
        return env

    def act(self, obs: np.ndarray) -> np.ndarray:
        assert self._act is not None
        running = max(1, int(np.count_nonzero(self._ended == 0)))
        began = time.perf_counter()
        action = self._act(obs)
        self.seconds.append((time.perf_counter() - began) / running)
        return action

    def decisions(self, alone: Sequence[float]) -> Decisions:
        """Return the time of all calls so far, and of those in a world ``alone``."""
        p50, p99 = np.percentile(self.seconds, (50, 99)).tolist()
        single_p50, single_p99 = np.percentile(alone, (50, 99)).tolist()
        return Decisions(p50, p99, len(self.seconds), self._lanes, single_p50, single_p99)


def _decide_alone(entrant: Entrant, seat: Seat) -> list[float]:
    """Return the seconds of each of up to SINGLE_DECISIONS decisions in one world alone."""
    env, clock = seat.make_env(0, 1), _Clock(entrant)
    try:
        clock.begin(env)
        obs, _ = env.reset()
        while len(clock.seconds) < SINGLE_DECISIONS:
            obs, _, terminated, truncated, _ = env.step(clock.act(obs))
            if (terminated | truncated).any():
                break
    finally:
        env.close()
    return clock.seconds


@dataclass(frozen=True)
class ExamPlan:
    """All cells of an exam, before any is played."""

    entrants: tuple[Entrant, ...]
    questions: tuple[Question, ...]
    seats: dict[Cell, Seat]
    missing: dict[Cell, str]
    """Why a cell cannot be played."""

    @classmethod
    def of(cls, entrants: Sequence[Entrant], questions: Sequence[Question]) -> ExamPlan:
        """Return the plan of every entrant in every scenario."""
        seats: dict[Cell, Seat] = {}
        missing: dict[Cell, str] = {}
        for e, entrant in enumerate(entrants):
            for s, question in enumerate(questions):
                seat = seat_of(entrant, question.scenario, question.company)
                if isinstance(seat, str):
                    missing[e, s] = seat
                else:
                    seats[e, s] = seat
        return cls(tuple(entrants), tuple(questions), seats, missing)

    def key(self, cell: Cell) -> str:
        """Return what the result of a cell depends on, as a hash: cells of one key are the same episodes."""
        content: list[Any] = [self.entrants[cell[0]].fingerprint, self.seats[cell].key]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
