"""Every variant acts as it is trained: without torch, row by row, with and without noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robonav_ray.algo.exploration import exploration_key
from robonav_ray.algo.forward import categorical_means
from robonav_ray.algo.networks import make_q_network
from robonav_ray.algo.policy import Policy, parameter_shapes
from robonav_ray.records import PolicySnapshot
from tests.oracles_algo import naive_softmax
from tests.unit.algo.variants import NUM_ACTIONS, OBS_DIM, RING, SET, VARIANTS, structure_for

KEY = exploration_key(3)
NOISY = [name for name, algo in VARIANTS.items() if algo.noisy]


def make(name):
    """A network whose every parameter differs from its start, and the policy that acts with it."""
    algo = VARIANTS[name]
    network = make_q_network(OBS_DIM, NUM_ACTIONS, algo, 5, structure_for(algo))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    policy = Policy(OBS_DIM, NUM_ACTIONS, algo, structure_for(algo))
    policy.load(snapshot_of(network))
    return network, policy


def snapshot_of(network, version=1):
    state = network.state_dict()
    return PolicySnapshot(version, 0, tuple(state), tuple(t.numpy().copy() for t in state.values()))


def some_obs(num=33):
    return np.random.default_rng(0).standard_normal((num, OBS_DIM)).astype(np.float32)


def torch_q(network, obs, noise=None):
    with torch.inference_mode():
        return network.q_values(
            torch.from_numpy(obs), None if noise is None else torch.from_numpy(noise.copy())
        ).numpy()


@pytest.mark.parametrize("name", VARIANTS)
def test_policy_equals_the_network(name):
    network, policy = make(name)
    obs = some_obs()
    q = policy.q_values(obs)
    assert q.dtype == np.float32
    assert q.std() > 0.01
    np.testing.assert_allclose(q, torch_q(network, obs), rtol=1e-5, atol=1e-5)
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    algo = VARIANTS[name]
    assert shapes == parameter_shapes(OBS_DIM, NUM_ACTIONS, algo, structure_for(algo))


@pytest.mark.parametrize("name", NOISY)
def test_noisy_policy_equals_the_network_under_the_same_noise(name):
    network, policy = make(name)
    obs = some_obs()
    calm = policy.q_values(obs)
    policy.resample_noise(KEY, 17)
    assert policy.noise is not None
    assert policy.noise.shape == (network.num_noise,)
    q = policy.q_values(obs)
    np.testing.assert_allclose(q, torch_q(network, obs, policy.noise), rtol=2e-5, atol=2e-5)
    assert np.abs(q - calm).max() > 0.01


@pytest.mark.parametrize("name", NOISY)
def test_noise_is_a_function_of_key_and_step(name):
    network, policy = make(name)
    _, other = make(name)
    obs = some_obs(8)
    for step in (4, 2, 9):
        policy.resample_noise(KEY, step)
    other.resample_noise(KEY, 9)
    np.testing.assert_array_equal(policy.q_values(obs), other.q_values(obs))
    policy.load(snapshot_of(network, 2))  # newer weights keep the noise of the step
    np.testing.assert_array_equal(policy.q_values(obs), other.q_values(obs))
    other.resample_noise(KEY, 10)
    assert (policy.q_values(obs) != other.q_values(obs)).any()
    other.resample_noise(exploration_key(4), 9)
    assert (policy.q_values(obs) != other.q_values(obs)).any()


def test_noise_is_the_signed_root_of_normal_numbers():
    _, policy = make("rainbow")
    drawn = []
    for step in range(300):
        policy.resample_noise(KEY, step)
        assert policy.noise is not None
        drawn.append(policy.noise.copy())
    normal = np.sign(drawn) * np.square(drawn)
    count = normal.size
    assert abs(normal.mean()) < 4 / np.sqrt(count)
    assert abs(normal.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs((normal**4).mean() - 3) < 4 * np.sqrt(96 / count)
    assert abs(np.corrcoef(normal[:, 0], normal[:, 1])[0, 1]) < 4 / np.sqrt(300)


def test_without_noisy_layers_noise_changes_nothing():
    _, policy = make("double_dueling")
    before = policy.q_values(some_obs())
    policy.resample_noise(KEY, 3)
    assert policy.noise is None
    np.testing.assert_array_equal(policy.q_values(some_obs()), before)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_row_has_the_same_bits_in_every_batch(name):
    _, policy = make(name)
    policy.resample_noise(KEY, 1)
    obs = some_obs(40)
    whole = policy.q_values(obs)
    for size in (1, 3, 8, 13):
        for start in range(0, 40 - size + 1, size):
            np.testing.assert_array_equal(policy.q_values(obs[start : start + size]), whole[start : start + size])
    np.testing.assert_array_equal(policy.q_values(obs[::-1])[::-1], whole)


@pytest.mark.parametrize("name", VARIANTS)
def test_fresh_networks_are_a_function_of_the_seed(name):
    algo = VARIANTS[name]
    before = torch.random.get_rng_state()
    a, b, c = (make_q_network(OBS_DIM, NUM_ACTIONS, algo, seed, structure_for(algo)).state_dict() for seed in (5, 5, 6))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["hidden.0.weight"], c["hidden.0.weight"])


def test_turning_the_robot_turns_what_the_convolutions_see():
    """A ring shifted by one stride of all layers gives the same places, shifted; nothing is lost at the seam."""
    network, _ = make("lidar_conv")
    assert network.conv is not None
    obs = torch.from_numpy(some_obs(4))
    scans = obs[:, 2:38].reshape(4, 3, 12)
    turned = obs.clone()
    turned[:, 2:38] = scans.roll(4, dims=2).reshape(4, 36)
    with torch.inference_mode():
        straight, other = (network.conv(o)[:, :18].reshape(4, 3, 6) for o in (obs, turned))
        rest = network.conv(obs)[:, 18:]
    torch.testing.assert_close(other, straight.roll(1, dims=1))
    torch.testing.assert_close(rest, torch.cat((obs[:, :2], obs[:, 38:]), dim=1))


@pytest.mark.parametrize(
    ("name", "needed"), [("lidar_conv", "a lidar that looks all around"), ("deep_set_alone", "a set of neighbours")]
)
def test_an_encoder_without_its_structure_is_refused(name, needed):
    algo = VARIANTS[name]
    other = SET if algo.encoder == "lidar_conv" else RING
    for structure in (None, other):
        for build in (make_q_network, lambda o, a, algo, seed, part: Policy(o, a, algo, part)):
            with pytest.raises(ValueError, match=rf"algo\.encoder={algo.encoder} needs {needed}.*algo\.encoder=mlp"):
                build(OBS_DIM, NUM_ACTIONS, algo, 0, structure)


def test_means_of_atoms_are_right_for_every_size_of_logits():
    rng = np.random.default_rng(0)
    for scale in (0.01, 1.0, 10.0, 100.0, 1000.0):
        logits = (rng.standard_normal((20, 3 * 51)) * scale).astype(np.float32)
        q = np.empty((20, 3), np.float32)
        categorical_means(logits, -10.0, 10.0, q)
        expected = [[naive_softmax(a) @ np.linspace(-10, 10, 51) for a in row] for row in logits.reshape(20, 3, 51)]
        np.testing.assert_allclose(q, expected, atol=2e-5)
