"""Gates that ask how a snapshot does beside the league's members."""

from __future__ import annotations

import json
from typing import Any

import pytest

from robonav_ray.config.curriculum import CurriculumConfig, GateConfig, StageConfig
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.curriculum.judging import Judging
from robonav_ray.curriculum.partner_gate import PartnerGate, PartnerMatch
from robonav_ray.fronts.curriculum_system import CurriculumLearningSystem
from robonav_ray.records import Outcome
from robonav_ray.runs.progress import WindowFigures
from tests.made_up_episodes import make_results

ASKED = GateConfig(min_success_frac=0.5, min_partner_success_frac=0.6)
STAGES = (StageConfig(name="pair", gate=ASKED), StageConfig(name="crowd", gate=ASKED))
GOOD = WindowFigures(4, 1.0, 0.0, 9.0)


def reporting(curriculum: Curriculum, outcome: Outcome, *, num: int = 4) -> None:
    """Let ``num`` episodes of the current stage enter its window."""
    at = curriculum.assignment_of(0).clock + curriculum.progress().num_gate_episodes
    rows = [(curriculum.stage, 0, at + i, 5, int(outcome), 1.0, True) for i in range(num)]
    curriculum.report(make_results(0, rows, at + num, curriculum.stage))


def begun(stages: tuple[StageConfig, ...] = STAGES) -> Curriculum:
    curriculum = Curriculum(CurriculumConfig(stages=stages, window=4))
    curriculum.next_assignment(0)
    return curriculum


def test_a_gate_holds_when_the_worst_partner_suffices() -> None:
    judging = Judging(STAGES, True)
    assert judging.is_window_met(0, GOOD)
    assert not judging.is_met(0, GOOD), "none has played"
    for worst, met in ((0.59, False), (0.6, True)):
        judging.partners.under_way = PartnerMatch("main-0000", 100)
        figures = judging.partners.end({"own": 0.9, "orca": worst, "straight": 0.8})
        assert figures.worst == ("orca", worst)
        assert judging.is_met(0, GOOD) is met
        assert not judging.is_met(0, WindowFigures(4, 0.4, 0.0, 9.0))
    with pytest.raises(ValueError, match="under way"):
        judging.partners.end({"own": 1.0})
    judging.partners.under_way = PartnerMatch("main-0001", 200)
    with pytest.raises(ValueError, match="success_frac"):
        judging.partners.end({"own": 1.5})


def test_a_snapshot_plays_when_all_else_holds_and_opens_the_gate() -> None:
    curriculum = begun()
    curriculum.snapshot_taken("main-0000", 100)
    assert curriculum.partner_match is None, "the window is empty"
    reporting(curriculum, Outcome.SUCCESS)
    assert curriculum.stage == 0
    assert "beside partners not played yet (at least 60%)" in curriculum.progress().gate_text()
    curriculum.snapshot_taken("main-0001", 200)
    curriculum.snapshot_taken("main-0002", 300)
    assert curriculum.partner_match == ("main-0001", 200), "one at a time"
    curriculum.end_partner_match({"own": 0.9, "straight": 0.5})
    progress = curriculum.progress()
    assert progress.metrics()["curriculum/partner_success_frac_min"] == 0.5
    assert "success 50% beside straight (at least 60%)" in progress.gate_text()
    assert json.loads(json.dumps(progress.to_dict()))["partners"]["company"] == ["own", "straight"]
    reporting(curriculum, Outcome.SUCCESS, num=1)
    assert curriculum.stage == 0
    curriculum.snapshot_taken("main-0003", 400)
    curriculum.end_partner_match(None)
    assert (curriculum.partner_match, curriculum.stage) == (None, 0), "it could not be played"
    curriculum.snapshot_taken("main-0004", 500)
    curriculum.end_partner_match({"own": 0.6, "straight": 0.7})
    assert "60% among its own kind" in curriculum.progress().gate_text()
    reporting(curriculum, Outcome.SUCCESS, num=1)
    assert curriculum.stage == 1
    assert curriculum.progress().partners is None, "it was of the stage before"
    assert "; 60% among its own kind" in curriculum.progress().summary_text()
    state = json.loads(json.dumps(curriculum.state_dict()))
    again = begun()
    again.load_state_dict(state)
    assert again.progress().transitions == curriculum.progress().transitions
    del state["history"][0]["partners"]
    again.load_state_dict(state)
    assert again.progress().transitions[0].partners is None, "one of a version before"
    state["history"][0]["partners"] = {"member": 3}
    with pytest.raises(ValueError, match=r"history\[0\]\.partners"):
        again.load_state_dict(state)


