"""Stable-Baselines3's DQN on one stage, through ``gymnasium.make("robonav_ray/Nav-v0")``.

Network, discount, n-step returns, replay size and rewards are ours; several environments, and as many updates as pay (8
of 128 rows per 16 env steps), because its speed is that of its updates.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

import robonav_ray.worlds  # noqa: F401  (registers the environment)
from proofs.peers.track import Task, Track, parse_task

NUM_ENVS, EXPLORING_STEPS, MOST_STEPS = 16, 30_000, 100_000_000


class Stopper(BaseCallback):
    """Evaluates when it is due and ends the training."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._track = Track(task)

    def _act(self, obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.model.q_net(torch.from_numpy(obs)).argmax(dim=1).numpy()  # type: ignore[union-attr]

    def _on_step(self) -> bool:
        return not self._track.is_over(self.num_timesteps, self.model._n_updates, self._act)


def main() -> None:
    """Train until the task is over."""
    task = parse_task(__doc__)
    torch.set_num_threads(1)
    config = task.config
    options = {
        "world": config.env.world,
        "levels": config.curriculum.stages[task.stage].level,
        "gamma": config.algo.gamma,
    }
    envs = make_vec_env(lambda: gym.make("robonav_ray/Nav-v0", **options), n_envs=NUM_ENVS, seed=task.seed)
    model = DQN(
        "MlpPolicy",
        envs,
        learning_rate=1e-3,
        buffer_size=config.replay.capacity,
        learning_starts=2_000,
        batch_size=128,
        gamma=config.algo.gamma,
        n_steps=config.algo.n_step,
        train_freq=1,
        gradient_steps=8,
        target_update_interval=2_000,
        exploration_fraction=EXPLORING_STEPS / MOST_STEPS,
        exploration_final_eps=0.05,
        policy_kwargs={"net_arch": list(config.algo.hidden_dims)},
        seed=task.seed,
        device="cpu",
    )
    model.learn(MOST_STEPS, callback=Stopper(task))


if __name__ == "__main__":
    main()
