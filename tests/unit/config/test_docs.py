"""What the pages tell people to type is a valid config, and the tables say what the defaults are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from robonav_ray.config import RunConfig
from robonav_ray.config.curriculum import StageConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.sizes import check_sizes

ROOT = Path(__file__).parents[3]
NAMES = ("curriculum.md", "cluster.md", "algorithms.md", "replay_and_hindsight.md", "distributed_training.md")
PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in NAMES}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
WITH_VALUE = {"--resume", "--time-limit", "--grace", "--seed", "--out"}


def blocks(page: str, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(PAGES[page]) if found == language]


def commands() -> list[str]:
    lines = [line for page in PAGES for text in blocks(page, "") for line in text.splitlines()]
    return [line[line.index("robonav ") :] for line in lines if re.search(r"(^|\s)robonav train", line)]


def config_arguments(command: str) -> list[str]:
    """The words of ``robonav train ...`` that ``robonav config validate`` would be given."""
    words = iter(shlex.split(command, comments=True)[2:])
    kept = []
    for word in words:
        if word in WITH_VALUE:
            next(words)
        elif not word.startswith("--"):
            kept.append(word)
    return kept


def validate(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """As ``robonav config validate``, in this process."""
    monkeypatch.chdir(ROOT)
    files = [Path(a) for a in arguments if "=" not in a]
    assert len(files) <= 1
    config = load_run_config(files[0] if files else None, [a for a in arguments if "=" in a])
    check_sizes(config, describe_task(config).spec, memory_bytes=64 << 30)
    return config


def test_the_pages_show_what_they_are_about():
    shown = " ".join(commands())
    for word in (
        "force_stage=2",
        "start_stage=",
        "two_stages.yaml",
        "difficulty=hard",
        "crowdnav.yaml",
        "env.id=",
        "cluster.yaml",
    ):
        assert word in shown, word


@pytest.mark.parametrize("command", commands())
def test_every_command_is_valid(command, monkeypatch):
    validate(config_arguments(command), monkeypatch)


def test_a_wrong_command_would_be_noticed(monkeypatch):
    with pytest.raises(ValueError, match="force_stage"):
        validate(config_arguments("robonav train --resume latest curriculum.force_stage=9"), monkeypatch)


def test_the_example_is_the_shipped_file():
    example, *_ = blocks("curriculum.md", "yaml")
    shipped = yaml.safe_load((ROOT / "configs" / "curriculum" / "two_stages.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(example) == {"curriculum": shipped["curriculum"]}


def row(index: int, stage: StageConfig) -> str:
    level, epsilon, gate = stage.level, stage.epsilon, stage.gate
    obstacles = f"{level.num_static} static" if level.num_static else f"{level.num_dynamic} moving"
    return (
        f"| {index} `{stage.name}` | {obstacles} | {level.num_goals} | {level.max_steps} | {epsilon.start:g}, "
        f"{epsilon.end:g}, {epsilon.decay:g} | success ≥ {gate.min_success_frac:.0%}, return > {gate.min_return:g}, "
        f"collisions < {gate.max_collision_frac:.0%} |"
    ).replace("%", " %")


def test_the_table_is_the_default():
    config = RunConfig()
    for i, stage in enumerate(config.curriculum.stages):
        assert row(i, stage) in PAGES["curriculum.md"]
    assert (config.curriculum.window, config.curriculum.gate_ladder_frac, config.rollout.ladder_exponent) == (
        50,
        0.5,
        7.0,
    )
    reward = config.env.world.reward
    assert (reward.goal, reward.finish, reward.collision) == (5.0, 5.0, -5.0)


def test_keys_that_the_pages_name_exist():
    sections = set(RunConfig.model_fields)
    for page, text in PAGES.items():
        prose = BLOCK.sub("", text)
        for key in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)[^`]*`", prose):
            section, *rest = key.split(".")
            if section not in sections or key.endswith((".yaml", ".json", ".py")):
                continue
            value: object = RunConfig()
            for part in (section, *rest):
                assert hasattr(value, part), f"{page}: {key}"
                value = getattr(value, part)
