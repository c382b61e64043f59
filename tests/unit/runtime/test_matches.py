"""Matches for the place of the best: when they begin and count, what is played, what becomes of one that fails."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from robonav_ray.algo.parameters import parameter_shapes
from robonav_ray.config import RunConfig
from robonav_ray.config.league import LeagueConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.counter_rng import ROLE_EVALUATION, seed_for
from robonav_ray.evaluation.together import CaseTable, play_together
from robonav_ray.league.league import League
from robonav_ray.league.promotion import OWN
from robonav_ray.own_processes import lives, read_process
from robonav_ray.records import PartEvent, PolicySnapshot
from robonav_ray.runs.policies import make_ready
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.self_play.known_outcomes import KnownOutcomes
from robonav_ray.runtime.self_play.match_process import MatchProcess, MatchResult, Pacing
from robonav_ray.runtime.self_play.matches import (
    GateOrder,
    MatchOrder,
    Order,
    Side,
    order_from_json,
    play_for_gate,
    play_match,
)
from robonav_ray.runtime.self_play.member_store import MemberStore
from robonav_ray.runtime.self_play.run_league import LeagueParts, RunLeague

PROMOTION = {"num_worlds": 20, "interval_env_steps": 200}
CONFIG = load_run_config(
    None,
    [
        "env.world.profile=everett",
        "env.world.num_robots=2",
        "algo.hidden_dims=[8]",
        "curriculum.stages=[{name: two, level: {num_robots: 2, num_static: 0, num_dynamic: 0, num_goals: 1}}]",
        "league.scripted=[orca, stand]",
        "league.snapshot_env_steps=100",
        f"league.promotion={json.dumps(PROMOTION)}",
    ],
)


def weights(seed: int, config: RunConfig = CONFIG) -> PolicySnapshot:
    task, rng = describe_task(config), np.random.default_rng(seed)
    shapes = parameter_shapes(task.obs_dim, task.num_actions, config.algo, task.structure)
    arrays = tuple(rng.normal(0.0, 0.5, shape).astype(np.float32) for shape in shapes.values())
    return PolicySnapshot(1, 0, tuple(shapes), arrays)


class PlayedAtOnce:
    """A match that the challenger wins in its own company, where it is the one that is to win."""

    orders: ClassVar[list[MatchOrder]] = []
    closed: ClassVar[int] = 0

    def __init__(self, order: Order) -> None:
        assert isinstance(order, MatchOrder)
        self.orders.append(order)
        self._order = order

    def result(self, wait_s: float = 0.0) -> MatchResult:
        if self._order.challenger.id == "main-0007":
            return MatchResult({}, "the process that played it ended (exit code -9)", 1.0, 0.0)
        lost, won = np.zeros(20, bool), np.arange(20) >= 2
        is_better = self._order.challenger.id == "main-0001"
        alike = dict.fromkeys((self._order.best.id, "orca", "stand"), (lost, lost))
        return MatchResult({OWN: (won if is_better else lost, lost), **alike}, "", 2.0, 1.5, won)

    def close(self) -> None:
        type(self).closed += 1


def a_league(path: Path, **parts: Any) -> tuple[RunLeague, list[PartEvent]]:
    events: list[PartEvent] = []
    PlayedAtOnce.orders, PlayedAtOnce.closed = [], 0
    assert CONFIG.league is not None
    given = LeagueParts(CONFIG.league, MemberStore(str(path)), (), CONFIG)._replace(**parts)
    return RunLeague(given, events.append, PlayedAtOnce), events


def advance(run: RunLeague, env_steps: int) -> None:
    run.maybe_snapshot(env_steps, weights(env_steps))
    run.start_matches()


def test_the_newest_snapshot_challenges_the_best_and_takes_its_place_or_not(tmp_path: Path) -> None:
    run, events = a_league(tmp_path)
    advance(run, 100)
    assert run.league.challenged is None, "it is the best itself"
    advance(run, 200)
    assert run.league.challenged == ("main-0001", "main-0000", 200)
    assert not run.league.is_challenge_over(299)
    assert run.league.is_challenge_over(300)
    (order,) = PlayedAtOnce.orders
    assert (order.challenger.id, order.best.id) == ("main-0001", "main-0000")
    assert order.anchors == (Side("orca", None), Side("stand", None))
    run.take_matches()
    assert [(event.event, event.part) for event in events[2:]] == [("promoted", "league/main-0001")]
    assert "better in the company of own (90.0% against 0.0%)" in events[-1].detail
    assert run.league.pool.best == run.league.pool["main-0001"]
    assert PlayedAtOnce.closed == 1
    metrics = run.metrics()
    assert (metrics["league/challenges"], metrics["league/best_env_steps"]) == (1.0, 200.0)
    assert (metrics["league/match_s"], metrics["league/match_cpu_s"]) == (2.0, 1.5)
    for env_steps in (300, 400):
        advance(run, env_steps)
        run.take_matches()
    assert [event.event for event in events[-2:]] == ["joined", "kept"]
    for env_steps in range(500, 900, 100):
        advance(run, env_steps)
        run.take_matches()
    assert events[-1][:2] == ("failed", "league/main-0007"), "its process was killed; the training goes on"
    assert run.league.challenged is None
    assert run.league.events[-1].event == "unplayed"


def test_a_match_that_is_under_way_is_played_anew_by_the_session_that_goes_on(tmp_path: Path) -> None:
    run, _ = a_league(tmp_path)
    for env_steps in (100, 200):
        advance(run, env_steps)
    state = run.state_dict()
    run.close()
    again, events = a_league(tmp_path)
    again.load_state_dict(state)
    again.start_matches()
    again.start_matches()
    assert [order.challenger.id for order in PlayedAtOnce.orders] == ["main-0001"], "once"
    again.take_matches()
    won, lost = np.arange(20) >= 2, np.zeros(20, bool)
    run.league.end_challenge({OWN: (won, lost), "orca": (lost, lost)}, lambda one, two: 0.0 if one.any() else 1.0)
    assert again.state_dict() == run.state_dict()
    assert [event.event for event in events] == ["promoted"]
    before = {key: value for key, value in state.items() if key != "challenges"} | {"num_judged": 3}
    old, _ = a_league(tmp_path)
    old.load_state_dict(before)
    assert (old.league.num_judged, old.league.challenged) == (3, None), "a state of a version before"


@pytest.mark.parametrize("member", ["main-0000", "main-0001"])
def test_a_match_without_weights_is_not_played(tmp_path: Path, member: str) -> None:
    run, events = a_league(tmp_path)
    advance(run, 100)
    run.maybe_snapshot(200, weights(200))
    sha256 = run.league.pool[member].sha256
    (tmp_path / "league" / "snapshots" / f"{sha256}.safetensors").unlink()
    run.start_matches()
    assert PlayedAtOnce.orders == []
    assert run.league.challenged is None
    assert events[-1][:2] == ("lost", f"league/{member}")
    advance(run, 400)
    if member == "main-0000":
        assert run.league.pool.best == run.league.pool["main-0002"], "the best was lost"


def test_where_no_process_can_be_started_training_goes_on(tmp_path: Path) -> None:
    run, events = a_league(tmp_path)

    def refuses(order: Order) -> PlayedAtOnce:
        raise OSError("too many processes")

    run._start_match = refuses
    for env_steps in (100, 200):
        advance(run, env_steps)
    assert events[-1][:2] == ("failed", "league/main-0001")
    assert "too many processes" in events[-1].detail
    assert run.league.challenged is None


def test_a_challenger_stays_until_its_match_is_over() -> None:
    config = LeagueConfig.model_validate(
        {"capacity": 3, "snapshot_env_steps": 10, "promotion": {"interval_env_steps": 20}}
    )
    league = League(config)
    for step in range(10, 90, 10):
        league.snapshot(step, f"{step:064x}")
        league.begin_challenge(step)
    assert league.challenged == ("main-0001", "main-0000", 20)
    assert {member.id for member in league.pool.snapshots} == {"main-0000", "main-0001", "main-0007"}
    league.drop_challenge("a test")
    league.snapshot(90, f"{90:064x}")
    assert "main-0001" not in league.pool
    for wrong in (["main-0000", "main-0000", 3], ["main-0000", "nobody", 3], ["main-0000"], [1, 2, 3]):
        state = league.state_dict()
        with pytest.raises(ValueError, match="challenges"):
            League(config).load_state_dict({**state, "challenges": {**state["challenges"], "under_way": wrong}})
    assert League(config.model_copy(update={"promotion": config.promotion.model_copy(
        update={"interval_env_steps": None})})).begin_challenge(10**9) is None  # fmt: skip


@pytest.fixture
def order(tmp_path: Path) -> MatchOrder:
    store = MemberStore(str(tmp_path))
    sides = [Side(f"main-{seed:04d}", store.put(weights(seed))) for seed in (1, 2)]
    return MatchOrder(CONFIG, str(tmp_path), None, sides[0], sides[1], (Side("orca", None), Side("stand", None)))


def test_both_play_the_same_worlds_in_each_company(order: MatchOrder) -> None:
    again = order_from_json(order.to_json())
    assert again == order
    assert isinstance(again, MatchOrder)
    outcomes, beside_itself = play_match(again)
    assert list(outcomes) == [OWN, "main-0002", "orca", "stand"]
    assert {one.shape for both in outcomes.values() for one in both} == {(20,)}
    alike, best_beside_itself = play_match(replace(order, challenger=order.best))
    for name, (one, other) in alike.items():
        np.testing.assert_array_equal(one, other, err_msg=name)
        np.testing.assert_array_equal(other, outcomes[name][1], err_msg=name)
    np.testing.assert_array_equal(best_beside_itself, outcomes["main-0002"][1])
    assert beside_itself.any()
    held = CONFIG.model_copy(update={"curriculum": CONFIG.curriculum.model_copy(update={"force_stage": 0})})
    assert set(play_match(replace(order, config=held, anchors=())).outcomes) == {OWN, "main-0002"}


def test_the_best_does_not_play_again_where_it_is_known(
    order: MatchOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the best of a match before, nor a challenger that has taken its place; and the outcomes are the same."""
    known, played = KnownOutcomes(), list[tuple[str, ...]]()

    def cast_of(*arguments: Any, **options: Any) -> CaseTable:
        played.append(tuple(str(getattr(one, "name", one)) for one in arguments[2]))
        return play_together(*arguments, **options)

    monkeypatch.setattr("robonav_ray.runtime.self_play.matches.play_together", cast_of)
    first = play_match(order)
    num_first = len(played)
    assert known.of(order.best, order.anchors) == {}
    for promoted in (False, True):
        known.learn(order, MatchResult(first.outcomes, "", 1.0, 1.0, first.beside_itself), promoted)
        best = order.challenger if promoted else order.best
        third = Side("main-0003", MemberStore(str(tmp_path)).put(weights(3)))
        new = replace(order, challenger=third, best=best)
        played.clear()
        afresh = play_match(new)
        assert len(played) == num_first
        played.clear()
        told = order_from_json(replace(new, known=known.of(best, new.anchors)).to_json())
        assert isinstance(told, MatchOrder)
        shortened = play_match(told)
        assert len(played) == num_first - 3, "among its own kind, and beside each of two anchors"
        for name, outcome in afresh.outcomes.items():
            np.testing.assert_array_equal(outcome, shortened.outcomes[name], err_msg=name)
    other = Side("orca", "0" * 64)
    assert set(known.of(order.challenger, (other,))) == {OWN, order.challenger.id}, "another by that name"


