"""What only a GPU can show: half precision, compilation, CUDA graphs, NCCL with one rank, memory that really runs out.

Run with ``pytest -m gpu`` on a machine that has one; skipped elsewhere.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch import nn

from robonav_ray import DeviceManager, DistributedTrainer
from robonav_ray.learner.compilation import cxx_compiler
from robonav_ray.learner.parallel import average_over_ranks
from robonav_ray.learner.precision import has_bf16
from robonav_ray.learner.ranks import ProcessGroupRanks
from robonav_ray.learner.update import Update
from tests.fakes import FakeReplay
from tests.unit.learner.test_features import (
    NUM_ACTIONS,
    OBS_DIM,
    VARIANTS,
    compile_parity,
    gradient,
    make_update,
    off,
    samples,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use"),
    # torch's compiler and NCCL warn about themselves, each version about something else
    pytest.mark.filterwarnings("ignore"),
]
GPU = torch.device("cuda", 0)
needs_compiler = pytest.mark.skipif(
    cxx_compiler() is None or importlib.util.find_spec("triton") is None,
    reason="torch.compile needs a C++ compiler and Triton",
)


@pytest.fixture(autouse=True)
def full_float32():
    """TF32 would round float32 products to 10 bits, and the CPU is what is compared with."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture
def nccl(tmp_path):
    """A process group of one rank."""
    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/store", rank=0, world_size=1, device_id=GPU)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", VARIANTS)
def test_an_update_on_the_gpu_is_that_of_the_cpu(name):
    (state, update), (reference, plain) = make_update(VARIANTS[name], GPU), make_update(VARIANTS[name])
    for sample in samples(4):
        np.testing.assert_allclose(update(sample), plain(sample), rtol=1e-3, atol=1e-4)
    for a, b in zip(state.online.parameters(), reference.online.parameters(), strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.05), ("fp16", 0.01)])
def test_half_precision_gradients_are_near(name, precision, tolerance):
    if precision == "bf16" and not has_bf16(GPU):
        pytest.skip("this GPU has no bf16")
    (sample,) = samples(1)
    expected = gradient(*make_update(VARIANTS[name]), sample)
    assert off(gradient(*make_update(VARIANTS[name], GPU, precision=precision), sample), expected) < tolerance


def test_fp16_learns_with_its_scale_and_saves_it(tmp_path):
    state, update = make_update(device=GPU, precision="fp16")
    made = [update(sample) is not None for sample in samples(60)]
    assert made[-20:] == [True] * 20
    assert update.num_bad == 0
    state.save(tmp_path)
    other, _ = make_update(device=GPU, precision="fp16")
    other.load(tmp_path)
    assert other.precision.state_dict() == state.precision.state_dict()
    assert {t.dtype for t in other.tensors().values()} == {torch.float32}


@needs_compiler
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("steps", [1, 2])
def test_compiled_and_captured_updates_are_the_same(name, mode, steps):
    compile_parity(GPU, mode, VARIANTS[name], accumulation_steps=steps)


def test_one_rank_of_nccl_is_no_rank(nccl):
    (state, _), (reference, plain) = make_update(device=GPU), make_update(device=GPU)
    ranks = ProcessGroupRanks(timeout_s=60.0)
    spec = FakeReplay(OBS_DIM, NUM_ACTIONS).spec
    update = Update(state, VARIANTS["plain"], plain._config, spec, average_over_ranks(state.online, GPU), ranks)
    for sample in samples(5):
        np.testing.assert_allclose(update(sample), plain(sample), rtol=1e-5, atol=1e-6)
    for a, b in zip(state.online.parameters(), reference.online.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert ranks.mean([2.0]) == [2.0]
    assert ranks.gather("a") == ["a"]
    ranks.barrier()


@pytest.mark.parametrize("dtype", ["auto", "fp16"])
def test_the_trainer_with_nccl_amp_and_sync_batch_norm(nccl, tmp_path, dtype):
    def start():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 4))
        trainer = DistributedTrainer(
            model,
            use_amp=True,
            amp_dtype=dtype,
            strategy="ddp",
            sync_batch_norm=True,
            gradient_accumulation_steps=2,
            max_grad_norm=1.0,
        )
        return trainer, torch.optim.AdamW(trainer.module.parameters(), lr=0.01, fused=True)

    def go(trainer, optimizer, first, last):
        generator = torch.Generator().manual_seed(1)
        batches = [
            (torch.randn(16, 10, generator=generator), torch.randint(0, 4, (16,), generator=generator))
            for _ in range(12)
        ]
        return [
            trainer.training_step(batches[i], optimizer, nn.CrossEntropyLoss(), i)["loss"] for i in range(first, last)
        ]

    one, other = start(), start()
    assert any(isinstance(m, nn.SyncBatchNorm) for m in one[0].module.modules())
    go(*one, 0, 6)
    one[0].save_checkpoint(tmp_path / "half", 1, one[1])
    expected = go(*one, 6, 12)
    assert other[0].load_checkpoint(tmp_path / "half", other[1]) == 1
    assert go(*other, 6, 12) == pytest.approx(expected, rel=1e-4), "dropout draws on from the GPU's generator"


def test_data_parallel_on_its_gpus_is_one_model():
    def train(strategy):
        torch.manual_seed(0)
        trainer = DistributedTrainer(
            nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 4)), strategy=strategy, device="cuda"
        )
        optimizer = torch.optim.SGD(trainer.module.parameters(), lr=0.1)
        generator = torch.Generator().manual_seed(1)
        for step in range(5):
            batch = (torch.randn(16, 10, generator=generator), torch.randint(0, 4, (16,), generator=generator))
            trainer.training_step(batch, optimizer, nn.CrossEntropyLoss(), step)
        return torch.cat([p.detach().flatten().cpu() for p in trainer.module.parameters()])

    if torch.cuda.device_count() < 2:
        pytest.skip("shares rows out over two GPUs")
    torch.testing.assert_close(train("dp"), train("none"), rtol=1e-4, atol=1e-6)


def test_the_batch_size_is_found_by_running_out_of_memory():
    class Hungry(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            ballast = torch.ones(len(x), 16 << 20, device=x.device)  # 64 MiB a row
            return self.layer(x) * ballast[:, :1]

    free = torch.cuda.mem_get_info(GPU)[0]
    model = Hungry()
    search = DeviceManager.search_batch_size(model, (8,), "cuda", memory_frac=1.0, max_step_s=60.0, search_s=60.0)
    assert search.limited_by == "memory"
    assert free / (64 << 20) / 4 < search.batch_size < free / (64 << 20)
    assert next(model.parameters()).device.type == "cpu"
    assert torch.ones(1, device=GPU).item() == 1.0
    assert DeviceManager.find_optimal_batch_size(nn.Linear(8, 8), (8,), "cuda", max_batch_size=1024) == 1024


def test_the_gpu_tells_about_itself():
    info = DeviceManager.device_info()[0]
    assert info.device == "cuda:0"
    assert info.name == torch.cuda.get_device_name(0)
    assert 0 < info.memory_used_bytes < info.memory_total_bytes
