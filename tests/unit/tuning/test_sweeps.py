"""A W&B sweep file becomes a search of ours, and what it cannot become is named with file, line and key."""

import math
from pathlib import Path

import pytest

from robonav_ray.config.load import ConfigError
from robonav_ray.config.studies.sweep import UNBOUNDED
from robonav_ray.tuning.space import check_space
from robonav_ray.tuning.sweeps import read_sweep

WHOLE = """
program: train.py
command: ["${env}", python, "${program}"]
name: learning rates!
description: which one
project: mine
entity: us
method: bayes
metric: {name: objective, goal: maximize}
run_cap: 7
parameters:
  learner:
    parameters:
      learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
      batch_size: {values: [128, 256]}
      target_update: {value: hard}
  algo.gamma: {min: 0.95, max: 0.999}
  algo.num_layers: {min: 2, max: 4}
  preset: {value: navigation}
early_terminate: {type: hyperband, min_iter: 2, eta: 4}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return path


def one(tmp_path: Path, parameter: str, method: str = "random") -> dict:
    text = f"method: {method}\nparameters:\n  learner.learning_rate: {parameter}\n"
    dimension = read_sweep(written(tmp_path, text)).config.space["learner.learning_rate"]
    return {dimension.kind: getattr(dimension, dimension.kind)}


def test_a_whole_file_is_a_search_that_shows_what_it_was_translated_to(tmp_path):
    sweep = read_sweep(written(tmp_path, WHOLE), ["trial.report_env_steps=1000", "trial.max_env_steps=9000"])
    config = sweep.config
    assert (config.name, config.num_trials, config.search.method) == ("learning-rates", 7, "bayesopt")
    assert config.run == {
        "tracking": {"wandb": {"project": "mine", "entity": "us"}},
        "learner": {"target_update": "hard"},
        "preset": "navigation",
    }
    assert {key: dimension.kind for key, dimension in config.space.items()} == {
        "learner.learning_rate": "loguniform",
        "learner.batch_size": "choice",
        "algo.gamma": "uniform",
        "algo.num_layers": "integer",
    }
    assert (config.scheduler.kind, config.scheduler.grace_env_steps, config.scheduler.reduction_factor) == (
        "asha",
        2000,
        4,
    )
    assert config.trial.metric == "objective"
    assert any("program and command" in note for note in sweep.notes)
    assert sweep.document["parameters"]["algo.gamma"] == {"min": 0.95, "max": 0.999}
    check_space(config.model_copy(update={"run": {"learner": {"target_update": "hard"}}}))


@pytest.mark.parametrize(
    ("parameter", "dimension"),
    [
        ("{values: [0.1, 0.2]}", {"choice": (0.1, 0.2)}),
        ("{distribution: categorical, values: [1, two, [3, 4]]}", {"choice": (1, "two", (3, 4))}),
        ("{min: 1, max: 5}", {"integer": (1, 5)}),
        ("{distribution: int_uniform, min: 1, max: 5}", {"integer": (1, 5)}),
        ("{min: 1.0, max: 5}", {"uniform": (1.0, 5.0)}),
        ("{distribution: uniform, min: 1, max: 5}", {"uniform": (1.0, 5.0)}),
        ("{distribution: q_uniform, min: 0.0, max: 0.3, q: 0.1}", {"choice": (0.0, 0.1, 0.2, 0.3)}),
        ("{distribution: q_uniform, min: 1, max: 3}", {"choice": (1, 2, 3)}),
        ("{distribution: log_uniform, min: 0, max: 1}", {"loguniform": (1.0, math.e)}),
        ("{distribution: log_uniform_values, min: 1e-5, max: 1e-2}", {"loguniform": (1e-5, 1e-2)}),
        ("{distribution: inv_log_uniform, min: 0, max: 1}", {"loguniform": (math.exp(-1), 1.0)}),
        ("{distribution: inv_log_uniform_values, min: 0.1, max: 10}", {"loguniform": (0.1, 10.0)}),
        ("{distribution: q_log_uniform_values, min: 0.2, max: 64, q: 1}", {"log_integer": (1, 64)}),
        ("{distribution: q_log_uniform, min: 0, max: 4.1588830833596715}", {"log_integer": (1, 64)}),
    ],
)
def test_every_distribution_with_bounds_is_taken(tmp_path, parameter, dimension):
    assert one(tmp_path, parameter) == dimension


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        *((f"{{distribution: {name}, mu: 0, sigma: 1}}", f"{name} is not taken") for name in UNBOUNDED),
        ("{distribution: gaussian, min: 0, max: 1}", "distribution"),
        ("{mu: 0, sigma: 1}", "normal distributions"),
        ("{values: [1, 2], probabilities: [0.1, 0.9]}", "probabilities are not taken"),
        ("{values: []}", "at least one"),
        ("{values: [{a: 1}]}", "values: each is a number"),
        ("{min: 1}", "needs max"),
        ("{min: 2, max: 1}", "min (2) must be below max (1)"),
        ("{min: 0, max: .inf}", "finite"),
        ("{min: low, max: 3}", "a text ('low') stands where"),
        ("{distribution: int_uniform, min: 0.5, max: 3}", "whole bounds"),
        ("{distribution: log_uniform, min: 0, max: 1000}", "log_uniform_values takes the bounds themselves"),
        ("{distribution: log_uniform_values, min: 0, max: 1}", "above 0"),
        ("{distribution: q_uniform, min: 0, max: 1, q: 1e-9}", "multiples of 1e-09"),
        ("{distribution: q_uniform, min: 0, max: 1.0e300, q: 1}", "too small"),
        ("{distribution: q_log_uniform_values, min: 1, max: 9, q: 2}", "whole numbers (q: 1)"),
        ("{min: 0, max: 1, q: 0.1}", "q does not go with int_uniform"),
        ("{value: 1, values: [1, 2]}", "values does not go with constant"),
        ("{parameters: {x: {value: 1}}, min: 0}", "min does not go with nested"),
        ("{min: 0, max: 1, step: 1}", "unknown key"),
        ("!!python/object:os.system {}", "the tag"),
        ("7", "parameters.learner.learning_rate"),
        (f"{{min: 1{400 * '0'}, max: 2}}", "parameters.learner.learning_rate.min"),
        (f"{{distribution: q_uniform, min: 1, max: 1{400 * '0'}}}", "parameters.learner.learning_rate.max"),
    ],
)
def test_a_parameter_that_cannot_be_taken_is_named_with_its_line(tmp_path, parameter, told):
    with pytest.raises(ConfigError) as refused:
        one(tmp_path, parameter)
    message = str(refused.value)
    assert told in message, message
    assert f"{tmp_path}/sweep.yaml:3: " in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- method\n", "a mapping with method and parameters"),
        ("method: random\n", "parameters: is missing"),
        ("method: hyper\nparameters: {algo.gamma: {min: 0.9, max: 0.99}}\n", "sweep.yaml:1: method"),
        ("method: bayes\nparameters: {algo.gamma: {min: 0.9, max: 0.99}}\n", "bayes needs one"),
        ("method: random\nparameters: {}\n", "parameters"),
        ("method: random\nparameters: {algo.gama: {min: 0.9, max: 0.99}}\n", "did you mean algo.gamma?"),
        ("method: random\nparameters: {env.id: {values: [a, b]}}\n", "different tasks"),
        ("method: random\nparameters: {algo.gamma: {value: 0.9}}\n", "has values of their own in no parameter"),
        ("method: random\nparameters: {checkpoint.keep: {value: 1}, algo.gamma: {min: 0.9, max: 0.99}}\n", "keep"),
        (
            "method: random\nparameters: {algo.gamma: {values: [1]}, algo: {parameters: {gamma: {values: [1]}}}}\n",
            "twice",
        ),
        ("method: grid\nparameters: {algo.gamma: {min: 0.9, max: 0.99}}\n", "no end of values"),
        ("method: random\nrun_cap: 0\nparameters: {algo.gamma: {values: [1]}}\n", "sweep.yaml:2: run_cap"),
        (
            "method: random\nimageuri: x\nparameters: {algo.gamma: {values: [1]}}\n",
            "sweep.yaml:2: imageuri: unknown key",
        ),
        ("method: random\nmethod: grid\n", "stands twice"),
        (
            "method: random\nmetric: {name: loss}\nparameters: {algo.gamma: {values: [1]}}\n",
            "sweep.yaml:2: metric.name",
        ),
        ("method: random\nmetric: {name: objective}\nparameters: {algo.gamma: {values: [1]}}\n", "goal: maximize"),
        (
            "method: random\nmetric: {name: collision_frac, goal: maximize}\nparameters: {algo.gamma: {values: [1]}}\n",
            "goal: minimize",
        ),
        (
            "method: random\nearly_terminate: {type: hyperband}\nparameters: {algo.gamma: {values: [1]}}\n",
            "give min_iter, or max_iter with s",
        ),
        (
            "method: random\nearly_terminate: {type: envelope, min_iter: 1}\nparameters: {algo.gamma: {values: [1]}}\n",
            "early_terminate.type",
        ),
        (
            "method: grid\nearly_terminate: {type: hyperband, min_iter: 99}\nparameters: {algo.gamma: {values: [1]}}\n",
            "sweep.yaml:2: scheduler.grace_env_steps",
        ),
    ],
)
def test_a_file_that_cannot_be_taken_is_named_with_the_key(tmp_path, text, told):
    with pytest.raises(ConfigError) as refused:
        read_sweep(written(tmp_path, text))
    assert told in str(refused.value)
    assert "sweep.yaml" in str(refused.value)


def test_a_grid_is_gone_through_and_brackets_are_counted_from_the_top(tmp_path):
    text = (
        "method: grid\nparameters: {algo.num_layers: {min: 2, max: 4}, learner.batch_size: {values: [32, 64]}}\n"
        "early_terminate: {type: hyperband, max_iter: 27, s: 2}\n"
    )
    config = read_sweep(written(tmp_path, text), ["trial.report_env_steps=1000"]).config
    assert (config.num_trials, config.scheduler.grace_env_steps, config.scheduler.reduction_factor) == (6, 3000, 3)
    many = text.replace("s: 2", "s: 64, eta: 1e6")
    overrides = ["trial.report_env_steps=1000", "scheduler.reduction_factor=4"]
    assert read_sweep(written(tmp_path, many), overrides).config.scheduler.grace_env_steps == 1000
    assert read_sweep(written(tmp_path, text), ["num_trials=2"]).config.num_trials == 2
    assert read_sweep(written(tmp_path, text), ["run.tracking.wandb=null"]).config.run["tracking"] == {"wandb": None}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--sweep", "none.yaml"], "none.yaml: there is no such file"),
        (["--sweep", "."], "name a W&B sweep file"),
        (["asha", "--sweep", "sweep.yaml"], "leave asha away"),
        (["--sweep", "sweep.yaml", "--resume", "latest"], "leave --sweep or --resume away"),
        (["--sweep", "sweep.yaml", "num_trails=3"], "num_trails"),
        (["--sweep", "sweep.yaml", "run.learner.batch_size=0"], "sweep.yaml, as a search: run: learner.batch_size"),
        (["--sweep", "sweep.yaml", "run.env.id=CartPole-v1"], "only our own worlds tell collisions"),
    ],
)
def test_a_sweep_that_cannot_work_is_refused_and_leaves_nothing(tmp_path, robonav_here, arguments, told):
    written(
        tmp_path,
        "method: random\nmetric: {name: collision_frac}\nparameters: {learner.learning_rate: {values: [0.1, 0.2]}}\n",
    )
    ended = robonav_here("tune", *arguments, "run.tracking.wandb=null", "--out", "search", cwd=tmp_path)
    assert ended.returncode == 2, ended
    assert told in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]
