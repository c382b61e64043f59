"""Each variant learns what is known: the values of a chain, and the distribution of a return that is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robonav_ray.algo.losses import polyak_update
from robonav_ray.algo.networks import QNetwork, make_q_network
from robonav_ray.algo.objective import Batch, make_objective
from robonav_ray.algo.policy import Policy
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.learner.accumulation import begin_gradients
from robonav_ray.learner.adam import Adam
from robonav_ray.records import PolicySnapshot
from tests.oracles_algo import naive_log_policy, naive_munchausen_value

LENGTH, GAMMA = 5, 0.9
C51 = {"distribution": "c51", "num_atoms": 21, "v_min": -0.5, "v_max": 1.5}
SWITCHES = {
    "dqn": {"double": False, "dueling": False},
    "double_dueling": {},
    "c51": {**C51, "double": False, "dueling": False},
    "qr": {"distribution": "qr", "num_quantiles": 8, "double": False, "dueling": False},
    "iqn": {"distribution": "iqn", "tau_embedding_dim": 16},
    "noisy": {"noisy": True},
    "rainbow": {**C51, "noisy": True},
    "munchausen": {"munchausen": True, "double": False},
    "munchausen_qr": {"munchausen": True, "double": False, "distribution": "qr", "num_quantiles": 8},
    "munchausen_iqn": {"munchausen": True, "double": False, "distribution": "iqn", "tau_embedding_dim": 16},
    "layer_norm": {"layer_norm": True},
    "dropout": {"dropout": 0.05},
}


def chain():
    """Five cells; right of the last pays 1 and ends. All ten transitions: (cell, action, reward, next cell,
    discount)."""
    cell, action = (a.ravel() for a in np.meshgrid(np.arange(LENGTH), np.arange(2), indexing="ij"))
    to = np.clip(cell + np.where(action == 1, 1, -1), 0, LENGTH)
    return cell, action, (to == LENGTH).astype(np.float32), to, np.where(to == LENGTH, 0.0, GAMMA).astype(np.float32)


def true_q(algo: AlgoConfig) -> np.ndarray:
    """(5, 2) by value iteration; with the log-policy as a reward for Munchausen (Vieillard et al. 2020, eq. 2)."""
    q = np.zeros((LENGTH + 1, 2))
    for _ in range(400):
        new = q.copy()
        for cell, action, reward, to, discount in zip(*chain(), strict=True):
            if algo.munchausen:
                tau = algo.munchausen_tau
                bonus = algo.munchausen_alpha * max(naive_log_policy(q[cell], tau)[action], algo.munchausen_clip)
                new[cell, action] = reward + bonus + discount * naive_munchausen_value(q[to], tau)
            else:
                new[cell, action] = reward + discount * q[to].max()
        q = new
    return q[:LENGTH]


def train(algo: AlgoConfig, batches, obs_dim: int, num_actions: int, num_steps: int, learning_rate: float) -> QNetwork:
    """Minimise the objective on ``batches(step)`` with Adam at a falling rate and a slow target."""
    online, target = (make_q_network(obs_dim, num_actions, algo, 0) for _ in range(2))
    target.requires_grad_(False)
    objective, optimizer = make_objective(algo), Adam(online.parameters(), learning_rate, 1e-8)
    for step in range(num_steps):
        batch = batches(step)
        begin_gradients(online.parameters(), in_place=False)
        optimizer.learning_rate = learning_rate * (1.0 - step / num_steps)
        draws = objective.draw(online, 0, step, len(batch.reward), torch.device("cpu"))
        objective.rows(online, online, target, batch, draws).loss.mean().backward()
        optimizer.step()
        polyak_update(target.parameters(), online.parameters(), 0.05)
    return online


def q_of(network: QNetwork, algo: AlgoConfig, obs: np.ndarray) -> np.ndarray:
    """As a worker has it: the published weights, without torch."""
    state = network.state_dict()
    policy = Policy(obs.shape[1], network.num_actions, algo)
    policy.load(PolicySnapshot(1, 0, tuple(state), tuple(t.numpy().copy() for t in state.values())))
    return policy.q_values(obs)


@pytest.mark.parametrize("name", SWITCHES)
def test_every_variant_learns_the_chain(name):
    algo = AlgoConfig(**{"hidden_dims": (32,), "gamma": GAMMA, **SWITCHES[name]})
    cell, action, reward, to, discount = chain()
    one_hot = np.eye(LENGTH + 1, dtype=np.float32)
    batch = Batch(
        torch.from_numpy(np.tile(one_hot[cell], (2, 1))), torch.from_numpy(np.tile(action, 2)),
        torch.from_numpy(np.tile(reward, 2)), torch.from_numpy(np.tile(one_hot[to], (2, 1))),
        torch.from_numpy(np.tile(discount, 2)), torch.ones(2 * len(cell)),
    )  # fmt: skip
    network = train(algo, lambda _: batch, LENGTH + 1, 2, 900, 5e-3)
    q = q_of(network, algo, one_hot[:LENGTH])
    np.testing.assert_allclose(q, true_q(algo), atol=0.08 if algo.noisy or algo.dropout else 0.04)
    assert (q.argmax(1) == 1).all(), "right is best in every cell"


@pytest.mark.parametrize("distribution", ["c51", "qr", "iqn"])
def test_the_distribution_of_a_drawn_return_is_learned(distribution):
    """Action 0 pays -1 or 1, action 1 pays 0 or .5 or 1, evenly; one step, then the end."""
    algo = AlgoConfig(
        hidden_dims=(32,), distribution=distribution, dueling=False,
        **({"num_atoms": 9, "v_min": -2.0, "v_max": 2.0} if distribution == "c51" else {"huber_delta": 0.05}),
        **({"num_quantiles": 12} if distribution == "qr" else {}),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    obs = torch.ones(128, 1)

    def batches(_):
        action = rng.integers(0, 2, 128)
        reward = np.where(action == 0, rng.choice([-1.0, 1.0], 128), rng.choice([0.0, 0.5, 1.0], 128)).astype(
            np.float32
        )
        return Batch(obs, torch.from_numpy(action), torch.from_numpy(reward), obs, torch.zeros(128), torch.ones(128))

    network = train(algo, batches, 1, 2, 700, 1e-2)
    tau = (torch.arange(12.0) + 0.5).unsqueeze(0) / 12
    with torch.inference_mode():
        outputs = network(obs[:1], tau if distribution == "iqn" else None)[0]
        if distribution == "c51":
            expected = np.zeros((2, 9))
            expected[0, [2, 6]], expected[1, [4, 5, 6]] = 1 / 2, 1 / 3
            np.testing.assert_allclose(torch.softmax(outputs, 1).numpy(), expected, atol=0.06)
        else:
            # Away from the steps of the inverse distribution function.
            np.testing.assert_allclose(outputs[0].numpy()[[1, 3, 8, 10]], [-1, -1, 1, 1], atol=0.2)
            np.testing.assert_allclose(outputs[1].numpy()[[1, 2, 5, 6, 9, 10]], [0, 0, 0.5, 0.5, 1, 1], atol=0.2)
    np.testing.assert_allclose(q_of(network, algo, np.ones((1, 1), np.float32))[0], [0.0, 0.5], atol=0.12)
