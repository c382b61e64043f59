"""Presets lie under what the user says; what does not go together is refused with the alternatives."""

from __future__ import annotations

from pathlib import Path

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.load import ConfigError, dump_config, load_run_config
from robonav_ray.config.preset import load_elsewhere, load_preset, merged, preset_names
from robonav_ray.runs.run_directory import RunDirectory

ROOT = Path(__file__).parents[3]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_the_promised_presets_are_shipped():
    assert set(preset_names()) >= {"dqn", "double_dueling", "rainbow", "qr_dqn", "iqn", "munchausen", "navigation"} | {
        "robust"
    }


EVERYWHERE = [name for name in preset_names() if "env" not in load_preset(name)]


@pytest.mark.parametrize(
    ("name", "env"),
    [*((name, "robonav_ray/Nav-v0") for name in preset_names()), *((name, "CartPole-v1") for name in EVERYWHERE)],
)
def test_a_preset_loads_and_its_resolved_config_reloads_to_itself(name, env, tmp_path):
    config = load_run_config(None, [f"preset={name}", f"env.id={env}", "algo.hidden_dims=64", "seed=3"])
    assert config.preset == name
    assert config.algo.hidden_dims == (64, 64)
    shipped = load_preset(name) if env.startswith("robonav_ray") else merged(load_preset(name), load_elsewhere(name))
    for section, values in shipped.items():
        for key, value in values.items():
            mine = getattr(getattr(config, section), key)
            assert mine == value or section in ("env", "curriculum"), f"{section}.{key}"
    assert load_run_config(written(tmp_path, dump_config(config))) == config
    assert RunConfig.model_validate(config.model_dump()) == config


ON_OUR_WORLDS = {
    "dqn": (256, 2.0, 64, "hard"),
    "double_dueling": (256, 2.0, 64, "polyak"),
    "iqn": (256, 2.0, 64, "hard"),
    "munchausen": (256, 2.0, 64, "hard"),
    "navigation": (512, 2.0, 64, "polyak"),
    "qr_dqn": (256, 2.0, 64, "hard"),
    "rainbow": (256, 2.0, 64, "polyak"),
    "robust": (512, 2.0, 64, "polyak"),
}


@pytest.mark.parametrize("name", preset_names())
def test_on_our_worlds_a_preset_is_what_it_was(name):
    """What other environments need is not theirs: docs/policy_quality.md was measured with these."""
    config = load_run_config(None, [f"preset={name}"])
    sizes = (
        config.learner.batch_size,
        config.replay.samples_per_insert,
        config.rollout.num_worlds,
        config.learner.target_update,
    )
    assert sizes == ON_OUR_WORLDS[name]
    assert (config.learner.target_tau, config.rollout.steps_per_fragment, config.learner.publish_interval) == (
        0.01,
        32,
        20,
    )
    assert (config.algo.v_min, config.algo.v_max) == (-10.0, 10.0)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_elsewhere_a_preset_has_what_it_was_measured_with(name):
    """docs/algorithms.md has the figures; plain DQN diverges from He's first weights."""
    algo = load_run_config(None, [f"preset={name}", "env.id=CartPole-v1"]).algo
    assert algo.initializer == ("lecun" if name == "dqn" else "he")
    assert algo.reward_scale == (0.2 if algo.munchausen else 1.0)
    assert load_run_config(None, [f"preset={name}"]).algo.initializer == "he"


def test_the_robust_preset_is_its_curriculum_on_the_agent_of_navigation():
    robust, file = load_run_config(None, ["preset=robust"]), ROOT / "configs" / "curriculum" / "robust.yaml"
    plain = load_run_config(file, ["preset=navigation"])
    assert robust.curriculum == plain.curriculum
    assert robust.algo == plain.algo.model_copy(update={"layer_norm": True})
    assert (robust.replay, robust.learner) == (plain.replay, plain.learner)
    world = robust.env.world
    assert (world.lidar.num_beams, world.recent_commands, world.forecast, world.detour) == (72, 4, True, True)
    assert world.reward.timeout == world.reward.collision
    assert [stage.level.mix == () for stage in robust.curriculum.stages] == [True, True, True, True, False]
    usual = load_run_config(None, ["preset=navigation"]).curriculum.stages
    assert robust.curriculum.stages[:4] == usual, "the first four stages are those of every run"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["env.id=CartPole-v1"], "preset: robust is for robonav's own worlds"),
        (["env.world.robot.drive=holonomic", "env.world.robot.actions=holonomic81"], "forecast=true"),
        (["env.world.lidar.stack=2"], "lidar.stack=3"),
        (["env.world.observation=state"], "forecast=true"),
    ],
)
def test_the_robust_preset_is_refused_where_it_does_not_fit(changes, says):
    with pytest.raises(ConfigError, match=says):
        load_run_config(None, ["preset=robust", *changes])


