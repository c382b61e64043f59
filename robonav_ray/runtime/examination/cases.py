"""One episode of a suite, or of an exam that was played, once more: ``SUITE:SCENARIO:INDEX``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.config.evaluation_suite import Scenario, Suite
from robonav_ray.config.load import ConfigError, check_section
from robonav_ray.config.load_suite import load_suite
from robonav_ray.evaluation.entrants import Entrant
from robonav_ray.evaluation.exam import Seat, questions_of, seat_of
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.failures.files import replay_cell
from robonav_ray.evaluation.failures.replays import Ending, Recording, check_ending
from robonav_ray.evaluation.find_entrants import LoadForeign, find_entrants, find_partners
from robonav_ray.evaluation.played_case import NamedPlayer, PlayedCase, watch_case
from robonav_ray.evaluation.shared_cases import ITSELF, Company, as_episodes, cast_of, stands_of
from robonav_ray.records import Outcome

_BESIDE = "_beside_"
HOW = "SUITE:SCENARIO:INDEX, e.g. standard:full_challenge:17"


@dataclass(frozen=True)
class Case:
    """Which episode."""

    suite: str
    """Name of a shipped suite or of one of the exam, or a YAML file."""
    scenario: str
    index: int
    """Of the world."""

    @classmethod
    def parse(cls, text: str) -> Case:
        """Return what ``SUITE:SCENARIO:INDEX`` names; ConfigError for other words."""
        suite, _, rest = text.rpartition(":")
        suite, _, scenario = suite.rpartition(":")
        if not suite or not scenario or not (rest.isascii() and rest.isdigit() and len(rest) <= 9):
            raise ConfigError(f"--case {text!r}: write {HOW}")
        return cls(suite, scenario, int(rest))

    def __str__(self) -> str:
        return f"{self.suite}:{self.scenario}:{self.index}"


@dataclass(frozen=True)
class Replayed:
    """The episode."""

    case: Case
    entrant: str
    seen: Recording | PlayedCase
    """Of one robot's episode, or of all robots in a case that several share."""
    ending: Ending
    """As a row of an exam's table has it."""
    is_as_told: bool
    """Whether an exam told of it, and it came out the same; False where there was no exam to hold it against."""

    @property
    def dt_s(self) -> float:
        """Duration of a step."""
        return self.seen.dt_s


def replay_case(
    case: Case, who: str, *, foreign: LoadForeign, exam: Path | None = None, seed: int | None = None
) -> Replayed:
    """As ``replay_cases``, for one entrant."""
    return replay_cases(case, [who], foreign=foreign, exam=exam, seed=seed)[0]


def replay_cases(
    case: Case, whos: Sequence[str], *, foreign: LoadForeign, exam: Path | None = None, seed: int | None = None
) -> list[Replayed]:
    """Have each entrant play one episode as an exam plays it, bit for bit.

    Args:
        case: Which.
        whos: Entrants; with ``exam`` also by the names that they have there.
        foreign: Opens other libraries' policies.
        exam: Folder of an exam: its scenarios, and the sensor and body that its entrants had, are taken, and what comes
            out is held against it.
        seed: Of the worlds; None takes the scenario's.

    Raises:
        UserError: For an entrant, a suite, a scenario or a world that is none, or an episode that comes out otherwise.
    """
    table = None if exam is None else ExamTable.load(exam)
    suites = [load_suite(Path(case.suite))] if table is None else _suites_of(table)
    scenario, company = _scenario(case, suites, seed, table, foreign)
    found = list[Replayed]()
    for entrant, number in _entrants(whos, table, foreign):
        seat = seat_of(entrant, scenario, company)
        if isinstance(seat, str):
            raise ConfigError(f"{entrant.facts.name}: cannot play {case.scenario}: {seat}")
        if case.index >= seat.num_episodes:
            raise ConfigError(
                f"--case {case}: {entrant.facts.name} plays the worlds 0 to {seat.num_episodes - 1} of it"
            )
        seen, ending = _alone(entrant, seat, case) if seat.company is None else _shared(entrant, seat, case)
        is_told = table is not None and number is not None and _hold_against(table, number, case, seat, ending)
        found.append(Replayed(case, entrant.facts.name, seen, ending, is_told))
    return found


def _alone(entrant: Entrant, seat: Seat, case: Case) -> tuple[Recording, Ending]:
    (recording,) = replay_cell(entrant, seat, [case.index])
    return recording, (recording.outcome, recording.num_steps, recording.path_length_m)


