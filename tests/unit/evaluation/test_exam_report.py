"""The exam as a report: seeds of a method are one contestant, the first page says who is better, the same exam is the
same bytes.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.errors import UserError
from robonav_ray.evaluation.comparing import words
from robonav_ray.evaluation.comparing.verdict import TooFewEpisodesError, Verdict
from robonav_ray.evaluation.exam_report.beside import find_beside
from robonav_ray.evaluation.exam_report.build import exam_document
from robonav_ray.evaluation.exam_report.files import report_exam
from robonav_ray.evaluation.exam_report.view import ExamView, contestants_of
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.evaluation.failures.files import tell_failures, write_rows
from robonav_ray.report.document import Document, Figure, Gallery
from robonav_ray.report.document import Verdict as Shown
from robonav_ray.report.style import make_figure, png_of
from tests.made_up_exam import made_up_exam


@pytest.fixture(scope="module")
def exam() -> ExamTable:
    return made_up_exam(60)


@pytest.fixture(scope="module")
def document(exam: ExamTable) -> Document:
    return exam_document(exam)


def test_the_seeds_of_a_method_are_one_contestant(exam: ExamTable) -> None:
    found = contestants_of(exam)
    assert [(one.name, one.num_seeds) for one in found] == [
        ("navigation", 3), ("ten_minutes", 1), ("dwa", 1), ("orca", 1), ("random", 1),
    ]  # fmt: skip
    assert found[3].shown == "orca (true state)"


def test_two_checkpoints_of_one_seed_are_two_contestants(exam: ExamTable) -> None:
    entrants = tuple(replace(one, train_seed=0) if one.method == "preset=navigation" else one for one in exam.entrants)
    found = contestants_of(replace(exam, entrants=entrants))
    assert [one.name for one in found][:3] == ["navigation-s0", "navigation-s1", "navigation-s2"]


def test_values_are_rows_of_seeds_in_the_order_of_worlds(exam: ExamTable) -> None:
    view = ExamView(exam)
    values = view.values(view.contestants[0], 2)
    for row, entrant in zip(values, view.contestants[0].entrants, strict=True):
        assert np.array_equal(row, exam.cell(entrant, 2).outcome == 1)


def test_worlds_that_one_has_not_played_are_left_out_for_both() -> None:
    exam = made_up_exam(40, ("dwa", "orca"), families=("standard",))
    keep = ~((exam.columns["entrant"] == 1) & (exam.columns["world"] >= 30))
    view = ExamView(replace(exam, columns={name: array[keep] for name, array in exam.columns.items()}))
    (found,) = view.comparisons.values()
    assert found.num_worlds == 4 * 30


def test_the_first_page_says_who_is_better(document: Document) -> None:
    (shown,) = [block for block in document.front if isinstance(block, Shown)]
    assert shown.headline.startswith("navigation is ")
    assert [label for label, _ in shown.figures][1:3] == ["95% interval", "p, adjusted for all comparisons"]
    assert document.title == "navigation against 4 others"


def test_lidar_never_stands_beside_true_state_without_a_word(document: Document) -> None:
    texts = [str(block) for block in document.front]
    assert any("Not all see the same" in text and "true state: orca" in text for text in texts)


def test_the_summary_has_what_a_program_wants(document: Document, exam: ExamTable) -> None:
    summary = document.summary
    assert summary["num_episodes"] == exam.num_rows
    comparisons = summary["comparisons"]
    assert isinstance(comparisons, list)
    assert len(comparisons) == 10
    assert {one["verdict"] for one in comparisons} <= {str(one) for one in Verdict}
    assert {"p", "p_adjusted", "difference", "least_difference", "num_worlds", "units"} <= comparisons[0].keys()


def test_the_same_exam_is_the_same_bytes(tmp_path: Path) -> None:
    made_up_exam(30, ("navigation", "dwa"), 1, ("standard",)).save(tmp_path / "exam")
    for name in ("a", "b"):
        report_exam(tmp_path / "exam", tmp_path / name)
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert {"report.pdf", "report.html", "summary.json", "episodes.parquet"} <= {str(name) for name in names}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_every_part_that_a_reviewer_asks_for_is_there(document: Document) -> None:
    assert [section.title for section in document.sections] == [
        "Outcomes", "Pairs", "Robustness", "Generalisation", "Stress", "Failures", "Statistics", "Where it came from",
    ]  # fmt: skip
    names = {table.name for table in document.tables()}
    assert names >= {
        "leader", "metrics", "scenarios", "missing", "pairs", "worlds", "robustness", "generalisation", "stress",
        "failures", "hardest", "power", "noise", "seeds", "improvement", "entrants", "worlds_of_scenarios", "anova",
        "metric_pairs",
    }  # fmt: skip
    figures = [block for block in document.blocks() if isinstance(block, Figure)]
    assert [figure.name for figure in figures] == ["overall", "outcomes", "robustness_1", "stress_points_1", "profiles"]
    assert all(
        figure.caption.endswith((".", "?")) and figure.alt and figure.svg.startswith("<svg") for figure in figures
    )


def test_each_statistic_has_its_place(document: Document, exam: ExamTable) -> None:
    """In the section, in a table or in its CSV."""
    (section,) = [section for section in document.sections if section.title == "Statistics"]
    text = str(section).lower()
    for name in (
        "wilson", "mcnemar", "newcombe", "t on the seeds' means", "bootstrap over seeds and worlds", "paired bootstrap",
        "welch's anova", "games and howell", "mann and whitney", "false discovery", "hedges' g", "cliff's delta",
        "cohen's d", "eta and omega squared", "interquartile", "performance profiles", "how probably a training",
        "holm", "tost", "power", "a against a", "cochran's q",
    ):  # fmt: skip
        assert name in text, name
    tables = {table.name: table for table in document.tables()}
    assert {"odds_ratio", "odds_low", "odds_high"} <= tables["worlds"].records[0].keys()
    assert {"p_equal", "needed_equal", "least_difference"} <= tables["pairs"].records[0].keys()
    groups = {row["metric"]: row for row in tables["anova"].records}
    assert groups.keys() == {"success", "spl", "time_imputed_s", "min_clearance_m"}
    assert 0 < groups["spl"]["omega_squared"] < groups["spl"]["eta_squared"] < 1
    rows = {(row["metric"], row["first"], row["second"]): row for row in tables["metric_pairs"].records}
    assert len(rows) == 4 * 10, "all pairs of five"
    row = rows["success", "navigation", "random"]
    assert row["bootstrap_low"] < row["difference"] < row["bootstrap_high"]
    assert row["difference"] == pytest.approx(row["mean_first"] - row["mean_second"])
    assert max(row["p_games_howell"], row["p_mann_whitney"]) < 1e-6
    assert row["p_mann_whitney"] <= row["p_mann_whitney_fdr"] < 1e-6
    assert row["hedges_g"] > 0.8
    assert row["cliffs_delta"] == pytest.approx(2 * row["superiority"] - 1)
    assert row["cliffs_delta"] == pytest.approx(row["difference"]), "of zeros and ones"


def test_the_csv_of_metrics_has_each_scenario_with_interval_and_unit(document: Document, exam: ExamTable) -> None:
    (metrics,) = [table for table in document.tables() if table.name == "metrics"]
    rows = [row for row in metrics.records if (row["entrant"], row["metric"]) == ("dwa", "success")]
    assert [row["scenario"] for row in rows] == [facts.name for facts in exam.scenarios]
    cell = exam.cell(4, 0)
    assert rows[0]["value"] == pytest.approx((cell.outcome == 1).mean())
    assert rows[0]["low"] < rows[0]["value"] < rows[0]["high"]
    assert (rows[0]["unit"], rows[0]["direction"], rows[0]["episodes"]) == ("frac", "higher", 60)


def test_areas_are_relative_to_the_own_clean_score(document: Document, exam: ExamTable) -> None:
    (areas,) = [table for table in document.tables() if table.name == "robustness"]
    row = next(r for r in areas.records if (r["factor"], r["entrant"]) == ("blackout", "dwa"))
    scenarios = [s for s, facts in enumerate(exam.scenarios) if facts.factor == "blackout"]
    curve = [(exam.cell(4, s).outcome == 1).mean() for s in scenarios]
    assert row["area"] == pytest.approx((curve[0] / 2 + curve[1] + curve[2] + curve[3] / 2) / 3 / curve[0])


def test_a_pair_that_lacks_a_scenario_is_compared_on_the_others(exam: ExamTable) -> None:
    table = made_up_exam(40, ("dwa", "orca"), families=("standard",))
    keep = ~((table.columns["entrant"] == 0) & (table.columns["scenario"] == 3))
    columns = {name: array[keep] for name, array in table.columns.items()}
    cut = replace(table, columns=columns, missing={(0, 3): "does not fit"})
    (found,) = ExamView(cut).comparisons.values()
    assert found.num_worlds == 120
    assert any(table.name == "missing" for table in exam_document(cut).tables())


def test_hostile_names_come_through(tmp_path: Path) -> None:
    table = made_up_exam(20, ("dwa", "orca"), families=("standard",))
    name = "#eval(1) ] $x$ <b>\u202e\u4e2d_"
    entrants = (replace(table.entrants[0], name=name, source=name, provenance={name: name}), table.entrants[1])
    report_exam(_saved(replace(table, entrants=entrants, provenance={name: [name, {"a": None}]}), tmp_path / "exam"))
    page = (tmp_path / "exam" / "report.html").read_text()
    assert "<b>\\u202e" not in page
    assert "&lt;b&gt;\\u202e\u4e2d_" in page


def _saved(table: ExamTable, folder: Path) -> Path:
    table.save(folder)
    return folder


def test_an_environment_without_outcomes_is_compared_by_its_return() -> None:
    table = made_up_exam(40, ("dwa", "random"), families=("standard",))
    columns = {**table.columns, "outcome": np.zeros(table.num_rows, np.int8)}
    document = exam_document(replace(table, columns=columns))
    (shown,) = [block for block in document.front if isinstance(block, Shown)]
    assert shown.headline == "dwa is better than random"
    assert shown.text.startswith("Return ")


def test_pictures_of_failures_are_shown_when_they_are_of_this_exam(tmp_path: Path) -> None:
    table = made_up_exam(30, ("dwa", "orca"), families=("standard",))
    folder = _saved(table, tmp_path)
    (folder / "failures").mkdir()
    png = png_of(make_figure(2, 1), 30)
    for name in ("1-1.png", "2-1.png", "1-9.png", "other.png"):
        (folder / "failures" / name).write_bytes(png)
    assert find_beside(folder, table).pictures == {}, "no failures.json, so they may be of another exam"
    write_rows(folder, tell_failures(table))
    beside = find_beside(folder, table)
    assert set(beside.pictures) == {(0, 0), (1, 0), (0, 8)}
    (gallery,) = [block for block in exam_document(table, beside).blocks() if isinstance(block, Gallery)]
    assert [figure.caption.partition(":")[0] for figure in gallery.figures] == ["orca", "dwa"]
    (folder / "failures" / "1-1.png").write_bytes(b"GIF89a")
    with pytest.raises(UserError, match=r"1-1\.png: is no PNG"):
        find_beside(folder, table)


def test_a_world_that_is_met_at_several_levels_is_one_unit() -> None:
    exam = made_up_exam(50, ("dwa", "orca"), families=("robustness",))
    view = ExamView(exam)
    (found,) = view.comparisons.values()
    assert (found.num_worlds, found.test) == (50, "a paired t test")
    mean = np.mean([(exam.cell(1, s).outcome == 1) for s in range(24)], axis=0)
    (pooled,) = view.pooled(view.contestants[1:], range(24))
    assert np.allclose(pooled[0], mean)
    assert "points" in words.figures(found)


def test_draws_of_the_same_worlds_show_the_worst_ones() -> None:
    exam = made_up_exam(60, ("dwa", "orca"), families=("standard",))
    scenarios = tuple(
        replace(facts, stage="full_challenge", family="own", changes={"draw": i} if i else {})
        for i, facts in enumerate(exam.scenarios)
    )
    document = exam_document(replace(exam, scenarios=scenarios))
    (table,) = [table for table in document.tables() if table.name == "worst_worlds"]
    assert [row["entrant"] for row in table.records] == ["orca", "orca", "dwa", "dwa"]
    assert [row["worlds"] for row in table.records][:2] == [1, 6]
    assert "Other scenarios" not in [section.title for section in document.sections]


def test_what_all_scenarios_of_a_suite_change_stands_once() -> None:
    exam = made_up_exam(30, ("dwa",), families=("standard",))
    scenarios = tuple(
        replace(facts, suite="crowds", changes={"env.world.profile": "everett", "env.world.num_robots": i})
        for i, facts in enumerate(exam.scenarios)
    )
    document = exam_document(replace(exam, scenarios=scenarios))
    (table,) = [table for table in document.tables() if table.name == "worlds_of_scenarios"]
    assert "In all of crowds: env.world.profile=everett." in table.caption
    assert [row[3] for row in table.rows] == [f"env.world.num_robots={i}" for i in range(len(scenarios))]
    assert '"everett"' in str(table.records[0]["changes"]), "a program reads all of it in each row"


def test_one_entrant_alone_has_a_report_too() -> None:
    document = exam_document(made_up_exam(30, ("dwa",), families=("standard",)))
    (shown,) = [block for block in document.front if isinstance(block, Shown)]
    assert "nothing to compare it with" in shown.text


def test_too_few_episodes_end_with_what_to_do() -> None:
    with pytest.raises(TooFewEpisodesError, match="have 4 common episodes"):
        exam_document(made_up_exam(1, ("dwa", "orca"), families=("standard",)))