def test_the_default_agent_is_the_same_everywhere():
    ours, other = load_run_config(None, []), load_run_config(None, ["env.id=CartPole-v1"])
    assert ours.model_copy(update={"env": other.env}) == other


def test_users_settings_lie_over_the_sizes_for_other_environments():
    config = load_run_config(
        None, ["preset=dqn", "env.id=CartPole-v1", "learner.batch_size=32", "rollout.num_worlds=4"]
    )
    assert (config.learner.batch_size, config.rollout.num_worlds, config.learner.target_update) == (32, 4, "polyak")
    config = load_run_config(None, ["preset=dqn", "env.id=CartPole-v1", "learner.target_update=hard"])
    assert (config.learner.target_update, config.learner.target_tau) == ("hard", 0.01)


@pytest.mark.parametrize(
    ("changes", "bounds"),
    [
        (["preset=rainbow"], (-100.0, 100.0)),
        (["algo.distribution=c51"], (-20.0, 20.0)),
        (["algo.distribution=c51", "algo.gamma=0.9", "algo.reward_scale=1"], (-10.0, 10.0)),
        (["preset=rainbow", "algo.v_max=5"], (-100.0, 5.0)),
        (["preset=rainbow", "algo.v_min=-10", "algo.v_max=10"], (-10.0, 10.0)),
        (["preset=rainbow", "env.id=robonav_ray/Nav-v0"], (-10.0, 10.0)),
    ],
)
def test_the_support_of_c51_elsewhere_follows_rewards_and_discount(changes, bounds):
    config = load_run_config(None, ["env.id=CartPole-v1", *changes])
    assert (config.algo.v_min, config.algo.v_max) == bounds


