"""The front for models of one's own: a step is torch's, ranks and pieces add up, checkpoints go on exactly."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn import functional

from robonav_ray import DistributedTrainer
from robonav_ray.errors import UserError
from robonav_ray.learner.precision import Precision, has_bf16
from tests.two_ranks import run_two_ranks
from tests.unit.fronts.trainer_models import batches, make_model, plain_training, weights_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("max_norm", [None, 0.1])
def test_a_step_is_torchs(max_norm):
    model, data = make_model(), batches(6)
    with DistributedTrainer(model=model, device="cpu", max_grad_norm=max_norm) as trainer:
        assert (trainer.world_size, trainer.rank, trainer.local_rank, trainer.is_main_process) == (1, 0, 0, True)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for step, batch in enumerate(data):
            metrics = trainer.training_step(batch, optimizer, nn.CrossEntropyLoss(), step)
    assert set(metrics) == {"loss", "grad_norm", "learning_rate", "optimizer_step", "skipped", "loss_scale"}
    assert (metrics["optimizer_step"], metrics["skipped"], metrics["learning_rate"]) == (1.0, 0.0, 0.01)
    torch.testing.assert_close(weights_of(model), plain_training(data, max_norm=max_norm), rtol=1e-5, atol=1e-7)


def test_accumulated_calls_are_one_step_on_all_their_rows():
    model, data = make_model(), batches(8)
    trainer = DistributedTrainer(model, gradient_accumulation_steps=4, device="cpu")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    moved = []
    for step, (inputs, targets) in enumerate(data):
        metrics = trainer.training_step({"inputs": inputs, "targets": targets}, optimizer, nn.CrossEntropyLoss(), step)
        moved.append(metrics["optimizer_step"])
    assert moved == [0.0, 0.0, 0.0, 1.0] * 2
    assert trainer.num_steps == 2
    torch.testing.assert_close(weights_of(model), plain_training(data, 4), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not has_bf16(CPU), reason="this CPU has no bf16")
def test_mixed_precision_is_near_and_gives_the_criterion_float32():
    model, data, seen = make_model(), batches(6), []
    trainer = DistributedTrainer(model, use_amp=True, device="cpu")
    assert trainer.precision == "bf16"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def criterion(outputs, targets):
        seen.append(outputs.dtype)
        return functional.cross_entropy(outputs, targets, reduction="none")

    for step, batch in enumerate(data):
        trainer.training_step(batch, optimizer, criterion, step)
    assert set(seen) == {torch.float32}
    moved = weights_of(model) - weights_of(make_model())
    expected = plain_training(data, optimizer=torch.optim.SGD, learning_rate=0.1) - weights_of(make_model())
    assert 0.0 < float((moved - expected).norm() / expected.norm()) < 0.02


def test_inputs_may_be_several_and_named():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(10, 4)

        def forward(self, left, right):
            return self.layer(left - right)

    losses = []
    for form in (lambda a, b: (a, b), lambda a, b: {"right": b, "left": a}):
        torch.manual_seed(0)
        model = Two()
        trainer = DistributedTrainer(model, device="cpu")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        (x, y), (z, _) = batches(2)
        losses.append(trainer.training_step((form(x, z), y), optimizer, nn.CrossEntropyLoss(), 0)["loss"])
        with pytest.raises(ValueError, match="a batch is"):
            trainer.training_step({"x": x}, optimizer, nn.CrossEntropyLoss(), 1)
        with pytest.raises(ValueError, match="not a Tensor"):
            trainer.training_step(x, optimizer, nn.CrossEntropyLoss(), 1)
    assert losses[0] == losses[1]


def test_bad_numbers_move_nothing_and_three_in_a_row_end_it():
    model, data = make_model(), batches(4)
    trainer = DistributedTrainer(model, gradient_accumulation_steps=2, device="cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    bad = (torch.full((4, 10), math.nan), torch.zeros(4, dtype=torch.int64))
    before = weights_of(model)
    trainer.training_step(bad, optimizer, nn.CrossEntropyLoss(), 0)
    metrics = trainer.training_step(data[0], optimizer, nn.CrossEntropyLoss(), 1)
    assert (metrics["skipped"], metrics["optimizer_step"]) == (1.0, 0.0)
    assert torch.equal(before, weights_of(model))
    for step in (2, 3):
        trainer.training_step(data[step], optimizer, nn.CrossEntropyLoss(), step)
    assert (trainer.num_steps, trainer.num_skipped) == (1, 1)
    for step in range(4, 9):
        trainer.training_step(bad, optimizer, nn.CrossEntropyLoss(), step)
    with pytest.raises(FloatingPointError, match="3 steps in a row"):
        trainer.training_step(bad, optimizer, nn.CrossEntropyLoss(), 9)


@pytest.mark.parametrize("strategy", ["ddp", "none"])
def test_a_skipped_step_waits_for_other_ranks_only_where_they_skip_it_too(strategy, monkeypatch):
    """Without averaged gradients one rank may skip while the others move: a collective of its own would meet another
    one of theirs."""
    model, calls = make_model(), []
    trainer = DistributedTrainer(model, device="cpu")
    trainer.strategy = strategy
    monkeypatch.setattr(trainer._ranks, "mean", lambda values: calls.append(len(values)) or list(values))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    bad = (torch.full((4, 10), math.nan), torch.zeros(4, dtype=torch.int64))
    assert trainer.training_step(bad, optimizer, nn.CrossEntropyLoss(), 0)["skipped"] == 1.0
    metrics = len(trainer.training_step(batches(1)[0], optimizer, nn.CrossEntropyLoss(), 1))
    assert calls == ([1, metrics, metrics] if strategy == "ddp" else [metrics, metrics])


def test_overflows_of_fp16_are_skipped_until_the_scale_fits():
    model, data = make_model(), batches(1)
    trainer = DistributedTrainer(model, device="cpu")
    trainer._precision = Precision("fp16", CPU, init_scale=2.0**40)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    skipped = [trainer.training_step(data[0], optimizer, nn.CrossEntropyLoss(), step)["skipped"] for step in range(40)]
    assert 3 < skipped.index(0.0) < 40
    assert trainer.num_steps == skipped.count(0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gradient_accumulation_steps": 0}, "at least 1"),
        ({"max_grad_norm": 0.0}, "None does not clip"),
        ({"use_amp": True, "amp_dtype": "fp16"}, "fp16 needs a GPU"),
        ({"amp_dtype": "bf16"}, "without use_amp=True"),
        ({"sync_batch_norm": True}, "one GPU per rank"),
        ({"strategy": "ddp"}, "needs a process group"),
        ({"strategy": "dp"}, "fewer than two"),
        ({"strategy": "fsdp"}, "choose 'auto'"),
        ({"compile": "reduce-overhead"}, "CUDA graphs"),
    ],
)
def test_what_cannot_work_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        DistributedTrainer(make_model(), device="cpu", **arguments)


class Halves(nn.Module):
    """What DataParallel does, on one CPU: each forward pass sends half of the rows through the module, and joins what
    comes back."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs):
        return torch.cat([self.module(part) for part in inputs.chunk(2)])


