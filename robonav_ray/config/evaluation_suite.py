"""What entrants are judged on: scenarios, each of which answers a question, in suites.

A scenario changes worlds and stage; the sensor and the body are the entrant's own, but for keys that the scenario
names::

    name: fog
    question: Does it still arrive when the lidar is noisy?
    stage: full_challenge
    changes: {level.randomization.range_noise: 2, env.world.difficulty: fast}

A suite holds scenarios, and sweeps, each of which stands for many: one for every factor and level, by a name of its
own.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator

from robonav_ray.config.base import Section
from robonav_ray.config.curriculum import CurriculumConfig, StageConfig, stage_number
from robonav_ray.config.load import check_section
from robonav_ray.config.overrides import spelled_out
from robonav_ray.config.words import ShownName, ShownSentence
from robonav_ray.config.worlds import SHOWN_KEYS, LevelConfig, WorldConfig
from robonav_ray.config.worlds.limits import levels_for

MIN_EPISODES = 50
"""The fewest episodes of a cell: an interval over fewer says next to nothing."""
HELD_OUT_SEED = 1_000_003
"""The default of ``evaluation.seed`` too: a standard scenario has the very worlds that ``robonav evaluate`` judges a
run on."""
MAX_SCENARIOS = 10_000
_WORLD, _LEVEL = "env.world.", "level."

PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
"""A name that can also be the name of a file."""
Beside = Literal["itself", "orca", "social_force", "straight", "stand"]
"""Who has half of the robots of a world: the entrant too, or a driver of the worlds."""
Changes = dict[str, Any]
"""Values by dotted key: ``env.world.KEY`` of the worlds, ``level.KEY`` of the stage."""


class _Env(Section):
    world: WorldConfig


class _Worlds(Section):
    """What a scenario amounts to; a section, so that a wrong key or value is told as in any config."""

    env: _Env
    level: LevelConfig


class Scenario(Section):
    """One question: worlds of one kind, and how many episodes in them."""

    name: PlainName
    """Unique in its suite."""
    question: ShownSentence | None = None
    """What it answers, in one sentence."""
    family: PlainName = "own"
    """What it is shown with: ``standard``, ``robustness``, ``generalisation``, ``stress``, ``crowdnav``, or a word of
    yours."""
    factor: PlainName | None = None
    """What is varied, where it is a point of a sweep: ``range_noise``."""
    level: float | None = None
    """How far: the scenarios of one factor are a curve over it."""
    changes: Changes = Field(default_factory=dict)
    """What differs from the defaults: ``env.world.KEY`` of the worlds, ``level.KEY`` of the stage."""
    planners: Changes = Field(default_factory=dict)
    """What differs for planners alone, which have no sensor and body of their own: ``env.world.KEY``."""
    stage: ShownName = "full_challenge"
    """Stage of the default curriculum that is played, by name."""
    beside: Beside | None = None
    """Half of the robots of each world, the smaller half of an odd number, are this one's, the others the entrant's,
    and an episode is a whole case: all robots of a world. None: an episode is one robot's."""
    num_episodes: int = Field(default=1000, ge=1)
    """Each in another world; at least 50, where worlds are no cases of a file."""
    seed: int = Field(default=HELD_OUT_SEED, ge=0, lt=2**31)
    """Of the worlds; refused when an entrant was trained with it."""
    draw: int = Field(default=0, ge=0, le=1000)
    """Another number has the same worlds, start, goals and obstacles alike, and draws anew what happens in them."""

    @model_validator(mode="after")
    def _worlds_can_be(self) -> Scenario:
        world, level = self.worlds()
        self.worlds(planner=True)
        if world.cases is None and self.num_episodes < MIN_EPISODES:
            raise ValueError(f"num_episodes ({self.num_episodes}) must be at least {MIN_EPISODES}")
        is_alone = min(world.num_robots, level.num_robots or world.num_robots) < 2
        if self.beside not in (None, "itself") and is_alone:
            raise ValueError(
                f"beside={self.beside} needs worlds of several robots: set env.world.num_robots to 2 or more"
            )
        return self

    @property
    def stage_index(self) -> int:
        """Number of the stage, from 0; the worlds of two stages differ also where all else is equal."""
        return stage_number(self.stage, [stage.name for stage in _stages()])

    def worlds(
        self, own: Mapping[str, Any] | None = None, *, planner: bool = False, more: Mapping[str, Any] | None = None
    ) -> tuple[WorldConfig, LevelConfig]:
        """Return the worlds and the stage, with the sensor and the body ``own`` (keys of ``WorldConfig``) under what
        the scenario names.

        Args:
            own: Of the entrant; None takes those of the scenario's profile.
            planner: Whether it is a planner.
            more: Further changes.

        Raises:
            ConfigError: Naming the key that cannot be, or does not go with the others.
        """
        world: dict[str, Any] = {}
        level = _stages()[self.stage_index].level.model_dump(mode="json")
        for key, value in {**self.changes, **(self.planners if planner else {}), **(more or {})}.items():
            if key.startswith(_WORLD):
                _put(world, key.removeprefix(_WORLD), value, key)
            elif key.startswith(_LEVEL):
                _put(level, key.removeprefix(_LEVEL), value, key)
            else:
                raise ValueError(
                    f"changes: {key!r} is neither of the worlds (env.world.KEY) nor of the stage (level.KEY)"
                )
        for key, value in (own or {}).items():
            named = world.get(key, {})
            if key == "robot" and "model" in named:
                continue  # the scenario's is another body
            if planner and key == "path" and "map" not in world:
                continue  # it drives at the goal where there is no path
            if planner and key in SHOWN_KEYS:
                continue  # planners track obstacles from the scan
            world[key] = (
                {**value, **named} if isinstance(value, Mapping) and isinstance(named, Mapping) else named or value
            )
        checked = check_section(_Worlds, {"env": {"world": world}, "level": level}, "changes")
        if f"{_LEVEL}max_steps" not in {**self.changes, **(self.planners if planner else {}), **(more or {})}:
            checked.level.model_fields_set.discard("max_steps")
        return checked.env.world, levels_for(checked.env.world, (checked.level,))[0]


