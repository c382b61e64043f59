"""First weights: their distribution, and that they are a function of the seed alone."""

from __future__ import annotations

import math

import pytest
import torch

from robonav_ray.algo.neighbor_set import NeighborSet
from robonav_ray.algo.networks import make_q_network
from robonav_ray.config.algo import AlgoConfig


@pytest.mark.parametrize(("initializer", "gain", "has_bias"), [("he", 6.0, False), ("lecun", 1.0, True)])
def test_hidden_weights_are_uniform_within_their_bound(initializer, gain, has_bias):
    network = make_q_network(300, 4, AlgoConfig(initializer=initializer, hidden_dims=(200, 100)), seed=3)
    for layer in (*network.hidden, network.head):
        bound = math.sqrt((1.0 if layer is network.head else gain) / layer.in_features)
        weight = layer.weight.detach()
        assert weight.abs().max() <= bound
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.08)
        biggest = layer.bias.detach().abs().max()
        assert (0.3 * bound < biggest <= bound) if has_bias else biggest == 0.0


def test_lecun_is_what_torch_does_by_itself():
    torch.manual_seed(0)
    theirs = torch.nn.Linear(300, 200)
    ours = make_q_network(300, 4, AlgoConfig(initializer="lecun", hidden_dims=(200, 100)), seed=3).hidden[0]
    for mine, other in ((ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        assert mine.abs().max().item() == pytest.approx(other.abs().max().item(), rel=0.05)
        assert mine.std().item() == pytest.approx(other.std().item(), rel=0.1)


def test_weights_are_a_function_of_the_seed_alone():
    algo = AlgoConfig(initializer="lecun")
    torch.manual_seed(1)
    first = make_q_network(8, 3, algo, seed=5).state_dict()
    torch.manual_seed(2)
    second, other = make_q_network(8, 3, algo, seed=5).state_dict(), make_q_network(8, 3, algo, seed=6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("encoder", ["deep_set", "attention"])
def test_what_is_pooled_begins_small(encoder):
    form = NeighborSet(6, 5, 8)
    algo = AlgoConfig(encoder=encoder, set_dims=(100, 80))
    items = make_q_network(form.size, 4, algo, 3, form).items
    assert items is not None
    small = [items.layers[1]] if items.query is None else [items.layers[1], items.query]
    for layer in (items.layers[0], *small):
        assert isinstance(layer, torch.nn.Linear)
        bound = math.sqrt((1.0 if layer in small else 6.0) / layer.in_features)
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()
