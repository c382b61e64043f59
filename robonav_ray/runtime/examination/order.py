"""What an exam is asked to be, in a form that another process can be told."""

from __future__ import annotations

import json
from dataclasses import dataclass

from robonav_ray.config.evaluation_suite import MIN_EPISODES, Suite
from robonav_ray.config.load import ConfigError, check_section
from robonav_ray.evaluation.exam import ExamPlan, questions_of
from robonav_ray.evaluation.find_entrants import LoadForeign, Named, find_entrants, find_partners, refuse_trained_on


@dataclass(frozen=True)
class ExamOrder:
    """Who plays what."""

    entrants: tuple[str | Named, ...]
    """As a user names them, or functions by name, which cannot be told to another process."""
    suites: tuple[Suite, ...]
    episodes: int | None = None
    """Of each scenario; None takes what the suites say."""
    trust: bool = False
    """Whether other libraries' policies may be unpickled."""
    partners: tuple[str, ...] = ()
    """Beside whom each scenario is played, as a user names them; none leaves it to the scenarios."""

    def __post_init__(self) -> None:
        """Refuse what can be seen without a look at the entrants."""
        if self.episodes is not None and self.episodes < MIN_EPISODES:
            raise ConfigError(f"episodes ({self.episodes}) must be at least {MIN_EPISODES}: fewer say next to nothing")
        names = [suite.name for suite in self.suites]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"suite {twice[0]}: is named twice")
        for scenario in (one for suite in self.suites for one in suite.all_scenarios() if self.partners):
            world, level = scenario.worlds()
            if min(world.num_robots, level.num_robots or world.num_robots) < 2:
                raise ConfigError(
                    f"--partners: {scenario.name} has one robot a world, and partners need two or more: leave --suite "
                    "out, or set env.world.num_robots in its changes"
                )

    @property
    def has_functions(self) -> bool:
        """Whether an entrant is known to this process alone."""
        return any(not isinstance(entrant, str) for entrant in self.entrants)

    def plan(self, foreign: LoadForeign) -> ExamPlan:
        """Return the plan of it, with every entrant opened.

        Raises:
            UserError: When one cannot be, or fits no scenario, or was trained with the seed of one.
        """
        entrants = find_entrants(self.entrants, foreign=foreign, trust=self.trust)
        partners = find_partners(self.partners, foreign=foreign, trust=self.trust)
        questions = questions_of(self.suites, self.episodes, partners)
        acting = [one.player for one in partners if one.player is not None and not isinstance(one.player, str)]
        for seed, name in {question.scenario.seed: question.scenario.name for question in reversed(questions)}.items():
            refuse_trained_on([*entrants, *acting], seed, name)
        plan = ExamPlan.of(entrants, questions)
        for e, entrant in enumerate(entrants):
            if all((e, s) not in plan.seats for s in range(len(questions))):
                raise ConfigError(f"{entrant.facts.name}: fits no scenario: {plan.missing[e, 0]}")
        return plan

    def to_json(self) -> str:
        """Return it in one line; functions are only named in it."""
        words = [entrant if isinstance(entrant, str) else [entrant[0]] for entrant in self.entrants]
        suites = [suite.model_dump(mode="json") for suite in self.suites]
        partners = {"partners": self.partners} if self.partners else {}
        told = {"entrants": words, "suites": suites, "episodes": self.episodes, "trust": self.trust, **partners}
        return json.dumps(told)

    @classmethod
    def from_json(cls, text: str) -> ExamOrder:
        """Return what ``to_json`` said."""
        told = json.loads(text)
        suites = tuple(check_section(Suite, suite, "suite") for suite in told["suites"])
        partners = tuple(told.get("partners", ()))
        return cls(tuple(told["entrants"]), suites, told["episodes"], told["trust"], partners)
