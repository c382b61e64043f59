"""A stored search goes on as it was begun, also when presets have changed since."""

from __future__ import annotations

from pathlib import Path

import pytest

from robonav_ray.config.load import ConfigError, load_tuning_config
from robonav_ray.tuning.experiment import create_experiment, open_experiment
from robonav_ray.tuning.search import resolve_search

OLD = """\
name: old
run: {preset: rainbow, env: {id: CartPole-v1}, learner: {batch_size: 32}}
space: {algo.gamma: {uniform: [0.9, 0.95]}}
"""


def old_search(folder: Path, text: str = OLD, facts: str = '{"sessions": []}') -> Path:
    folder.mkdir()
    (folder / "tuning.yaml").write_text(text)
    (folder / "experiment.json").write_text(facts)
    return folder


def test_a_search_of_before_keeps_the_sizes_that_it_was_begun_with(tmp_path: Path) -> None:
    config = open_experiment(old_search(tmp_path / "old")).run_config({"algo.gamma": 0.9})
    assert (config.algo.reward_scale, config.algo.v_min, config.algo.v_max, config.algo.gamma) == (
        0.2,
        -10.0,
        10.0,
        0.9,
    )
    assert (config.rollout.num_worlds, config.learner.batch_size, config.learner.learning_rate) == (64, 32, 1e-3)
    plain = OLD.replace("preset: rainbow", "algo: {distribution: c51}")
    assert open_experiment(old_search(tmp_path / "plain", plain)).run_config({}).algo.v_max == 10.0


def test_a_search_of_before_keeps_the_first_weights_that_it_was_begun_with(tmp_path: Path) -> None:
    text, facts = OLD.replace("rainbow", "dqn"), '{"preset_sizes": "by environment", "sessions": []}'
    algo = open_experiment(old_search(tmp_path / "old", text, facts)).run_config({}).algo
    assert (algo.initializer, algo.reward_scale) == ("he", 1.0)
    asked = text.replace("run: {", "run: {algo: {initializer: lecun}, ")
    assert open_experiment(old_search(tmp_path / "asked", asked, facts)).run_config({}).algo.initializer == "lecun"
    algo = open_experiment(old_search(tmp_path / "older", text)).run_config({}).algo
    assert (algo.initializer, algo.reward_scale) == ("he", 0.2)
    (tmp_path / "search.yaml").write_text(text)
    new = create_experiment(load_tuning_config(tmp_path / "search.yaml"), tmp_path / "new")
    assert open_experiment(new.path).run_config({}).algo.initializer == "lecun"
    assert resolve_search(tmp_path / "search.yaml", [], "auto", tmp_path / "old")[1] is not None


def test_a_new_search_is_read_back_with_the_sizes_of_its_environment(tmp_path: Path) -> None:
    (tmp_path / "search.yaml").write_text(OLD)
    config = load_tuning_config(tmp_path / "search.yaml")
    experiment = create_experiment(config, tmp_path / "new")
    experiment.add_session(["robonav", "tune"])
    again = open_experiment(tmp_path / "new")
    assert again.config == config
    algo = again.run_config({"algo.gamma": 0.9}).algo
    assert (algo.reward_scale, algo.v_max) == (1.0, 10.0)
    assert again.run_config({"algo.gamma": 0.95}).algo.v_max == 20.0
    assert again.run_config({}).rollout.num_worlds == 16


def test_the_same_command_goes_on_with_a_search_of_before(tmp_path: Path) -> None:
    old_search(tmp_path / "old")
    (tmp_path / "search.yaml").write_text(OLD)
    config, found = resolve_search(tmp_path / "search.yaml", [], "auto", tmp_path / "old")
    assert found is not None
    assert config == found.config == open_experiment(tmp_path / "old").config
    with pytest.raises(ConfigError, match="another num_trials than asked for now"):
        resolve_search(tmp_path / "search.yaml", ["num_trials=3"], "auto", tmp_path / "old")
