"""The learner's side of a network of the user's own; see ``own_network.py``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from robonav_ray.algo.networks import QNetwork
from robonav_ray.algo.own_network import OwnPolicy, load_own_network
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.errors import UserError
from robonav_ray.records import PolicySnapshot

NUM_ROWS, TOLERANCE = 64, 1e-3
"""Rows on which torch and NumPy are held against each other, and what they may differ by, relative to the largest |Q|
or 1."""


class OwnQNetwork(QNetwork):
    """Answers what the objective asks of a QNetwork by the user's module alone: Q values, without noise and dropout."""

    def __init__(self, body: nn.Module, num_actions: int, algo: AlgoConfig) -> None:
        nn.Module.__init__(self)
        self.algo, self.num_actions = algo, num_actions
        self.body = body

    @property
    def num_noise(self) -> int:
        """Return 0: nothing is drawn for it."""
        return 0

    @property
    def num_dropout(self) -> int:
        """Return 0: nothing is left out."""
        return 0

    def forward(
        self, obs: Tensor, tau: Tensor | None = None, noise: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Return Q (B, A) of ``obs`` (B, D); the rest is None."""
        return self.body(obs)

    def q_values(self, obs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return Q (B, A) of ``obs`` (B, D)."""
        return self.body(obs)


def make_own_network(obs_dim: int, num_actions: int, algo: AlgoConfig, seed: int) -> OwnQNetwork:
    """Return the user's module, whose parameters are a function of ``seed`` as far as they are drawn from torch's
    generator.

    Raises:
        UserError: When it is no module, or has tensors that are no parameters: those would not be averaged over ranks
            or time.
    """
    assert algo.network is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = load_own_network(algo.network, obs_dim, num_actions).make_torch()
    if not isinstance(body, nn.Module):
        raise UserError(
            f"algo.network: make_torch() of {algo.network!r} returned {type(body).__name__}, and no torch.nn.Module"
        )
    buffers = [name for name, _ in body.named_buffers()]
    wrong = [name for name, parameter in body.named_parameters() if parameter.dtype != torch.float32]
    if buffers or wrong or not any(True for _ in body.parameters()):
        raise UserError(
            f"algo.network: the module of {algo.network!r} must have float32 parameters and no buffers"
            + (f"; look at {', '.join((*buffers, *wrong)[:3])}" if buffers or wrong else "; it has none")
        )
    return OwnQNetwork(body, num_actions, algo)


def check_own_network(obs_dim: int, num_actions: int, algo: AlgoConfig) -> None:
    """Raise UserError unless torch and NumPy agree about Q on random observations, with first weights and with
    others.
    """
    network = make_own_network(obs_dim, num_actions, algo, seed=0)
    policy = OwnPolicy(obs_dim, num_actions, algo)
    obs = np.random.default_rng(0).normal(size=(NUM_ROWS, obs_dim)).astype(np.float32)
    for scale in (1.0, 1.5):
        state = {name: tensor * scale for name, tensor in network.state_dict().items()}
        network.load_state_dict(state)
        try:
            policy.load(PolicySnapshot(1, 0, tuple(state), tuple(tensor.numpy() for tensor in state.values())))
            with torch.no_grad():
                given = network(torch.from_numpy(obs)).numpy()
            acted = policy.q_values(obs)
        except (ValueError, TypeError, LookupError, RuntimeError) as error:
            raise UserError(
                f"algo.network: {algo.network!r} failed on {NUM_ROWS} observations of {obs_dim} numbers: {error}"
            ) from error
        if given.shape != acted.shape:
            raise UserError(
                f"algo.network: the module of {algo.network!r} returns {given.shape}, and {acted.shape} is wanted"
            )
        apart = float(np.abs(given - acted).max())
        if not apart <= TOLERANCE * max(1.0, float(np.abs(given).max())):
            raise UserError(
                f"algo.network: torch and NumPy of {algo.network!r} do not agree: Q values are up to {apart:.3g} apart "
                "on the same weights and observations; make q_values compute what the module does"
            )
