"""The histograms of a learner: what they count, and that to count changes nothing."""

import numpy as np
import torch

from robonav_ray.commands import Command, Describe, Described
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.learner.distributions import NUM_BINS
from robonav_ray.learner.state import LearnerState
from robonav_ray.learner.update import Update
from tests.fakes import FakeReplay
from tests.unit.learner.conftest import CONFIG, NUM_ACTIONS, OBS_DIM, make_bench


def test_weights_gradients_q_values_and_td_errors_are_counted() -> None:
    algo = AlgoConfig(hidden_dims=(16,), noisy=True)
    state, replay = LearnerState(OBS_DIM, NUM_ACTIONS, algo, CONFIG, 0), FakeReplay(OBS_DIM, NUM_ACTIONS)
    update = Update(state, algo, CONFIG, replay.spec)
    names = [name for name, _ in state.online.named_parameters()]
    assert [h.name for h in update.histograms()] == [f"learner/weights/{name}" for name in names], "before an update"
    (sample,) = replay.sample(CONFIG.batch_size, 1)
    error = update(sample)
    assert error is not None
    state.online.hidden[0].eval()  # as a user's module may hold a part of itself still
    before, generator = {n: t.clone() for n, t in state.tensors().items()}, torch.get_rng_state()
    found = {h.name: h for h in update.histograms()}
    for name, parameter in state.online.named_parameters():
        weights, gradients = found.pop(f"learner/weights/{name}"), found.pop(f"learner/gradients/{name}")
        assert weights.counts.sum() == gradients.counts.sum() == parameter.numel()
        assert weights.edges[0] == parameter.min().item()
        assert parameter.grad is not None
        assert gradients.edges[-1] == parameter.grad.max().item()
    q, errors = found.pop("learner/q_values"), found.pop("learner/td_error")
    assert not found
    np.testing.assert_array_equal(errors.counts, np.histogram(error.astype(np.float64), NUM_BINS)[0])
    with torch.no_grad():
        expected = state.online.q_values(torch.from_numpy(sample.columns[0].copy()))
    np.testing.assert_allclose(q.edges[[0, -1]], [expected.min(), expected.max()], rtol=1e-6)
    assert q.counts.sum() == CONFIG.batch_size * NUM_ACTIONS
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(t, before[n]) for n, t in state.tensors().items())
    modes = [module.training for module in state.online.hidden]
    assert (state.online.training, modes) == (True, [False]), "each module trains, or not, as before"


def test_it_is_a_command_of_the_mailbox() -> None:
    bench = make_bench([Command(7, Describe())])
    bench.loop.run()
    answer = bench.commands.answers[7]
    assert isinstance(answer, Described)
    assert "learner/weights/head.weight" in {h.name for h in answer.histograms}
