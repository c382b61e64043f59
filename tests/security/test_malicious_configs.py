"""Configs made by an attacker: nothing is run, nothing lies outside of the run directory, nothing eats
the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, load_run_config, load_tuning_config
from robonav_ray.config.yaml_document import MAX_BYTES, MAX_DEPTH
from robonav_ray.runs.run_directory import create_run, open_run

YAML = {
    "a tag that calls": ("seed: !!python/object/apply:os.system ['touch owned']", "tag"),
    "a tag that makes": ("env: !!python/object:pathlib.Path {}", "tag"),
    "a tag on a text": ("name: !!binary aGVsbG8=", "tag"),
    "billion laughs": ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "anchors and aliases are not read"),
    "a merge": ("a: &a {seed: 1}\n<<: *a\n", "anchors and aliases are not read"),
    "depth of lists": ("env: " + "[" * 900_000, f"deeper than {MAX_DEPTH}"),
    "depth of mappings": ("env: " + "{a: " * (MAX_DEPTH + 2) + "1" + "}" * (MAX_DEPTH + 2), f"deeper than {MAX_DEPTH}"),
    "depth of blocks": ("\n".join(" " * i + "a:" for i in range(400)), f"deeper than {MAX_DEPTH}"),
    "size": ("# " + "x" * MAX_BYTES, f"larger than {MAX_BYTES}"),
    "a key twice": ("seed: 1\nseed: 2\n", "stands twice"),
    "a key twice below": ("learner:\n  batch_size: 1\n  batch_size: 2\n", "stands twice"),
    "a key that is a list": ("? [a, b]\n: 1\n", "a key must be a plain word"),
    "two documents": ("seed: 1\n---\nseed: 2\n", "x.yaml"),
    "a long number": ("seed: " + "9" * 6000, "x.yaml:1"),
    "not finite": ("learner: {learning_rate: .inf}", "learner.learning_rate"),
    "a null byte": ("name: 'a\x00b'", "not allowed"),
    "a null byte, escaped": ('output_dir: "a\\0b"', "output_dir"),
    "a terminal's codes": ('curriculum: {stages: [{name: "\\e[2J\\e]0;owned\\a"}]}', "curriculum.stages.0.name"),
}


@pytest.mark.parametrize(("text", "says"), YAML.values(), ids=YAML)
def test_yaml_that_means_no_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_run_config(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert {p.name for p in tmp_path.iterdir()} == {"x.yaml"}


def test_large_flat_yaml_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("env: {kwargs: {a: [" + "1, " * 200_000 + "1]}}")
    with pytest.raises(ConfigError, match="this cannot be a config"):
        load_run_config(path)


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "..", ".", "", "/etc/x", "a\\b", "-rf", "x\n", "x" * 65, "a b", "$(id)", "~"]
)
def test_a_name_is_one_plain_folder(name: str) -> None:
    for load in (load_run_config, load_tuning_config):
        with pytest.raises(ConfigError, match="name"):
            load(None, [f'name="{name}"' if "\n" not in name else 'name="x\\n"'])


@pytest.mark.parametrize("folder", ['""', '" "', "~/runs", "~root", '"a\\0b"', '"a\\nb"', '"\\e[31m"', "x" * 2000])
def test_an_output_dir_that_is_none(folder: str) -> None:
    for load in (load_run_config, load_tuning_config):
        with pytest.raises(ConfigError, match="output_dir"):
            load(None, [f"output_dir={folder}"])


@pytest.mark.parametrize("preset", ["../../../etc/passwd", "/etc/passwd", "rainbow.yaml", "../presets/rainbow", "."])
def test_a_preset_is_one_of_ours(preset: str) -> None:
    with pytest.raises(ConfigError, match="preset: there is no"):
        load_run_config(None, [f"preset={preset}"])


def test_everything_of_a_run_lies_in_its_directory(tmp_path: Path) -> None:
    config = load_run_config(None, [f"output_dir={tmp_path}/runs", "name=a..b"])
    run = create_run(config)
    assert run.path.parent == tmp_path / "runs"
    assert [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(run.path)] == []
    assert open_run(run.path).config == config


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "null", '"x"', "{", "\x00"])
def test_notes_of_a_run_that_are_none_count_as_nothing(tmp_path: Path, text: str) -> None:
    run = create_run(RunConfig(output_dir=str(tmp_path)))
    for name in ("status.json", "summary.json", "run.json"):
        (run.path / name).write_text(text)
        assert run.read_json(name) == {}
    assert run.status == "unfinished"


@pytest.mark.parametrize(
    "key", ["password", "api_key", "WANDB_API_KEY", "hf_token", "client_secret", "aws_secret_access_key", "credentials"]
)
def test_a_config_holds_no_secrets(key: str) -> None:
    with pytest.raises(ConfigError, match=f"env.kwargs.{key}: a config is written down") as caught:
        load_run_config(None, ["env.id=CartPole-v1", f"env.kwargs.{key}=s3cr3t-value"])
    assert "s3cr3t-value" not in str(caught.value)
