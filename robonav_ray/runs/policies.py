"""From a checkpoint to a policy that acts, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file

from robonav_ray.algo.ensemble import EnsemblePolicy, How
from robonav_ray.algo.own_network import make_policy
from robonav_ray.algo.parameters import first_dim
from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.config.load import check_run_config
from robonav_ray.ranges import within
from robonav_ray.records import PolicySnapshot
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointError
from robonav_ray.runs.run_directory import WEIGHTS_FILE
from robonav_ray.runs.saved_learner import COUNTERS_FILE, TENSORS_FILE, check_document, check_tensors, with_defaults
from robonav_ray.runs.stored_models import MEMBERS_FILE, ModelCheckpoint, read_members, read_weights
from robonav_ray.runs.taking_up import taking_up
from robonav_ray.runs.task import Task

_FIRST = "hidden.0.weight"
_PREFIX = {"online": "online.", "averaged": "target."}


def read_policy(checkpoint: Checkpoint, network: Literal["online", "averaged"]) -> PolicySnapshot:
    """Return the weights of a checkpoint's online network, or of its target network: the average of the online one over
    time.

    Raises:
        CheckpointError: When they are missing or damaged.
    """
    with taking_up(checkpoint):
        if isinstance(checkpoint, ModelCheckpoint):
            return _model_policy(checkpoint, network)
        document = with_defaults(checkpoint.read_json(f"learner/{COUNTERS_FILE}"))
        with within(f"learner/{COUNTERS_FILE}: "):
            check_document(document)
        tensors = load_file(checkpoint.learner / TENSORS_FILE)
        with within(f"learner/{TENSORS_FILE}: "):
            check_tensors(tensors)
        return take_network(document, tensors, network)


def _model_policy(model: ModelCheckpoint, network: str) -> PolicySnapshot:
    if model.is_ensemble:
        raise CheckpointError(
            f"{model.path}: is an ensemble of several networks, and one is wanted here; name the run of one of them"
        )
    if network != model.network:
        raise CheckpointError(
            f"{model.path}: holds the {model.network} network alone; leave evaluation.weights={network} away, or name "
            "the run that it came from"
        )
    tensors = dict(sorted(read_weights(model).items()))  # safetensors gives them in another order each time
    with within(f"{WEIGHTS_FILE}: "):
        check_tensors(tensors)
    counters = model.counters
    return PolicySnapshot(model.policy_version, counters.learner_steps, tuple(tensors), tuple(tensors.values()))


def load_policy(checkpoint: Checkpoint, config: RunConfig, task: Task) -> Policy:
    """Return the network that ``evaluation.weights`` names, ready to act; of a version of an ensemble all its members.

    Raises:
        CheckpointError: When it is for observations of another size, or does not fit the run's config otherwise.
    """
    if isinstance(checkpoint, ModelCheckpoint) and checkpoint.is_ensemble:
        return stored_ensemble(checkpoint).policy(task)
    return make_ready(read_policy(checkpoint, config.evaluation.weights), config, task, str(checkpoint.learner))


def take_network(
    document: Mapping[str, Any], arrays: Mapping[str, np.ndarray], network: Literal["online", "averaged"]
) -> PolicySnapshot:
    """Return the weights of one network of a saved learner's ``document`` and ``arrays``."""
    prefix, counters = _PREFIX[network], document["counters"]
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return PolicySnapshot(max(1, counters["policy_version"]), counters["learner_step"], tuple(own), tuple(own.values()))


def make_ready(snapshot: PolicySnapshot, config: RunConfig, task: Task, whose: str) -> Policy:
    """Return a policy of the run's config that acts with ``snapshot``; CheckpointError that names ``whose`` it is where
    it does not fit.
    """
    policy = make_policy(task.obs_dim, task.num_actions, config.algo, task.structure)
    inputs = {name: array.shape[-1] for name, array in zip(snapshot.names, snapshot.arrays, strict=True)}
    wanted = first_dim(task.obs_dim, config.algo, task.structure)
    if inputs.get(_FIRST, wanted) != wanted:
        raise CheckpointError(
            f"{whose}: its network is for another observation size: its first layer takes "
            f"{inputs[_FIRST]} numbers, and the {task.obs_dim} of an observation of {task.env_id} give {wanted}"
        )
    try:
        policy.load(snapshot)
    except ValueError as error:
        raise CheckpointError(f"{whose}: does not fit the run's config: {error}") from None
    return policy


@dataclass(frozen=True)
class Member:
    """One policy of an ensemble."""

    name: str
    """Of its run, for people."""
    config: RunConfig
    snapshot: PolicySnapshot
    facts: Mapping[str, Any]
    """Where it is from: ``run``, ``checkpoint``, ``env_steps``, ``learner_steps``, ``train_s``, ``seed``."""

    @property
    def sha256(self) -> str:
        """Of its weights, with their names and shapes."""
        return weights_hash(self.snapshot)


@dataclass(frozen=True)
class Ensemble:
    """Several policies that act as one; what they see and can do has been found to be the same."""

    how: How
    members: tuple[Member, ...]

    @property
    def config(self) -> RunConfig:
        """That of the first member, whose robot and sensor all have."""
        return self.members[0].config

    @property
    def scales(self) -> tuple[float, ...]:
        """What each member's Q is multiplied with, so that all are in units of the first one's rewards."""
        first = self.config.algo.reward_scale
        return tuple(first / member.config.algo.reward_scale for member in self.members)

    @property
    def sha256(self) -> str:
        """Of how it acts: of all weights in their order, and of what is done with them."""
        return hashlib.sha256(" ".join([self.how, *(member.sha256 for member in self.members)]).encode()).hexdigest()

    @property
    def env_steps(self) -> int:
        """Env steps of training behind all members."""
        return sum(int(member.facts["env_steps"]) for member in self.members)

    def policy(self, task: Task) -> EnsemblePolicy:
        """Return what acts; CheckpointError, naming the member, where weights do not fit a config."""
        policies = [make_ready(one.snapshot, one.config, task, one.name) for one in self.members]
        return EnsemblePolicy(policies, self.how, self.scales)


def weights_hash(snapshot: PolicySnapshot) -> str:
    """Return the SHA-256 of weights, with their names and shapes."""
    digest = hashlib.sha256()
    for name, array in zip(snapshot.names, snapshot.arrays, strict=True):
        digest.update(f"{name} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def stored_ensemble(model: ModelCheckpoint) -> Ensemble:
    """Return the members that a version of an ensemble holds; CheckpointError when they are none."""
    with taking_up(model):
        tensors = read_weights(model)
        with within(f"{WEIGHTS_FILE}: "):
            check_tensors(tensors)
        how, told = read_members(model.path)
        members = list[Member]()
        for number, item in enumerate(told):
            prefix = f"{number}."
            own = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
            config = check_run_config(item["config"], f"{model.path / MEMBERS_FILE}: members.{number}.config")
            facts = item["facts"]
            snapshot = PolicySnapshot(facts["policy_version"], facts["learner_steps"], tuple(own), tuple(own.values()))
            members.append(Member(f"{model.path}: member {number} ({item['name']})", config, snapshot, facts))
        return Ensemble(how, tuple(members))
