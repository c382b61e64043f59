"""Projection, quantile loss and Munchausen terms: against loops, and against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robonav_ray.algo import categorical, munchausen, quantile, update_draws
from tests.oracles_algo import (
    naive_log_policy,
    naive_munchausen_value,
    naive_projection,
    naive_quantile_huber,
    naive_softmax,
)


def rng():
    return np.random.default_rng(0)


def tensor(array):
    return torch.from_numpy(np.asarray(array, np.float32))


def distributions(num_rows, num_atoms):
    return np.stack([naive_softmax(row) for row in rng().standard_normal((num_rows, num_atoms)) * 2]).astype(np.float32)


@pytest.mark.parametrize(("num_atoms", "v_min", "v_max"), [(2, -1.0, 1.0), (11, -2.0, 3.0), (51, -10.0, 10.0)])
def test_projection_is_the_published_one(num_atoms, v_min, v_max):
    reward = (rng().standard_normal(40) * 3).astype(np.float32)
    discount = np.where(rng().random(40) < 0.3, 0.0, 0.97).astype(np.float32)
    p = distributions(40, num_atoms)
    got = categorical.categorical_projection(tensor(reward), tensor(discount), tensor(p), v_min, v_max).numpy()
    np.testing.assert_allclose(got, naive_projection(reward, discount, p, v_min, v_max), rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(got.sum(1), 1.0, rtol=1e-5)
    assert (got >= 0).all()


def test_projection_keeps_the_mean_inside_the_support():
    p = distributions(30, 21)
    reward, discount = rng().uniform(-0.5, 0.5, 30), np.full(30, 0.9)
    support = np.linspace(-10, 10, 21)
    got = categorical.categorical_projection(tensor(reward), tensor(discount), tensor(p), -10.0, 10.0).numpy()
    np.testing.assert_allclose(got @ support, reward + discount * (p @ support), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (0.0, [0.0, 0.0, 1.0, 0.0, 0.0]),  # a terminal return on an atom stays there
        (0.25, [0.0, 0.0, 0.75, 0.25, 0.0]),  # between two atoms it is shared
        (9.0, [0.0, 0.0, 0.0, 0.0, 1.0]),  # outside it is clipped
        (-2.0, [1.0, 0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_projection_of_a_terminal_return(reward, expected):
    p = torch.full((1, 5), 0.2)
    got = categorical.categorical_projection(tensor([reward]), tensor([0.0]), p, -2.0, 2.0)
    torch.testing.assert_close(got, torch.tensor([expected]))


def test_projection_onto_itself_changes_nothing():
    p = distributions(10, 51)
    got = categorical.categorical_projection(torch.zeros(10), torch.ones(10), tensor(p), -10.0, 10.0)
    np.testing.assert_allclose(got.numpy(), p, atol=2e-6)


def test_categorical_loss_is_the_divergence_with_the_slope_of_the_cross_entropy():
    goal = distributions(12, 7)
    logits = torch.randn(12, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = categorical.categorical_loss(torch.log_softmax(logits, 1), tensor(goal))
    p = np.stack([naive_softmax(row) for row in logits.detach().numpy()])
    np.testing.assert_allclose(loss.detach().numpy(), (goal * np.log(goal / p)).sum(1), rtol=1e-4, atol=1e-5)
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    np.testing.assert_allclose(slope.numpy(), p - goal, atol=1e-5)
    zero = torch.tensor([[0.0, 1.0]])
    assert torch.isfinite(categorical.categorical_loss(torch.log_softmax(torch.zeros(1, 2), 1), zero)).all()
    assert float(categorical.categorical_loss(torch.tensor([[-30.0, 0.0]]), zero)) == pytest.approx(0.0)


def test_categorical_mean():
    logits = rng().standard_normal((4, 3, 11)).astype(np.float32)
    expected = [[naive_softmax(row) @ np.linspace(-2, 3, 11) for row in rows] for rows in logits]
    np.testing.assert_allclose(
        categorical.categorical_mean(tensor(logits), -2.0, 3.0).numpy(), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kappa", [0.1, 1.0, 2.5])
@pytest.mark.parametrize("drawn", [True, False])
def test_quantile_huber_loss_is_the_published_one(kappa, drawn):
    theta, goal = rng().standard_normal((9, 5)) * 2, rng().standard_normal((9, 4)) * 2
    tau = rng().random((9, 5)) if drawn else np.broadcast_to((np.arange(5) + 0.5) / 5, (9, 5))
    leaf = tensor(theta).requires_grad_()
    got = quantile.quantile_huber_loss(leaf, tensor(tau if drawn else tau[0]), tensor(goal), kappa)
    expected = [naive_quantile_huber(*row, kappa) for row in zip(theta, tau, goal, strict=True)]
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=1e-4)
    (slope,) = torch.autograd.grad((got * torch.arange(1.0, 10.0)).sum(), leaf)
    for i in range(5):
        sides = []
        for h in (1e-6, -1e-6):
            moved = theta + h * np.eye(5)[i]
            sides.append(np.array([naive_quantile_huber(*row, kappa) for row in zip(moved, tau, goal, strict=True)]))
        numeric = (sides[0] - sides[1]) / 2e-6 * np.arange(1, 10)
        np.testing.assert_allclose(slope.numpy()[:, i], numeric, rtol=1e-3, atol=1e-4)


def test_quantile_loss_is_least_at_the_quantiles():
    """With a small kappa the minimum over theta is the quantile of the targets: here the quartile midpoints of 0 ..
    99."""
    theta = torch.zeros(1, 4, requires_grad=True)
    goal, tau = torch.arange(100.0).unsqueeze(0), update_draws.midpoints(4)
    optimizer = torch.optim.SGD([theta], lr=30.0)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 30.0 * 0.98**step
        optimizer.zero_grad()
        quantile.quantile_huber_loss(theta, tau, goal, 0.01).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(theta.detach().numpy()[0], [12.0, 37.0, 62.0, 87.0], atol=1.0)


def test_quantile_target():
    got = quantile.quantile_target(tensor([1.0, 2.0]), tensor([0.5, 0.0]), tensor([[2.0, 4.0], [9.0, 9.0]]))
    assert got.tolist() == [[2.0, 3.0], [2.0, 2.0]]


@pytest.mark.parametrize("tau", [0.03, 0.5])
def test_munchausen_terms_are_the_published_ones(tau):
    q, next_q = rng().standard_normal((2, 8, 4)) * 0.3
    action, reward, discount = (
        rng().integers(0, 4, 8),
        rng().standard_normal(8),
        np.where(rng().random(8) < 0.4, 0.0, 0.9),
    )
    got = munchausen.munchausen_target(
        tensor(reward), tensor(discount), tensor(q), torch.from_numpy(action), tensor(next_q), 0.9, tau, -1.0
    ).numpy()
    bonus = [0.9 * min(max(naive_log_policy(row, tau)[a], -1.0), 0.0) for row, a in zip(q, action, strict=True)]
    value = [naive_munchausen_value(row, tau) for row in next_q]
    np.testing.assert_allclose(got, reward + bonus + discount * np.array(value), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        munchausen.soft_value(tensor(next_q), tau).numpy(), tau * np.log(np.exp(next_q / tau).sum(1)), rtol=1e-4
    )


def test_munchausen_bonus_is_clipped_and_never_positive():
    q = tensor([[0.0, 100.0], [100.0, 100.0]])
    got = munchausen.munchausen_bonus(q, torch.tensor([0, 0]), 0.9, 0.03, -1.0)
    np.testing.assert_allclose(got.numpy(), [-0.9, 0.9 * 0.03 * np.log(0.5)], rtol=1e-5)
    assert torch.isfinite(munchausen.scaled_log_policy(q, 1e-3)).all()


def test_soft_quantiles_have_the_soft_value_as_mean():
    next_quantile = rng().standard_normal((6, 3, 5))
    q = next_quantile.mean(2)
    got = munchausen.soft_quantiles(tensor(next_quantile), tensor(q), 0.2).numpy()
    expected = np.zeros((6, 5))
    for b in range(6):
        log_policy = naive_log_policy(q[b], 0.2)
        for a in range(3):
            expected[b] += np.exp(log_policy[a] / 0.2) * (next_quantile[b, a] - log_policy[a])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got.mean(1), munchausen.soft_value(tensor(q), 0.2).numpy(), rtol=1e-4, atol=1e-5)


def test_dropout_keeps_the_mean():
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    mask = update_draws.dropout_mask(uniform, 0.3)
    np.testing.assert_allclose(mask.unique().numpy(), [0.0, 1 / 0.7], rtol=1e-6)
    assert float(mask.mean()) == pytest.approx(1.0, abs=0.02)


def test_draws_are_functions_of_seed_and_step_and_ranks_take_their_rows():
    cpu = torch.device("cpu")
    whole = update_draws.make_draws(3, 7, 5, 11, 8, cpu)
    halves = [update_draws.make_draws(3, 7, 5, 11, 4, cpu, rank, 2) for rank in range(2)]
    assert torch.equal(torch.cat([half.rows for half in halves]), whole.rows)
    assert all(torch.equal(half.noise, whole.noise) for half in halves)
    assert torch.equal(whole.part(2, 5).rows, whole.rows[2:5])
    for other in (update_draws.make_draws(3, 7, 6, 11, 8, cpu), update_draws.make_draws(3, 7, 5, 12, 8, cpu)):
        assert not torch.equal(other.rows, whole.rows)
        assert not torch.equal(other.noise, whole.noise)
    assert not torch.equal(whole.noise[0], whole.noise[1])
