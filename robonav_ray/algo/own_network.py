"""A network of the user's own (``algo.network``): torch for the learner, NumPy for all that acts, the same parameters
in both.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np

from robonav_ray.algo.policy import Policy
from robonav_ray.algo.structure import Structure
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.errors import UserError
from robonav_ray.records import PolicySnapshot
from robonav_ray.user_code import load_user_code

NETWORKS = "robonav_ray.networks"
"""Group of entry points that are networks."""


BODY = "body."
"""Begins the names of the module's parameters in snapshots and checkpoints."""


class NoGraphError(UserError):
    """There can be no graph of a user's network; the message says why."""


class OwnNetwork(Protocol):
    """What ``algo.network`` names is called with (obs_dim, num_actions), and gives this."""

    def make_torch(self) -> Any:
        """Return a ``torch.nn.Module``: (B, D) float32 -> Q (B, A). torch's generator is seeded before; called by
        learners only.
        """
        ...

    def q_values(self, parameters: dict[str, np.ndarray], obs: np.ndarray) -> np.ndarray:
        """Return Q (B, A) of ``obs`` (B, D) float32 in NumPy. ``parameters`` are those of the module, by the names in
        its state_dict.
        """
        ...


def load_own_network(name: str, obs_dim: int, num_actions: int) -> OwnNetwork:
    """Return the network that ``algo.network`` names; UserError when there is none, or it lacks what one must have."""
    make = load_user_code(name, NETWORKS, "algo.network")
    try:
        network = make(obs_dim, num_actions)
    except (TypeError, ValueError, LookupError) as error:
        raise UserError(f"algo.network: {name!r} cannot be made as Name(obs_dim, num_actions): {error}") from error
    if not all(callable(getattr(network, method, None)) for method in ("make_torch", "q_values")):
        raise UserError(
            f"algo.network: {name!r} made a {type(network).__name__}, which is no network: it needs make_torch() and "
            "q_values(parameters, obs) (docs/extensions.md)"
        )
    return cast(OwnNetwork, network)


def make_policy(obs_dim: int, num_actions: int, algo: AlgoConfig, structure: Structure | None = None) -> Policy:
    """Return what acts with the network of ``algo``: ours, or the user's own."""
    if algo.network is None:
        return Policy(obs_dim, num_actions, algo, structure)
    return OwnPolicy(obs_dim, num_actions, algo)


class OwnPolicy(Policy):
    """Acts by the user's NumPy; all zeros (version 0) before the first ``load``."""

    def __init__(self, obs_dim: int, num_actions: int, algo: AlgoConfig) -> None:
        assert algo.network is not None
        self.obs_dim, self.num_actions = obs_dim, num_actions
        self._algo, self._name, self._version, self._noise = algo, algo.network, 0, None
        self._network = load_own_network(algo.network, obs_dim, num_actions)
        self._parameters: dict[str, np.ndarray] | None = None

    def load(self, snapshot: PolicySnapshot) -> None:
        """As ``Policy.load``; ValueError when the network does not act with these parameters."""
        before = self._parameters
        self._parameters = {
            name.removeprefix(BODY): array.copy() for name, array in zip(snapshot.names, snapshot.arrays, strict=True)
        }
        try:
            self.q_values(np.zeros((1, self.obs_dim), np.float32))
        except (LookupError, TypeError, ValueError) as error:
            self._parameters = before
            raise ValueError(
                f"algo.network: {self._name!r} cannot act with the weights ({type(error).__name__}: {error})"
            ) from error
        self._version = snapshot.version

    def q_values(self, obs: np.ndarray) -> np.ndarray:
        """Return Q (B, A) float32 of ``obs`` (B, D) float32; ValueError when the user's network returns another
        shape.
        """
        if self._parameters is None or not len(obs):
            return np.zeros((len(obs), self.num_actions), np.float32)
        q = np.asarray(self._network.q_values(self._parameters, np.ascontiguousarray(obs, np.float32)), np.float32)
        if q.shape != (len(obs), self.num_actions):
            raise ValueError(f"q_values returned {q.shape}, and ({len(obs)}, {self.num_actions}) is wanted")
        return q

    def representation(self, obs: np.ndarray) -> np.ndarray:
        """Return the Q values: of the layers of a user's network nothing is known."""
        return self.q_values(obs)