def test_what_an_earlier_snapshot_showed_ends_where_the_window_got_worse() -> None:
    curriculum = begun()
    reporting(curriculum, Outcome.SUCCESS)
    curriculum.snapshot_taken("main-0000", 100)
    reporting(curriculum, Outcome.TIMEOUT)
    curriculum.end_partner_match({"own": 1.0})
    curriculum.snapshot_taken("main-0001", 200)
    reporting(curriculum, Outcome.SUCCESS)
    assert curriculum.stage == 0


def test_one_that_is_passed_plays_no_more_and_another_stage_forgets() -> None:
    curriculum = begun(STAGES[:1])
    reporting(curriculum, Outcome.SUCCESS)
    curriculum.snapshot_taken("main-0000", 100)
    curriculum.end_partner_match({"own": 1.0})
    reporting(curriculum, Outcome.SUCCESS, num=1)
    assert curriculum.passed
    curriculum.snapshot_taken("main-0001", 200)
    assert curriculum.partner_match is None
    other = begun()
    reporting(other, Outcome.SUCCESS)
    other.snapshot_taken("main-0000", 100)
    other.force(1)
    assert other.partner_match is None


def test_the_state_goes_round_and_one_of_before_has_no_partners() -> None:
    curriculum = begun()
    reporting(curriculum, Outcome.SUCCESS)
    curriculum.snapshot_taken("main-0000", 100)
    curriculum.end_partner_match({"own": 0.9, "straight": 0.5})
    curriculum.snapshot_taken("main-0001", 200)
    state = json.loads(json.dumps(curriculum.state_dict()))
    again = begun()
    again.load_state_dict(state)
    assert json.loads(json.dumps(again.state_dict()))["judging"] == state["judging"]
    assert again.partner_match == ("main-0001", 200)
    state["judging"]["partners"]["figures"] = ["main-0000", 100, ["own", "straight"], [0.9, 0.5]]
    first = begun()
    first.load_state_dict(state)
    assert first.progress().partners == again.progress().partners, "as they were first written"
    del state["judging"]["partners"]
    before = begun()
    before.load_state_dict(state)
    assert (before.partner_match, before.progress().partners) == (None, None)
    unasked = begun(tuple(stage.model_copy(update={"gate": GateConfig()}) for stage in STAGES))
    unasked.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    assert unasked.partner_match is None, "the criterion was taken away"


SHOWN = {"member": "main-0000", "env_steps": 1, "company": ["own"], "success_frac": [0.5]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"figures": SHOWN | {"company": [], "success_frac": []}},
        {"figures": SHOWN | {"success_frac": [1.5]}},
        {"figures": SHOWN | {"success_frac": [0.5, 0.5]}},
        {"figures": SHOWN | {"success_frac": None}},
        {"figures": SHOWN | {"env_steps": -1}},
        {"figures": SHOWN | {"company": [3]}},
        {"figures": SHOWN | {"member": ""}},
        {"figures": SHOWN | {"more": 1}},
        {"figures": 3},
        {"under_way": ["", 1]},
        {"under_way": ["main-0000", True]},
        {"under_way": ["main-0000", 1 << 60]},
        {"under_way": []},
        {"more": None},
    ],
)
def test_a_state_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    gate = PartnerGate()
    with pytest.raises(ValueError, match=r"judging\.partners"):
        gate.load_state_dict(gate.state_dict() | wrong)
    assert gate.state_dict() == {"figures": None, "under_way": None}


KEY = "curriculum.stages.3.gate.min_partner_success_frac"
MANY = "env.world.num_robots=3"


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["league=null"], "has no league"),
        (["league={scripted: [], mix: {scripted: 0, prioritised: 0.55}}"], "league.scripted"),
        (["league.snapshot_env_steps=null"], "league.snapshot_env_steps is null"),
        (["league.role=obstacle"], "league.role=obstacle"),
        (["league={}", "curriculum.stages.3.level.num_robots=1"], "has one robot"),
    ],
)
def test_a_gate_that_can_never_open_is_refused_by_its_key(overrides: list[str], why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_run_config(None, [MANY, f"{KEY}=0.8", *overrides])
    assert KEY in str(refused.value)
    assert why in str(refused.value)
    assert len(str(refused.value).splitlines()) <= 2


def test_a_curriculum_of_a_loop_of_ones_own_has_no_league() -> None:
    with pytest.raises(ConfigError, match="min_partner_success_frac"):
        CurriculumLearningSystem(CurriculumConfig(stages=STAGES))
