"""What happened in a league, in its order."""

from __future__ import annotations

from typing import Any, NamedTuple

from robonav_ray.ranges import count, require

MAX_EVENTS = 10_000
"""So many are kept, the last ones."""


class LeagueEvent(NamedTuple):
    """Something that happened in a league."""

    event: str
    """``snapshot``, ``dropped`` (the pool was full), ``promoted``, ``kept`` (a challenger was not promoted),
    ``unplayed`` (a challenge came to nothing), ``exploiter`` (one has joined), or ``lost`` (weights are gone)."""
    member: str
    step: int
    """Env steps of the learner."""
    detail: str = ""


def read_events(value: Any) -> list[LeagueEvent]:
    """Return the events that a state holds as lists; RangeError when they are none."""
    require(isinstance(value, list) and len(value) <= MAX_EVENTS, "league.events: is no list, or too long")
    events: list[LeagueEvent] = []
    for i, one in enumerate(value):
        match one:
            case [str(event), str(member), int(step), str(detail)]:
                count().check(f"league.events[{i}]", step)
                events.append(LeagueEvent(event, member, step, detail))
            case _:
                require(False, f"league.events[{i}]: is no event of a league")
    return events
