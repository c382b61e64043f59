"""Devices are described wherever they are, and the search for a batch size survives every fault of the model."""

from __future__ import annotations

import io
import os
import types
from pathlib import Path

import psutil
import pynvml
import pytest
import torch
from rich.console import Console
from torch import nn

from robonav_ray import DeviceManager
from robonav_ray.errors import UserError
from robonav_ray.fronts import device_manager
from robonav_ray.fronts import device_memory as memory
from robonav_ray.fronts.batch_size import NOISE_BYTES, Trial, is_out_of_memory, predicted_bytes

MIB = 1 << 20


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))


class Growing(nn.Module):
    """Takes ``bytes_per_row`` for every row, twice that from ``jumps_at`` rows, or anything else that ``grow`` makes of
    them."""

    def __init__(self, grow) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.grow = grow
        self.seen: list[int] = []

    def forward(self, x):
        self.seen.append(len(x))
        ballast = torch.ones(self.grow(len(x)) // 4)
        return self.layer(x) * ballast[0]


def test_the_model_is_given_back_as_it_was():
    torch.manual_seed(3)
    model = make_model().eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    gradient, random_state = model[0].weight.grad, torch.get_rng_state()
    model[3].train()
    size = DeviceManager.find_optimal_batch_size(model, (32,), "cpu", max_batch_size=64)
    assert size == 64
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model[0].weight.grad is gradient
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert model[4].weight.grad is None
    assert [m.training for m in (model, model[1], model[3])] == [False, False, True]
    assert torch.equal(torch.get_rng_state(), random_state)


def test_sizes_double_and_what_was_tried_is_told():
    search = DeviceManager.search_batch_size(make_model(), (32,), max_batch_size=100)
    assert [t.batch_size for t in search.tried] == [2, 4, 8, 16, 32, 64], "BatchNorm needs two rows to begin with"
    assert (search.batch_size, search.limited_by, search.device) == (64, "max_batch_size", "cpu")
    assert all(t.fits and t.step_s is not None and t.step_s > 0.0 for t in search.tried)
    assert "batch size 64 on cpu" in search.describe()
    assert len(search.describe().splitlines()) == 7


def test_memory_is_predicted_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 400 * MIB)
    model = Growing(lambda rows: rows * 8 * MIB)
    search = DeviceManager.search_batch_size(model, (4,), memory_frac=0.5, max_step_s=60.0)
    assert search.limited_by == "memory"
    assert 4 <= search.batch_size <= 16
    assert max(model.seen) <= 16, "the size that would not fit was never tried"
    assert not search.tried[-1].fits
    assert "not tried" in search.tried[-1].describe()
    refined = DeviceManager.search_batch_size(model, (4,), memory_frac=0.5, max_step_s=60.0, refine=True)
    assert search.batch_size <= refined.batch_size <= 25
    assert max(model.seen) <= 25


def test_a_model_that_grows_all_at_once_fails_as_an_error_and_not_as_a_kill(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 500 * MIB)
    search = DeviceManager.search_batch_size(
        Growing(lambda rows: 64 << 30 if rows >= 64 else 1024), (4,), max_step_s=60.0
    )
    assert (search.batch_size, search.limited_by) == (32, "memory")
    assert "out of memory" in search.tried[-1].why_not
    assert psutil.Process().memory_info().rss < 8 << 30
    small = torch.zeros(1 << 20)  # the limit on the address space is gone again
    assert small.sum() == 0


def test_quadratic_growth_is_seen_coming():
    tried = [Trial(rows, True, 0.1, rows * rows * MIB) for rows in (8, 16, 32)]
    assert predicted_bytes(64, tried, 0) == pytest.approx(1.25 * 64 * 64 * MIB)
    assert predicted_bytes(64, [Trial(r, True, 0.1, r * MIB) for r in (16, 32)], 0) == pytest.approx(1.25 * 64 * MIB)
    assert predicted_bytes(2, [Trial(1, True, 0.1, 5)], 0) == pytest.approx(1.25 * 2 * NOISE_BYTES)
    assert predicted_bytes(2, [], 77) == 77


def test_a_step_that_takes_too_long_ends_the_search():
    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            import time

            time.sleep(0.004 * len(x))
            return {"out": (self.layer(x), None)}

    search = DeviceManager.search_batch_size(Slow(), (4,), max_step_s=0.05)
    assert (search.batch_size, search.limited_by) == (8, "step time")
    assert "too long" in search.describe() or search.tried[-1].batch_size == 16
    search = DeviceManager.search_batch_size(Slow(), (4,), max_step_s=60.0, search_s=0.2)
    assert search.limited_by == "search time"
    assert search.batch_size <= 32


