"""Cross-play: what the same cases, played by every two members, say of each."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.config.league import LeagueConfig
from robonav_ray.league.cross_play import CrossPlay, Setting, tail
from robonav_ray.league.league import League
from robonav_ray.league.standing import held_out_results, standing_of

MEMBERS = ("main", "orca", "straight")


def played(chance: np.ndarray, num_cases: int = 400) -> CrossPlay:
    """Scores of robots that arrive with probability ``chance`` (M, M), four of them a case."""
    rng = np.random.default_rng(3)
    score = rng.binomial(4, chance[:, :, None], (*chance.shape, num_cases)) / 4.0
    return CrossPlay(MEMBERS, Setting("four", 2, 4, num_cases, 7), score)


def test_the_worst_partner_and_the_tail() -> None:
    found = played(np.array([[1.0, 0.9, 0.5], [0.9, 0.95, 0.6], [0.4, 0.4, 0.3]])).partners("main")
    assert found.worst == "straight"
    assert found.alone == 1.0
    assert found.worst_score.low < 0.5 < found.worst_score.high
    assert 0.04 < found.worst_score.high - found.worst_score.low < 0.08
    assert found.mean.value == pytest.approx(0.7, abs=0.03)
    assert found.tail.low <= found.tail.value <= found.tail.high


def test_bad_luck_is_no_bad_case_and_a_bad_case_is() -> None:
    rng = np.random.default_rng(0)
    luck = (rng.random((10, 1000)) < 0.5).astype(float)
    assert tail(luck) == pytest.approx(0.5, abs=0.06)
    assert tail(luck[:1]) == 0.0, "one partner: ranked and scored beside it"
    hard = np.where(np.arange(1000) < 100, 0.1, 0.9)
    assert tail((rng.random((10, 1000)) < hard).astype(float)) == pytest.approx(0.1, abs=0.06)


def test_a_pair_that_shares_its_cases_is_told_apart() -> None:
    """Two that fail in the same cases, one of them in a few more: paired intervals of the difference would not touch 0,
    and the ratings are in that order with intervals of the same draws."""
    found = played(np.array([[0.95, 0.9, 0.5], [0.9, 0.9, 0.45], [0.2, 0.2, 0.2]]))
    ratings = {rating.member: rating for rating in found.ratings()}
    assert ratings["main"].ability > ratings["orca"].ability > ratings["straight"].ability
    assert ratings["straight"].high < ratings["main"].low
    assert all(one.low <= one.ability <= one.high for one in ratings.values())
    assert found.ratings() == found.ratings(), "the same cases give the same intervals"
    elo = found.elo()
    assert max(elo, key=elo.__getitem__) == "main"
    low, high = found.interval()
    assert ((low <= found.mean) & (found.mean <= high)).all()


def test_a_league_stands_by_its_cross_play() -> None:
    league = League(LeagueConfig(), scripted=("orca", "straight"))
    standing = standing_of(league, held_out_results(played(np.full((3, 3), 0.5) + 0.4 * np.eye(3))))
    assert (standing.source, standing.setting) == ("held-out", Setting("four", 2, 4, 400, 7))
    assert standing.setting is not None
    assert standing.setting.robots == "2 to 4 robots"
    told = standing.to_dict()
    assert told["setting"]["num_cases"] == 400
    assert {one["id"] for one in told["members"]} == set(MEMBERS)
    assert all(set(one["partners"]["tail"]) == {"value", "low", "high"} for one in told["members"])
    assert standing_of(league).to_dict()["members"][0]["partners"] is None
