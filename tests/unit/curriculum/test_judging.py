"""What a gate's criteria are held against, in our worlds and in those of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.curriculum import CurriculumConfig, GateConfig, StageConfig
from robonav_ray.config.load import ConfigError, dump_config, load_run_config
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.curriculum.judging import SILENT_EPISODES, Judging
from robonav_ray.records import EpisodeResults, Outcome
from robonav_ray.runs.progress import WindowFigures
from robonav_ray.runtime.budget import check_budget

GATE = GateConfig(min_success_frac=0.7, min_return=5.0, max_collision_frac=0.3)
NONE, SUCCESS, TIMEOUT = (np.array([o], np.int8) for o in (Outcome.NONE, Outcome.SUCCESS, Outcome.TIMEOUT))


def judging(gate: GateConfig = GATE, ours: bool = True) -> Judging:
    return Judging([StageConfig(name="a", gate=gate)], ours)


@pytest.mark.parametrize(
    ("figures", "met"),
    [
        (WindowFigures(50, 0.7, 0.29, 5.01), True),
        (WindowFigures(50, 0.69, 0.29, 5.01), False),
        (WindowFigures(50, 0.7, 0.3, 5.01), False),
        (WindowFigures(50, 0.7, 0.29, 5.0), False),
    ],
)
def test_success_may_equal_its_bound_return_and_collisions_may_not(figures: WindowFigures, met: bool) -> None:
    assert judging().is_met(0, figures) is met


def test_a_criterion_of_none_is_off() -> None:
    gate = GateConfig(min_success_frac=None, min_return=None, max_collision_frac=None)
    for ours in (True, False):
        assert judging(gate, ours).is_met(0, WindowFigures(50, 0.0, 1.0, -5.0))


def test_nan_return_does_not_open_the_gate() -> None:
    assert not judging().is_met(0, WindowFigures(50, 1.0, 0.0, float("nan")))


def test_success_that_was_asked_for_keeps_the_gate_shut_until_it_is_told() -> None:
    judge, full = judging(ours=False), WindowFigures(50, 1.0, 0.0, 9.0)
    assert not judge.is_met(0, full)
    judge.take(NONE)
    assert not judge.tells_success
    judge.take(TIMEOUT)
    assert judge.tells_success
    assert judge.is_met(0, full)
    assert not judge.is_met(0, WindowFigures(50, 0.69, 0.0, 9.0))


def test_success_that_nobody_asked_an_earlier_run_for_counts_from_when_it_is_told() -> None:
    poor = WindowFigures(50, 0.1, 0.0, 9.0)
    for written in (0.7, None):  # as the run's config.yaml has it, and as its command is read today
        judge = judging(GateConfig(min_success_frac=written, min_return=5.0), ours=False)
        judge.load_state_dict({"tells_success": False, "at_default": [0.7]})
        assert judge.gate(0).min_success_frac is None
        assert judge.problem(0, 10**6) is None
        assert judge.is_met(0, poor)
        judge.take(SUCCESS)
        assert judge.gate(0).min_success_frac == 0.7
        assert not judge.is_met(0, poor)
        again = judging(GateConfig(min_success_frac=written, min_return=5.0), ours=False)
        again.load_state_dict(judge.state_dict())
        assert again.gate(0).min_success_frac == 0.7


def test_what_is_never_told_is_said_after_so_many_episodes() -> None:
    judge = judging(ours=False)
    assert judge.problem(0, SILENT_EPISODES - 1) is None
    told = judge.problem(0, SILENT_EPISODES)
    assert told is not None
    assert "curriculum.stages.0.gate.min_success_frac (0.7) cannot be judged" in told
    assert "`is_success`" in told
    assert judging(ours=True).problem(0, 10**6) is None
    assert judging(GateConfig(min_success_frac=None, min_return=1.0), ours=False).problem(0, 10**6) is None
    judge.take(TIMEOUT)
    assert judge.problem(0, 10**6) is None


def results(outcome: int, returns: float, num: int, started_at: int) -> EpisodeResults:
    def full(value: float, dtype: str) -> np.ndarray:
        return np.full(num, value, dtype)

    return EpisodeResults(
        worker=0, stage=full(0, "int32"), world=np.arange(num, dtype=np.int32), started_at=full(started_at, "int64"),
        length=full(10, "int32"), outcome=full(outcome, "int8"), task_return=full(returns, "float32"),
        total_return=full(returns, "float32"), goals_reached=full(0, "int32"), path_length_m=full(0, "float32"),
        shortest_path_length_m=full(0, "float32"), min_clearance_m=full(0, "float32"), on_gate=full(True, "bool"),
        watermark=started_at + 1, watermark_stage=0,
    )  # fmt: skip


def foreign(gate: GateConfig) -> Curriculum:
    curriculum = Curriculum(CurriculumConfig(stages=(StageConfig(name="a", gate=gate),), window=10), has_outcomes=False)
    curriculum.next_assignment(0)
    return curriculum


def test_a_run_whose_criterion_is_never_told_says_so_and_never_passes() -> None:
    curriculum = foreign(GateConfig(min_success_frac=0.5, min_return=1.0))
    for at in range(SILENT_EPISODES // 10):
        assert curriculum.progress().problem is None
        curriculum.report(results(Outcome.NONE, 99.0, 10, at))
    progress = curriculum.progress()
    assert not progress.passed
    assert progress.problem is not None
    assert "curriculum/success_frac" not in progress.metrics()
    assert "curriculum/collision_frac" not in progress.metrics()
    text = progress.summary_text()
    assert "mean return 99.00 overall" in text
    for word in ("success", "collision", "stage"):
        assert word not in text


def test_success_is_judged_where_it_is_told_and_collisions_are_not_spoken_of() -> None:
    curriculum = foreign(GateConfig(min_success_frac=0.5))
    curriculum.report(results(Outcome.TIMEOUT, 1.0, 8, 0))
    curriculum.report(results(Outcome.SUCCESS, 1.0, 2, 1))
    assert not curriculum.passed
    progress = curriculum.progress()
    assert progress.metrics()["curriculum/success_frac"] == 0.2
    assert "collision" not in progress.summary_text()
    curriculum.report(results(Outcome.SUCCESS, 1.0, 5, 2))
    assert curriculum.passed


@pytest.mark.parametrize("at_default", [[None], [0.7]])
def test_a_resumed_run_judges_by_what_it_was_asked_for(at_default: list[float | None]) -> None:
    gate = GateConfig(min_success_frac=0.7, min_return=5.0)
    curriculum = foreign(gate)
    curriculum.report(results(Outcome.NONE, 9.0, 5, 0))
    state = json.loads(json.dumps(curriculum.state_dict()))
    state["judging"]["at_default"] = at_default
    resumed = foreign(gate)
    resumed.load_state_dict(state)
    resumed.report(results(Outcome.NONE, 9.0, 5, 1))
    assert resumed.passed is (at_default == [0.7])
    changed = foreign(GateConfig(min_success_frac=0.6, min_return=5.0))
    changed.load_state_dict(state)
    changed.report(results(Outcome.NONE, 9.0, 5, 1))
    assert not changed.passed, "another value than before was asked for"


def loaded(*overrides: str) -> RunConfig:
    return load_run_config(None, ["env.id=CartPole-v1", *overrides])


@pytest.mark.parametrize(
    ("gate", "asked"),
    [
        ("{min_return: 5}", None),
        ("{}", None),
        ("{min_success_frac: null}", None),
        ("{min_success_frac: 0.7, min_return: 5}", 0.7),
    ],
)
def test_what_was_asked_for_outlives_a_dump(tmp_path: Path, gate: str, asked: float | None) -> None:
    config = loaded(f"curriculum.stages=[{{name: a, gate: {gate}}}]")
    assert config.curriculum.stages[0].gate.min_success_frac == asked
    (tmp_path / "config.yaml").write_text(dump_config(config))
    again = load_run_config(tmp_path / "config.yaml")
    assert again == config
    curriculum = Curriculum(again.curriculum, has_outcomes=False)
    curriculum.next_assignment(0)
    for at in range(SILENT_EPISODES // 10):
        curriculum.report(results(Outcome.NONE, 99.0, 10, at))
    assert (curriculum.progress().problem is not None) is (asked is not None)


def test_in_our_worlds_success_is_asked_for_by_default() -> None:
    assert load_run_config(None, ["curriculum.stages=[{name: a}]"]).curriculum.stages[0].gate.min_success_frac == 0.7


def test_a_stage_without_a_criterion_is_open_for_the_budget_and_the_curriculum() -> None:
    config = loaded("curriculum.stages=[{name: a}]", "budget.time_s=0")
    with pytest.raises(ConfigError, match=r"the last stage \(a\) has no gate"):
        check_budget(config)
    assert Curriculum(config.curriculum, has_outcomes=False).progress().is_open
    asked = loaded("curriculum.stages=[{name: a, gate: {min_success_frac: 0.5}}]", "budget.time_s=0")
    check_budget(asked)
    assert not Curriculum(asked.curriculum, has_outcomes=False).progress().is_open


def test_a_state_of_before_keeps_no_gate_shut_that_was_open(caplog: pytest.LogCaptureFixture) -> None:
    curriculum = foreign(GateConfig(min_success_frac=0.5, min_return=5.0))
    state = curriculum.state_dict()
    del state["judging"]
    state["version"] = 2
    curriculum.load_state_dict(state)
    assert "curriculum.stages.0.gate.min_success_frac counts once the environment tells" in caplog.text
    curriculum.report(results(Outcome.NONE, 9.0, 10, 0))
    assert curriculum.passed


@pytest.mark.parametrize("change", [{"at_default": []}, {"more": 1}])
def test_a_state_of_another_shape_is_refused(change: dict[str, object]) -> None:
    judge = judging()
    with pytest.raises(ValueError, match="judged by"):
        judge.load_state_dict(judge.state_dict() | change)
