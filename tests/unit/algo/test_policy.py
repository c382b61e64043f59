"""Acting: equal to the network that is trained, strict, and independent of the company in the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robonav_ray.algo.networks import make_q_network
from robonav_ray.algo.policy import Policy, parameter_shapes
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.records import PolicySnapshot
from tests.oracles_algo import naive_forward


def snapshot_of(network, version=1):
    state = network.state_dict()
    return PolicySnapshot(version, 0, tuple(state), tuple(t.numpy().copy() for t in state.values()))


def make(dueling=True, obs_dim=122, num_actions=15, hidden=(256, 256), seed=3):
    algo = AlgoConfig(dueling=dueling, hidden_dims=hidden)
    network = make_q_network(obs_dim, num_actions, algo, seed)
    policy = Policy(obs_dim, num_actions, algo)
    policy.load(snapshot_of(network))
    return algo, network, policy


@pytest.mark.parametrize("dueling", [True, False])
@pytest.mark.parametrize("hidden", [(16,), (24, 40, 8)])
def test_network_and_policy_equal_the_oracle(dueling, hidden):
    algo, network, policy = make(dueling, 7, 5, hidden)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.from_numpy(rng.standard_normal(tuple(parameter.shape)).astype(np.float32))
    policy.load(snapshot_of(network, 2))
    obs = rng.standard_normal((31, 7)).astype(np.float32)
    expected = naive_forward({k: v.numpy() for k, v in network.state_dict().items()}, obs, dueling)
    with torch.inference_mode():
        np.testing.assert_allclose(network(torch.from_numpy(obs)).numpy(), expected, rtol=2e-4, atol=2e-5)
    q = policy.q_values(obs)
    assert q.dtype == np.float32
    np.testing.assert_allclose(q, expected, rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(policy.greedy(obs), q.argmax(1))
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == parameter_shapes(7, 5, algo)


def test_a_row_has_the_same_bits_in_every_batch():
    _, _, policy = make()
    obs = np.random.default_rng(1).standard_normal((256, 122)).astype(np.float32)
    whole = policy.q_values(obs)
    for size in (1, 2, 3, 5, 8, 12, 17, 32, 64, 100, 128):
        for start in range(0, 256 - size + 1, size):
            np.testing.assert_array_equal(policy.q_values(obs[start : start + size]), whole[start : start + size])
    np.testing.assert_array_equal(policy.q_values(obs[::-1])[::-1], whole)


def test_results_are_not_overwritten_by_the_next_call():
    _, _, policy = make(obs_dim=4, hidden=(8,))
    obs = np.random.default_rng(1).standard_normal((12, 4)).astype(np.float32)
    first = policy.q_values(obs)
    kept = first.copy()
    policy.q_values(obs * 2)
    np.testing.assert_array_equal(first, kept)


def test_init_is_a_function_of_the_seed_alone():
    before = torch.random.get_rng_state()
    a, b, c = (make_q_network(9, 4, AlgoConfig(), seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["hidden.0.weight"], c["hidden.0.weight"])


def test_wrong_weights_are_refused_and_nothing_changes():
    _, network, policy = make(obs_dim=6, hidden=(8,))
    obs = np.ones((2, 6), np.float32)
    before = policy.q_values(obs)
    other = make_q_network(7, 15, AlgoConfig(hidden_dims=(8,)), 0)
    with pytest.raises(ValueError, match=r"hidden\.0\.weight"):
        policy.load(snapshot_of(other, 9))
    missing = snapshot_of(network, 9)
    with pytest.raises(ValueError, match=r"head\.bias"):
        policy.load(PolicySnapshot(9, 0, missing.names[:-1], missing.arrays[:-1]))
    assert policy.version == 1
    np.testing.assert_array_equal(policy.q_values(obs), before)
