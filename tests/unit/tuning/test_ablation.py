"""An ablation: what is trained, what is kept of it, what it amounts to, and what is refused; trainings are fakes."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

import robonav_ray as rn
from robonav_ray.config.load import checked_config, load_section_file
from robonav_ray.config.studies.ablation import AblationConfig
from robonav_ray.errors import UserError
from robonav_ray.evaluation.ablation.picture import draw_losses
from robonav_ray.evaluation.ablation.table import AblationError, load_ablation, to_markdown
from robonav_ray.evaluation.exam_report.ablation import ablation_document
from robonav_ray.report.document import Verdict
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.screen import plain_screen
from robonav_ray.tuning.ablation import study
from robonav_ray.tuning.ablation.arms import plan_ablation
from robonav_ray.tuning.ablation.cells import CellOrder
from robonav_ray.tuning.ablation.results import RESULTS_FILE, CellResult, ResultsError, append_result, read_results
from robonav_ray.tuning.ablation.table import make_table
from tests.conftest import Robonav

BITS: dict[str, Any] = {
    "run": {
        "env": {"id": "robonav_ray/BitFlip-v0", "kwargs": {"num_bits": 3}},
        "algo": {"hidden_dims": [16], "n_step": 1},
        "replay": {"capacity": 500, "min_size": 64, "sampler": "prioritized"},
        "learner": {"batch_size": 32},
        "rollout": {"num_worlds": 4, "steps_per_fragment": 8},
    },
    "switches": {"dueling": {"algo.dueling": False}, "priorities": {"replay.sampler": "uniform"}},
    "seeds": [0, 1],
    "budget": {"env_steps": 400},
    "exam": {"num_episodes": 8},
}


def bits(**changes: Any) -> AblationConfig:
    return checked_config(AblationConfig, json.loads(json.dumps({**BITS, **changes})), (), "test")


class FakeTrainings:
    """Gives each method a success that is known; can be told to stop, or to fail, at the next one of a name."""

    SUCCESS: ClassVar = {"whole": 0.9, "dueling": 0.6, "priorities": 0.9}

    def __init__(self) -> None:
        self.begun = list[str]()
        self.stop_at: str | None = None
        self.fail_at: str | None = None

    def __call__(self, order: CellOrder, stop: StopRequest) -> CellResult | None:
        self.begun.append(order.cell.name)
        if order.cell.name == self.stop_at:
            stop.signal_name = "SIGTERM"
            return None
        if order.cell.name == self.fail_at:
            raise RuntimeError("its disk is gone")
        success = self.SUCCESS[order.cell.arm] + 0.02 * order.cell.seed * (order.cell.arm != "whole")
        return CellResult(
            order.cell.key, order.cell.arm, order.cell.seed, order.run, 400, 9, 1.5, 8, success, None, 1.0
        )


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> FakeTrainings:
    fake = FakeTrainings()
    monkeypatch.setattr(study, "work_off", fake)
    monkeypatch.setattr(study, "draw_losses", lambda table, path: None)  # that takes a second
    return fake


def ablate(config: AblationConfig, folder: Path) -> study.Study:
    return study.run_ablation(config, folder, local=True, stop=StopRequest(), screen=plain_screen(silent=True))


def test_the_shipped_one_is_a_plan_in_which_nothing_is_trained_twice() -> None:
    config = load_section_file(AblationConfig, Path("ablation"), (), "ablation")
    plan = plan_ablation(config)
    pairs = {comparison.switch: (comparison.off, comparison.whole) for comparison in plan.comparisons}
    assert set(pairs) == set(config.switches)
    assert pairs["dueling"] == ("dueling", "whole")
    assert pairs["double"] == ("munchausen", "double-whole"), "without both it is the same method"
    assert pairs["hindsight"] == ("hindsight", "hindsight-whole")
    assert len(plan.cells) == len(plan.arms) * len(config.seeds)
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)
    assert [cell.arm for cell in plan.cells[: len(plan.arms)]] == list(plan.arms), "the first seed of all comes first"
    budgets = {cell.config.budget.max_env_steps for cell in plan.cells}
    assert budgets == {config.budget.env_steps}


def test_it_goes_on_where_it_was_stopped_and_does_nothing_twice(trainings: FakeTrainings, tmp_path: Path) -> None:
    trainings.stop_at = "dueling-1"
    first = ablate(bits(), tmp_path / "a")
    assert first.is_interrupted
    assert first.table.num_missing == 2
    done = ["whole-0", "dueling-0", "priorities-0", "whole-1"]
    assert trainings.begun == [*done, "dueling-1"]
    with (tmp_path / "a" / RESULTS_FILE).open("a") as file:
        file.write('{"key": "torn')
    trainings.begun, trainings.stop_at = [], None
    second = ablate(bits(), tmp_path / "a")
    assert trainings.begun == ["dueling-1", "priorities-1"]
    assert (second.is_interrupted, second.table.num_missing, second.failures) == (False, 0, ())
    trainings.begun = []
    assert ablate(bits(), tmp_path / "a").table == second.table
    assert trainings.begun == []
    told = json.loads((tmp_path / "a" / "ablation.json").read_text())
    assert [row["switch"] for row in told["rows"]] == ["whole", "dueling", "priorities"]
    assert told["rows"][1]["off_value"] is False
    assert (tmp_path / "a" / "ablation.md").read_text().startswith("# Ablation")


def test_a_training_that_fails_is_told_and_the_others_are_done(trainings: FakeTrainings, tmp_path: Path) -> None:
    trainings.fail_at = "dueling-0"
    found = ablate(bits(), tmp_path / "a")
    assert found.failures == (found.failures[0],)
    assert found.failures[0].startswith("dueling-0: RuntimeError: its disk is gone")
    assert not found.is_interrupted
    assert len(trainings.begun) == 6
    assert found.table.rows[1].seeds == (1,)


def test_the_table_pairs_by_seed(trainings: FakeTrainings, tmp_path: Path) -> None:
    table = ablate(bits(seeds=[0, 1, 2]), tmp_path / "a").table
    whole, dueling, priorities = table.rows
    assert (whole.mean, whole.difference, whole.differences) == (pytest.approx(0.9), None, ())
    assert dueling.success == pytest.approx((0.6, 0.62, 0.64))
    assert dueling.difference == pytest.approx(-0.28)
    half = 4.3027 * 0.02 / 3**0.5  # t(.975, 2) s / sqrt(n)
    assert (dueling.difference_low, dueling.difference_high) == pytest.approx((-0.28 - half, -0.28 + half), abs=1e-4)
    assert dueling.verdict == "worth having"
    assert priorities.verdict == "no difference shown"
    text = to_markdown(table)
    assert "worth having" in text
    assert "`algo.dueling=false`" in text
    assert draw_losses(table, tmp_path / "losses.png") == tmp_path / "losses.png"
    with Image.open(tmp_path / "losses.png") as image:
        assert image.size[0] > 1000


def test_one_seed_has_no_interval_and_returns_are_compared_where_no_success_is_told() -> None:
    config = bits(seeds=[3])
    plan = plan_ablation(config)
    cells = {cell.arm: cell for cell in plan.cells}
    results = {
        cells[arm].key: CellResult(cells[arm].key, arm, 3, "runs/x", 400, 9, 1.0, 8, None, None, value)
        for arm, value in (("whole", 20.0), ("dueling", 12.5))
    }
    table = make_table(config, plan, results)
    assert table.measure == "return"
    assert table.num_missing == 1
    assert (table.rows[1].difference, table.rows[1].verdict) == (-7.5, "one seed: no interval")
    assert (table.rows[2].mean, table.rows[2].difference) == (None, None)


def test_results_that_are_damaged_are_named(tmp_path: Path) -> None:
    good = CellResult("k", "whole", 0, "runs/whole-0", 400, 9, 1.5, 8, 0.5, 0.1, -1.0)
    append_result(tmp_path, good)
    append_result(tmp_path, replace(good, key="other"))
    assert read_results(tmp_path, ["k"]) == {"k": good}
    line = json.loads((tmp_path / RESULTS_FILE).read_text().splitlines()[0])
    for change in ({"success_frac": 7.0}, {"seed": -1}, {"run": 3}, {"env_steps": "many"}, {"more": 0}):
        (tmp_path / RESULTS_FILE).write_text(json.dumps({**line, **change}) + "\n")
        with pytest.raises(ResultsError, match=r"results\.jsonl, line 1"):
            read_results(tmp_path, ["k"])


Said = Callable[[Sequence[str]], tuple[int, str]]


@pytest.fixture
def said(robonav_here: Robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Said:
    monkeypatch.chdir(tmp_path)

    def call(words: Sequence[str]) -> tuple[int, str]:
        code, out, err = robonav_here("ablate", *words)
        return code, " ".join((out + err).split())

    return call


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"switches": {}}, "switches: name at least one part"),
        ({"switches": {"a b": {"algo.double": False}}}, "a switch is called by"),
        ({"switches": {"x": {}}}, "switches.x"),
        ({"switches": {"x": {"algo.duelling": False}}}, "switches.x: algo.duelling"),
        ({"switches": {"x": {"algo.dueling": "off"}}}, "algo.dueling"),
        ({"switches": {"x": {"algo.dueling": True}}}, "switches.x: algo.dueling=true changes nothing"),
        ({"switches": {"x": {"seed": 4}}}, "seed is not for a switch to change"),
        ({"switches": {"x": {"budget.time_s": 4}}}, "budget.time_s is not for a switch to change: all runs train"),
        ({"switches": {"x": {"algo.munchausen": True}}}, "munchausen does not go with double"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "seed 1 stands twice"),
        ({"seeds": [-1]}, "seeds"),
        ({"exam": {"seed": 1}}, "exam.seed (1) is one of seeds"),
        ({"exam": {"stages": ["last"]}}, "exam.stages"),
        ({"exam": {"num_episodes": 1}}, "exam.num_episodes"),
        ({"exam": {"suite": "quick", "stages": ["open"]}}, "exam.stages"),
        ({"exam": {"suite": "quick"}}, "has scenarios of our worlds, and env.id is robonav_ray/BitFlip-v0"),
        ({"exam": {"suite": "nowhere"}}, "exam.suite: nowhere: no such file"),
        ({"budget": {"env_steps": 10}}, "nothing would be learned"),
        ({"run": {"learner": {"lr": 1}}}, "learner.lr"),
        ({"mode": 1}, "mode"),
    ],
)
def test_what_is_wrong_in_the_config_is_named(
    change: dict[str, Any], told: str, said: Said, tmp_path: Path, trainings: FakeTrainings
) -> None:
    Path("a.yaml").write_text(json.dumps({**BITS, **change}))
    code, text = said(["a.yaml", "--local"])
    assert (code, told in text) == (2, True), text
    assert "a.yaml" in text or "switches." in text or "exam." in text or "budget." in text or "run" in text
    assert trainings.begun == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml"], "nothing is made"


def test_the_verb_and_the_call_do_the_same(said: Said, trainings: FakeTrainings) -> None:
    Path("a.yaml").write_text(json.dumps(BITS))
    code, text = said(["a.yaml", "--local", "--out", "one"])
    assert code == 0, text
    assert "worth having" in text
    code, text = said(["a.yaml", "--local", "--out", "one", "--json"])
    assert json.loads(text[text.index("{") : text.rindex("}") + 1])["measure"] == "success"
    found = rn.ablate("a.yaml", local=True, out="two", quiet=True)
    assert found.status == "finished"
    assert found["dueling"].difference == pytest.approx(-0.29)
    assert list(found.rows()["switch"]) == ["whole", "dueling", "priorities"]
    with pytest.raises(KeyError):
        found["nothing"]
    with pytest.raises(UserError, match="another seeds"):
        rn.ablate("a.yaml", {"seeds": [0]}, local=True, out="two", quiet=True)
    Path("three").mkdir()
    Path("three", "mine.txt").write_text("mine")
    code, text = said(["a.yaml", "--local", "--out", "three"])
    assert (code, "something else than an ablation" in text) == (2, True), text
    code, text = said(["nowhere.yaml"])
    assert (code, "no such file" in text) == (2, True), text
    code, text = said([])
    assert (code, "name an ablation's config" in text) == (2, True), text
    trainings.fail_at = "dueling-0"
    assert said(["a.yaml", "--local", "--out", "four"])[0] == 1
    trainings.stop_at = "whole-0"
    code, text = said(["a.yaml", "--local", "--out", "five"])
    assert (code, "the same command goes on" in text) == (75, True), text


def test_real_trainings_are_judged(tmp_path: Path) -> None:
    config = bits(seeds=[0], switches={"dueling": {"algo.dueling": False}})
    found = ablate(config, tmp_path / "a")
    assert found.table.num_missing == 0
    assert found.failures == ()
    results = read_results(tmp_path / "a", [cell.key for cell in plan_ablation(config).cells])
    for result in results.values():
        assert result.env_steps >= 400
        assert result.success_frac is not None
        assert (tmp_path / "a" / result.run / "checkpoints").is_dir()
    (tmp_path / "a" / RESULTS_FILE).unlink()  # killed while the first was judged, and before it was trained the second
    shutil.rmtree(tmp_path / "a" / "runs" / "dueling-0" / "checkpoints")
    again = ablate(config, tmp_path / "a")
    assert again.table == found.table, "the same bits"


def test_the_report_shows_it_alone_and_a_damaged_one_is_named(trainings: FakeTrainings, tmp_path: Path) -> None:
    table = ablate(bits(seeds=[0, 1, 2]), tmp_path / "a").table
    assert load_ablation(tmp_path / "a") == table
    document = ablation_document(table)
    assert isinstance(document.front[0], Verdict)
    assert document.front[0].headline == "Worth having: dueling"
    [section] = document.sections
    assert [type(block).__name__ for block in section.blocks] == ["Paragraph", "Table", "Figure"]
    path = tmp_path / "a" / "ablation.json"
    whole = json.loads(path.read_text())
    for change in (
        {"rows": []},
        {"rows": [{}]},
        {"measure": "luck"},
        {"confidence": 2.0},
        {"stages": 3},
        {"name": None},
    ):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(AblationError, match=r"ablation\.json: is damaged"):
            load_ablation(tmp_path / "a")
    whole["rows"][1]["success"] = [0.5, "much"]
    path.write_text(json.dumps(whole))
    with pytest.raises(AblationError, match=r"rows\[1\]"):
        load_ablation(tmp_path / "a")
    path.unlink()
    with pytest.raises(AblationError, match="is missing"):
        load_ablation(tmp_path / "a")
