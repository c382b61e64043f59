"""A league that was saved goes on as if it had not stopped; what is lost is said; who is best is tested."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from robonav_ray.config.league import LeagueConfig, PromotionConfig
from robonav_ray.evaluation.comparing.rates import mcnemar_p, paired_rates
from robonav_ray.league.league import League
from robonav_ray.league.member import LeagueError, Member
from robonav_ray.league.promotion import judge
from robonav_ray.league.snapshots import MissingSnapshotError, Snapshots, encoded
from robonav_ray.league.standing import headline
from robonav_ray.ranges import RangeError

CONFIG = LeagueConfig.model_validate({"capacity": 4, "snapshot_env_steps": 10, "promotion": {"num_worlds": 40}})
SEED = Member("runs/a", "seed", sha256="a" * 64)


def paired_p(first: np.ndarray, second: np.ndarray) -> float:
    return mcnemar_p(paired_rates(first, second))


def as_json(state: Any) -> Any:
    """Return a state as a file of JSON gives it back."""
    return json.loads(json.dumps(state, default=lambda array: array.tolist()))


def operate(league: League, step: int) -> None:
    """One operation that is a function of the step and of what is in the league."""
    rng = np.random.default_rng(step)
    members = [member.id for member in league.pool.members]
    kind = rng.integers(10)
    if kind < 6:
        first, second = rng.choice(members, 2)
        league.report(str(first), str(second), rng.random(int(rng.integers(1, 9))))
    elif kind < 8:
        league.snapshot(step, f"{step:064x}")
    elif kind == 8 and league.pool.snapshots:
        challenger = league.pool.snapshots[int(rng.integers(len(league.pool.snapshots)))].id
        rates = rng.random(2)
        league.challenge(challenger, {"own": (rng.random(40) < rates[0], rng.random(40) < rates[1])}, paired_p)
    elif len(league.pool.frozen) > 2:
        league.lose(str(rng.choice([member.id for member in league.pool.frozen])), "a test")


def test_two_hundred_random_operations_resumed_anywhere_are_those_of_the_league_that_was_not():
    whole = League(CONFIG, seeds=[SEED])
    kept = {}
    for step in range(200):
        if step in (3, 77, 150):
            kept[step] = as_json(whole.state_dict())
        operate(whole, step)
    final, draw = as_json(whole.state_dict()), whole.draw()
    assert {event.event for event in whole.events} == {"snapshot", "dropped", "promoted", "kept", "lost"}
    for start, state in kept.items():
        resumed = League(CONFIG, seeds=[SEED])
        resumed.load_state_dict(state)
        assert as_json(resumed.state_dict()) == state
        for step in range(start, 200):
            operate(resumed, step)
        assert as_json(resumed.state_dict()) == final
        assert resumed.draw().member == draw.member
        assert resumed.draw().probability.tobytes() == draw.probability.tobytes()


def test_a_snapshot_begins_with_the_results_of_the_learner_which_then_fade():
    league = League(CONFIG)
    assert not league.is_snapshot_due(9)
    assert league.is_snapshot_due(10)
    league.report("main", "orca", np.ones(20))
    games = league.payoff.known("main", ["orca"])[0]
    first = league.snapshot(10, "1" * 64)
    assert (first.id, first.parent, first.role) == ("main-0000", None, "main")
    assert league.payoff.known("main-0000", ["orca"])[0] == games
    assert league.payoff.known("main", ["orca"])[0] == games / 2
    assert league.pool.best == first, "the first is the best so far"
    second = league.snapshot(25, "2" * 64)
    assert (second.parent, league.newest) == ("main-0000", second)
    assert not league.is_snapshot_due(34)
    with pytest.raises(LeagueError, match="comes after"):
        league.snapshot(20, "3" * 64)


def test_a_lost_snapshot_is_an_event_and_late_results_of_it_are_none():
    league = League(CONFIG, seeds=[SEED])
    league.snapshot(10, "1" * 64)
    serial = league.serial
    league.lose("main-0000", "snapshots/1.safetensors is missing"), league.lose("main-0000", "again")
    assert [event[:2] for event in league.events if event.event == "lost"] == [("lost", "main-0000")]
    assert league.serial > serial
    assert "main-0000" not in league.draw().member
    assert league.report("main", "main-0000", [1.0]) == 0
    with pytest.raises(LeagueError, match="'nobody' is no member"):
        league.report("main", "nobody", [1.0])
    with pytest.raises(LeagueError, match="no snapshot that could be lost"):
        league.lose("orca", "why")
    league.lose("runs/a", "damaged")
    again = League(CONFIG, seeds=[SEED])
    again.load_state_dict(as_json(league.state_dict()))
    assert "runs/a" not in again.pool, "what was lost stays lost"


def test_scripted_members_and_seeds_are_the_configs_to_say():
    league = League(CONFIG, seeds=[SEED])
    league.report("main", "straight", [0.0] * 9)
    changed = League(
        CONFIG.model_copy(update={"scripted": ("orca", "stand")}), seeds=[Member("b", "seed", None, 0, "b" * 64)]
    )
    changed.load_state_dict(as_json(league.state_dict()))
    assert {member.id for member in changed.pool.members} == {"main", "orca", "stand", "b"}
    back = League(CONFIG, seeds=[SEED])
    back.load_state_dict(as_json(changed.state_dict()))
    assert {member.id for member in back.pool.members} == {"main", "orca", "social_force", "straight", "runs/a"}
    assert back.payoff.known("main", ["straight"])[0] == 0.0, "who left has left"


def test_a_saved_league_is_vetted_by_value():
    league = League(CONFIG, seeds=[SEED])
    for step in range(40):
        operate(league, step)
    state = as_json(league.state_dict())
    twin = League(CONFIG, seeds=[SEED])
    before = as_json(twin.state_dict())
    for change in (
        {"version": 9},
        {"serial": -1},
        {"snapped_at": 0.5},
        {"newest": "nobody"},
        {"learner": "other"},
        {"events": [["snapshot", "x", -1, ""]]},
        {"events": [["snapshot"]]},
        {"payoff": {**state["payoff"], "ids": [*state["payoff"]["ids"][:-1], "other"]}},
        {"pool": {**state["pool"], "best": "nobody"}},
        {"more": 1},
    ):
        with pytest.raises(ValueError, match=r"league|pool|payoff"):
            twin.load_state_dict({**state, **change})
    with pytest.raises(RangeError):
        twin.load_state_dict(None)  # pyright: ignore[reportArgumentType]
    assert as_json(twin.state_dict()) == before, "nothing was changed"


def test_the_best_is_promoted_by_a_paired_test_and_vetoed_by_an_anchor():
    rng = np.random.default_rng(0)
    base = rng.random(1000) < 0.8
    better = base | (rng.random(1000) < 0.4)
    rule = PromotionConfig()
    verdict = judge({"own": (better, base), "orca": (base, base)}, rule, paired_p)
    assert (verdict.promoted, verdict.reason) == (True, "better in the company of own (88.7% against 78.8%)")
    assert not judge({"own": (base, base)}, rule, paired_p).promoted
    veto = judge({"own": (better, base), "orca": (base, better)}, rule, paired_p)
    assert (veto.promoted, veto.reason) == (False, "worse in the company of orca (78.8% against 88.7%)")
    slight = base.copy()
    slight[np.flatnonzero(~base)[:6]] = True  # p = .03 for one company, too much for two
    assert judge({"own": (slight, base)}, rule, paired_p).promoted
    assert not judge({"own": (slight, base), "orca": (base, base)}, rule, paired_p).promoted
    for wrong in ({}, {"own": (base, base[:-1])}, {"own": (base[:20], base[:20])}):
        with pytest.raises(LeagueError):
            judge(wrong, rule, paired_p)


def test_snapshots_lie_by_content_and_damage_is_seen(tmp_path):
    snapshots = Snapshots(str(tmp_path))
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(3, 2)).astype(np.float32), "b": np.zeros(2, np.float32)}
    first = snapshots.put(weights)
    assert snapshots.put(dict(reversed(weights.items()))) == first == encoded(weights)[0]
    other = snapshots.put({**weights, "b": np.ones(2, np.float32)})
    read = snapshots.get(first)
    assert all((read[name] == array).all() for name, array in weights.items())
    snapshots.keep([first])
    assert snapshots.stored() == {first}
    with pytest.raises(MissingSnapshotError, match=f"{other}.*missing"):
        snapshots.get(other)
    path = tmp_path / "snapshots" / f"{first}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(MissingSnapshotError, match="damaged"):
        snapshots.get(first)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(MissingSnapshotError, match="link"):
        snapshots.get(first)


def test_a_headline_names_the_pool_the_opponents_and_the_ratings():
    league = League(CONFIG)
    assert headline(league)[0] == "league 0 snapshots, worst with orca 50%"
    league.report("main", "straight", np.zeros(40))
    league.snapshot(10, "1" * 64)
    first, second, third = headline(league)
    assert first == "league 1 snapshots, worst with straight 5%"
    assert second.startswith("meets  main-0000 50%")
    assert third.startswith("Elo    ")
    alone = League(LeagueConfig.model_validate({"scripted": [], "mix": {"current": 0.5, "scripted": 0.0}}))
    assert headline(alone)[1] == "meets  itself"
