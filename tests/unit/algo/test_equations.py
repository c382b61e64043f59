"""Every equation against its slow twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robonav_ray.algo import losses
from robonav_ray.algo.networks import dueling_mix
from tests.oracles_algo import bootstrap_discount, initial_priority, n_step_return, naive_huber, naive_td_target


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {
        "reward": rng.standard_normal(20).astype(np.float32),
        "discount": np.where(rng.random(20) < 0.3, 0.0, 0.97).astype(np.float32),
        "online": rng.standard_normal((20, 4)).astype(np.float32),
        "target": rng.standard_normal((20, 4)).astype(np.float32),
        "action": rng.integers(0, 4, 20),
    }


def tensors(batch, *names):
    return [torch.from_numpy(batch[name]) for name in names]


@pytest.mark.parametrize("double", [True, False])
def test_targets(batch, double):
    reward, discount, online, target = tensors(batch, "reward", "discount", "online", "target")
    got = (
        losses.double_q_target(reward, discount, online, target)
        if double
        else losses.q_target(reward, discount, target)
    )
    expected = naive_td_target(batch["reward"], batch["discount"], batch["online"], batch["target"], double)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_td_error_is_target_minus_value(batch):
    got = losses.td_error(*tensors(batch, "online", "action", "reward"))
    np.testing.assert_allclose(
        got.numpy(), batch["reward"] - batch["online"][np.arange(20), batch["action"]], rtol=1e-6
    )


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_huber_and_its_slope(delta):
    error = torch.linspace(-5, 5, 41, requires_grad=True)
    loss = losses.huber_loss(error, delta)
    np.testing.assert_allclose(
        loss.detach().numpy(), [naive_huber(float(e), delta) for e in error.detach()], rtol=1e-5, atol=1e-7
    )
    (slope,) = torch.autograd.grad(loss.sum(), error)
    np.testing.assert_allclose(slope.numpy(), np.clip(error.detach().numpy(), -delta, delta), rtol=1e-6)


def test_target_updates():
    online, target = [torch.ones(3), torch.full((2, 2), 4.0)], [torch.zeros(3), torch.zeros(2, 2)]
    losses.polyak_update(target, online, 0.25)
    assert target[0].tolist() == [0.25] * 3
    assert torch.equal(target[1], torch.ones(2, 2))
    losses.hard_update(target, online)
    assert torch.equal(target[0], online[0])
    assert target[0].data_ptr() != online[0].data_ptr()


def test_dueling_mix_is_value_plus_centred_advantage():
    parts = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    expected = parts[:, :1] + parts[:, 1:] - parts[:, 1:].mean(1, keepdim=True)
    torch.testing.assert_close(parts @ dueling_mix(4).T, expected)


def test_returns_and_priorities():
    reward = np.float32([1.0, -2.0, 4.0])
    assert n_step_return(reward, 0.5) == pytest.approx(1.0)
    np.testing.assert_allclose(
        bootstrap_discount(np.array([1, 3, 2]), np.array([False, False, True]), 0.9), np.float32([0.9, 0.729, 0.0])
    )
    got = initial_priority(np.float32([1.0]), np.float32([0.5]), np.float32([4.0]), np.float32([5.0]))
    assert got.tolist() == [2.0]
