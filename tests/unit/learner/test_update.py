"""One update against a whole slow one: NumPy forward, numerical gradient, clipping and Adam by the book."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.learner.adam import Adam
from robonav_ray.learner.state import LearnerState
from robonav_ray.learner.update import Update
from tests.fakes import FakeReplay
from tests.oracles_algo import naive_adam_step, naive_forward, naive_huber, naive_td_target


def arrays_of(module):
    return {k: v.detach().numpy().astype(np.float64).copy() for k, v in module.state_dict().items()}


def naive_goal(online, target, sample, algo):
    _, _, reward, next_obs, discount, _ = sample.columns
    next_q = [naive_forward(params, next_obs, algo.dueling) for params in (online, target)]
    return naive_td_target(reward, discount, *next_q, algo.double)


def weighted_huber(params, goal, sample, algo):
    obs, action = sample.columns[0], sample.columns[1]
    q = naive_forward(params, obs, algo.dueling)[np.arange(len(action)), action]
    return float(
        np.mean(
            [
                w * naive_huber(y - v, algo.huber_delta)
                for w, y, v in zip(sample.importance_weight, goal, q, strict=True)
            ]
        )
    )


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("dueling", [True, False])
def test_a_step_is_the_published_one(double, dueling):
    algo = AlgoConfig(hidden_dims=(5,), double=double, dueling=dueling, huber_delta=0.7)
    config = LearnerConfig(batch_size=12, learning_rate=0.01, max_grad_norm=0.05, adam_eps=1e-4, target_tau=0.1)
    state = LearnerState(3, 4, algo, config, seed=1)
    replay = FakeReplay(3, 4, num_rows=40, seed=2)
    replay.columns[0][:, 0] *= 0.02
    replay.columns[3][:, 0] *= 0.02
    update = Update(state, algo, config, replay.spec)
    moments = {k: (np.zeros_like(v), np.zeros_like(v)) for k, v in arrays_of(state.online).items()}
    rng = np.random.default_rng(0)
    for step in range(1, 4):
        (sample,) = replay.sample(12, 1)
        sample.importance_weight[:] = rng.random(12).astype(np.float32)
        params, target = arrays_of(state.online), arrays_of(state.target)
        goal = naive_goal(params, target, sample, algo)
        grads = {}
        for name, value in params.items():
            grads[name] = np.zeros_like(value)
            for index in np.ndindex(value.shape):
                sides = []
                for h in (1e-6, -1e-6):
                    value[index] += h
                    sides.append(weighted_huber(params, goal, sample, algo))
                    value[index] -= h
                grads[name][index] = (sides[0] - sides[1]) / 2e-6
        norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
        assert norm > config.max_grad_norm, "the clipping must be at work"
        for name, value in params.items():
            clipped = grads[name] * config.max_grad_norm / norm
            params[name], *rest = naive_adam_step(value, clipped, *moments[name], step, 0.01, 1e-4)
            moments[name] = tuple(rest)
        q = naive_forward(arrays_of(state.online), sample.columns[0], dueling)[np.arange(12), sample.columns[1]]
        priority = update(sample)
        assert priority is not None
        assert priority.dtype == np.float32
        np.testing.assert_allclose(priority, np.abs(goal - q), rtol=1e-4, atol=1e-5)
        for name, value in arrays_of(state.online).items():
            np.testing.assert_allclose(value, params[name], rtol=2e-3, atol=2e-5, err_msg=name)
            moved = 0.9 * target[name] + 0.1 * value
            np.testing.assert_allclose(arrays_of(state.target)[name], moved, rtol=1e-5, atol=1e-6)
    means = update.take_means()
    assert means is not None
    assert means.grad_norm > config.max_grad_norm
    assert update.take_means() is None


def test_hard_target_copies_at_its_interval():
    algo, config = AlgoConfig(hidden_dims=(4,)), LearnerConfig(batch_size=8, target_update="hard", target_interval=3)
    state, replay = LearnerState(3, 2, algo, config, 0), FakeReplay(3, 2)
    update = Update(state, algo, config, replay.spec)
    same = []
    for _ in range(6):
        update(replay.sample(8, 1)[0])
        pairs = zip(state.online.parameters(), state.target.parameters(), strict=True)
        same.append(all(torch.equal(a, b) for a, b in pairs))
    assert same == [False, False, True, False, False, True]


@pytest.mark.parametrize("distribution", ["none", "c51", "qr", "iqn"])
@pytest.mark.parametrize(
    ("column", "value"), [("reward", np.nan), ("reward", np.inf), ("obs", np.nan), ("next_obs", np.inf)]
)
def test_bad_numbers_change_no_weight_and_three_in_a_row_are_too_many(column, value, distribution):
    algo, config = AlgoConfig(hidden_dims=(4,), distribution=distribution), LearnerConfig(batch_size=8)
    state, replay = LearnerState(3, 2, algo, config, 0), FakeReplay(3, 2)
    update = Update(state, algo, config, replay.spec)
    index = replay.spec.index(column)

    def bad():
        (sample,) = replay.sample(8, 1)
        sample.columns[index].flags.writeable = True
        sample.columns[index][3] = value
        return sample

    def good():
        return replay.sample(8, 1)[0]

    assert update(good()) is not None
    before = state.state_dict()
    assert update(bad()) is None
    assert update(bad()) is None
    after = state.state_dict()
    assert before["counters"] == after["counters"]
    assert all(torch.equal(t, after["tensors"][k]) for k, t in before["tensors"].items())
    assert update(good()) is not None
    assert update.num_bad == 2
    means = update.take_means()
    assert means is not None
    assert np.isfinite(means).all()
    update(bad())
    update(bad())
    with pytest.raises(FloatingPointError, match=rf"in the batch: {column} \(\d NaN, \d infinite, first in row 3"):
        update(bad())


@pytest.mark.parametrize("where", ["batch", "weights", "too large"])
def test_the_batch_that_ends_a_run_is_kept_with_what_is_wrong_in_it(tmp_path, where):
    algo, config = AlgoConfig(hidden_dims=(4,)), LearnerConfig(batch_size=8)
    state, replay = LearnerState(3, 2, algo, config, 0), FakeReplay(3, 2)
    update = Update(state, algo, config, replay.spec, dump_directory=tmp_path / "run")
    (sample,) = replay.sample(8, 1)
    sample.columns[0].flags.writeable = True
    if where == "batch":
        sample.columns[0][5, 1], sample.columns[0][6, :] = np.nan, -np.inf
    elif where == "weights":
        with torch.no_grad():
            state.target.head.weight[0, 0] = np.nan
    else:
        sample.columns[0][:] = 3e38
    update(sample)
    update(sample)
    with pytest.raises(FloatingPointError, match=r"bad_batch_rank0\.npz") as caught:
        update(sample)
    with np.load(tmp_path / "run" / "bad_batch_rank0.npz", allow_pickle=False) as kept:
        assert {*replay.spec.names, "item_id", "probability", "importance_weight"} == set(kept.files)
        np.testing.assert_array_equal(kept["obs"], sample.columns[0])
        np.testing.assert_array_equal(kept["item_id"], sample.item_id)
    found = json.loads((tmp_path / "run" / "bad_batch_rank0.json").read_text())
    assert found["columns"] == (
        {"obs": {"num_nan": 1, "num_inf": 3, "rows": [5, 6], "num_rows": 2}} if where == "batch" else {}
    )
    assert found["target_weights"] == (["head.weight"] if where == "weights" else [])
    assert {"batch": "first in row 5", "weights": "the weights are not: head.weight", "too large": "too large"}[
        where
    ] in str(caught.value)


def test_a_run_that_ends_on_a_full_disk_still_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    algo, config = AlgoConfig(hidden_dims=(4,)), LearnerConfig(batch_size=8)
    replay = FakeReplay(3, 2)
    update = Update(
        LearnerState(3, 2, algo, config, 0), algo, config, replay.spec, dump_directory=tmp_path / "file" / "below"
    )
    replay.poison_for = 3
    samples = replay.sample(8, 3)
    assert [update(sample) for sample in samples[:2]] == [None, None]
    with pytest.raises(FloatingPointError, match=r"reward \(1 NaN.*not written"):
        update(samples[2])


def test_adam_is_torchs_own_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=generator, requires_grad=True) for shape in ((7, 5), (5,))]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    adam, reference = Adam(ours, 3e-3, 1e-5), torch.optim.Adam(theirs, lr=3e-3, eps=1e-5, fused=True)
    for _ in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        adam.step()
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_learner_starts_without_the_compiler_of_torch():
    code = (
        "import sys, torch\nfrom tests.unit.learner.conftest import make_bench\nmake_bench().loop.advance(2)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
