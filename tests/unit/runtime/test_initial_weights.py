"""A run that begins with the weights of another: what fits is taken to the bit, the rest is new and said."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.learner.state import LearnerState
from robonav_ray.runs.located import find_policy
from robonav_ray.runs.policies import load_policy, read_policy
from robonav_ray.runs.run_directory import RunDirectory, create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.initial_weights import begin_with, find_initial
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.wiring import RunSession
from tests.made_up_runs import TINY, make_run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return make_run(tmp_path_factory.mktemp("source") / "a", steps=[100])


def test_all_that_fits_is_taken_to_the_bit(source: RunDirectory, tmp_path: Path) -> None:
    config = load_run_config(
        None, [*TINY, "seed=9", "replay.capacity=3000", "replay.min_size=300", "rollout.num_worlds=4"]
    )
    task = describe_task(config)
    initial = find_initial(str(source.path), config, task)
    assert initial.left == {}
    assert f"after 100 env steps: {len(initial.arrays)} of {len(initial.arrays)} tensors" in initial.describe()
    run = create_run(config, tmp_path / "b")
    checkpoint = begin_with(initial, run, config, task)
    assert checkpoint.counters.env_steps == 0
    wiring = LocalWiring(RunSession(config, task, run, checkpoint, time.monotonic()))
    given = read_policy(find_policy(source.path)[1], config.evaluation.weights)
    for own in (wiring.learner_state.online, wiring.learner_state.target):
        for name, array in zip(given.names, given.arrays, strict=True):
            np.testing.assert_array_equal(own.state_dict()[name].numpy(), array)
    assert wiring.learner_state.learner_step == 0
    assert not wiring.learner_state.optimizer.exp_avg[0].any()
    assert run.read_json("run.json")["init_from"] == {
        "run": initial.source, "checkpoint": "env-000000000100", "env_steps": 100, "taken": list(initial.arrays),
        "left": {},
    }  # fmt: skip


def test_another_number_of_actions_leaves_the_head_new(source: RunDirectory, tmp_path: Path) -> None:
    config = load_run_config(None, TINY)
    task = replace(describe_task(config), num_actions=5)
    initial = find_initial(str(source.path), config, task)
    assert set(initial.arrays) == {"hidden.0.weight", "hidden.0.bias"}
    assert initial.left["head.bias"].endswith("2 actions there, 5 here")
    assert "new: head.weight" in initial.describe()
    run = create_run(config, tmp_path / "b")
    state = LearnerState(task.obs_dim, 5, config.algo, config.learner, seed=0)
    state.load(begin_with(initial, run, config, task).learner)
    np.testing.assert_array_equal(state.online.hidden[0].weight.detach().numpy(), initial.arrays["hidden.0.weight"])


def test_a_checkpoint_of_a_storage_will_do(tmp_path: Path) -> None:
    other = make_run(tmp_path / "a", steps=[100], storage=str(tmp_path / "storage"))
    config = load_run_config(None, [*TINY, f"checkpoint.storage={tmp_path / 'storage'}"])
    task = describe_task(config)
    run = create_run(config, tmp_path / "b")
    checkpoint = begin_with(find_initial((tmp_path / "storage" / "a").as_uri(), config, task), run, config, task)
    assert checkpoint.stored_at == str(tmp_path / "storage" / "b" / checkpoint.path.name)
    obs = np.ones((3, 4), np.float32)
    policies = [load_policy(c, config, task) for c in (checkpoint, find_policy(other.path)[1])]
    np.testing.assert_array_equal(policies[0].q_values(obs), policies[1].q_values(obs))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["env.id=Acrobot-v1"], r"takes 4 numbers \(CartPole-v1\).*has 6 \(Acrobot-v1\)"),
        (
            ["algo.hidden_dims=[16, 16]"],
            r"nothing of its network fits.*hidden.0.weight: \(8, 4\) there, \(16, 4\) here",
        ),
    ],
)
def test_what_cannot_fit_is_refused_by_name(overrides: list[str], told: str, source: RunDirectory) -> None:
    config = load_run_config(None, [*TINY[:1], "algo.hidden_dims=[8]", *overrides])
    with pytest.raises(ConfigError, match=told):
        find_initial(str(source.path), config, describe_task(config))


SET = ["env.world.observation=state", "algo.encoder=deep_set", "algo.set_dims=[6]", "algo.hidden_dims=[8]"]


def test_a_set_encoder_goes_on_among_more_neighbours(tmp_path: Path) -> None:
    other = str(make_run(tmp_path / "a", SET, steps=[100]).path)
    config = load_run_config(None, [*SET, "env.world.num_robots=3"])
    task = describe_task(config)
    assert task.obs_dim == describe_task(load_run_config(None, SET)).obs_dim + 2 * 7
    assert find_initial(other, config, task).left == {}
    config = load_run_config(None, [SET[0], SET[3], "env.world.num_robots=3"])
    with pytest.raises(ConfigError, match="give both the same env section"):
        find_initial(other, config, describe_task(config))
