"""Matches that the gates of a run's curriculum ask for: when they begin, and what becomes of those that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.records import Outcome, PartEvent
from robonav_ray.runtime.self_play.match_process import MatchResult
from robonav_ray.runtime.self_play.matches import GateOrder, Order, Side
from robonav_ray.runtime.self_play.member_store import MemberStore
from robonav_ray.runtime.self_play.run_league import LeagueParts, RunLeague
from tests.made_up_episodes import make_results
from tests.unit.runtime.test_matches import CONFIG, weights

GATED = CONFIG.model_validate(
    {
        **CONFIG.model_dump(mode="json"),
        "curriculum": {
            "window": 2,
            "stages": [
                {
                    "name": name,
                    "level": {"num_robots": 2, "num_static": 0, "num_dynamic": 0, "num_goals": 1},
                    "gate": {"min_success_frac": 0.5, "min_partner_success_frac": 0.6},
                }
                for name in ("first", "second")
            ],
        },
        "league": {"scripted": ["orca", "stand"], "snapshot_env_steps": 100, "promotion": {"interval_env_steps": None}},
    }
)


class MadeUpMatch:
    """One that is over at once; what came of it is set beforehand."""

    orders: ClassVar[list[GateOrder]] = []
    comes: ClassVar[MatchResult | None] = None
    closed: ClassVar[int] = 0

    def __init__(self, order: Order) -> None:
        assert isinstance(order, GateOrder)
        self.orders.append(order)

    def result(self, wait_s: float = 0.0) -> MatchResult | None:
        return self.comes

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def made(tmp_path: Path) -> tuple[RunLeague, Curriculum, list[PartEvent]]:
    MadeUpMatch.orders, MadeUpMatch.comes, MadeUpMatch.closed = [], None, 0
    return of_a_run(tmp_path)


def of_a_run(path: Path) -> tuple[RunLeague, Curriculum, list[PartEvent]]:
    events = list[PartEvent]()
    assert GATED.league is not None
    curriculum = Curriculum(GATED.curriculum)
    curriculum.next_assignment(0)
    parts = LeagueParts(GATED.league, MemberStore(str(path)), (), GATED)
    return RunLeague(parts, events.append, MadeUpMatch, curriculum), curriculum, events


def succeed(curriculum: Curriculum) -> None:
    at = curriculum.assignment_of(0).clock + curriculum.progress().num_gate_episodes
    rows = [(curriculum.stage, 0, at + i, 5, int(Outcome.SUCCESS), 1.0, True) for i in range(2)]
    curriculum.report(make_results(0, rows, at + 2, curriculum.stage))


def advance(run: RunLeague, env_steps: int) -> None:
    run.maybe_snapshot(env_steps, weights(env_steps))
    run.start_matches()


def shown(**success_frac: float) -> MatchResult:
    return MatchResult({}, "", 3.0, 1.5, success_frac=success_frac)


def test_the_newest_snapshot_plays_for_the_gate_of_the_stage(
    made: tuple[RunLeague, Curriculum, list[PartEvent]],
) -> None:
    run, curriculum, events = made
    advance(run, 100)
    assert MadeUpMatch.orders == [], "the window is not full"
    succeed(curriculum)
    advance(run, 200)
    advance(run, 300)
    (order,) = MadeUpMatch.orders
    assert (order.member.id, order.stage, order.anchors) == ("main-0001", 0, (Side("orca", None), Side("stand", None)))
    run.take_matches()
    assert (run.awaited(249), "gate" in run.awaited(250)) == ("", True), "half of snapshot_env_steps later"
    MadeUpMatch.comes = shown(own=0.9, orca=0.7, stand=0.6)
    run.take_matches(0.0, 249)
    assert curriculum.progress().partners is None, "it is there, and does not count yet"
    run.take_matches(0.0, 250)
    assert events[-1] == ("played", "league/main-0001", "for the gate of first: 60% beside stand (at least 60%)",
                          None, None)  # fmt: skip
    assert run.metrics()["league/gate_match_cpu_s"] == 1.5
    assert (run.awaited(10**9), MadeUpMatch.closed) == ("", 1)
    succeed(curriculum)
    assert curriculum.stage == 1


def test_one_that_is_under_way_is_played_anew_and_ends_with_its_stage(
    made: tuple[RunLeague, Curriculum, list[PartEvent]], tmp_path: Path
) -> None:
    run, curriculum, _ = made
    succeed(curriculum)
    advance(run, 100)
    states = json.loads(json.dumps([run.state_dict(), curriculum.state_dict()]))
    run.close()
    assert MadeUpMatch.closed == 1
    again, resumed, _ = of_a_run(tmp_path)
    resumed.load_state_dict(states[1])
    again.load_state_dict(states[0])
    again.start_matches()
    again.start_matches()
    assert [order.member.id for order in MadeUpMatch.orders] == ["main-0000"] * 2
    resumed.force(1)
    MadeUpMatch.comes = shown(own=1.0)
    again.take_matches()
    assert resumed.progress().partners is None, "it was played in the stage before"
    again.start_matches()
    assert MadeUpMatch.closed == 2


def test_where_it_cannot_be_played_training_goes_on_and_the_next_snapshot_plays(
    made: tuple[RunLeague, Curriculum, list[PartEvent]], tmp_path: Path
) -> None:
    run, curriculum, events = made
    succeed(curriculum)
    MadeUpMatch.comes = MatchResult({}, "the process that played it ended (exit code -9)", 1.0, 0.0)
    advance(run, 100)
    run.take_matches()
    assert events[-1][:2] == ("failed", "league/main-0000")
    assert "exit code -9" in events[-1].detail
    run.maybe_snapshot(200, weights(200))
    for path in (tmp_path / "league" / "snapshots").iterdir():
        path.unlink()
    run.start_matches()
    assert "its weights cannot be read" in events[-1].detail
    MadeUpMatch.comes = shown(own=1.0)
    advance(run, 300)
    run.take_matches()
    assert events[-1].event == "played"
