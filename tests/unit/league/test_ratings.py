"""Ratings: closed forms, clones, intervals; diversity over time; exploiters and their budget."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from robonav_ray.league.diversity import Diversity
from robonav_ray.league.exploiters import Exploiters
from robonav_ray.league.member import LeagueError, Member
from robonav_ray.league.ratings import POINTS, Elo, bradley_terry, forgetting, ratings
from robonav_ray.ranges import RangeError

CYCLE = np.array([[0.5, 0.1, 0.9], [0.9, 0.5, 0.1], [0.1, 0.9, 0.5]])
"""Scores of rock, paper and scissors that sometimes slip."""


def test_two_members_are_apart_by_the_log_of_the_odds():
    games = np.full((2, 2), 1e6)
    chance = np.array([[0.5, 0.8], [0.2, 0.5]])
    found = bradley_terry(chance * games, games)
    assert found.ability[0] - found.ability[1] == pytest.approx(POINTS * math.log(4.0), rel=1e-4)
    assert found.ability == pytest.approx(found.difficulty, abs=1e-3), "adversaries have one strength"
    assert found.ability[0] - found.ability[1] == pytest.approx(400 * math.log10(4.0), rel=1e-4), "Elo's scale"


def test_a_partner_beside_which_all_fail_is_difficult_and_not_able():
    games = np.full((3, 3), 1000.0)
    chance = np.array([[0.9, 0.9, 0.4], [0.9, 0.9, 0.4], [0.6, 0.6, 0.2]])
    found = bradley_terry(chance * games, games)
    assert np.argmax(found.difficulty) == 2
    assert np.argmin(found.ability) == 2
    assert found.ability[0] == pytest.approx(found.ability[1])


def test_one_that_always_won_has_a_finite_rating():
    won = np.array([[0.0, 20.0], [0.0, 0.0]])
    games = np.array([[0.0, 20.0], [20.0, 0.0]])
    found = bradley_terry(won, games)
    assert 300 < found.ability[0] - found.ability[1] < 3000
    assert np.isfinite(bradley_terry(np.zeros((3, 3)), np.zeros((3, 3)))).all()


def test_clones_move_elo_and_not_the_nash_average():
    rng = np.random.default_rng(0)
    games = np.full((3, 3), 400.0)
    plain = ratings("rps", CYCLE * games, games, rng, num_draws=20)
    clones = [0, 1, 2, 2, 2]
    many = ratings("rpstu", CYCLE[np.ix_(clones, clones)] * 400.0, np.full((5, 5), 400.0), rng, num_draws=20)
    assert [r.nash_skill for r in plain] == pytest.approx([0.0] * 3, abs=1.0)
    assert [r.nash_skill for r in many] == pytest.approx([0.0] * 5, abs=1.0)
    assert [r.nash_weight for r in many] == pytest.approx([1 / 3, 1 / 3, 1 / 9, 1 / 9, 1 / 9], abs=0.01)
    assert many[0].ability > 50, "who beats the clones looks strong"


def test_intervals_narrow_with_games_and_hold_the_rating():
    few, many = (
        ratings("rps", CYCLE * n, np.full((3, 3), n), np.random.default_rng(1), num_draws=100) for n in (10.0, 1000.0)
    )
    for one, other in zip(few, many, strict=True):
        assert one.low < one.ability < one.high
        assert other.high - other.low < (one.high - one.low) / 3
    again = ratings("rps", CYCLE * 10, np.full((3, 3), 10.0), np.random.default_rng(1), num_draws=100)
    assert again == few, "the same generator gives the same intervals"


def test_the_bootstrap_covers():
    """Of 60 samples the interval of a difference of two abilities holds the true one in 19 of 20, or nearly."""
    rng, truth, held = np.random.default_rng(2), 400 * math.log10(0.7 / 0.3), 0
    games = np.full((2, 2), 150)
    for _ in range(60):
        won = rng.binomial(games, [[0.5, 0.7], [0.3, 0.5]]).astype(float)
        first = ratings("ab", won, games.astype(float), rng, num_draws=60)[0]
        held += first.low <= truth / 2 <= first.high
    assert held >= 51


def test_elo_goes_to_the_odds_and_resumes_exactly():
    elo = Elo(step=2.0)
    rng = np.random.default_rng(3)
    for _ in range(400):
        scores = (rng.random(5) < 0.75).astype(float)
        elo.record("a", "b", scores), elo.record("b", "a", 1.0 - scores)
    assert elo.ability("a") - elo.difficulty("b") == pytest.approx(400 * math.log10(3.0), abs=60)
    elo.copy("c", "a")
    twin = Elo()
    twin.load_state_dict(json.loads(json.dumps(elo.state_dict())))
    assert twin.state_dict() == elo.state_dict()
    assert twin.ability("c") == elo.ability("a")
    twin.forget("c"), twin.forget("c")
    assert twin.ability("c") == 0.0
    for wrong in (
        {"ability": {}},
        {"ability": {"a": float("nan")}, "difficulty": {}},
        {"ability": [], "difficulty": {}},
    ):
        with pytest.raises(RangeError, match="elo"):
            twin.load_state_dict(wrong)


def test_forgetting_is_what_was_better_once():
    mean = np.array([[0.2, 0.9, 0.5], [0.6, 0.7, 0.5], [0.8, 0.4, 0.5]])
    assert forgetting(mean) == pytest.approx([0.0, 0.5, 0.0])


def test_diversity_is_measured_on_frozen_states_over_time():
    diversity = Diversity(num_states=10)
    rng = np.random.default_rng(4)
    assert not diversity.freeze(rng.normal(size=(7, 3)).astype(np.float32))
    first = diversity.states
    assert diversity.freeze(rng.normal(size=(7, 3)).astype(np.float32))
    assert diversity.states.shape == (10, 3)
    assert (diversity.states[:7] == first).all(), "what is frozen stays"
    q = rng.normal(size=(2, 10, 4))
    point = diversity.note(100, np.array([[0.1, 0.1], [0.9, 0.9]]), q)
    assert (point.step, point.num_members) == (100, 2)
    assert 0.0 < point.distance < 1.0
    assert diversity.note(200, np.zeros((2, 2))).distance is None
    assert diversity.history[1].log_det < diversity.history[0].log_det
    twin = Diversity(num_states=10)
    state = diversity.state_dict()
    twin.load_state_dict(json.loads(json.dumps(state, default=lambda array: array.tolist())))
    assert twin.history == diversity.history
    assert (twin.states == diversity.states).all()
    for wrong in (
        {**state, "states": [[float("inf")]]},
        {**state, "states": np.zeros((11, 3))},
        {**state, "history": [[1, 2, 0.0, 1.5]]},
        {**state, "history": [[1, 2]]},
        {},
    ):
        with pytest.raises(RangeError, match="diversity"):
            twin.load_state_dict(wrong)
    with pytest.raises(ValueError, match="one size"):
        diversity.freeze(np.zeros((2, 4), np.float32))


def test_an_exploiter_has_a_budget_and_its_gain_is_over_the_target():
    exploiters, target = Exploiters(), Member("main-0003", "main", None, 30, "3" * 64)
    with pytest.raises(LeagueError, match="no exploiter trains"):
        exploiters.spend(1)
    with pytest.raises(LeagueError, match="fixed weights"):
        exploiters.begin(Member("main", "main"), "selfish", "warm", 100)
    assert exploiters.begin(target, "selfish", "warm", 100).gain is None
    with pytest.raises(LeagueError, match="still trains"):
        exploiters.begin(target, "selfish", "warm", 100)
    assert (exploiters.spend(60), exploiters.spend(60)) == (40, 0)
    twin = Exploiters()
    twin.load_state_dict(json.loads(json.dumps(exploiters.state_dict())))
    assert twin.current == exploiters.current
    with pytest.raises(LeagueError, match="from 0 to 1"):
        exploiters.end(0.9, 1.2, "e" * 64)
    found, member = exploiters.end(0.80, 0.95, "e" * 64)
    assert found.gain == pytest.approx(0.15)
    assert (member.id, member.role, member.parent) == ("exploiter-0000", "exploiter", "main-0003")
    exploiters.begin(target, "obstacle", "scratch", 5)
    assert exploiters.end(0.8, 0.7, "f" * 64)[0].gain == 0.0, "the target itself is a response too"
    state = json.loads(json.dumps(exploiters.state_dict()))
    twin.load_state_dict(state)
    assert twin.found == exploiters.found
    for change in ({"role": "boss"}, {"budget_env_steps": 0}, {"score": None}, {"baseline": 2.0}, {"id": 3}):
        with pytest.raises(RangeError, match="exploiters"):
            twin.load_state_dict({**state, "found": [{**state["found"][0], **change}]})
