"""Scenarios whose worlds are shared: who plays beside whom, what a case counts as, and cases of a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.load import ConfigError
from robonav_ray.config.load_suite import load_suite
from robonav_ray.config.worlds import EVERETT_LEVEL, WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.evaluation.entrants import Entrant
from robonav_ray.evaluation.exam import ExamPlan, play, questions_of
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.failures.rows import failures_of
from robonav_ray.evaluation.find_entrants import find_entrants, find_partners
from robonav_ray.evaluation.shared_cases import as_episodes, company_of, suite_of_cases
from robonav_ray.evaluation.together import CaseTable, play_together
from robonav_ray.records import Outcome
from robonav_ray.runtime.examination.order import ExamOrder
from tests.made_up_runs import make_run

STAGE = "{name: four, level: {num_dynamic: 0, num_goals: 1, max_steps: 60}}"
EVERETT = ("env.world.profile=everett", "algo.hidden_dims=[8]", f"curriculum.stages=[{STAGE}]")
SETS = (*EVERETT, "algo.encoder=deep_set", "algo.set_dims=[8]")
CHANGES = {**load_suite(Path("everett")).changes, "level.max_steps": 60}
SUITE = Suite.model_validate(
    {
        "name": "s",
        "num_episodes": 50,
        "changes": {**CHANGES, "env.world.num_robots": 4},
        "scenarios": [
            {"name": "four", "beside": "itself"},
            {"name": "half", "beside": "orca"},
            {"name": "five", "beside": "itself", "changes": {"env.world.num_robots": 5}},
        ],
    }
)


def entrants(*words: str) -> list[Entrant]:
    return find_entrants(words, foreign=lambda *_: None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = {"a": SETS, "b": (*SETS, "seed=1"), "list": EVERETT, "alone": ("algo.hidden_dims=[8]",)}
    for name, overrides in words.items():
        make_run(folder / name, (*overrides, f"name={name}"), steps=(200 if name == "b" else 100,))
    return folder


def test_all_robots_are_the_entrants_or_half_of_them(runs: Path) -> None:
    found = entrants(str(runs / "a"), "orca")
    plan = ExamPlan.of(found, questions_of([SUITE]))
    assert plan.missing == {}, "a set takes five robots too"
    seat = plan.seats[1, 0]
    world = WorldConfig(profile="everett", num_robots=4)
    level = EVERETT_LEVEL.model_copy(update={"max_steps": 60})
    alone = play_together(world, [level], ["orca"] * 4, 50, seat.seed)
    rows = play(found[1], seat).episodes
    np.testing.assert_array_equal(rows.outcome == Outcome.SUCCESS, alone.solved)
    np.testing.assert_array_equal(rows.extra["arrived_frac"], alone.share_arrived(0))
    half = play(found[0], plan.seats[0, 1], num_worlds=16).episodes
    policy = found[0].policy  # type: ignore[union-attr]
    same = play_together(world, [level], [policy, "orca"] * 2, 50, seat.seed)
    np.testing.assert_array_equal(half.extra["arrived_frac"], same.share_arrived(0))
    np.testing.assert_array_equal(half.outcome == Outcome.SUCCESS, same.solved)
    assert set(half.extra["arrived_frac"]) <= {0.0, 0.5, 1.0}
    facts = [question.facts for question in plan.questions]
    assert [one.beside for one in facts] == ["itself", "orca", "itself"]
    assert [one.max_steps for one in facts] == [None] * 3


def test_what_does_not_fit_is_missing_with_its_reason(runs: Path) -> None:
    plan = ExamPlan.of(entrants(str(runs / "list"), str(runs / "alone")), questions_of([SUITE]))
    assert set(plan.missing) == {(0, 2), (1, 0), (1, 1), (1, 2)}
    assert "takes 30 observations and 11 actions, and there are 38 and 11 actions here" in plan.missing[0, 2]
    assert "deep_set or attention" in plan.missing[0, 2]
    assert "15 actions" in plan.missing[1, 0]


def test_partners_are_policies_planners_and_drivers(runs: Path) -> None:
    words = (str(runs / "a"), str(runs / "list"), "orca:default", "straight")
    partners = find_partners(words, foreign=lambda *_: None)
    assert [one.name for one in partners] == ["itself", "a", "list", "orca:default", "straight"]
    found = entrants(str(runs / "a"), str(runs / "b"))
    questions = questions_of([SUITE], None, partners)
    assert [one.facts.name for one in questions][:3] == [f"four_beside_{name}" for name in ("itself", "a", "list")]
    assert len(questions) == 10, "the scenario that names ORCA is the same cases"
    plan = ExamPlan.of(found, questions)
    assert set(plan.missing) == {(0, 7), (1, 7)}
    assert plan.missing[1, 7].startswith("list, beside it, takes")
    blind = questions_of([SUITE], None, find_partners(("lookahead",), foreign=lambda *_: None))[1:2]
    assert ExamPlan.of(found, blind).missing[0, 0].startswith("lookahead, beside it: the lookahead planner")
    assert plan.key((0, 0)) == plan.key((0, 1)), "beside its own policy it is among its like"
    assert len({plan.key(cell) for cell in plan.seats}) == len(plan.seats) - 2
    rows = play(found[0], plan.seats[0, 3]).episodes
    assert np.isfinite(rows.extra["arrived_frac"]).all()
    order = ExamOrder((str(runs / "b"),), (SUITE,), None, False, words)
    assert ExamOrder.from_json(order.to_json()) == order
    assert order.plan(lambda *_: None).questions[4].facts.beside == "straight"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("strait",), "partner strait: is no run directory here; did you mean 'straight'?"),
        (("nobody",), "nobody: is no run directory here, no planner"),
        (("orca", "orca"), "partner orca: is named twice"),
    ],
)
def test_a_partner_that_is_none_is_named(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError) as caught:
        find_partners(words, foreign=lambda *_: None)
    assert told in str(caught.value)


def test_partners_and_beside_need_worlds_of_several_robots() -> None:
    with pytest.raises(ConfigError, match=r"basic_navigation has one robot a world.*leave --suite"):
        ExamOrder(("orca",), (load_suite(Path("quick")),), partners=("orca",))
    with pytest.raises(ValueError, match=r"beside=orca needs worlds of several robots: set env\.world\.num_robots"):
        Suite.model_validate({"name": "s", "scenarios": [{"name": "x", "beside": "orca"}]})


def made_up_cases(outcome: list[list[Outcome]], time_s: list[list[float]]) -> CaseTable:
    shape = np.array(time_s)
    player = np.tile([0, 1], (len(shape), shape.shape[1] // 2))
    case, ends = np.arange(len(shape)), np.array(outcome, np.int8)
    return CaseTable(case, player, ends, shape, shape * 2, shape * 3, shape, shape, shape, shape)


def test_a_case_is_one_row_and_who_stands_need_not_arrive() -> None:
    success, hit, wall, late = (Outcome.SUCCESS, Outcome.COLLISION_ROBOT, Outcome.COLLISION_WALL, Outcome.TIMEOUT)
    outcome = [[success, success], [hit, wall], [success, late], [late, success]]
    table = made_up_cases(outcome, [[3.0, 5.0], [4.0, 2.0], [6.0, 9.0], [6.0, 9.0]])
    rows = as_episodes(table, 0.1)
    assert rows.outcome.tolist() == [success, wall, late, late]
    assert rows.length.tolist() == [50, 40, 90, 90]
    assert rows.extra["arrived_frac"].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert rows.extra["extra_s"][0] == pytest.approx(4.0)
    assert np.isnan(rows.extra["extra_s"][1:]).all()
    standing = as_episodes(table, 0.1, stands=1)
    assert standing.outcome.tolist() == [success, wall, success, late]
    assert standing.extra["extra_s"][[0, 2]].tolist() == [3.0, 6.0]
    assert standing.length.tolist() == [30, 40, 60, 60]


def test_failures_of_shared_cases_are_no_ones(runs: Path) -> None:
    found, question = entrants("orca"), questions_of([SUITE])[:1]
    plan = ExamPlan.of(found, question)
    table = ExamTable.of_cells(
        [found[0].facts], [question[0].facts], {(0, 0): play(found[0], plan.seats[0, 0]).episodes}
    )
    assert (table.columns["outcome"] != Outcome.SUCCESS).any()
    assert len(failures_of(table)) == 0


def test_cases_of_a_file_are_played_by_their_number_of_robots(tmp_path: Path) -> None:
    two = [[-3, 0, 3, 0, 1.0, 0.3], [3, 0.5, -3, 0, 1.5, 0.5]]
    three = [[0, -3, 0, 3, 0.7, 0.2], [3, 0, -3, 0, 0.9, 0.4], [-3, 0, 3, 0, 2.5, 0.9]]
    (path := tmp_path / "cases.json").write_text(json.dumps([two, three, two]))
    suite = suite_of_cases(path)
    scenarios = suite.all_scenarios()
    assert [(one.name, one.num_episodes, one.beside) for one in scenarios] == [
        ("robots_2", 2, "itself"), ("robots_3", 1, "itself"), ("half_orca_2", 2, "orca"), ("half_orca_3", 1, "orca")
    ]  # fmt: skip
    (orca,) = entrants("orca")
    plan = ExamPlan.of([orca], questions_of([suite], 500))
    rows = [play(orca, plan.seats[0, s]).episodes for s in range(4)]
    assert [one.num_episodes for one in rows] == [2, 1, 2, 1]
    assert rows[0].shortest_path_length_m == pytest.approx([(6 + np.hypot(6, 0.5)) / 2] * 2)
    before = plan.key((0, 0))
    path.write_text(json.dumps([two, three]))
    assert ExamPlan.of([orca], questions_of([suite])).key((0, 0)) != before, "another file is another exam"
    np.savez(tmp_path / "cases.npz", a=np.array([two, two], float))
    assert [one.name for one in suite_of_cases(tmp_path / "cases.npz").all_scenarios()] == ["robots_2", "half_orca_2"]
    with pytest.raises(UserError, match=r"none\.npz: No such file"):
        suite_of_cases(tmp_path / "none.npz")
    assert company_of("itself").player is None
