"""Stages that can never be passed are refused at load; the examples load and name their question."""

from __future__ import annotations

from pathlib import Path

import pytest

from robonav_ray.config.curriculum import CurriculumConfig, EpsilonConfig, GateConfig, StageConfig, open_stage
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.config.worlds import LevelConfig
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.runs.run_directory import check_same_task, create_run
from robonav_ray.runs.task import check_gates, describe_task
from robonav_ray.runtime.budget import check_budget

EXAMPLES = sorted((Path(__file__).parents[3] / "configs" / "curriculum").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_load_and_open_with_their_question(path):
    assert path.read_text().startswith("# Question: ")
    config = load_run_config(path)
    assert config.name == path.stem
    curriculum = Curriculum(config.curriculum, has_outcomes=config.env.is_native)
    assert curriculum.next_assignment(0).stage in range(len(config.curriculum.stages))


def test_the_examples_are_there():
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "curriculum.stages.2.gate.min_return=20",
            ["curriculum.stages.2.gate.min_return", "multi_goal_planning", "at most 20"],
        ),
        ("curriculum.stages.0.gate.max_collision_frac=0", ["curriculum.stages.0.gate.max_collision_frac"]),
        ("curriculum.stages.0.gate.min_success_frac=1.2", ["curriculum.stages.0.gate.min_success_frac"]),
        ("curriculum.stages.3.level.num_goals=1", ["curriculum.stages.3.gate.min_return", "full_challenge"]),
        ("env.world.reward.finish=0", ["basic_navigation", "at most 5"]),
        ("curriculum.force_stage=4", ["force_stage", "0 to 3"]),
    ],
)
def test_a_stage_that_cannot_be_passed_is_refused_by_name(override, said):
    with pytest.raises(ConfigError) as error:
        load_run_config(None, [override])
    for word in said:
        assert word in str(error.value)


def test_what_just_can_be_passed_is_accepted():
    stage = StageConfig(name="a", level=LevelConfig(num_goals=3), gate=GateConfig(min_return=19.9))
    CurriculumConfig(stages=(stage,)).check_passable(5.0, 5.0)
    with pytest.raises(ValueError, match="never be passed"):
        CurriculumConfig(stages=(stage,)).check_passable(4.0, 5.0)


def test_the_gate_that_is_advised_elsewhere_is_one_of_the_open_stage(tmp_path):
    gate, env = "curriculum.stages.0.gate.min_return=450", "env.id=CartPole-v1"
    run = create_run(load_run_config(None, [env]), tmp_path / "run")
    (tmp_path / "short.yaml").write_text("env: {id: CartPole-v1}")
    for path, overrides in (
        (None, [env, gate]),
        (None, [gate, env]),
        (tmp_path / "short.yaml", [gate]),
        (run.path / "config.yaml", [gate]),
    ):
        config = load_run_config(path, overrides)
        check_gates(config, describe_task(config))
        check_budget(config)
        check_same_task(run, config)
        assert config.curriculum.stages_for(False) == config.curriculum.stages == (open_stage(450.0),)
    assert CurriculumConfig().stages_for(False) == (open_stage(),)
    assert CurriculumConfig().stages_for(True) == CurriculumConfig().stages


def test_epsilon_falls_exponentially_with_episodes_or_linearly_with_env_steps():
    exponential = EpsilonConfig(start=1.0, end=0.1, decay=0.5)
    assert [exponential.value(n, 10**6) for n in (0, 1, 2, 9)] == [1.0, 0.5, 0.25, 0.1]
    linear = EpsilonConfig(start=1.0, end=0.2, schedule="linear", steps=1000)
    assert [linear.value(10**6, n) for n in (0, 250, 1000, 10**9)] == pytest.approx([1.0, 0.8, 0.2, 0.2])


@pytest.mark.parametrize(
    ("epsilon", "said"),
    [
        ({"schedule": "linear"}, "`steps`"),
        ({"steps": 100}, "schedule is exponential"),
        ({"schedule": "linear", "steps": 100, "decay": 0.9}, "schedule is linear"),
    ],
)
def test_a_setting_of_the_other_schedule_is_refused(epsilon, said):
    with pytest.raises(ValueError, match=said):
        EpsilonConfig.model_validate(epsilon)
