"""Neighbours are a set: neither their order nor the number of those that are absent changes anything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robonav_ray.algo.lidar_ring import LidarRing
from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.algo.network_graph import network_graph
from robonav_ray.algo.networks import make_q_network
from robonav_ray.algo.policy import Policy
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.evaluation.entrants import PolicyEntrant
from robonav_ray.evaluation.exam_table import EntrantFacts
from robonav_ray.records import PolicySnapshot

OWN, ITEM, NUM_ACTIONS, ROWS = 4, 5, 7, 61
ENCODERS = ("deep_set", "attention")


def neighbors(num_items: int) -> NeighborSet:
    return NeighborSet(OWN, num_items, ITEM, presence=2)


def make(encoder: str, num_items: int):
    """A network of the same weights for any number of items, and the policy that acts with it."""
    algo = AlgoConfig(encoder=encoder, set_dims=(16, 12), hidden_dims=(24,), initializer="lecun")  # type: ignore[arg-type]
    form = neighbors(num_items)
    network = make_q_network(form.size, NUM_ACTIONS, algo, 3, form)
    policy, state = Policy(form.size, NUM_ACTIONS, algo, form), network.state_dict()
    policy.load(PolicySnapshot(1, 0, tuple(state), tuple(t.numpy().copy() for t in state.values())))
    return network, policy


def some_rows(num_items: int):
    """Own parts, and items of which each row has another number, from none to all."""
    rng = np.random.default_rng(0)
    own = rng.standard_normal((ROWS, OWN)).astype(np.float32)
    item = rng.standard_normal((ROWS, num_items, ITEM)).astype(np.float32)
    item[:, :, 2] = 0.1 + np.abs(item[:, :, 2])
    item[np.arange(num_items)[None] >= (np.arange(ROWS) % (num_items + 1))[:, None]] = 0.0
    return own, item


def flat(own, item):
    return np.concatenate((own, item.reshape(len(item), -1)), axis=1)


def torch_q(network, obs):
    with torch.inference_mode():
        return network.q_values(torch.from_numpy(obs)).numpy()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_order_means_nothing(encoder):
    network, policy = make(encoder, 9)
    own, item = some_rows(9)
    q, of_torch = policy.q_values(flat(own, item)), torch_q(network, flat(own, item))
    assert q.std() > 0.01
    np.testing.assert_allclose(q, of_torch, rtol=1e-5, atol=1e-5)
    rng = np.random.default_rng(1)
    for _ in range(20):
        shuffled = flat(own, rng.permuted(item.view("V20"), axis=1).view(np.float32).reshape(item.shape))
        if encoder == "deep_set":  # sums of float64 are the same float32 in any order
            np.testing.assert_array_equal(policy.q_values(shuffled), q)
        np.testing.assert_allclose(policy.q_values(shuffled), q, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(torch_q(network, shuffled), of_torch, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_absent_ones_mean_nothing_however_many(encoder):
    network, policy = make(encoder, 9)
    own, item = some_rows(9)
    q, of_torch = policy.q_values(flat(own, item)), torch_q(network, flat(own, item))
    for more in (1, 6, 40):
        wider = flat(own, np.concatenate((np.zeros((ROWS, more, ITEM), np.float32), item), axis=1))
        made_for_it = make(encoder, 9 + more)
        for wide_network, wide_policy in ((network, policy), made_for_it):
            np.testing.assert_array_equal(wide_policy.q_values(wider), q)
            np.testing.assert_allclose(torch_q(wide_network, wider), of_torch, rtol=1e-6, atol=1e-6)
    few = np.arange(ROWS) % 10 <= 3  # rows whose items stand in the first three places
    np.testing.assert_array_equal(policy.q_values(flat(own, item[:, :3])[few]), q[few])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_row_without_neighbours_is_zeros_behind_the_own_part(encoder):
    network, policy = make(encoder, 3)
    own, _ = some_rows(3)
    alone = flat(own, np.zeros((ROWS, 3, ITEM), np.float32))
    assert network.items is not None
    with torch.inference_mode():
        encoded = network.items(torch.from_numpy(alone)).numpy()
    np.testing.assert_array_equal(encoded[:, :OWN], own)
    assert (encoded[:, OWN:] == 0.0).all()
    np.testing.assert_allclose(policy.q_values(alone), torch_q(network, alone), rtol=1e-5, atol=1e-5)
    network(torch.from_numpy(alone)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_neighbour_counts(encoder):
    _, policy = make(encoder, 4)
    own, item = some_rows(4)
    item[:] = item[4]
    q = policy.q_values(flat(own, item))
    for i in range(4):
        moved = item.copy()
        moved[:, i, 0] += 2.0
        assert (np.abs(policy.q_values(flat(own, moved)) - q).max(axis=1) > 1e-4).mean() > 0.9


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_the_first_hidden_layer_makes_of_it_has_the_same_bits_in_every_batch(encoder):
    _, policy = make(encoder, 5)
    obs = flat(*some_rows(5))
    whole = policy.representation(obs)
    assert whole.shape == (ROWS, 24)
    for size in (1, 7, 20):
        np.testing.assert_array_equal(policy.representation(obs[3 : 3 + size]), whole[3 : 3 + size])
    assert policy.q_values(obs[:0]).shape == (0, NUM_ACTIONS)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_graph_names_the_layers_of_the_items(encoder):
    algo = AlgoConfig(encoder=encoder, set_dims=(8, 8), hidden_dims=(16,))  # type: ignore[arg-type]
    form = neighbors(3)
    nodes = {node["name"]: node for node in network_graph(form.size, NUM_ACTIONS, algo, form)["nodes"]}
    assert nodes["items.layers.0.weight"]["shape"] == [8, OWN + ITEM]
    assert ("items.query.weight" in nodes) == (encoder == "attention")
    assert nodes["hidden.0.weight"]["shape"] == [16, OWN + algo.pooled_dim]


def test_one_form_fits_any_number_of_items():
    _, policy = make("attention", 3)
    assert [d for d in range(30) if policy.takes(d)] == [9, 14, 19, 24, 29]
    entrant = PolicyEntrant(
        facts=EntrantFacts("a", "policy", "true state", "a", 0, "a"), outfit=None, fingerprint="", policy=policy
    )
    assert entrant.refusal(29, NUM_ACTIONS) is None
    assert entrant.refusal(28, NUM_ACTIONS) is not None
    with pytest.raises(ValueError, match="28 columns, and not 4 and a multiple of 5"):
        policy.q_values(np.zeros((2, 28), np.float32))
    assert not Policy(9, 3, AlgoConfig()).takes(14)
    with pytest.raises(ValueError, match=r"algo\.encoder=deep_set needs a set of neighbours"):
        make_q_network(40, 3, AlgoConfig(encoder="deep_set"), 0, LidarRing(0, 1, 36))
