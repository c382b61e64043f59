"""The configs of docs/from_zoo.md load, and their figures are those of RL Zoo by the page's own arithmetic."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.sizes import check_sizes

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "from_zoo.md").read_text(encoding="utf-8"), re.DOTALL)
ZOO = {
    "MountainCar-v0": {"n_timesteps": 120_000, "batch_size": 128, "buffer_size": 10_000, "target_update_interval": 600,
                       "train_freq": 16, "gradient_steps": 8, "exploration_fraction": 0.2,
                       "exploration_final_eps": 0.07, "gamma": 0.98},
    "CartPole-v1": {"n_timesteps": 50_000, "batch_size": 64, "buffer_size": 100_000, "target_update_interval": 10,
                    "train_freq": 256, "gradient_steps": 128, "exploration_fraction": 0.16,
                    "exploration_final_eps": 0.04, "gamma": 0.99},
}  # fmt: skip


def loaded(block: str, tmp_path: Path) -> RunConfig:
    path = tmp_path / "run.yaml"
    path.write_text(block, encoding="utf-8")
    return load_run_config(path)


def test_both_examples_are_there():
    assert len(BLOCKS) == len(ZOO)


@pytest.mark.parametrize("block", BLOCKS, ids=list(ZOO))
def test_a_config_of_the_page_loads_and_follows_its_arithmetic(block, tmp_path):
    config = loaded(block, tmp_path)
    zoo, epsilon = ZOO[config.env.id], config.curriculum.stages[0].epsilon
    rows = zoo["train_freq"] * config.rollout.num_worlds
    per_step = zoo["gradient_steps"] / rows
    assert config.budget.max_env_steps == zoo["n_timesteps"]
    assert (config.learner.batch_size, config.replay.capacity) == (zoo["batch_size"], zoo["buffer_size"])
    assert config.replay.samples_per_insert == zoo["gradient_steps"] * zoo["batch_size"] / rows
    assert config.learner.target_interval == max(zoo["target_update_interval"] * per_step, zoo["gradient_steps"])
    assert (config.rollout.steps_per_fragment, config.learner.batches_per_call) == (
        zoo["train_freq"],
        zoo["gradient_steps"],
    )
    assert (epsilon.steps, epsilon.end) == (
        zoo["exploration_fraction"] * zoo["n_timesteps"],
        zoo["exploration_final_eps"],
    )
    assert config.algo.gamma == zoo["gamma"]
    check_sizes(config, describe_task(config).spec)
