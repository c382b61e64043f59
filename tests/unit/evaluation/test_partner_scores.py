"""The worst partner, the worst cases and the gap to cross-play, against a plain reading of what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.exam_report.build import exam_document
from robonav_ray.evaluation.exam_report.view import ExamView
from robonav_ray.evaluation.exam_summary import to_dict
from robonav_ray.evaluation.exam_table import EntrantFacts, ExamTable, ScenarioFacts
from robonav_ray.evaluation.partner_scores import cross_play, partner_scores, shared_cells
from robonav_ray.records import Outcome

PARTNERS = ("itself", "a", "b", "orca", "stand")
NUM = 200


def made_up(seed: int = 0) -> ExamTable:
    """Return an exam of ``a`` and ``b`` beside five partners."""
    rng = np.random.default_rng(seed)
    entrants = [EntrantFacts(name, "run", "true state", name, i, f"runs/{name}") for i, name in enumerate("ab")]
    scenarios = [
        ScenarioFacts(f"x_beside_{p}", "Well?", "s", "s", "", None, "full", {"beside": p}, NUM, 7, 0.1, None)
        for p in PARTNERS
    ]
    hard = rng.random(NUM)
    cells = {(e, s): _cell(rng, hard, e, s) for e in range(2) for s in range(len(PARTNERS))}
    return ExamTable.of_cells(entrants, scenarios, cells)


def _cell(rng: np.random.Generator, hard: np.ndarray, e: int, s: int) -> EpisodeTable:
    solved = rng.random(NUM) > hard * (0.2 + 0.1 * s + 0.1 * e)
    failed = np.where(rng.random(NUM) < 0.5, Outcome.COLLISION_ROBOT, Outcome.TIMEOUT)
    nan = np.full(NUM, np.nan, np.float32)
    return EpisodeTable(
        world=np.arange(NUM),
        outcome=np.where(solved, Outcome.SUCCESS, failed).astype(np.int8),
        length=np.full(NUM, 80, np.int32),
        task_return=nan,
        total_return=nan,
        goals_reached=nan,
        path_length_m=np.full(NUM, 6.0, np.float32),
        shortest_path_length_m=np.full(NUM, 5.0, np.float32),
        min_clearance_m=np.full(NUM, 0.3, np.float32),
        step_s=0.1,
        extra={
            "arrived_frac": np.where(solved, 1.0, rng.integers(0, 2, NUM) / 2),
            "extra_s": np.where(solved, rng.gamma(2.0, 0.4, NUM), np.nan),
            "robots": np.full(NUM, 4.0),
        },
    )


@pytest.fixture(scope="module")
def table() -> ExamTable:
    return made_up()


def test_extra_time_is_over_the_cases_that_all_solve(table: ExamTable) -> None:
    found = {(one.entrant, one.scenario): one for one in shared_cells(table)}
    assert len(found) == 10
    one, other = table.cell(0, 3), table.cell(1, 3)
    both = (one.outcome == 1) & (other.outcome == 1)
    assert found[0, 3].num_common == found[1, 3].num_common == both.sum()
    assert found[0, 3].extra_s == pytest.approx(float(np.median(one.extra["extra_s"][both])))
    cell = found[0, 3]
    assert cell.solved.count + cell.collision.count + cell.stuck.count == NUM
    assert cell.arrived.value == pytest.approx(float(one.extra["arrived_frac"].mean()))


def test_the_worst_partner_and_the_worst_cases(table: ExamTable) -> None:
    first, second = partner_scores(table)
    assert [PARTNERS[s] for s in first.scenarios] == ["b", "orca", "stand"], "itself and its own policy are no partners"
    assert [PARTNERS[s] for s in second.scenarios] == ["a", "orca", "stand"]
    arrived = np.stack([table.cell(0, s).extra["arrived_frac"] for s in first.scenarios])
    assert first.worst == int(arrived.mean(axis=1).argmin())
    assert first.worst_arrived.value == pytest.approx(arrived.mean(axis=1).min())
    plain = first.arrived[first.worst]
    assert first.worst_arrived.low is not None
    assert plain.low is not None
    assert first.worst_arrived.low < plain.low, "it was picked among three"
    values = []
    for p in range(3):
        others = arrived[[q for q in range(3) if q != p]].mean(axis=0)
        picked = sorted(range(NUM), key=lambda case: (others[case], case))[: NUM // 10]
        values.append(arrived[p, picked].mean())
    assert first.num_tail == NUM // 10
    assert first.tail is not None
    assert first.tail.value == pytest.approx(np.mean(values))
    assert first.tail.value < arrived.mean()


def test_the_gap_is_over_cases(table: ExamTable) -> None:
    (pair,) = cross_play(table)
    success = {(e, s): (table.cell(e, s).outcome == 1).astype(float) for e in range(2) for s in range(3)}
    alone, together = (success[0, 0] + success[1, 0]) / 2, (success[0, 2] + success[1, 1]) / 2
    assert (pair.first, pair.second) == (0, 1)
    assert pair.alone == pytest.approx(alone.mean())
    assert pair.together == pytest.approx(together.mean())
    gap = alone - together
    half = 1.972 * gap.std(ddof=1) / np.sqrt(NUM)
    assert (pair.gap.value, pair.gap.low) == pytest.approx((gap.mean(), gap.mean() - half), abs=1e-4)


def test_one_partner_alone_has_no_worst_cases_and_none_no_section(table: ExamTable) -> None:
    keep = np.isin(table.columns["scenario"], [0, 3, 4])
    fewer = replace(table, columns={name: column[keep] for name, column in table.columns.items()})
    assert cross_play(fewer) == []
    assert [len(one.scenarios) for one in partner_scores(fewer)] == [2, 2]
    keep = np.isin(table.columns["scenario"], [0, 3])
    assert partner_scores(replace(table, columns={n: column[keep] for n, column in table.columns.items()})) == []


def test_a_case_beside_several_partners_is_one_unit_and_other_cases_are_others(table: ExamTable) -> None:
    view = ExamView(table)
    (a, _) = view.contestants
    assert view.pooled([a], [3, 4])[0].shape == (1, NUM)
    eight = replace(table.scenarios[3], changes={"beside": "orca", "env.world.num_robots": 8})
    other = ExamView(replace(table, scenarios=(*table.scenarios[:3], eight, table.scenarios[4])))
    assert other.pooled([a], [3, 4])[0].shape == (1, 2 * NUM)
    first = table.columns["world"] == 0
    single = ExamView(replace(table, columns={name: column[first] for name, column in table.columns.items()}))
    found = single.estimate(a, [3, 4])
    assert found is not None
    assert (found.low, found.high) == (0.0, 1.0), "one case says nothing of others"


def test_a_partner_in_a_strangers_file_is_a_name(table: ExamTable, tmp_path: Path) -> None:
    table.save(tmp_path)
    path = tmp_path / "exam.json"
    path.write_text(path.read_text().replace('"beside": "orca"', '"beside": 3'))
    with pytest.raises(UserError, match=r"scenarios\.3\.changes\.beside is '3', and str"):
        ExamTable.load(tmp_path)


def test_the_report_and_the_json_tell_it(table: ExamTable) -> None:
    document = exam_document(table)
    tables = {one.name: one for one in document.tables()}
    assert {"cases", "partners", "cross_play"} <= set(tables)
    assert len(tables["cases"].rows) == 10
    assert tables["partners"].records[0]["worst_partner"] == "stand"
    told = to_dict(table)
    assert [one["worst_partner"] for one in told["partners"]] == ["stand", "stand"]
    assert told["cross_play"][0]["gap"]["num_values"] == NUM
    assert len(told["shared"]) == 10
    assert document.summary["partners"] == told["partners"]