def test_a_match_for_a_gate_says_how_a_snapshot_does_beside_each_partner(order: MatchOrder) -> None:
    config = load_run_config(
        None,
        [
            "env.world.profile=everett",
            "env.world.num_robots=3",
            "algo={encoder: deep_set, hidden_dims: [8], set_dims: [8]}",
            "curriculum.stages=[{name: two, level: {num_robots: 2, num_static: 0, num_dynamic: 0, num_goals: 1}}, "
            "{name: three, level: {num_static: 0, num_dynamic: 0, num_goals: 1}, "
            "gate: {min_partner_success_frac: 0.5}}]",
            "league={scripted: [orca, stand], num_gate_worlds: 12}",
        ],
    )
    side = Side("main-0005", MemberStore(order.run).put(weights(5, config)))
    played = GateOrder(config, order.run, None, side, 1, order.anchors)
    assert order_from_json(played.to_json()) == played
    found = play_for_gate(played)
    assert list(found) == [OWN, "orca", "stand"]
    seed, levels = seed_for(config.evaluation.seed, ROLE_EVALUATION, (3 << 17) + 1), describe_task(config).levels
    player = make_ready(weights(5, config), config, describe_task(config), "x")
    cases = play_together(config.env.world, levels, [player, "orca", player], 12, seed)
    shares = (cases.arrived & (cases.player == 0)).sum() / (cases.player == 0).sum()
    assert found["orca"] == pytest.approx(shares)
    assert play_for_gate(replace(played, stage=0)) != found, "in the worlds of another stage"


