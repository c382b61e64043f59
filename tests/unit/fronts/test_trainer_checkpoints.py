"""The front for models of one's own: its checkpoints go on exactly, and one that does not fit changes nothing."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from robonav_ray import DistributedTrainer
from robonav_ray.learner.tree_file import load_tree, save_tree
from tests.unit.fronts.trainer_models import batches, make_model, weights_of


@pytest.mark.parametrize("with_scheduler", [True, False])
def test_a_checkpoint_goes_on_exactly(tmp_path, with_scheduler):
    """Dropout draws from torch's generator, so the random numbers must go on too; Python's and NumPy's are checked
    beside it."""

    def start(seed):
        model = make_model(seed, dropout=0.5)
        trainer = DistributedTrainer(model, device="cpu", max_grad_norm=1.0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], 0.5) if with_scheduler else None
        return model, trainer, optimizer, scheduler

    def go(parts, data, first):
        model, trainer, optimizer, scheduler = parts
        for step, batch in enumerate(data, first):
            trainer.training_step(batch, optimizer, nn.CrossEntropyLoss(), step)
            if scheduler is not None:
                scheduler.step()
        return weights_of(model)

    data = batches(6)
    one = start(0)
    go(one, data[:3], 0)
    one[1].save_checkpoint(tmp_path / "deep" / "epoch3", 3, one[2], one[3])
    expected = go(one, data[3:], 3)
    draws = (random.random(), np.random.random())  # noqa: NPY002
    other = start(99)
    assert other[1].load_checkpoint(tmp_path / "deep" / "epoch3", other[2], other[3]) == 3
    assert torch.equal(go(other, data[3:], 3), expected)
    assert (random.random(), np.random.random()) == draws  # noqa: NPY002
    assert other[1].num_steps == 6
    assert other[2].param_groups[0]["lr"] == one[2].param_groups[0]["lr"]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["epoch3"]


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    model = make_model()
    trainer, optimizer = DistributedTrainer(model, device="cpu"), torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="no such file"):
        trainer.load_checkpoint(tmp_path / "nothing")
    (tmp_path / "rubbish").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="damaged"):
        trainer.load_checkpoint(tmp_path / "rubbish")
    save_tree(tmp_path / "tree", {"version": 7})
    with pytest.raises(ValueError, match="of this version"):
        trainer.load_checkpoint(tmp_path / "tree")
    trainer.save_checkpoint(tmp_path / "good", 1, optimizer)
    with pytest.raises(ValueError, match="without a scheduler"):
        trainer.load_checkpoint(tmp_path / "good", optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1))
    with pytest.raises(ValueError, match="another model"):
        DistributedTrainer(nn.Linear(3, 3), device="cpu").load_checkpoint(tmp_path / "good")
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    scheduler.thing = object()
    with pytest.raises(ValueError, match=r"scheduler\.thing.*without pickle"):
        trainer.save_checkpoint(tmp_path / "odd", 1, optimizer, scheduler)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        trainer.save_checkpoint(tmp_path / "file" / "below", 1, optimizer)


def test_trees_come_back_as_they_were(tmp_path):
    tree = {
        "a": [1, 2.5, None, True, "text", math.inf],
        3: (torch.arange(3), torch.ones(2, dtype=torch.bfloat16), {"n": np.arange(4, dtype=np.uint32)}),
        "c": Counter({2: 1, 4: 3}),
        "e": {},
        "i": np.int64(4),
    }
    save_tree(tmp_path / "tree", tree)
    back = load_tree(tmp_path / "tree")
    assert back["a"] == tree["a"]
    assert back["c"] == tree["c"]
    assert type(back["c"]) is Counter
    assert (back["e"], back["i"]) == ({}, 4)
    assert torch.equal(back[3][0], tree[3][0])
    assert back[3][1].dtype == torch.bfloat16
    np.testing.assert_array_equal(back[3][2]["n"], tree[3][2]["n"])


def test_a_refused_checkpoint_leaves_model_and_optimizer_as_they_were(tmp_path):
    model, other = make_model(), make_model(seed=5)
    trainer = DistributedTrainer(model, device="cpu")
    trainer.save_checkpoint(tmp_path / "adam", 1, torch.optim.Adam(model.parameters()))
    before = weights_of(other)
    groups = torch.optim.Adam([{"params": [p]} for p in other.parameters()])
    with pytest.raises(ValueError, match="of another model or optimizer"):
        DistributedTrainer(other, device="cpu").load_checkpoint(tmp_path / "adam", groups)
    assert torch.equal(before, weights_of(other))


def test_more_ranks_than_were_saved_draw_numbers_of_their_own(tmp_path):
    model = make_model()
    trainer, optimizer = DistributedTrainer(model, device="cpu"), torch.optim.SGD(model.parameters(), lr=0.1)
    trainer.save_checkpoint(tmp_path / "one", 1, optimizer)
    found = []
    for rank in (0, 1, 1, 2):
        trainer._ranks.rank = rank
        tree = load_tree(tmp_path / "one")
        trainer._ranks.broadcast = lambda value, tree=tree: (tree, None) if isinstance(value, tuple) else value
        trainer.load_checkpoint(tmp_path / "one")
        found.append(float(torch.rand(1)))
    assert found[1] == found[2]
    assert len(set(found)) == 3
