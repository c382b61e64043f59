"""Seconds are written as people write them, stages by name, wherever a config or an option takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.curriculum import CurriculumConfig
from robonav_ray.config.duration import seconds_of
from robonav_ray.config.load import ConfigError, dump_config, load_run_config
from robonav_ray.verbs.arguments import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2d ", 172_800), ("0s", 0)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "-5m", "1e3s", "inf", "nan", "9" * 400 + "h", "999999h", "5 minutes", "1h30", "٣m", "0x5s"]
)
def test_what_is_no_duration_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(ValueError, match="write a duration such as 30s"):
        seconds_of(text)
    with pytest.raises(ConfigError, match="--grace"):
        parse_duration(text, "--grace")


def test_every_key_in_seconds_takes_a_unit_and_is_resolved_to_seconds(tmp_path: Path) -> None:
    words = [
        "budget.time_s=10m",
        "budget.max_time_s=1.5h",
        "budget.grace_s=90s",
        "checkpoint.interval_s=2m",
        "replay.lease_s=30s",
    ]
    config = load_run_config(None, words)
    assert (config.budget.time_s, config.budget.max_time_s, config.budget.grace_s) == (600.0, 5400.0, 90.0)
    assert (config.checkpoint.interval_s, config.replay.lease_s) == (120.0, 30.0)
    path = tmp_path / "c.yaml"
    path.write_text("budget:\n  time_s: 10m\n  grace_s: 1m\n")
    assert load_run_config(path, []).budget.time_s == 600.0
    assert "time_s: 600.0" in dump_config(config)
    (tmp_path / "resolved.yaml").write_text(dump_config(config))
    assert load_run_config(tmp_path / "resolved.yaml", []) == config


@pytest.mark.parametrize(
    "word",
    ["budget.time_s=-5m", "budget.time_s=infh", "budget.max_time_s=0s", "budget.grace_s=soon", "name=10m", "seed=10m"],
)
def test_bad_durations_name_their_key(word: str) -> None:
    if word == "name=10m":  # a text stays one
        assert load_run_config(None, [word]).name == "10m"
        return
    with pytest.raises(ConfigError, match=word.partition("=")[0].replace(".", r"\.")):
        load_run_config(None, [word])


def test_stages_are_named_or_numbered_from_0() -> None:
    names = [stage.name for stage in CurriculumConfig().stages]
    for text, number in ((names[2], 2), ("2", 2), (names[0], 0)):
        assert load_run_config(None, [f"curriculum.start_stage={text}"]).curriculum.start_stage == number
        assert load_run_config(None, [f"curriculum.force_stage={text}"]).curriculum.force_stage == number
    config = load_run_config(None, [f"evaluation.levels=[{names[3]}, 0]"])
    assert config.evaluation.levels == (3, 0)
    assert load_run_config(None, [f"evaluation.levels={names[1]}"]).evaluation.levels == (1,)
    assert CurriculumConfig.model_validate({"start_stage": names[1]}).start_stage == 1
    assert RunConfig.model_validate({"curriculum": {"start_stage": names[1]}}).curriculum.start_stage == 1


def test_stages_of_ones_own_and_of_other_environments_have_names_too() -> None:
    stages = 'curriculum.stages=[{name: "a[/]b"}, {name: "1"}]'
    assert load_run_config(None, [stages, "curriculum.start_stage=a[/]b"]).curriculum.start_stage == 0
    assert load_run_config(None, [stages, 'curriculum.start_stage="1"']).curriculum.start_stage == 1
    assert load_run_config(None, ["env.id=CartPole-v1", "evaluation.levels=[open]"]).evaluation.levels == (0,)


@pytest.mark.parametrize(
    "word",
    [
        "curriculum.start_stage=maze",
        "curriculum.force_stage=9",
        "evaluation.levels=[maze]",
        "evaluation.levels=[7]",
        "curriculum.start_stage=-1",
    ],
)
def test_a_stage_that_is_not_there_is_refused_with_those_that_are(word: str) -> None:
    with pytest.raises(ConfigError, match=word.partition("=")[0].rpartition(".")[2]):
        load_run_config(None, [word])
