"""Scenarios whose worlds are shared: the entrant has half of the robots, another the rest, and a case is an episode.

::

    entrant, Company, worlds --play_shared--> EpisodeTable: a row for each case

A case's outcome is a success when all robots arrive (those that are told to stand need not), a collision when any
collides, and a timeout otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.load import check_section
from robonav_ray.config.load_suite import load_suite
from robonav_ray.config.worlds import WorldConfig
from robonav_ray.evaluation.entrants import Entrant, PlannerEntrant, PolicyEntrant
from robonav_ray.evaluation.episodes import EpisodeTable, EvaluationProgress
from robonav_ray.evaluation.together import DRIVERS, CaseTable, MakeWorlds, Player, play_cases
from robonav_ray.files.plain_files import read_bytes
from robonav_ray.records import Outcome
from robonav_ray.worlds.cases import load_cases

ITSELF = "itself"
"""Name of the company of an entrant that has all robots."""
STAND = "stand"
_FILE_SUITE, _MOST_ROBOTS = "everett", 64


@dataclass(frozen=True)
class Company:
    """Who has the other half of the robots."""

    name: str
    """In tables."""
    player: Entrant | str | None
    """None: the entrant itself."""

    @property
    def fingerprint(self) -> str:
        """Changes when what it does may change."""
        if self.player is None or isinstance(self.player, str):
            return self.player or ITSELF
        return self.player.fingerprint

    def beside(self, entrant: Entrant) -> Company:
        """Return the company of ``entrant``: beside its own policy it is itself."""
        own = isinstance(self.player, PolicyEntrant) and self.player.fingerprint == entrant.fingerprint
        return Company(self.name, None) if own else self

    def refusal(self, obs_dim: int, num_actions: int | None) -> str | None:
        """Return why it cannot act on such observations; None when it can."""
        if self.player is None or isinstance(self.player, str):
            return None
        why = self.player.refusal(obs_dim, num_actions)
        return None if why is None else f"{self.name}, beside it, {why}"


def company_of(word: str) -> Company:
    """Return the company that a scenario names: ``itself``, or a driver."""
    return Company(word, None if word == ITSELF else word)


def player_of(entrant: Entrant) -> Player:
    """Return who acts for ``entrant``: a planner that the worlds have as a driver drives as that one does."""
    if isinstance(entrant, PolicyEntrant):
        return entrant.policy
    if isinstance(entrant, PlannerEntrant) and entrant.name in DRIVERS:
        return entrant.name
    return entrant


def play_shared(
    entrant: Entrant,
    company: Company,
    make: MakeWorlds,
    num_robots: int,
    num_cases: int,
    seed: int,
    *,
    step_s: float,
    num_worlds: int,
    progress: Callable[[EvaluationProgress], None] | None = None,
) -> EpisodeTable:
    """Play ``num_cases`` cases of the worlds that ``make`` gives, and return a row for each.

    The entrant has every other place of the cast, the first one too; a case seats the cast in an order of its own.
    """
    cast = cast_of(entrant, company, num_robots)
    table = play_cases(make, cast, num_cases, seed, num_worlds=num_worlds, progress=progress)
    return as_episodes(table, step_s, stands=stands_of(company))


def cast_of(entrant: Entrant, company: Company, num_robots: int) -> list[Player]:
    """Return who has which place of the cast."""
    own = player_of(entrant)
    other = company.player if company.player is None or isinstance(company.player, str) else player_of(company.player)
    return [own if other is None or seat % 2 == 0 else other for seat in range(num_robots)]


def stands_of(company: Company) -> int | None:
    """Return the number of the player whose robots need not arrive; None where all have to."""
    return 1 if company.player == STAND else None


def as_episodes(table: CaseTable, step_s: float, stands: int | None = None) -> EpisodeTable:
    """Return the cases as rows of an exam; player 0 is the entrant, and the robots of player ``stands`` need not
    arrive.
    """
    there = table.there
    expected = there & (table.player != (-2 if stands is None else stands))
    solved = (table.arrived | ~expected).all(axis=1) & ~table.collided
    outcome = np.where(solved, np.int8(Outcome.SUCCESS), np.int8(Outcome.TIMEOUT))
    outcome = np.where(table.collided, _first_hit(table), outcome).astype(np.int8)
    steps = np.nanmax(np.where(expected, table.time_s, np.nan), axis=1) / step_s
    extra = np.nanmean(np.where(expected, table.robot_extra_s, np.nan), axis=1)
    unknown = np.full(table.num_cases, np.nan, np.float32)
    return EpisodeTable(
        world=table.case,
        outcome=outcome,
        length=np.rint(steps).astype(np.int32),
        task_return=unknown,
        total_return=unknown,
        goals_reached=unknown,
        path_length_m=np.nanmean(table.path_m, axis=1).astype(np.float32),
        shortest_path_length_m=np.nanmean(table.way_m, axis=1).astype(np.float32),
        min_clearance_m=np.nanmin(table.clearance_m, axis=1).astype(np.float32),
        step_s=step_s,
        extra={
            "robots": there.sum(axis=1).astype(np.float64),
            "arrived_frac": table.share_arrived(0),
            "extra_s": np.where(solved, extra, np.nan),
        },
    )


def _first_hit(table: CaseTable) -> np.ndarray:
    """Return the outcome (C,) of the robot that collided first; of a case without a collision any."""
    hit = (table.outcome >= Outcome.COLLISION_STATIC) & (table.outcome <= Outcome.COLLISION_ROBOT)
    first = np.argmin(np.where(hit, table.time_s, np.inf), axis=1)
    return np.take_along_axis(table.outcome, first[:, None], axis=1)[:, 0]


def cases_hash(world: WorldConfig) -> list[str]:
    """Return the hash of the file of cases of ``world``; none where it draws its own."""
    if world.cases is None:
        return []
    return [hashlib.sha256(read_bytes(Path(world.cases).expanduser(), follow=True)).hexdigest()]


def suite_of_cases(path: Path) -> Suite:
    """Return the suite ``everett`` with the cases of a file in place of its own: for each number of robots in it, all
    of the entrant's, and half of them ORCA's.

    Raises:
        CasesError: For a file that cannot be read, or holds a case that worlds cannot run.
    """
    everett = load_suite(Path(_FILE_SUITE))
    where = str(path.expanduser().absolute())
    _, sizes = load_cases(WorldConfig(profile="everett", num_robots=_MOST_ROBOTS, cases=where))
    scenarios = [
        {
            "name": f"{sweep.factors[0]}_{size}",
            "question": sweep.question,
            "beside": sweep.beside,
            "changes": {
                "env.world.num_robots": size,
                "env.world.cases": where,
                **({"env.world.cases_of": size} if len(set(sizes)) > 1 else {}),
            },
            "num_episodes": int((sizes == size).sum()),
        }
        for sweep in everett.sweeps
        for size in sorted(set(sizes.tolist()))
        if size > 1 or sweep.beside == ITSELF
    ]
    given = {"name": "cases", "question": everett.question, "changes": everett.changes, "scenarios": scenarios}
    return check_section(Suite, given, "--cases")
