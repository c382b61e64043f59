"""RLlib's DQN (new API stack) on one stage, through ``gymnasium.make("robonav_ray/Nav-v0")``.

Network, discount, n-step returns, replay size and rewards are ours; double, dueling, prioritised replay and learning
rate as in RLlib's own example. The old API stack was not faster (16 updates of 128 rows per second against 38 of 64),
and in 2.60 it does not start with its own replay buffers.
"""

from __future__ import annotations

import os

os.environ["RAY_AUTH_MODE"] = "disabled"

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.tune.registry import register_env

from proofs.peers.track import Task, Track, parse_task
from robonav_ray.nodes.own_ray import own_ray

NUM_ENVS, BATCH, INTENSITY = 8, 64, 16
"""Rows learned from per env step: with the natural one (one update in 24 env steps) stage 1 was not learned in a
minute."""


def make_env(options: dict[str, Any]) -> gym.Env[Any, Any]:
    """Return one environment; runs in RLlib's processes."""
    import robonav_ray.worlds  # noqa: F401  (registers the environment)

    return gym.make("robonav_ray/Nav-v0", world=options["world"], levels=options["level"], gamma=options["gamma"])


def main() -> None:
    """Train until the task is over."""
    task = parse_task(__doc__)
    track = Track(task)
    register_env("nav", make_env)
    with own_ray(num_cpus=2, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False):
        train(task, track)


def train(task: Task, track: Track) -> None:
    """Train until the track is over."""
    config = task.config
    options = {
        "world": config.env.world.model_dump(),
        "level": config.curriculum.stages[task.stage].level.model_dump(),
        "gamma": config.algo.gamma,
    }
    setting = (
        DQNConfig()
        .environment("nav", env_config=options)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=NUM_ENVS)
        .learners(num_learners=0)
        .training(
            lr=5e-4,
            gamma=config.algo.gamma,
            n_step=config.algo.n_step,
            training_intensity=INTENSITY,
            train_batch_size_per_learner=BATCH,
            double_q=True,
            dueling=True,
            epsilon=[(0, 1.0), (30_000, 0.05)],
            target_network_update_freq=500,
            num_steps_sampled_before_learning_starts=2_000,
            replay_buffer_config={
                "type": "PrioritizedEpisodeReplayBuffer",
                "capacity": config.replay.capacity,
                "alpha": 0.6,
                "beta": 0.4,
            },
        )
        .rl_module(
            model_config=DefaultModelConfig(fcnet_hiddens=list(config.algo.hidden_dims), fcnet_activation="relu")
        )
        .debugging(seed=task.seed, log_level="ERROR")
    )
    algorithm = setting.build_algo()
    module: Any = algorithm.get_module()

    def act(obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module.forward_inference({"obs": torch.from_numpy(obs)})["actions"].numpy()

    updates, over = 0, False
    while not over:
        found = algorithm.train()
        learner = found.get("learners", {}).get("default_policy", {})
        updates = int(learner.get("num_module_steps_trained_lifetime", 0)) // BATCH
        env_steps = int(found["env_runners"]["num_env_steps_sampled_lifetime"])
        over = track.is_over(env_steps, updates, act)
    algorithm.stop()


if __name__ == "__main__":
    main()
