"""Every variant's losses against a slow composition of the equations, and what they promise their callers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robonav_ray.algo.networks import make_q_network
from robonav_ray.algo.objective import Batch, make_objective
from robonav_ray.algo.update_draws import NO_DRAWS
from tests.oracles_algo import (
    naive_huber,
    naive_iqn,
    naive_layers,
    naive_log_policy,
    naive_munchausen_value,
    naive_projection,
    naive_quantile_huber,
    naive_softmax,
    naive_td_target,
)
from tests.unit.algo.variants import NUM_ACTIONS, OBS_DIM, VARIANTS, structure_for

CPU = torch.device("cpu")
NUM_ROWS = 6


def networks(algo):
    online, target = (make_q_network(OBS_DIM, NUM_ACTIONS, algo, seed, structure_for(algo)) for seed in (1, 2))
    return online, target.requires_grad_(False)


def make_batch(num_rows=NUM_ROWS):
    rng = np.random.default_rng(0)
    return Batch(
        torch.from_numpy(rng.standard_normal((num_rows, OBS_DIM)).astype(np.float32)),
        torch.from_numpy(rng.integers(0, NUM_ACTIONS, num_rows)),
        torch.from_numpy(rng.standard_normal(num_rows).astype(np.float32)),
        torch.from_numpy(rng.standard_normal((num_rows, OBS_DIM)).astype(np.float32)),
        torch.from_numpy(np.where(rng.random(num_rows) < 0.3, 0.0, 0.97).astype(np.float32)),
        torch.ones(num_rows),
    )


class NaiveAgent:
    """A network's distribution and Q, by the oracles alone."""

    def __init__(self, network, algo, noise):
        self.arrays = {k: v.detach().numpy() for k, v in network.state_dict().items()}
        self.algo, self.noise = algo, noise.numpy() if algo.noisy else None

    def values(self, obs, tau=None):
        """(B, A, Z): logits, quantile values or Q."""
        x = naive_layers(self.arrays, obs, self.algo, self.noise, structure_for(self.algo))
        if self.algo.distribution == "iqn":
            if self.noise is None:
                return naive_iqn(self.arrays, x, tau, NUM_ACTIONS, self.algo.dueling)
            arrays = dict(self.arrays)
            of_input, of_output = np.split(self.noise[-sum(arrays["head.weight"].shape) :], [x.shape[1]])
            arrays["head.weight"] = arrays["head.weight"] + arrays["head.weight_sigma"] * np.outer(of_output, of_input)
            arrays["head.bias"] = arrays["head.bias"] + arrays["head.bias_sigma"] * of_output
            return naive_iqn(arrays, x, tau, NUM_ACTIONS, self.algo.dueling)
        x = x.reshape(len(x), -1, self.algo.values_per_action)
        return x[:, :1] + x[:, 1:] - x[:, 1:].mean(1, keepdims=True) if self.algo.dueling else x

    def q(self, obs):
        if self.algo.distribution == "iqn":
            k = self.algo.num_acting_tau
            return self.values(obs, np.broadcast_to((np.arange(k) + 0.5) / k, (len(obs), k))).mean(2)
        values = self.values(obs)
        if self.algo.distribution == "c51":
            support = np.linspace(self.algo.v_min, self.algo.v_max, self.algo.num_atoms)
            return np.array([[naive_softmax(a) @ support for a in row] for row in values])
        return values.mean(2)


