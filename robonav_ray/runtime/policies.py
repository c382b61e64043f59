"""From a checkpoint to a policy that acts, without torch."""

from __future__ import annotations

from typing import Literal

import numpy as np
from safetensors.numpy import load_file

from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.records import PolicySnapshot
from robonav_ray.runtime.checkpoint import Checkpoint, CheckpointError, taking_up
from robonav_ray.runtime.task import Task

_PREFIX = {"online": "online.", "averaged": "target."}


def read_policy(checkpoint: Checkpoint, network: Literal["online", "averaged"]) -> PolicySnapshot:
    """Return the weights of a checkpoint's online network, or of its target network: the average of the online one over time.

    Raises:
        CheckpointError: When they are missing or damaged.
    """
    prefix = _PREFIX[network]
    with taking_up(checkpoint):
        tensors = load_file(checkpoint.learner / "learner.safetensors")
        arrays = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"learner/learner.safetensors: {prefix}{name} holds numbers that are not finite")
        counters = checkpoint.read_json("learner/learner.json")["counters"]
        return PolicySnapshot(
            max(1, int(counters["policy_version"])), int(counters["learner_step"]), tuple(arrays), tuple(arrays.values())
        )


def load_policy(checkpoint: Checkpoint, config: RunConfig, task: Task) -> Policy:
    """Return the network that ``evaluation.weights`` names, ready to act.

    Raises:
        CheckpointError: When it does not fit the run's config.
    """
    policy = Policy(task.obs_dim, task.num_actions, config.algo, task.lidar)
    try:
        policy.load(read_policy(checkpoint, config.evaluation.weights))
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.learner}: does not fit the run's config: {error}") from None
    return policy
