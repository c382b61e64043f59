"""What is known of pairs, and who stays when the pool is full."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robonav_ray.league.diversity import behavioural_distance, log_det, log_det_costs
from robonav_ray.league.member import LeagueError, Member, check_member, read_member
from robonav_ray.league.payoff import Payoff
from robonav_ray.league.pool import Pool
from robonav_ray.ranges import RangeError

SHA = "0" * 64


def payoff_of(ids: str, window: int = 50) -> Payoff:
    payoff = Payoff(window)
    for member in ids:
        payoff.add(member)
    return payoff


def test_a_score_is_the_mean_of_a_beta_distribution_whose_old_results_fade():
    payoff = payoff_of("ab", window=4)
    assert payoff.mean[0, 1] == 0.5, "nothing is known"
    payoff.record("a", "b", [1.0, 0.0, 0.5])
    kept = 3 / 4
    assert payoff.games[0, 1] == pytest.approx(1 + kept + kept**2)
    assert payoff.mean[0, 1] == pytest.approx((1 + 0.5 + 0.0 * kept + kept**2) / (2 + payoff.games[0, 1]))
    assert payoff.mean[1, 0] == 0.5, "pairs are ordered"
    payoff.record("a", "b", np.ones(200))
    assert payoff.games[0, 1] == pytest.approx(4.0), "no more than the window"
    assert payoff.played[0, 1] == 203
    low, high = payoff.interval()
    assert low[0, 1] < payoff.mean[0, 1] < high[0, 1] <= 1.0
    assert (low[1, 1], high[1, 1]) == pytest.approx((0.025, 0.975))


def test_batches_do_not_change_a_bit():
    rng = np.random.default_rng(0)
    scores = rng.random(97)
    whole, parts = payoff_of("ab"), payoff_of("ab")
    whole.record("a", "b", scores)
    for part in np.split(scores, [1, 10, 11, 50]):
        parts.record("a", "b", part)
    assert whole.mean.tobytes() == parts.mean.tobytes()


def test_fading_halves_what_is_known_of_one_member_on_both_sides():
    payoff = payoff_of("abc")
    for pair in ("aa", "ab", "ba", "bc"):
        payoff.record(*pair, np.ones(10))
    before = payoff.games
    payoff.fade("a", 0.5)
    assert (payoff.games[:2, :2] == before[:2, :2] * [[0.5, 0.5], [0.5, 1.0]]).all()
    assert payoff.games[1, 2] == before[1, 2]


def test_a_copy_begins_with_the_results_of_its_original():
    payoff = payoff_of("ab")
    payoff.record("a", "b", [1.0] * 5), payoff.record("b", "a", [0.0] * 5), payoff.record("a", "a", [1.0])
    payoff.add("c", like="a")
    mean = payoff.mean
    assert (mean[2, 1], mean[1, 2], mean[2, 2], mean[2, 0], mean[0, 2]) == (
        mean[0, 1],
        mean[1, 0],
        mean[0, 0],
        mean[0, 0],
        mean[0, 0],
    )
    payoff.remove("a")
    assert payoff.ids == ("b", "c")
    assert payoff.mean[1, 0] == mean[0, 1]


def test_scores_and_names_are_looked_at_before_anything_is_taken():
    payoff = payoff_of("ab")
    for scores in ([0.5, 1.1], [float("nan")], [-0.1]):
        with pytest.raises(LeagueError, match="from 0 to 1"):
            payoff.record("a", "b", scores)
    with pytest.raises(LeagueError, match=r"'z' is no member of this league; there are a, b"):
        payoff.record("a", "z", [1.0])
    with pytest.raises(LeagueError, match="already"):
        payoff.add("a")
    assert not payoff.played.any()


def test_a_saved_payoff_is_vetted_by_value():
    payoff = payoff_of("ab")
    payoff.record("a", "b", [1.0, 0.0])
    state = json.loads(json.dumps({key: np.asarray(value).tolist() for key, value in payoff.state_dict().items()}))
    twin = Payoff(50)
    twin.load_state_dict(state)
    assert twin.mean.tobytes() == payoff.mean.tobytes()
    for change in (
        {"score": [[0, 9], [0, 0]]},
        {"games": [[0, -1], [0, 0]]},
        {"games": [[0, float("nan")], [0, 0]]},
        {"ids": ["a", "a"]},
        {"ids": ["a"]},
        {"ids": [1, 2]},
        {"played": [[0, 0.5], [0, 0]]},
        {"extra": 1},
    ):
        with pytest.raises(ValueError, match="payoff"):
            twin.load_state_dict({**state, **change})
    assert twin.ids == ("a", "b"), "nothing was changed"


def snapshot(name: str, step: int, parent: str | None = None) -> Member:
    return Member(name, "main", parent, step, SHA)


def test_a_pool_without_a_learner_and_ids_that_stand_twice_are_refused():
    with pytest.raises(LeagueError, match="no learner"):
        Pool(4, [Member("orca", "scripted"), snapshot("a", 0)])
    with pytest.raises(LeagueError, match="not used twice"):
        Pool(4, [Member("main", "main"), Member("main", "scripted")])
    with pytest.raises(LeagueError, match="at least 2"):
        Pool(1, [Member("main", "main")])
    pool = Pool(2, [Member("main", "main")])
    with pytest.raises(LeagueError, match="learns"):
        pool.remove("main")
    with pytest.raises(LeagueError, match="no fixed weights"):
        pool.promote("main")
    for wrong in (Member("", "main"), Member("x\n", "main"), Member("s", "scripted", "main"), Member("s", "seed")):
        with pytest.raises(LeagueError):
            check_member(wrong)


def test_the_cost_of_a_row_is_the_determinant_without_it():
    rows = np.random.default_rng(1).random((6, 9)) * 0.3
    costs = log_det_costs(rows)
    for i in range(6):
        assert costs[i] == pytest.approx(log_det(rows) - log_det(np.delete(rows, i, 0)))
    assert log_det(np.eye(4)) == pytest.approx(0.0, abs=1e-3)
    assert log_det(np.zeros((3, 4))) < -20, "triplets"


def test_of_twins_one_leaves_and_never_the_best_the_newest_or_an_anchor():
    payoff = payoff_of("mox")
    pool = Pool(3, [Member("m", "main"), Member("o", "scripted"), Member("x", "seed", sha256=SHA)])
    scores = {"s0": (0.1, 0.9), "s1": (0.5, 0.5), "s2": (0.5, 0.5), "s3": (0.9, 0.1)}
    for step, (name, (with_o, with_x)) in enumerate(scores.items()):
        payoff.add(name)
        payoff.record(name, "o", np.full(50, with_o)), payoff.record(name, "x", np.full(50, with_x))
        if name == "s1":
            assert pool.add(snapshot(name, step), payoff) == ()
            pool.promote("s1")
        else:
            left = pool.add(snapshot(name, step), payoff)
    assert [member.id for member in left] == ["s2"], "the twin that is not the best"
    assert [member.id for member in pool.members] == ["m", "o", "x", "s0", "s1", "s3"]
    assert pool.best == snapshot("s1", 1)
    assert pool.has_left("s2")
    assert len(pool.lineage) == 7


def test_where_nothing_is_known_beginning_middle_and_end_stay():
    payoff, pool = payoff_of("m"), Pool(4, [Member("m", "main")])
    for step in range(16):
        payoff.add(f"s{step}")
        for left in pool.add(snapshot(f"s{step}", step), payoff):
            payoff.remove(left.id)
    steps = [member.step for member in pool.snapshots]
    assert (steps[0], steps[-1], len(steps)) == (0, 15, 4)
    assert max(np.diff(steps)) <= 9, "no end is left out"


def test_a_saved_pool_is_vetted_by_value():
    pool = Pool(3, [Member("m", "main"), Member("o", "scripted")])
    pool.add(snapshot("s", 5, "m"), payoff_of("mos"))
    pool.promote("s")
    state = json.loads(json.dumps(pool.state_dict()))
    twin = Pool(3, [Member("other", "main")])
    twin.load_state_dict(state)
    assert twin.state_dict() == state
    first = state["members"][0]
    for change in (
        {"members": state["members"][1:]},
        {"best": "nobody"},
        {"best": "o"},
        {"gone": state["members"][:1]},
        {"members": [first, first]},
        {"members": [{**first, "step": -1}]},
        {"members": [{**first, "role": "boss"}]},
        {"members": [first, {**first, "id": "k", "parent": "nobody"}]},
        {"members": None},
    ):
        with pytest.raises(RangeError, match="pool"):
            twin.load_state_dict({**state, **change})
    with pytest.raises(RangeError, match="sha256"):
        read_member("x", {**first, "sha256": "abc"})
    assert twin.state_dict() == state


def test_behaviour_is_the_total_variation_of_softmax_on_shared_states():
    rng = np.random.default_rng(2)
    q = rng.normal(size=(3, 40, 5))
    q[1] = q[0] + 7.0  # a constant changes no choice
    distance = behavioural_distance(q, temperature=1.0)
    assert distance[0, 1] == pytest.approx(0.0, abs=1e-12)
    assert (distance == distance.T).all()
    p = np.exp(q) / np.exp(q).sum(-1, keepdims=True)
    assert distance[0, 2] == pytest.approx((np.abs(p[0] - p[2]).sum(-1) / 2).mean())
    opposed = np.array([[[9.0, 0.0]], [[0.0, 9.0]]])
    assert behavioural_distance(opposed)[0, 1] == pytest.approx(np.tanh(4.5))