def naive_rows(algo, online, target, batch, draws):
    """(loss, td_error) of every row, one row at a time."""
    obs, action, reward, next_obs, discount, _ = (t.numpy() for t in batch)
    here, chooser, ahead = (NaiveAgent(n, algo, draws.noise[i]) for i, n in enumerate((online, online, target)))
    tau = draws.rows[:, : algo.num_tau].numpy()
    target_tau = draws.rows[:, algo.num_tau : algo.num_tau + algo.num_target_tau].numpy()
    if algo.distribution == "qr":
        tau = np.broadcast_to(
            (np.arange(algo.num_quantiles) + 0.5) / algo.num_quantiles, (NUM_ROWS, algo.num_quantiles)
        )
    values, next_values, next_q = here.values(obs, tau), ahead.values(next_obs, target_tau), ahead.q(next_obs)
    best = (chooser if algo.double else ahead).q(next_obs).argmax(1)
    temperature = algo.munchausen_tau
    if algo.munchausen:
        policies = [naive_log_policy(row, temperature) for row in ahead.q(obs)]
        reward = reward + [
            algo.munchausen_alpha * max(policy[a], algo.munchausen_clip)
            for policy, a in zip(policies, action, strict=True)
        ]
    loss, error = [], []
    for b in range(NUM_ROWS):
        mine, theirs = values[b, action[b]], next_values[b, best[b]]
        if algo.distribution == "c51":
            goal = naive_projection(
                reward[b : b + 1], discount[b : b + 1], naive_softmax(theirs)[None], algo.v_min, algo.v_max
            )[0]
            loss.append(
                sum(m * (np.log(m) - np.log(p)) for m, p in zip(goal, naive_softmax(mine), strict=True) if m > 0)
            )
            error.append(loss[-1])
            continue
        if algo.distribution == "none":
            y = naive_td_target(
                reward[b : b + 1], discount[b : b + 1], [chooser.q(next_obs)[b]], [next_q[b]], algo.double
            )[0]
            if algo.munchausen:
                y = reward[b] + discount[b] * naive_munchausen_value(next_q[b], temperature)
            error.append(y - mine[0])
            loss.append(naive_huber(error[-1], algo.huber_delta))
            continue
        if algo.munchausen:
            log_policy = naive_log_policy(next_q[b], temperature)
            theirs = (np.exp(log_policy / temperature)[:, None] * (next_values[b] - log_policy[:, None])).sum(0)
        goal = reward[b] + discount[b] * theirs
        error.append(goal.mean() - mine.mean())
        loss.append(naive_quantile_huber(mine, tau[b], goal, algo.huber_delta))
    return np.array(loss), np.array(error)


@pytest.mark.parametrize("name", [name for name, algo in VARIANTS.items() if not algo.dropout])
def test_rows_are_the_published_ones(name):
    algo = VARIANTS[name]
    online, target = networks(algo)
    batch, objective = make_batch(), make_objective(algo)
    draws = objective.draw(online, 3, 8, NUM_ROWS, CPU)
    rows = objective.rows(online, online, target, batch, draws)
    loss, error = naive_rows(algo, online, target, batch, draws)
    np.testing.assert_allclose(rows.loss.detach().numpy(), loss, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(rows.td_error.numpy(), error, rtol=2e-4, atol=2e-5)
    assert rows.loss.requires_grad
    assert not rows.td_error.requires_grad
    assert rows.q.shape == (NUM_ROWS,)


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_reach_every_parameter_and_only_the_online_network(name):
    algo = VARIANTS[name]
    online, target = networks(algo)
    objective = make_objective(algo)
    batch = make_batch(64)
    draws = objective.draw(online, 3, 8, 64, CPU)
    objective.rows(online, online, target, batch, draws).loss.mean().backward()
    for key, parameter in online.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().sum() > 0, key
    assert all(p.grad is None for p in target.parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_parts_of_a_batch_are_the_batch(name):
    """Micro-batches take their rows of the draws; so accumulated gradients are those of the whole batch."""
    algo = VARIANTS[name]
    online, target = networks(algo)
    batch, objective = make_batch(), make_objective(algo)
    draws = objective.draw(online, 3, 8, NUM_ROWS, CPU)
    whole = objective.rows(online, online, target, batch, draws)
    for start, stop in ((0, 2), (2, 6)):
        part = objective.rows(online, online, target, Batch(*(t[start:stop] for t in batch)), draws.part(start, stop))
        torch.testing.assert_close(part.loss, whole.loss[start:stop], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(part.td_error, whole.td_error[start:stop], rtol=1e-4, atol=1e-5)


def test_only_what_draws_is_drawn_for():
    for name, algo in VARIANTS.items():
        online, _ = networks(algo)
        draws = make_objective(algo).draw(online, 0, 0, 4, CPU)
        drawing = algo.noisy or algo.distribution == "iqn" or algo.dropout > 0
        assert (draws is NO_DRAWS) == (not drawing), name


def test_dropout_leaves_units_out_of_the_gradient_pass_only():
    algo = VARIANTS["double_dueling"].model_copy(update={"dropout": 0.5})
    online, target = networks(algo)
    batch, objective = make_batch(2000), make_objective(algo)
    some, other = (objective.draw(online, 3, step, 2000, CPU) for step in (1, 2))
    a, b, again = (objective.rows(online, online, target, batch, d) for d in (some, other, some))
    assert torch.equal(a.loss, again.loss)
    assert not torch.equal(a.loss, b.loss)
    calm = objective.rows(online, online, target, batch, type(some)(torch.full_like(some.rows, 0.999), some.noise))
    keep = torch.full((1, online.num_dropout), 2.0)
    np.testing.assert_allclose(
        calm.q.numpy(), online(batch.obs, None, None, keep).detach().mean(1).numpy(), rtol=1e-5, atol=1e-6
    )