class ScenarioKeys(Section):
    """A scenario as it stands in a suite, which says the rest."""

    name: PlainName
    question: ShownSentence | None = None
    family: PlainName | None = None
    factor: PlainName | None = None
    level: float | None = None
    changes: Changes = Field(default_factory=dict)
    """On top of those of the suite."""
    planners: Changes = Field(default_factory=dict)
    stage: ShownName | None = None
    beside: Beside | None = None
    num_episodes: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    draw: int | None = Field(default=None, ge=0, le=1000)


class Draws(Section):
    """Scenarios in which several factors of a sweep are up at once, drawn by seed."""

    name: PlainName
    """They are called ``NAME_1``, ``NAME_2``, ..."""
    num: int = Field(ge=1, le=1000)
    """How many."""
    of: int = Field(default=3, ge=1)
    """Factors in each."""
    level: float
    """Of each of them."""
    seed: int = Field(default=0, ge=0)
    """Which are drawn depends on nothing else."""


class Sweep(Section):
    """Scenarios for each of ``factors`` at each of ``levels``, called ``FACTOR_LEVEL``."""

    factors: tuple[PlainName, ...] = Field(min_length=1)
    """Each is swept alone."""
    question: ShownSentence | None = None
    """Of each of its scenarios."""
    key: str | None = None
    """The key that takes the level; ``*`` in it stands for the factor."""
    levels: tuple[float, ...] = ()
    """Values of the key."""
    values: dict[PlainName, Changes] = Field(default_factory=dict)
    """In place of key and levels: the changes of each level, by its name; one that is a number is the level."""
    beside: Beside | None = None
    """Of each of its scenarios; see ``Scenario``."""
    planners: Changes = Field(default_factory=dict)
    """Of each of its scenarios; see ``Scenario``."""
    at_once: PlainName | None = None
    """Name under which all factors are swept together too."""
    draws: Draws | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Sweep:
        if bool(self.values) == (self.key is not None or bool(self.levels)) or (self.key is None) != (not self.levels):
            raise ValueError("takes either key and levels, or values")
        if self.key is not None and "*" not in self.key and len(self.factors) > 1:
            raise ValueError(f"key: {self.key} is the same for all factors; write * where the factor's name belongs")
        if self.values and (len(self.factors) > 1 or self.at_once or self.draws):
            raise ValueError(
                "values: are those of one factor; several factors, at_once and draws go with key and levels"
            )
        if self.draws is not None and self.draws.of > len(self.factors):
            raise ValueError(f"draws.of ({self.draws.of}) is more than the {len(self.factors)} factors there are")
        return self

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield the keys of each scenario that this stands for."""
        for factor in self.factors:
            for label, level, changes in self._levels_of((factor,)):
                yield {"name": f"{factor}_{label}", "factor": factor, "level": level, "changes": changes}
        if self.at_once is not None:
            for label, level, changes in self._levels_of(self.factors):
                yield {"name": f"{self.at_once}_{label}", "factor": self.at_once, "level": level, "changes": changes}
        if self.draws is not None:
            rng = random.Random(self.draws.seed)
            for i in range(self.draws.num):
                drawn = sorted(rng.sample(range(len(self.factors)), self.draws.of))
                names = [self.factors[j] for j in drawn]
                question = f"With {', '.join(names)} at level {self.draws.level:g}?"[:200]
                changes = {self._key_of(name): _whole(self.draws.level) for name in names}
                yield {"name": f"{self.draws.name}_{i + 1}", "question": question, "changes": changes}

    def _levels_of(self, factors: tuple[str, ...]) -> Iterator[tuple[str, float, Changes]]:
        for level in self.levels:
            yield f"{level:g}", level, {self._key_of(factor): _whole(level) for factor in factors}
        for number, (label, changes) in enumerate(self.values.items()):
            try:
                level = float(label)
            except ValueError:
                level = float(number)
            yield label, level, changes

    def _key_of(self, factor: str) -> str:
        assert self.key is not None
        return self.key.replace("*", factor)


class Suite(Section):
    """Scenarios that are played together. What it says itself holds for each of them that says nothing else."""

    name: PlainName
    question: ShownSentence | None = None
    """What it answers, in one sentence."""
    family: PlainName | None = None
    """Of its scenarios; None takes the suite's name."""
    stage: ShownName = "full_challenge"
    changes: Changes = Field(default_factory=dict)
    """Under those of each scenario."""
    planners: Changes = Field(default_factory=dict)
    beside: Beside | None = None
    """Of its scenarios; see ``Scenario``."""
    num_episodes: int = Field(default=1000, ge=MIN_EPISODES)
    seed: int = Field(default=HELD_OUT_SEED, ge=0, lt=2**31)
    scenarios: tuple[ScenarioKeys, ...] = ()
    sweeps: tuple[Sweep, ...] = ()

    @model_validator(mode="after")
    def _every_scenario_can_be(self) -> Suite:
        names = [scenario.name for scenario in self.all_scenarios()]
        if not names:
            raise ValueError("scenarios: there is none; write scenarios, or sweeps")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"scenarios: the name {twice[0]!r} stands twice; names must differ")
        return self

    def all_scenarios(self) -> tuple[Scenario, ...]:
        """Return every scenario, those of the sweeps behind the others, with what the suite says for all.

        Raises:
            ConfigError: When one cannot be.
        """
        points = [
            {"question": sweep.question, "beside": sweep.beside, "planners": sweep.planners, **point}
            for sweep in self.sweeps
            for point in sweep.points()
        ]
        if len(self.scenarios) + len(points) > MAX_SCENARIOS:
            raise ValueError(f"sweeps: stand for {len(points)} scenarios, and {MAX_SCENARIOS} are the most")
        given = [(f"scenarios.{i}", scenario.model_dump()) for i, scenario in enumerate(self.scenarios)]
        given += [(f"sweeps: {point['name']}", point) for point in points]
        common: dict[str, Any] = {
            "family": self.family or self.name,
            "question": self.question,
            "stage": self.stage,
            "beside": self.beside,
            "num_episodes": self.num_episodes,
            "seed": self.seed,
        }
        found = list[Scenario]()
        for where, keys in given:
            said = {key: value for key, value in keys.items() if value is not None}
            changes = {**self.changes, **said.get("changes", {})}
            planners = {**self.planners, **said.get("planners", {})}
            keys = {**common, **said, "changes": changes, "planners": planners}
            found.append(check_section(Scenario, keys, where))
        return tuple(found)


@functools.cache
def _stages() -> tuple[StageConfig, ...]:
    return CurriculumConfig().stages


def _whole(level: float) -> int | float:
    return int(level) if level == int(level) else level


def _put(into: dict[str, Any], dotted: str, value: Any, key: str) -> None:
    """Write ``value`` at a dotted key below ``into``; ValueError, naming ``key``, when a part of it is no section."""
    *parents, last = dotted.split(".")
    section = into
    for part in parents:
        below: Any = section.setdefault(part, {})
        if not isinstance(below, dict):
            raise ValueError(f"changes: {key}: {part} is no section")
        section = cast("dict[str, Any]", below)
    section[last] = spelled_out(key.split("."), value)
