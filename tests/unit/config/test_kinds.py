"""What is written for a number is a number, for a truth value true or false, for a text a text; nothing of an override
is cut off."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, dump_config, load_run_config, load_tuning_config
from robonav_ray.tuning.space import check_space, trial_config
from robonav_ray.verbs.arguments import split_arguments


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("learner.batch_size", "true", "a truth value (true) stands where an integer belongs"),
        ("algo.gamma", "False", "a truth value (false) stands where a number belongs"),
        ("learner.batch_size", "'64'", "a text ('64') stands where an integer belongs"),
        ("algo.gamma", '"0.9"', "a text ('0.9') stands where a number belongs"),
        ("seed", "010", "a text ('010') stands where an integer belongs"),
        ("seed", "1:30", "a text ('1:30') stands where an integer belongs"),
        ("seed", "2026-01-01", "a text ('2026-01-01') stands where an integer belongs"),
        ("seed", "yes", "a text ('yes') stands where an integer belongs"),
        ("seed", "null", "not None"),
        ("seed", ".inf", "not inf"),
        ("algo.gamma", ".nan", "finite number"),
        ("seed", "1.5", "fractional part"),
        ("checkpoint.replay", "yes", "a text ('yes') stands where true or false belongs"),
        ("checkpoint.replay", "off", "a text ('off') stands where true or false belongs"),
        ("checkpoint.replay", "1", "a number (1) stands where true or false belongs"),
        ("checkpoint.replay", "0.0", "a number (0.0) stands where true or false belongs"),
        ("evaluation.levels", "[true]", "a truth value (true) stands where an integer belongs"),
        ("name", "123", "a number (123) stands where a text belongs"),
        ("output_dir", "true", "a truth value (true) stands where a text belongs"),
    ],
)
def test_a_value_of_another_kind_is_refused(key: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        load_run_config(None, [f"{key}={text}"])
    assert key in str(caught.value)
    path, (section, _, leaf) = tmp_path / "x.yaml", key.rpartition(".")
    path.write_text(f"{section}:\n  {leaf}: {text}\n" if section else f"{leaf}: {text}\n")
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_run_config(path)


LARGE = "1" + 400 * "0"


@pytest.mark.parametrize(
    "override",
    [f"replay.capacity={LARGE}", f"curriculum.window=-{LARGE}", f"algo.hidden_dims=[{LARGE}]",
     f"evaluation.seed={2**63}", f"evaluation.levels=[{LARGE}]"],
)  # fmt: skip
def test_a_whole_number_beyond_any_count_is_refused_by_key(override: str) -> None:
    with pytest.raises(ConfigError, match="is too large: 9223372036854775807 is the most") as caught:
        load_run_config(None, [override])
    assert override.partition("=")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (f"integer: [1, {LARGE}]", "is too large"),
        (f"log_integer: [1, {2**54}]", "log_integer: both bounds must be"),
        (f"integer: [-{2**60}, 3]", "integer: both bounds must be"),
        ("uniform: [-1.7e+308, 1.7e+308]", "uniform: both bounds must be"),
        (f"choice: [1, [{LARGE}, 2]]", "is too large"),
    ],
)
def test_bounds_of_a_search_that_no_searcher_can_hold_are_refused_by_key(bounds: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_tuning_config(None, [f"space={{learner.batch_size: {{{bounds}}}}}"])
    assert "space.learner.batch_size" in str(caught.value)


def test_numbers_may_be_written_as_people_do() -> None:
    config = load_run_config(
        None, ["budget.max_env_steps=1e6", "seed=1_000", "algo.gamma=9e-1", "learner.batch_size=0x40"]
    )
    assert (config.budget.max_env_steps, config.seed, config.algo.gamma, config.learner.batch_size) == (
        1_000_000,
        1000,
        0.9,
        64,
    )


def test_configs_that_are_put_together_keep_their_kinds_too() -> None:
    with pytest.raises(ValidationError, match="a truth value"):
        RunConfig.model_validate({"learner": {"batch_size": True}})
    search = load_tuning_config(None, ["space.learner.batch_size={choice: [64, 128]}"])
    with pytest.raises(ConfigError, match="a truth value"):
        trial_config(search.run, {"learner.batch_size": True})
    for wrong in (
        "space.learner.batch_size={integer: [true, 8]}",
        "space.learner.batch_size={choice: [true, 64]}",
        "space.learner.batch_size={choice: ['64']}",
        "run.learner.batch_size=true",
        "num_trials=true",
    ):
        with pytest.raises(ConfigError, match="belongs"):
            check_space(load_tuning_config(None, ["space.algo.gamma={uniform: [0.9, 0.99]}", wrong]))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("runs/a #b", "runs/a #b"),
        ("#b", "#b"),
        ("runs/a#b", "runs/a#b"),
        ("'runs/a #b'", "runs/a #b"),
        ('"a # \\" #b"', 'a # " #b'),
        ("'a'' #b'", "a' #b"),
    ],
)
def test_a_hash_in_an_override_cuts_nothing_off(text: str, value: str) -> None:
    assert load_run_config(None, [f"output_dir={text}"]).output_dir == value


@pytest.mark.parametrize(
    "override", ["tracking.backends=[jsonl] # mine", "output_dir='a' # b", 'output_dir="a" #b', "seed=3 # b"]
)
def test_a_hash_behind_a_value_is_said(override: str) -> None:
    with pytest.raises(ConfigError, match=r"quotes|a text"):
        load_run_config(None, [override])


@pytest.mark.parametrize("name", ["1e5", "007", "0o17", "true", "null", "0x1F", "1_000", "12", "1.5", "2026-01-01"])
def test_texts_that_look_like_numbers_are_read_back_as_texts(name: str, tmp_path: Path) -> None:
    config = RunConfig(name=name)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_run_config(tmp_path / "config.yaml") == config


def test_a_config_file_may_have_an_equals_sign_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=0.1.yaml").write_text("seed: 7\n")
    (tmp_path / "seed=3").write_text("")
    assert split_arguments(["lr=0.1.yaml", "seed=3"]) == (Path("lr=0.1.yaml"), ["seed=3"])
    assert split_arguments(["./a=b.yaml"]) == (Path("a=b.yaml"), [])
    assert split_arguments([f"{tmp_path}/a=b/c.yaml", "output_dir=a/b.yaml"]) == (
        tmp_path / "a=b" / "c.yaml",
        ["output_dir=a/b.yaml"],
    )
    assert split_arguments(["output_dir=other.yaml"]) == (None, ["output_dir=other.yaml"])


def test_overrides_that_are_no_utf8_are_refused_and_others_are_read_in_any_locale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="no UTF-8"):
        load_run_config(None, ["output_dir=\udcff"])
    with pytest.raises(ConfigError, match="no UTF-8"):
        load_run_config(None, ["\udcff=1"])
    monkeypatch.setattr("os.fsencode", lambda text: text.encode("ascii", "surrogateescape"))
    assert load_run_config(None, ["output_dir=gr\udcc3\udcb6n"]).output_dir == "grön"
