"""CVaR over worlds: known values, no luck in the ranking, and draws that change what happens and not where."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from robonav_ray.config.evaluation_suite import Scenario
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.exam import Question, Seat, play, seat_of
from robonav_ray.evaluation.exam_table import EntrantFacts, ExamTable, ScenarioFacts
from robonav_ray.evaluation.failures.files import replay_cell
from robonav_ray.evaluation.failures.replays import check_same
from robonav_ray.evaluation.find_entrants import find_entrants
from robonav_ray.evaluation.metrics.worst_worlds import tails_of, worst_share


def test_the_worst_are_ranked_on_one_draw_and_scored_on_another():
    ranking = np.array([[1, 0, 1, 1, 0], [1, 0, 0, 1, 1]], float)  # means 1, 0, .5, 1, .5
    scoring = np.array([[0, 1, 0, 0, 1]], float)
    tail = worst_share(ranking, scoring, 0.4)
    assert (tail.num_worlds, tail.success.value) == (2, 0.5)  # worlds 1 and 2: of the tie the first
    assert worst_share(ranking, scoring, 0.01).num_worlds == 1
    assert worst_share(ranking, scoring, 1.0).success.value == pytest.approx(0.4)
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match="share"):
            worst_share(ranking, scoring, share)


def test_where_all_worlds_are_alike_the_tail_is_the_mean():
    """Ranked and scored on the same draw it would be 0."""
    success = (np.random.default_rng(0).random((6, 4000)) < 0.7).astype(float)
    tail = worst_share(success[:3], success[3:], 0.1)
    assert tail.success.low < 0.7 < tail.success.high
    assert worst_share(success[:3], success[:3], 0.1).success.value < 0.35


def episodes(outcome: list[int]) -> EpisodeTable:
    zeros = {
        f.name: np.zeros(len(outcome), np.float32)
        for f in dataclasses.fields(EpisodeTable)
        if f.name.endswith(("_m", "_return", "reached"))
    }
    return EpisodeTable(
        world=np.arange(len(outcome)), outcome=np.array(outcome, np.int8), length=np.full(len(outcome), 9, np.int32),
        step_s=0.1, max_steps=400, **zeros,
    )  # fmt: skip


def test_draws_of_the_same_worlds_are_found_in_an_exam():
    fact = ScenarioFacts("a", "?", "s", "own", "", None, "full", {}, 4, 0, 0.1, 400)
    scenarios = [
        fact,
        dataclasses.replace(fact, name="b", changes={"draw": 1}),
        dataclasses.replace(fact, name="other", changes={"level.num_dynamic": 9}),
    ]
    entrant = EntrantFacts("mine", "planner", "lidar only", "mine", None, "mine")
    cells = {(0, 0): episodes([1, 3, 1, 1]), (0, 1): episodes([3, 1, 1, 1]), (0, 2): episodes([3, 3, 3, 3])}
    found = tails_of(ExamTable.of_cells([entrant], scenarios, cells), 0)
    assert list(found) == [(0, 1)]
    assert [(tail.share, tail.num_worlds, tail.success.value) for tail in found[0, 1]] == [
        (0.01, 1, 1.0),
        (0.1, 1, 1.0),
    ]


def test_scenarios_of_one_draw_are_no_draws_of_their_own():
    """They are the same episodes: ranked and scored on them, the worst worlds would be those of bad luck."""
    fact = ScenarioFacts("a", "?", "s", "own", "", None, "full", {}, 4, 0, 0.1, 400)
    again = dataclasses.replace(fact, name="again")
    draws = [dataclasses.replace(fact, name=f"d{draw}", changes={"draw": draw}) for draw in (2, 1, 2)]
    entrant = EntrantFacts("mine", "planner", "lidar only", "mine", None, "mine")
    lost, won = episodes([3, 1, 1, 1]), episodes([1, 1, 1, 1])
    assert tails_of(ExamTable.of_cells([entrant], [fact, again], {(0, 0): lost, (0, 1): lost}), 0) == {}
    cells = {(0, 0): lost, (0, 1): lost, (0, 2): won, (0, 3): lost, (0, 4): lost}
    (found,) = tails_of(ExamTable.of_cells([entrant], [fact, again, *draws], cells), 0).items()
    assert found[0] == (0, 3, 2), "in the order of draws, each once"
    assert found[1][0].success.value == 0.5


def seat(draw: int) -> Seat:
    (orca,) = find_entrants(["orca"], foreign=lambda *_: None)
    found = seat_of(orca, Scenario.model_validate({"name": "x", "num_episodes": 50, "draw": draw}))
    assert isinstance(found, Seat)
    return found


def test_a_draw_changes_what_happens_and_not_where():
    envs = [seat(draw).make_env(0, 20) for draw in (0, 1, 1)]
    obs = [env.reset()[0].copy() for env in envs]
    np.testing.assert_array_equal(obs[0], obs[1])
    for name in ("robot", "circle", "goal"):
        np.testing.assert_array_equal(*(getattr(env.worlds.state, name) for env in envs[:2]))
    for _ in range(150):
        for env in envs:
            env.step(np.zeros(20, int))  # turns on the spot
    circles = [env.worlds.state.circle for env in envs]
    assert (circles[0] != circles[1]).any(axis=(1, 2)).sum() > 15
    np.testing.assert_array_equal(circles[1], circles[2])
    assert len({seat(draw).key for draw in (0, 1, 2)}) == 3


def test_a_case_of_a_draw_is_replayed():
    (orca,) = find_entrants(["orca"], foreign=lambda *_: None)
    worlds = dataclasses.replace(seat(3), num_episodes=4)
    table = play(orca, worlds).episodes
    (recording,) = replay_cell(orca, worlds, [2])
    check_same(recording, int(table.outcome[2]), int(table.length[2]), float(table.path_length_m[2]), "case")
    question = Question("s", Scenario.model_validate({"name": "x", "num_episodes": 50, "draw": 3}))
    assert question.facts.changes == {"draw": 3}
