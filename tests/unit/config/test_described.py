"""What the config classes say of themselves: the file with every knob, the schemas for editors, what two configs set
differently."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from robonav_ray.config import RunConfig
from robonav_ray.config.base import Section
from robonav_ray.config.described.differences import ABSENT, differences
from robonav_ray.config.described.json_schema import DIALECT, config_schema
from robonav_ray.config.described.kinds_of_config import KINDS
from robonav_ray.config.described.master_file import master_file
from robonav_ray.config.described.reference import keys_of
from robonav_ray.config.league import LeagueConfig
from robonav_ray.config.load import ConfigError, checked_config, dump_config, load_run_config
from robonav_ray.config.preset import preset_names
from robonav_ray.config.shipped import shipped_configs
from robonav_ray.config.tracking import MlflowTracking, WandbTracking
from robonav_ray.config.yaml_document import read_yaml
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.auto_sizes import size_to_machine
from tests.conftest import Robonav
from tests.made_up_runs import TINY, make_run

ROOT = Path(__file__).parents[3]
MASTER = ROOT / "configs/training_config.yaml"


@functools.cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(config_schema(kind))


def test_the_master_config_is_generated_and_means_the_defaults() -> None:
    assert MASTER.read_text(encoding="utf-8") == master_file(), (
        "the config classes have changed: run `make docs`, and commit its file"
    )
    assert max(map(len, master_file().splitlines())) <= 120
    loaded, default = load_run_config(MASTER), RunConfig()
    assert loaded == default
    assert differences(loaded, default) == []
    spec = describe_task(default).spec
    for cores in (2, 16):  # what is not set is chosen over Ray: `auto` sets nothing
        assert size_to_machine(loaded, spec, cores) == size_to_machine(default, spec, cores)


def test_the_master_config_names_every_key() -> None:
    text = master_file()
    told = set(re.findall(r"[a-z_0-9]+", text))
    assert [key.key for key in keys_of(RunConfig) if key.key.rpartition(".")[2] not in told] == []
    words = re.sub(r"\s+#?\s*", " ", text.replace("# ", ""))
    for key in keys_of(RunConfig):
        if key.meaning and not any(f".{listed}." in key.key for listed in ("segments", "boxes", "goals", "level.mix")):
            meaning = re.sub(r"\bNone\b", "null", re.sub(r"``(.+?)``|`(.+?)`", r"\1\2", key.meaning))
            assert meaning in words, key.key


@pytest.mark.parametrize(
    ("name", "overrides", "wanted"),
    [
        ("league", ["env.world.num_robots=4"], lambda config: config.league == LeagueConfig()),
        ("mlflow", [], lambda config: config.tracking.mlflow == MlflowTracking()),
        ("wandb", [], lambda config: config.tracking.wandb == WandbTracking()),
    ],
)
def test_what_is_off_in_the_master_config_is_on_without_its_comments(
    tmp_path: Path, name: str, overrides: list[str], wanted: Any
) -> None:
    head, found, rest = re.split(rf"^( *# {name}:)$", master_file(), maxsplit=1, flags=re.MULTILINE)
    block = re.match(r"(\n *#  .*)*", rest)
    assert block is not None
    block_text = re.sub(r"^( *)# ", r"\1", f"{found}{block[0]}", flags=re.MULTILINE)
    (tmp_path / "on.yaml").write_text(f"{head}{block_text}{rest[block.end() :]}", encoding="utf-8")
    assert wanted(load_run_config(tmp_path / "on.yaml", overrides))


def test_a_preset_that_the_master_config_covers_is_refused(tmp_path: Path) -> None:
    for name in preset_names():
        with pytest.raises(ConfigError, match=f"'preset={name}': would change nothing"):
            load_run_config(MASTER, ["seed=3", f"preset={name}"])
    (tmp_path / "config.yaml").write_text(dump_config(load_run_config(None, ["preset=dqn"])))
    assert load_run_config(tmp_path / "config.yaml", ["preset=dqn"]).preset == "dqn"  # as it is resolved
    assert load_run_config(tmp_path / "config.yaml", ["preset=iqn"], follow=False).preset == "iqn"  # of a run


def test_schemas_say_what_an_editor_needs() -> None:
    for kind in ("tuning", "evaluation"):  # the first holds that of a run
        Draft202012Validator.check_schema(validator(kind).schema)
        assert validator(kind).schema["$schema"] == DIALECT
    run = config_schema("run")
    sections, root = run["$defs"], run["properties"]
    assert root["preset"]["anyOf"] == [{"enum": [*preset_names(), None]}]
    assert sections["ReplayConfig"]["properties"]["sampler"]["enum"] == ["prioritized", "rank", "uniform"]
    assert sections["LearnerConfig"]["properties"]["batch_size"]["default"] == RunConfig().learner.batch_size
    assert "``" not in json.dumps(run)
    for name, section in sections.items():
        assert section["additionalProperties"] is False, name
    described = [key for section in sections.values() for key in section["properties"].values()]
    assert len([key for key in described if "description" in key]) > 200


@pytest.mark.parametrize("kind", KINDS)
def test_every_shipped_config_is_valid(kind: str) -> None:
    configs = [
        config
        for config in shipped_configs(KINDS[kind].shipped)
        if kind != "curriculum" or config.path.parent.name == "curriculum"
    ]
    assert configs
    for config in configs:
        data = read_yaml(config.path.read_text(encoding="utf-8"), config.name)
        assert [error.message for error in validator(kind).iter_errors(data)] == [], config.path


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("run", {}),
        ("run", {"budget": {"time_s": "10m", "max_time_s": "1.5h"}, "rollout": {"steps_per_fragment": "auto"}}),
        ("run", {"algo": {"hidden_dims": 128, "num_layers": 3}, "replay": {"num_shards": "auto"}}),
        ("run", {"curriculum": {"start_stage": "full_challenge"}, "evaluation": {"levels": ["full_challenge", 0]}}),
        ("run", {"tracking": {"backends": ["jsonl"]}, "league": {}, "env": {"world": {"num_robots": 2}}}),
        ("run", {"tracking": {"tensorboard": None, "wandb": {}}, "preset": "rainbow"}),
        ("tuning", {"space": {"learner.learning_rate": {"loguniform": [1e-5, 1e-2]}}, "run": {"preset": "dqn"}}),
        ("ablation", {"switches": {"dueling": {"algo.dueling": False}}, "run": {"seed": 3}}),
    ],
)
def test_what_is_read_is_valid(kind: str, data: dict[str, Any]) -> None:
    assert [error.message for error in validator(kind).iter_errors(data)] == []
    assert isinstance(checked_config(KINDS[kind].model, data, [], "config"), Section)


def test_digits_in_groups_are_a_text_to_an_editor_and_valid() -> None:
    assert validator("run").is_valid({"replay": {"capacity": "400_000"}, "learner": {"learning_rate": "1_000.5"}})
    assert not validator("run").is_valid({"replay": {"capacity": "400000"}})


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("run", {"learner": {"batch_sise": 256}}),
        ("run", {"learner": {"batch_size": "large"}}),
        ("run", {"learner": {"batch_size": 0}}),
        ("run", {"algo": {"gamma": 1.0}}),
        ("run", {"algo": {"double": "yes"}}),
        ("run", {"replay": {"sampler": "priority"}}),
        ("run", {"preset": "rainbows"}),
        ("run", {"budget": {"time_s": "10 minutes"}}),
        ("run", {"curriculum": {"stages": []}}),
        ("run", {"rollout": {"num_worlds": "auto"}}),
        ("tuning", {"space": {"algo.gamma": {"uniform": [0.9]}}}),
        ("tuning", {"scheduler": {"kind": "hyperband"}, "space": {"algo.gamma": {"uniform": [0.9, 0.99]}}}),
        ("evaluation", {"name": "mine", "scenarios": [{"question": "Without a name?"}]}),
        ("ablation", {"seeds": []}),
        ("cluster", {"groups": 3}),
        ("pipeline", {"steps": ["prepare", "trian"]}),
        ("pipeline", {"train": {"seeds": [-1]}}),
        ("pipeline", {"search": {"overides": {}}}),
    ],
)
def test_a_mistake_is_invalid(kind: str, data: dict[str, Any]) -> None:
    assert not validator(kind).is_valid(data)
    with pytest.raises(ConfigError):
        checked_config(KINDS[kind].model, data, [], "config")


def test_what_trials_have_in_common_is_a_run() -> None:
    run = {"learner": {"batch_sise": 256}}
    assert not validator("tuning").is_valid({"run": run, "space": {"algo.gamma": {"uniform": [0.9, 0.99]}}})


def test_a_curriculum_config_says_something_of_its_stages() -> None:
    assert not validator("curriculum").is_valid({"seed": 1})


def test_two_configs_differ_in_the_keys_that_they_set_differently() -> None:
    a = checked_config(RunConfig, {"seed": 3, "replay": {"num_shards": 2}}, [], "a")
    b = checked_config(RunConfig, {"curriculum": {"stages": [{"name": "one"}]}, "tracking": {"mlflow": {}}}, [], "b")
    found = {pair.key: (pair.a, pair.b) for pair in differences(a, b)}
    assert found["seed"] == (3, 0)
    assert found["replay.num_shards"] == (2, "auto")
    assert found["curriculum.stages.0.name"] == ("basic_navigation", "one")
    assert found["curriculum.stages.1"][1] is ABSENT
    assert found["curriculum.stages.1"][0]["name"] == "obstacle_avoidance"
    assert found["tracking.mlflow"] == (None, {})
    assert {key.partition(".")[0] for key in found} == {"seed", "replay", "curriculum", "tracking"}
    assert differences(a, a) == []


def test_the_verbs_show_them(robonav_here: Robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    make_run(tmp_path / "runs" / "a", [*TINY, "seed=5"])
    (tmp_path / "mine.yaml").write_text("seed: 7\nlearner: {batch_size: 128}\n")
    code, out, err = robonav_here("config", "diff", "mine.yaml", "training_config")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[1:]] == [["seed", "7", "0"], ["learner.batch_size", "128", "256"]]
    code, out, _ = robonav_here("config", "diff", "runs/a", "mine.yaml", "--json", "--exit-code")
    assert code == 1
    assert {"key": "seed", "a": 5, "b": 7} in json.loads(out)
    assert robonav_here("config", "diff", "mine.yaml", "mine.yaml", "--exit-code") == (0, "no key differs\n", "")
    assert robonav_here("config", "diff", "asha", "pbt", "--kind", "tuning")[0] == 0
    code, out, _ = robonav_here("config", "schema", "tuning")
    assert (code, json.loads(out)["title"]) == (0, "robonav_ray: tuning")
    assert robonav_here("config", "validate", str(MASTER))[0] == 0
    for words, told in (
        (["config", "schema", "runs"], "did you mean 'run'?"),
        (["config", "diff", "mine.yaml", "nothing"], "nothing: no such file"),
        (["config", "diff", "mine.yaml", "runs"], "is not a run directory"),
        (["config", "diff", "mine.yaml", "asha"], "`--kind tuning` takes it"),
        (["config", "diff", "runs/a", "mine.yaml", "--kind", "tuning"], "is not the directory of a search"),
        (["config", "diff", "mine.yaml", "robot@champion"], "robot"),
    ):
        code, _, err = robonav_here(*words)
        assert (code, told in err) == (2, True), err