def test_rows_shared_out_within_a_process_are_one_batch(monkeypatch, tmp_path):
    monkeypatch.setattr("robonav_ray.fronts.distributed_trainer.chosen_strategy", lambda strategy, device: strategy)
    monkeypatch.setattr("robonav_ray.fronts.trainer_processes.spread_over_gpus", Halves)
    model, data = make_model(), batches(6)
    trainer = DistributedTrainer(model, strategy="dp", device="cpu")
    assert (trainer.strategy, type(trainer.model), trainer.module) == ("dp", Halves, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step, batch in enumerate(data):
        trainer.training_step(batch, optimizer, nn.CrossEntropyLoss(), step)
    torch.testing.assert_close(weights_of(model), plain_training(data), rtol=1e-5, atol=1e-7)
    trainer.save_checkpoint(tmp_path / "dp", 1, optimizer)
    alone = make_model(seed=5)
    DistributedTrainer(alone, device="cpu").load_checkpoint(tmp_path / "dp")
    assert torch.equal(weights_of(alone), weights_of(model)), "a checkpoint does not depend on how rows are shared out"


def test_two_gpus_are_taken_without_a_process_group(monkeypatch):
    from robonav_ray.fronts.trainer_processes import chosen_strategy

    for count, expected in ((1, "none"), (2, "dp")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert chosen_strategy("auto", torch.device("cuda", 0)) == expected
    assert chosen_strategy("dp", torch.device("cuda", 0)) == "dp"


def test_amp_on_a_cpu_without_half_precision_is_float32_and_said(monkeypatch, caplog):
    monkeypatch.setattr("robonav_ray.fronts.trainer_processes.has_bf16", lambda device: False)
    monkeypatch.setattr("robonav_ray.learner.precision.has_bf16", lambda device: False)
    trainer = DistributedTrainer(make_model(), use_amp=True, device="cpu")
    assert trainer._precision.name == "float32"
    assert [record.getMessage() for record in caplog.records] == [
        "use_amp=True: this cpu has neither bf16 nor fp16 of its own and computes in float32"
    ]
    with pytest.raises(UserError, match="amp_dtype=bf16"):
        DistributedTrainer(make_model(), use_amp=True, amp_dtype="bf16", device="cpu")


def test_sync_batch_norm_without_a_group(monkeypatch):
    from robonav_ray.learner.parallel import with_sync_batch_norm

    with pytest.raises(UserError, match="process group"):
        with_sync_batch_norm(nn.BatchNorm1d(3), torch.device("cuda", 0))
    monkeypatch.setattr("robonav_ray.learner.parallel.has_process_group", lambda: True)
    with pytest.raises(UserError, match="no BatchNorm"):
        with_sync_batch_norm(make_model(), torch.device("cuda", 0))
    assert isinstance(with_sync_batch_norm(nn.BatchNorm1d(3), torch.device("cuda", 0)), nn.SyncBatchNorm)


def rank_main(rank: int, port: int, directory: str) -> None:
    """One of two gloo processes; leaves what it found in ``directory``."""
    try:
        torch.set_num_threads(1)
        os.environ["LOCAL_RANK"] = str(rank)
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
        result = ranks_add_up(rank, Path(directory))
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:  # noqa: BLE001  the parent shows it
        result = {"error": traceback.format_exc()}
    (Path(directory) / f"rank{rank}.json").write_text(json.dumps(result))
    os._exit(0)  # gloo's threads now and then abort an interpreter that is tearing itself down


def ranks_add_up(rank: int, directory: Path) -> dict:
    data = batches(6)
    model = make_model(seed=rank)  # rank 0's weights are taken
    trainer = DistributedTrainer(model, gradient_accumulation_steps=2, device="cpu")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    metrics = {}
    for step, (x, y) in enumerate(data):
        part = slice(8 * rank, 8 * rank + 8)
        metrics = trainer.training_step((x[part], y[part]), optimizer, nn.CrossEntropyLoss(), step)
    off = float((weights_of(model) - plain_training(data, 2)).abs().max())
    torch.manual_seed(10 + rank)
    trainer.save_checkpoint(directory / "both", 5, optimizer)
    mine = float(torch.rand(1))
    epoch = trainer.load_checkpoint(directory / "both", optimizer)
    again = float(torch.rand(1))
    alone = DistributedTrainer(make_model(), device="cpu", strategy="none")
    refusal = ""
    try:
        trainer.load_checkpoint(directory / ("nowhere" if rank == 0 else "both"))
    except ValueError as error:
        refusal = str(error)
    return {
        "off": off,
        "strategy": trainer.strategy,
        "single": alone.strategy,
        "ranks": [trainer.world_size, trainer.rank, trainer.local_rank, trainer.is_main_process],
        "metrics": metrics,
        "mean": trainer.all_reduce_metrics({"b": rank, "a": 1.0}),
        "rng": [mine, again],
        "epoch": epoch,
        "refusal": refusal,
    }


def test_two_ranks_are_one_process_on_all_rows(tmp_path):
    zero, one = run_two_ranks(rank_main, tmp_path)
    assert (zero["strategy"], zero["single"]) == ("ddp", "none")
    assert zero["off"] < 1e-6
    assert one["off"] < 1e-6
    assert zero["ranks"] == [2, 0, 0, True]
    assert one["ranks"] == [2, 1, 1, False]
    assert zero["metrics"] == one["metrics"]
    assert zero["mean"] == one["mean"] == {"a": 1.0, "b": 0.5}
    assert zero["rng"][0] == zero["rng"][1] != one["rng"][0] == one["rng"][1]
    assert zero["epoch"] == one["epoch"] == 5
    assert "no such file" in zero["refusal"]
    assert zero["refusal"] == one["refusal"]
    alone = DistributedTrainer(make_model(), device="cpu")
    alone.load_checkpoint(tmp_path / "both")
    assert float(torch.rand(1)) == zero["rng"][0], "one rank takes up the random numbers of rank 0"


@pytest.mark.slow
def test_torchrun_starts_it(tmp_path):
    """The trainer joins the group that torchrun prepared, and leaves it."""
    script = tmp_path / "train.py"
    script.write_text(
        "import os\nimport torch\nfrom torch import nn\nfrom robonav_ray import DistributedTrainer\n"
        "model = nn.Linear(4, 2)\n"
        "with DistributedTrainer(model, device='cpu') as trainer:\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "    trainer.training_step((torch.ones(3, 4), torch.zeros(3, 2)), optimizer, nn.MSELoss(), 0)\n"
        "    line = f'rank {trainer.rank} of {trainer.world_size} {trainer.strategy}\\n'\n"
        "    os.write(1, line.encode())  # in one piece: both ranks write here\n"
        "assert not torch.distributed.is_initialized()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("rank")) == [
        "rank 0 of 2 ddp",
        "rank 1 of 2 ddp",
    ]