def _shared(entrant: Entrant, seat: Seat, case: Case) -> tuple[PlayedCase, Ending]:
    company = seat.company
    assert company is not None
    names = [entrant.facts.name, *([] if company.player is None else [company.name])]
    played = watch_case(
        seat.make_env,
        cast_of(entrant, company, seat.world.num_robots),
        case.index,
        seat.seed,
        dt_s=seat.world.dt_s,
        title=f"{case.scenario} {case.index}, {entrant.facts.name}",
        players=[NamedPlayer(name, name) for name in names],
    )
    row = as_episodes(played.table, seat.world.dt_s, stands_of(company))
    return played, (Outcome(int(row.outcome[0])), int(row.length[0]), float(row.path_length_m[0]))


def _suites_of(table: ExamTable) -> list[Suite]:
    told, episodes = table.provenance.get("suites"), table.provenance.get("episodes")
    if not isinstance(told, Sequence) or not isinstance(episodes, int | None):
        raise ConfigError("--exam: its exam.json says nothing of its suites; leave --exam out")
    suites = [check_section(Suite, suite, "suites") for suite in told]
    if episodes is None:
        return suites
    return [_with_episodes(suite, episodes) for suite in suites]


def _with_episodes(suite: Suite, episodes: int) -> Suite:
    scenarios = tuple(one.model_copy(update={"num_episodes": episodes}) for one in suite.scenarios)
    return suite.model_copy(update={"num_episodes": episodes, "scenarios": scenarios})


def _scenario(
    case: Case, suites: Sequence[Suite], seed: int | None, table: ExamTable | None, foreign: LoadForeign
) -> tuple[Scenario, Company | None]:
    """Return the scenario, and who has the other half of the robots where several share its worlds."""
    names = [suite.name for suite in suites]
    own = [suite for suite in suites if suite.name == case.suite] or (list(suites) if case.suite not in names else [])
    if len(suites) > 1 and case.suite not in names:
        raise ConfigError(f"--case {case}: the exam has no suite {case.suite!r}; it has {', '.join(names)}")
    scenarios: Mapping[str, Scenario] = {question.scenario.name: question.scenario for question in questions_of(own)}
    name, _, partner = case.scenario.rpartition(_BESIDE)
    if case.scenario in scenarios:
        name, partner = case.scenario, scenarios[case.scenario].beside or ""
    if name not in scenarios:
        near = difflib.get_close_matches(case.scenario, scenarios, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(list(scenarios)[:12])}"
        raise ConfigError(f"--case {case}: suite {case.suite} has no scenario {case.scenario!r}; {meant}")
    found = scenarios[name] if seed is None else scenarios[name].model_copy(update={"seed": seed})
    return found, _company(partner, table, foreign) if partner else None


def _company(partner: str, table: ExamTable | None, foreign: LoadForeign) -> Company:
    """Return who a scenario is played beside; of an exam also one of its entrants, by its name there."""
    if table is not None and any(partner == facts.name for facts in table.entrants):
        return Company(partner, _entrant(partner, table, foreign)[0])
    return next(one for one in find_partners([partner], foreign=foreign) if one.name != ITSELF or partner == ITSELF)


def _entrants(whos: Sequence[str], table: ExamTable | None, foreign: LoadForeign) -> list[tuple[Entrant, int | None]]:
    """Return the entrants, each with its number in the exam."""
    if table is None:
        return [(entrant, None) for entrant in find_entrants(whos, foreign=foreign)]
    return [_entrant(who, table, foreign) for who in whos]


def _entrant(who: str, table: ExamTable, foreign: LoadForeign) -> tuple[Entrant, int]:
    names = {word: e for e, facts in enumerate(table.entrants) for word in (facts.source, facts.name)}
    number = names.get(who)
    if number is None:
        raise ConfigError(f"{who}: took no part in the exam; there were {', '.join(f.name for f in table.entrants)}")
    facts = table.entrants[number]
    first = next((other for other in table.entrants if other.kind in ("run", "checkpoint", "bundle")), None)
    dresser = [] if first is None or first is facts else [f"{first.name}={first.source}"]
    return find_entrants([*dresser, f"{facts.name}={facts.source}"], foreign=foreign)[-1], number


def _hold_against(table: ExamTable, entrant: int, case: Case, seat: Seat, ending: Ending) -> bool:
    """Whether the exam tells of the episode; ReplayError when it tells that it ended otherwise."""
    scenario = next(
        (s for s, facts in enumerate(table.scenarios) if (facts.suite, facts.name) == (case.suite, case.scenario)), None
    )
    if scenario is None or (entrant, scenario) in table.missing:
        return False
    columns: dict[str, Any] = table.columns
    row = np.flatnonzero(
        (columns["entrant"] == entrant) & (columns["scenario"] == scenario) & (columns["world"] == case.index)
    )
    if len(row) != 1 or seat.num_episodes <= case.index:
        return False
    outcome, length, path = (columns[name][row[0]] for name in ("outcome", "length", "path_length_m"))
    check_ending(ending, (Outcome(int(outcome)), int(length), float(path)), str(case))
    return True