def test_inputs_of_its_own_and_models_that_cannot_be_trained():
    embedding = nn.Embedding(10, 4)
    size = DeviceManager.find_optimal_batch_size(
        embedding, make_inputs=lambda n: torch.zeros(n, 3, dtype=torch.int64), max_batch_size=8
    )
    assert size == 8
    frozen = nn.Linear(4, 4).requires_grad_(False)
    assert DeviceManager.find_optimal_batch_size(frozen, (4,), max_batch_size=8) == 8
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        DeviceManager.find_optimal_batch_size(nn.Linear(4, 4), (5,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either input_shape"),
        ({"input_shape": (0,)}, "positive sizes"),
        ({"input_shape": (4,), "make_inputs": len}, "not both"),
        ({"input_shape": (4,), "min_batch_size": 9, "max_batch_size": 8}, "min_batch_size"),
        ({"input_shape": (4,), "memory_frac": 0.0}, "memory_frac"),
        ({"input_shape": (4,), "search_s": 0.0}, "search_s"),
        ({"input_shape": (4,), "max_step_s": 0.0}, "max_step_s"),
        ({"input_shape": (4,), "precision": "fp16"}, "needs a GPU"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        DeviceManager.find_optimal_batch_size(nn.Linear(4, 4), device="cpu", **arguments)


def test_a_model_that_does_not_fit_at_all_is_said_so(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 0)
    with pytest.raises(UserError, match="gradients of the model alone"):
        DeviceManager.find_optimal_batch_size(nn.Linear(100, 100), (100,))
    monkeypatch.setattr(memory, "available_bytes", lambda: 100 * MIB)
    with pytest.raises(UserError, match="not even a batch of 1"):
        DeviceManager.find_optimal_batch_size(Growing(lambda rows: 64 << 30), (4,))


def test_every_ones_words_for_no_memory_are_known():
    for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
                  RuntimeError("CUDA out of memory. Tried"),
                  RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")):  # fmt: skip
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_container_has_less_memory_than_its_machine(tmp_path, monkeypatch):
    limit, usage, statistics = tmp_path / "max", tmp_path / "current", tmp_path / "stat"
    limit.write_text("300000000\n")
    usage.write_text("250000000\n")
    statistics.write_text("anon 1\ninactive_file 40000000\n")
    monkeypatch.setattr(memory, "_CGROUPS", ((limit, usage, statistics), (Path("/nowhere"),) * 3))
    assert memory.available_bytes() == 90_000_000
    limit.write_text("max\n")
    assert memory.available_bytes() > 90_000_000


def test_the_cpu_alone_is_described_and_printed(monkeypatch):
    monkeypatch.setattr(device_manager, "_gpus", list)
    (info,) = DeviceManager.device_info()
    assert info.device == "cpu"
    assert info.memory_total_bytes == psutil.virtual_memory().total
    assert 0 < info.memory_free_bytes <= info.memory_total_bytes
    assert info.utilization_frac is not None
    assert 0.0 <= info.utilization_frac <= 1.0
    out = io.StringIO()
    DeviceManager.print_device_info(Console(file=out, width=200))
    assert "GiB" in out.getvalue()
    assert info.name in out.getvalue()


def fake_nvml(monkeypatch, tells_temperature: bool = True) -> None:
    names = [b"Tesla T4", "NVIDIA H200", "NVIDIA L4"]

    def refuse(*_):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def by_index(i):
        return i if i < 3 else refuse()

    for name, fake in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 3,
        "nvmlDeviceGetHandleByIndex": by_index,
        "nvmlDeviceGetHandleByUUID": lambda uuid: {"GPU-abc": 1}[uuid],
        "nvmlDeviceGetName": lambda handle: names[handle],
        "nvmlDeviceGetMemoryInfo": lambda handle: types.SimpleNamespace(total=(handle + 1) << 30, used=1 << 20),
        "nvmlDeviceGetUtilizationRates": lambda handle: types.SimpleNamespace(gpu=40 + handle),
        "nvmlDeviceGetTemperature": (lambda handle, kind: 60 + handle) if tells_temperature else refuse,
    }.items():
        monkeypatch.setattr(pynvml, name, fake)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["Tesla T4", "NVIDIA H200", "NVIDIA L4"]),
        ("2,0", ["NVIDIA L4", "Tesla T4"]),
        ("GPU-abc", ["NVIDIA H200"]),
        ("1,7,0", ["NVIDIA H200"]),
    ],
)
def test_gpus_are_listed_as_torch_numbers_them(monkeypatch, visible, expected):
    fake_nvml(monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = DeviceManager.device_info()
    assert [info.name for info in found] == expected
    assert [info.device for info in found] == [f"cuda:{i}" for i in range(len(expected))]


def test_what_a_gpu_tells_and_what_it_does_not(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake_nvml(monkeypatch)
    second = DeviceManager.device_info()[1]
    assert (second.memory_total_bytes, second.memory_used_bytes) == (2 << 30, 1 << 20)
    assert second.utilization_frac == pytest.approx(0.41)
    assert second.temperature_c == 61.0
    fake_nvml(monkeypatch, tells_temperature=False)
    assert DeviceManager.device_info()[1].temperature_c is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert DeviceManager.device_info()[0].device == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
