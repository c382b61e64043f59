"""The state comes back bit for bit, or not at all."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
import torch

from robonav_ray.algo.policy import Policy
from robonav_ray.commands import Command, Refused, Save
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.fronts.distributed_trainer import DistributedTrainer
from robonav_ray.learner.state import COUNTERS_FILE, TENSORS_FILE
from robonav_ray.learner.tree_file import load_tree, save_tree
from tests.unit.learner.conftest import ALGO, NUM_ACTIONS, OBS_DIM, make_bench, make_state


def assert_equal(a, b):
    assert a.counters() == b.counters()
    assert a.overrides == b.overrides
    left, right = a.tensors(), b.tensors()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[k], right[k]) for k in left)


def test_saved_and_loaded_continues_bit_identically(tmp_path):
    one, two = make_bench(), make_bench(seed=0)
    one.loop.advance(13)
    assert sorted(file.name for file in one.state.save(tmp_path / "learner")) == sorted([TENSORS_FILE, COUNTERS_FILE])
    two.state.load(tmp_path / "learner")
    two.replay.rng.bit_generator.state = one.replay.rng.bit_generator.state
    assert_equal(one.state, two.state)
    one.loop.advance(9)
    two.loop.advance(9)
    assert one.state.learner_step == 22
    assert_equal(one.state, two.state)


def test_adam_moments_and_step_travel(tmp_path):
    bench = make_bench()
    bench.loop.advance(3)
    tensors = bench.state.state_dict()["tensors"]
    assert tensors["adam.steps.head.bias"].item() == 3
    assert tensors["adam.exp_avg_sq.hidden.0.weight"].abs().sum() > 0


def test_fresh_state_saves_and_loads(tmp_path):
    one, two = make_state(seed=1), make_state(seed=2)
    one.save(tmp_path)
    two.load(tmp_path)
    assert_equal(one, two)


def test_what_was_saved_before_there_were_schedules_and_loss_scales_still_loads(tmp_path):
    bench, other = make_bench(), make_state(seed=2)
    bench.loop.advance(3)
    bench.state.save(tmp_path)
    document = json.loads((tmp_path / COUNTERS_FILE).read_text())
    del document["precision"], document["counters"]["budget_frac"]
    (tmp_path / COUNTERS_FILE).write_text(json.dumps(document))
    other.load(tmp_path)
    assert_equal(bench.state, other)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: (d / TENSORS_FILE).unlink(), "missing"),
        (lambda d: (d / COUNTERS_FILE).unlink(), "missing"),
        (lambda d: (d / TENSORS_FILE).write_bytes(b"rubbish"), "damaged"),
        (lambda d: (d / COUNTERS_FILE).write_text("{"), "damaged"),
        (lambda d: (d / COUNTERS_FILE).write_text(json.dumps({"counters": {}, "overrides": {}})), "counters"),
        (lambda d: make_state(algo=AlgoConfig(hidden_dims=(8,))).save(d), "does not fit"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(tmp_path, spoil, message):
    state = make_state(seed=1)
    make_state(seed=2).save(tmp_path)
    spoil(tmp_path)
    before = state.state_dict()
    with pytest.raises(ValueError, match=message):
        state.load(tmp_path)
    assert all(torch.equal(t, state.tensors()[k]) for k, t in before["tensors"].items())


def test_a_disk_that_is_full_is_an_os_error_that_names_the_file(tmp_path, monkeypatch):
    """And as the answer to the request ``Save``, which then changes nothing."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left .*{TENSORS_FILE}"):
        make_state().save(tmp_path)
    bench = make_bench([Command(1, Save(str(tmp_path)))], until=lambda metrics: metrics["learner/learner_step"] >= 16)
    bench.loop.run()
    answer = bench.commands.answers[1]
    assert isinstance(answer, Refused)
    assert "No space left" in answer.reason


def test_snapshot_is_a_copy_that_acts_like_the_network():
    bench = make_bench()
    bench.loop.advance(4)
    snapshot = bench.state.snapshot()
    policy = Policy(OBS_DIM, NUM_ACTIONS, ALGO)
    policy.load(snapshot)
    obs = bench.replay.columns[0][:20]
    with torch.inference_mode():
        expected = bench.state.online(torch.from_numpy(obs.copy())).numpy()
    np.testing.assert_allclose(policy.q_values(obs), expected, rtol=1e-4, atol=1e-4)
    kept = [a.copy() for a in snapshot.arrays]
    bench.loop.advance(4)
    assert all(np.array_equal(a, b) for a, b in zip(kept, snapshot.arrays, strict=True))


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda t: t["counters"].update(num_steps=-1), r"num_steps is -1"),
    (lambda t: t.update(epoch=1.5), "epoch"),
    (
        lambda t: t["rng"][0].update(numpy=(*t["rng"][0]["numpy"][:2], 10**6, *t["rng"][0]["numpy"][3:])),
        r"position is 1000000 .* to 624",
    ),
    (lambda t: t["rng"].append(7), "rng"),
])  # fmt: skip
def test_a_distributed_trainers_checkpoint_holds_numbers_in_their_ranges(tmp_path, spoil, message):
    """NumPy reads beyond its generator's table where its position says so."""
    model = torch.nn.Linear(2, 2)
    trainer, optimizer = DistributedTrainer(model, device="cpu"), torch.optim.SGD(model.parameters(), lr=0.1)
    trainer.save_checkpoint(tmp_path / "epoch", 1, optimizer)
    tree = load_tree(tmp_path / "epoch")
    spoil(tree)
    save_tree(tmp_path / "epoch", tree)
    with pytest.raises(ValueError, match=message):
        trainer.load_checkpoint(tmp_path / "epoch", optimizer)
