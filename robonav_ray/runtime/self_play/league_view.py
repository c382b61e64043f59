"""All that there is to show of a run's league: where it stands by held-out cross-play, else by training, and what
exploiters have found.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from robonav_ray.league.cross_play import CrossPlay
from robonav_ray.league.standing import Results, Standing, held_out_results, standing_of, training_results
from robonav_ray.ranges import MAX_COUNT, count, real, require
from robonav_ray.runtime.self_play.league_of_run import LeagueOfRun, lines_of
from robonav_ray.runtime.self_play.rating import kept_rating

EXPLOITS_FILE = "league/exploits.jsonl"
"""In a run: a line for each best response that ``robonav league exploit`` has trained."""


class ExploitLine(NamedTuple):
    """What a best response to a frozen member has found: a lower bound of its exploitability."""

    member: str
    """That was exploited."""
    role: str
    """Of the best response: ``robot`` or ``obstacle``."""
    budget_s: float
    gain: float
    low: float
    high: float
    """Bounds of the gain's interval."""
    num_cases: int
    wall_s: float
    id: str = ""
    """Of the best response, as a member."""


@dataclass(frozen=True)
class LeagueView:
    """A league with what is known of it."""

    found: LeagueOfRun
    results: Results
    standing: Standing
    exploits: tuple[ExploitLine, ...]
    """The oldest first."""

    @property
    def title(self) -> str:
        """Name of the run."""
        return self.found.run.name

    def to_dict(self) -> dict[str, Any]:
        """Return all as JSON takes it."""
        return {
            "run": self.found.shown,
            "env_steps": self.found.env_steps,
            **self.standing.to_dict(),
            "matrix": {
                "members": list(self.results.members),
                "score": self.results.mean.tolist(),
                "low": self.results.low.tolist(),
                "high": self.results.high.tolist(),
                "games": self.results.games.tolist(),
            },
            "exploits_found": [exploit._asdict() for exploit in self.exploits],
        }


def view_of(found: LeagueOfRun, played: CrossPlay | None = None) -> LeagueView:
    """Return what is known of the league of ``found``; ``played`` is its cross-play, None takes the one that is kept,
    or the results of training where there is none of all members.
    """
    played = played or kept_rating(found)
    results = training_results(found.league) if played is None else held_out_results(played)
    return LeagueView(found, results, standing_of(found.league, results), found_exploits(found))


def found_exploits(found: LeagueOfRun) -> tuple[ExploitLine, ...]:
    """Return what exploiters of the run have found; lines that tell of none are passed over.

    Raises:
        OSError: When the file is there, and cannot be read.
    """
    exploits: list[ExploitLine] = []
    for line in lines_of(found, EXPLOITS_FILE):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            exploits.append(_read(json.loads(line)))
    return tuple(exploits)


def _read(line: Any) -> ExploitLine:
    require(isinstance(line, Mapping), "is no line of exploits")
    exploit = ExploitLine(**{name: line[name] for name in ExploitLine._fields if name != "id" or name in line})
    texts = (exploit.member, exploit.role, exploit.id)
    require(all(isinstance(text, str) for text in texts), "member, role or id is no text")
    for name in ("gain", "low", "high"):
        real(low=-1.0, high=1.0).check(name, getattr(exploit, name))
    for name in ("budget_s", "wall_s"):
        real(low=0.0, high=float(MAX_COUNT)).check(name, getattr(exploit, name))
    count(high=MAX_COUNT).check("num_cases", exploit.num_cases)
    return exploit
