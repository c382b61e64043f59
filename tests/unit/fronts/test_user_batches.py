"""What a user of DistributedTrainer may bring: any holder of tensors, an optimiser over a part of the model, a device
that is not there."""

from __future__ import annotations

import math
from collections import OrderedDict, UserDict, defaultdict
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robonav_ray import DeviceManager, DistributedTrainer
from robonav_ray.errors import UserError
from robonav_ray.learner.accumulation import begin_gradients
from robonav_ray.learner.parallel import RowsOverGpus
from robonav_ray.learner.tensor_tree import map_tensors, tensors_in, to_device, to_float32


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Frozen:
    left: Any
    right: Any = "text"


@dataclass(slots=True)
class Slots:
    left: Any
    right: Any = None


class Encoding(UserDict):
    """As a tokeniser's: a mapping that is no dict, whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        return self.data[name]


class Output(OrderedDict):
    """As a model's: a dict with attributes."""

    @property
    def logits(self) -> Any:
        return self["logits"]


class Rows(list):
    pass


class Batch(NamedTuple):
    inputs: Any
    targets: Any
    weight: Any


HALF = torch.ones(2, dtype=torch.bfloat16)
HOLDERS = [
    Pair(HALF, None),
    Frozen(HALF),
    Slots(HALF, 3),
    Encoding(left=HALF),
    Output(left=HALF),
    defaultdict(list, left=HALF),
    MappingProxyType({"left": HALF}),
    (HALF, "text"),
    [HALF, None],
    Rows([HALF]),
    {"a": [Pair({"b": (Frozen(HALF),)}, b"bytes")]},
    HALF,
]


@pytest.mark.parametrize("value", HOLDERS, ids=lambda value: type(value).__name__)
def test_every_holder_comes_back_as_what_it_was(value):
    before = [tensor.dtype for tensor in tensors_in(value)]
    made = to_float32(value)
    assert type(made) is type(value) or isinstance(value, MappingProxyType)
    assert [tensor.dtype for tensor in tensors_in(made)] == [torch.float32] * len(before)
    assert before == [torch.bfloat16] == [tensor.dtype for tensor in tensors_in(value)], "what was given stays as it is"
    (there,) = tensors_in(to_device(value, torch.device("cpu")))
    assert there is next(tensors_in(value)), "a tensor that is there already is the same object"


def test_what_holds_no_tensor_is_handed_on():
    for value in (None, "text", b"x", 3, 2.5, {1, 2}, range(3), torch.Size([2, 3]), object(), Pair):
        assert to_device(value, torch.device("cpu")) == value
    packed = nn.utils.rnn.pack_sequence([torch.ones(3, dtype=torch.float16), torch.ones(2, dtype=torch.float16)])
    made = map_tensors(lambda t: t.float() if t.is_floating_point() else t + 1, packed)
    assert made.data.dtype == torch.float32
    assert torch.equal(made.batch_sizes, packed.batch_sizes)


class Difference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, left: Tensor, right: Tensor) -> Output:
        return Output(logits=self.layer(left - right))


class OfOne(Difference):
    def forward(self, pair: Any) -> Output:  # type: ignore[override]
        return Output(logits=self.layer(pair.left - pair.right))


def test_inputs_and_batches_of_any_kind_give_one_loss():
    x, z, y = torch.ones(4, 3), torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
    losses = set()
    for model_type, inputs in [
        (Difference, (x, z)),
        (Difference, Pair(x, z)),
        (Difference, Encoding(right=z, left=x)),
        (OfOne, Pair(x, z)),
        (OfOne, Frozen(x, z)),
        (OfOne, Slots(x, z)),
    ]:
        for batch in ((inputs, y), Encoding(inputs=inputs, targets=y), Batch(inputs, y, None)):
            torch.manual_seed(0)
            model = model_type()
            trainer = DistributedTrainer(model, device="cpu")
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            criterion = lambda outputs, targets: functional.cross_entropy(outputs.logits, targets)  # noqa: E731
            losses.add(trainer.training_step(batch, optimizer, criterion, 0)["loss"])
    assert len(losses) == 1


def test_rows_are_shared_out_inside_every_holder(monkeypatch):
    """On CPUs: ``scatter`` of torch is stood in for by cutting rows."""
    monkeypatch.setattr(
        "robonav_ray.learner.parallel.scatter",
        lambda tensors, devices, dim: list(zip(*(t.chunk(2) for t in tensors), strict=True)),
    )
    shared = RowsOverGpus.__new__(RowsOverGpus)
    nn.Module.__init__(shared)
    shared.dim = 0
    rows = torch.arange(4)
    args, keywords = shared.scatter((Frozen(rows), Encoding(a=rows + 4)), {"mask": [Pair(rows + 8, "x")]}, [0, 1])
    assert [part[0].left.tolist() for part in args] == [[0, 1], [2, 3]]
    assert [part[1].a.tolist() for part in args] == [[4, 5], [6, 7]]
    assert [(part["mask"][0].left.tolist(), part["mask"][0].right) for part in keywords] == [
        ([8, 9], "x"),
        ([10, 11], "x"),
    ]


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(x)))