@pytest.mark.parametrize(
    "wrong", ["algo.gamma=x", "algo.reward_scale=null", "algo.reward_scale=.inf", "algo.gamma=.nan", "env=3"]
)
def test_what_is_wrong_beside_a_support_is_told_by_its_name(wrong):
    with pytest.raises(ConfigError, match=wrong.partition("=")[0]):
        load_run_config(None, ["preset=rainbow", "env.id=CartPole-v1", wrong])


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_says_where_it_comes_from(name):
    first = (ROOT / "robonav_ray" / "config" / "presets" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")


def test_file_and_overrides_win_over_the_preset(tmp_path):
    path = written(tmp_path, "preset: rainbow\nalgo:\n  n_step: 5\nreplay:\nlearner: {batch_size: 512}\n")
    config = load_run_config(path, ["algo.num_atoms=21", "replay.priority_exponent=.7"])
    algo = config.algo
    assert (algo.n_step, algo.num_atoms, algo.distribution, algo.noisy) == (5, 21, "c51", True)
    assert config.replay.priority_exponent == 0.7
    assert config.learner.batch_size == 512
    assert config.curriculum.epsilon_scale == 0.0
    assert RunConfig(preset="rainbow").algo.distribution == "c51"


def test_merging_goes_section_by_section_and_takes_lists_whole():
    under, over = {"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": {"z": 1}}, {"a": {"y": [3]}, "b": None, "c": None}
    assert merged(under, over) == {"a": {"x": 1, "y": [3]}, "b": None, "c": {"z": 1}}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "seed: 1\npreset: rainbo\n",
            ["run.yaml:2", "no 'rainbo'", "did you mean 'rainbow'", "munchausen, navigation"],
        ),
        ("preset: 7\n", ["run.yaml:1", "preset", "a text"]),
        (
            "algo:\n  noisy: true\n",
            ["run.yaml:2", "algo.noisy", "epsilon 1", "curriculum.epsilon_scale=0", "algo.noisy=false"],
        ),
        ("preset: rainbow\ncurriculum: {epsilon_scale: 0.5}\n", ["algo.noisy", "curriculum.epsilon_scale=0"]),
        ("preset: rainbow\nalgo: {noisy: false}\n", ["curriculum.epsilon_scale (0)", "algo.noisy=true"]),
        ("algo: {munchausen: true}\n", ["munchausen does not go with double", "double=false"]),
        ("preset: munchausen\nalgo: {distribution: c51}\n", ["distribution=c51", "none, qr or iqn"]),
        ("algo: {distribution: c52}\n", ["run.yaml:1", "algo.distribution", "'none', 'c51', 'qr' or 'iqn'", "c52"]),
        ("algo: {v_min: -3}\n", ["v_min (-3.0) would be ignored", "distribution=c51"]),
        ("algo: {num_quantiles: 3}\n", ["num_quantiles (3)", "distribution=qr"]),
        ("algo: {num_tau: 3}\n", ["num_tau (3)", "distribution=iqn"]),
        ("algo: {noisy_sigma: 0.3}\n", ["noisy_sigma (0.3)", "noisy=true"]),
        ("algo: {munchausen_tau: 0.3}\n", ["munchausen_tau (0.3)", "munchausen=true"]),
        ("algo: {conv_kernel: 3}\n", ["conv_kernel (3)", "encoder=lidar_conv"]),
        ("preset: rainbow\nalgo: {huber_delta: 2}\n", ["huber_delta (2.0)", "c51"]),
        ("preset: rainbow\nalgo: {v_min: 20}\n", ["v_min (20.0) must be below v_max (10.0)"]),
        ("algo: {num_layers: 3, hidden_dims: [64, 64]}\n", ["num_layers (3)", "[64, 64]", "2 layers"]),
        ("algo: {hidden_dims: 0}\n", ["hidden_dims", "greater than or equal to 1"]),
        ("algo: {dropout: 1.0}\n", ["algo.dropout", "less than or equal to 0.9"]),
        ("algo: {encoder: lidar_conv, conv_kernel: 4}\n", ["conv_kernel (4) must be odd"]),
        (
            "algo: {encoder: lidar_conv}\nenv: {id: CartPole-v1}\n",
            ["algo.encoder=lidar_conv", "without a lidar", "algo.encoder=mlp"],
        ),
        ("algo: {encoder: lidar_conv}\nenv: {world: {observation: state}}\n", ["env.world.observation=state"]),
        (
            "algo: {encoder: deep_set}\n",
            ["algo.encoder=deep_set", "env.world.observation=lidar lists none", "observation=neighbors (or state)"],
        ),
        ("algo: {encoder: attention}\nenv: {id: CartPole-v1}\n", ["algo.encoder=attention", "'CartPole-v1'", "=mlp"]),
        ("algo: {set_dims: [8]}\n", ["set_dims ((8,)) would be ignored", "encoder=deep_set"]),
        ("algo: {encoder: deep_set, set_dims: []}\n", ["algo.set_dims", "at least 1"]),
        ("algo: {encoder: deepset}\n", ["algo.encoder", "'deep_set' or 'attention'", "deepset"]),
        ("env: {world: {observation: state, lidar: {num_beams: 72}}}\n", ["env.world.lidar would be ignored"]),
        (
            "algo: {encoder: lidar_conv}\nenv: {world: {lidar: {field_of_view_rad: 3.0}}}\n",
            ["env.world.lidar.field_of_view_rad=3", "algo.encoder=mlp"],
        ),
        (
            "algo: {encoder: lidar_conv, conv_kernel: 9}\nenv: {world: {lidar: {num_beams: 6}}}\n",
            ["algo.conv_kernel (9)", "env.world.lidar.num_beams=6"],
        ),
    ],
)
def test_what_does_not_go_together_is_refused(text, parts, tmp_path):
    with pytest.raises(ConfigError) as error:
        load_run_config(written(tmp_path, text))
    for part in parts:
        assert part in str(error.value), f"{part!r} is not in: {error.value}"


@pytest.mark.parametrize(
    ("given", "dims"),
    [
        ({}, (256, 256)),
        ({"hidden_dims": 64}, (64, 64)),
        ({"hidden_dims": 64, "num_layers": 3}, (64, 64, 64)),
        ({"num_layers": 1}, (256,)),
        ({"hidden_dims": [120, 84]}, (120, 84)),
        ({"hidden_dims": [120, 84], "num_layers": 2}, (120, 84)),
    ],
)
def test_layers_by_number_or_by_list(given, dims):
    assert AlgoConfig(**given).hidden_dims == dims
    assert AlgoConfig(**AlgoConfig(**given).model_dump()).hidden_dims == dims


def test_a_resumed_run_takes_no_preset(tmp_path):
    (tmp_path / "config.yaml").write_text(dump_config(load_run_config(None, ["preset=rainbow"])))
    run = RunDirectory(tmp_path)
    assert run.resumed_config(["algo.n_step=5"]).preset == "rainbow"
    with pytest.raises(ConfigError, match=r"preset=dqn.*every setting written down"):
        run.resumed_config(["algo.n_step=5", "preset=dqn"])
