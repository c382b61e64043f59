"""A run that begins with the weights of another: what fits is found before anything is made, and is its checkpoint at 0
env steps.

All else is new: optimiser, replay, curriculum, counters. As the weights stand in a checkpoint, a rank that dies before
the run has made one of its own comes back to them, on any node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robonav_ray.algo.parameters import parameter_shapes
from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError
from robonav_ray.counter_rng import ROLE_NETWORK, seed_for
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.registry.by_name import located
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, Counters
from robonav_ray.runs.policies import read_policy
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.stored_runs import stored_run
from robonav_ray.runs.task import Task, describe_task


@dataclass(frozen=True)
class InitialWeights:
    """What a new run takes over from another."""

    source: str
    """The other run, as a person would type it here."""
    checkpoint: str
    """Name of its checkpoint."""
    env_steps: int
    """Env steps of training behind the weights."""
    arrays: dict[str, np.ndarray]
    """The parameters that fit, by name."""
    left: dict[str, str]
    """Why the others begin anew: ``head.bias`` -> ``(6,) there, (10,) here``."""

    def describe(self) -> str:
        """Return for people what is taken and what is not."""
        total = len(self.arrays) + len(self.left)
        text = (
            f"begins with the weights of {self.source} after {self.env_steps:,} env steps: "
            f"{len(self.arrays)} of {total} tensors"
        )
        return text + "".join(f"\n  new: {name} ({why})" for name, why in self.left.items())

    def facts(self) -> dict[str, Any]:
        """Return what is noted in ``run.json``."""
        facts = {"run": self.source, "checkpoint": self.checkpoint, "env_steps": self.env_steps}
        return {**facts, "taken": list(self.arrays), "left": self.left}


def find_initial(where: str, config: RunConfig, task: Task) -> InitialWeights:
    """Return what the run or checkpoint ``where`` (a path, URI or NAME@champion) gives to a new run of ``config``: the
    policy that it is judged by.

    Raises:
        ConfigError: When its observations are of another size, or nothing of it fits.
        UserError: When there is no such run, or none of its checkpoints is whole.
    """
    with located(where) as found:
        before = describe_task(found.run.config)
        if not all(task.shows_the_same(before, one.algo) for one in (config, found.run.config)):
            raise ConfigError(
                f"--init-from {found.shown}: its policy takes {before.obs_dim} numbers ({before.env_id}), and an "
                f"observation of this run has {task.obs_dim} ({task.env_id}); give both the same env section"
            )
        snapshot = read_policy(found.checkpoint, found.run.config.evaluation.weights)
        given = dict(zip(snapshot.names, snapshot.arrays, strict=True))
        arrays, left = _fitting(given, _shapes(config, task))
        if not arrays:
            told = "; ".join(f"{name}: {why}" for name, why in list(left.items())[:4])
            raise ConfigError(
                f"--init-from {found.shown}: nothing of its network fits this run's ({told}); give both the same algo "
                "section"
            )
        if before.num_actions != task.num_actions:
            actions = f"{before.num_actions} actions there, {task.num_actions} here"
            left = {name: f"{why}; {actions}" if name.startswith("head.") else why for name, why in left.items()}
        return InitialWeights(
            found.shown, found.checkpoint.path.name, found.checkpoint.counters.env_steps, arrays, left
        )


def begin_with(initial: InitialWeights, run: RunDirectory, config: RunConfig, task: Task) -> Checkpoint:
    """Commit the checkpoint that ``run`` begins from, and note in ``run.json`` what was taken from where; OSError when
    that fails.
    """
    import torch

    from robonav_ray.learner.state import LearnerState

    seed = seed_for(config.seed, ROLE_NETWORK)
    state = LearnerState(task.obs_dim, task.num_actions, config.algo, config.learner, seed, structure=task.structure)
    state.online.load_state_dict(
        {name: torch.from_numpy(array.copy()) for name, array in initial.arrays.items()}, strict=False
    )
    state.target.load_state_dict(state.online.state_dict())
    storage = config.checkpoint.storage
    writer = CheckpointWriter(run.checkpoints, Counters(), None if storage is None else stored_run(storage, run))
    try:
        writer.add(entry.below("learner") for entry in state.save(writer.path / "learner"))
        writer.write_json("curriculum.json", Curriculum(config.curriculum, task.has_outcomes).state_dict())
        run.write_json("run.json", {**run.read_json("run.json"), "init_from": initial.facts()})
        return writer.commit()
    finally:
        writer.discard()


def _shapes(config: RunConfig, task: Task) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the parameters of the run's network."""
    if config.algo.network is None:
        return parameter_shapes(task.obs_dim, task.num_actions, config.algo, task.structure)
    from robonav_ray.algo.own_torch_network import make_own_network

    network = make_own_network(task.obs_dim, task.num_actions, config.algo, seed=0)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _fitting(
    given: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the parameters of the layers that fit by name and shape, and of all others why they begin anew."""
    wrong = {
        name: f"{given[name].shape} there, {shape} here" if name in given else "not there"
        for name, shape in shapes.items()
        if name not in given or given[name].shape != shape
    }
    layers = {_layer(name) for name in wrong}
    arrays = {name: given[name] for name in shapes if _layer(name) not in layers}
    return arrays, {name: wrong.get(name, "the rest of its layer is new") for name in shapes if name not in arrays}


def _layer(name: str) -> str:
    return name.rpartition(".")[0]