def head_training(steps: int, max_norm: float, data: list[tuple[Tensor, Tensor]], pieces: int = 1) -> Tensor:
    """The oracle: torch and nothing else, the body frozen by never being moved."""
    model = Tower()
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.5)
    for i in range(steps):
        model.zero_grad()
        for x, y in data[i * pieces : (i + 1) * pieces]:
            (functional.cross_entropy(model(x), y) / pieces).backward()
        nn.utils.clip_grad_norm_(model.head.parameters(), max_norm)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("pieces", [1, 2])
def test_an_optimizer_over_a_part_of_the_model_is_clipped_by_its_own_gradients(pieces):
    generator = torch.Generator().manual_seed(1)
    data = [(torch.randn(8, 6, generator=generator), torch.randint(0, 3, (8,), generator=generator)) for _ in range(60)]
    model = Tower()
    trainer = DistributedTrainer(model, device="cpu", max_grad_norm=0.1, gradient_accumulation_steps=pieces)
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.5)
    for step, batch in enumerate(data):
        trainer.training_step(batch, optimizer, nn.CrossEntropyLoss(), step)
    expected = head_training(60 // pieces, 0.1, data, pieces)
    torch.testing.assert_close(
        torch.cat([p.detach().flatten() for p in model.parameters()]), expected, rtol=1e-4, atol=1e-6
    )
    assert model.body.weight.grad is not None
    assert float(model.body.weight.grad.norm()) < 10.0, "the others' gradients do not pile up"


def test_two_optimizers_take_turns_and_never_within_a_step():
    x, y = torch.ones(4, 6), torch.zeros(4, dtype=torch.int64)
    model = Tower()
    body, head = (torch.optim.SGD(part.parameters(), lr=0.5) for part in (model.body, model.head))
    trainer = DistributedTrainer(model, device="cpu", max_grad_norm=1.0)
    found = [
        trainer.training_step((x, y), optimizer, nn.CrossEntropyLoss(), step)
        for step, optimizer in enumerate((body, head) * 20)
    ]
    assert found[-1]["loss"] < 0.1
    trainer = DistributedTrainer(model, device="cpu", gradient_accumulation_steps=2)
    trainer.training_step((x, y), body, nn.CrossEntropyLoss(), 0)
    with pytest.raises(ValueError, match="optimizer changed after 1 of the 2 calls"):
        trainer.training_step((x, y), head, nn.CrossEntropyLoss(), 1)


def test_what_is_not_optimised_may_be_anything():
    """A NaN in the gradient of a part that is not moved, and parameters that were frozen after a first step."""
    model = Tower()
    trainer = DistributedTrainer(model, device="cpu", max_grad_norm=1.0)
    model.body.weight.register_hook(lambda gradient: gradient * math.nan)
    head = torch.optim.SGD(model.head.parameters(), lr=0.5)
    batch = (torch.ones(4, 6), torch.zeros(4, dtype=torch.int64))
    assert trainer.training_step(batch, head, nn.CrossEntropyLoss(), 0)["optimizer_step"] == 1.0
    model.body.requires_grad_(False)
    before = model.body.weight.clone()
    whole = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1)
    metrics = trainer.training_step(batch, whole, nn.CrossEntropyLoss(), 1)
    assert math.isfinite(metrics["grad_norm"])
    assert torch.equal(before, model.body.weight)
    begin_gradients(model.parameters(), in_place=True)
    assert model.body.weight.grad is None, "with a gradient of 0 weight decay would move what is frozen"


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps", "xpu", "meta", "nonsense", "", "cpu:x", 2.5])
def test_a_device_that_is_not_there_is_the_users_mistake(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"device: .*take cpu"):
        DistributedTrainer(Tower(), device=device)
    with pytest.raises(UserError, match=r"device: .*take cpu"):
        DeviceManager.search_batch_size(Tower(), (6,), device)
    with pytest.raises(UserError, match=r"device: .*take cpu"):
        DeviceManager.find_optimal_batch_size(Tower(), (6,), device)


def test_a_gpu_of_another_number_is_named_with_those_that_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="there is no cuda:7 here; take cpu or cuda:0 or cuda:1"):
        DistributedTrainer(Tower(), device="cuda:7")