def test_a_match_takes_its_share_of_the_machine_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = {"wall": 100.0, "cpu": 1.0}, list[float]()
    monkeypatch.setattr("time.monotonic", lambda: clock["wall"])
    monkeypatch.setattr("time.process_time", lambda: clock["cpu"])
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    pacing = Pacing(0.05)
    clock |= {"wall": 101.0, "cpu": 2.0}
    pacing(None)  # pyright: ignore[reportArgumentType]
    assert slept == pytest.approx([2.0 / 0.1 - 2.0])
    Pacing(0.5)(None)  # pyright: ignore[reportArgumentType]
    assert len(slept) == 1, "it has the machine"


@pytest.mark.slow
def test_a_match_is_played_in_a_process_of_its_own(order: MatchOrder) -> None:
    match = MatchProcess(order)
    try:
        found = match.result(120.0)
    finally:
        match.close()
    assert found is not None
    assert not found.failed
    assert found.cpu_s > 0.0
    for name, (one, other) in play_match(order).outcomes.items():
        np.testing.assert_array_equal(found.outcomes[name][0], one)
        np.testing.assert_array_equal(found.outcomes[name][1], other)
    lost = MatchProcess(replace(order, best=Side("main-0002", "0" * 64)))
    try:
        found = lost.result(120.0)
    finally:
        lost.close()
    assert found is not None
    assert "is missing" in found.failed
    killed = MatchProcess(order)
    killed._process.kill()
    found = killed.result(60.0)
    killed.close()
    assert found is not None
    assert "exit code -9" in found.failed


KILLED = """
import sys, time
from robonav_ray.runtime.self_play.match_process import MatchProcess
from robonav_ray.runtime.self_play.matches import order_from_json
match = MatchProcess(order_from_json(sys.stdin.readline()))
print(match._process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_match_ends_with_the_run_that_was_killed(order: MatchOrder) -> None:
    slow = replace(order, share=0.001)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(slow.to_json() + "\n")
        run.stdin.flush()
        match = read_process(int(run.stdout.readline()))
        assert match is not None
        time.sleep(4.0)  # it plays by now, and sleeps between steps
        assert lives(match.name)
        run.kill()
    until = time.monotonic() + 20.0
    while lives(match.name) and time.monotonic() < until:
        time.sleep(0.1)
    assert not lives(match.name)
