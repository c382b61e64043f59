"""What the devices of this machine are and how busy; and how large a batch they can take."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from robonav_ray.errors import UserError
from robonav_ray.fronts import device_memory as memory
from robonav_ray.fronts.batch_size import BatchSizeProbe, BatchSizeSearch, Limits, left_untouched, search_batch_size
from robonav_ray.learner.devices import named_device
from robonav_ray.learner.precision import check_precision
from robonav_ray.screen import plain_screen
from robonav_ray.text import one_line

CPU_MAX_STEP_S = 0.25
"""Longest training step that a search on a CPU accepts by default."""


@dataclass(frozen=True)
class DeviceInfo:
    """One device. What it does not tell is None."""

    device: str
    """As torch names it: ``cpu``, ``cuda:0``."""
    name: str
    memory_total_bytes: int
    memory_used_bytes: int
    utilization_frac: float | None = None
    """Part of the last moment in which it was busy."""
    temperature_c: float | None = None

    @property
    def memory_free_bytes(self) -> int:
        """Memory that no process uses."""
        return self.memory_total_bytes - self.memory_used_bytes


class DeviceManager:
    """GPUs through NVML (nvidia-ml-py), the CPU through psutil where there is none. Static methods; nothing is kept."""

    @staticmethod
    def device_info() -> list[DeviceInfo]:
        """Return the GPUs that this process sees, in torch's order; the CPU alone where there are none."""
        return _gpus() or [_cpu()]

    @staticmethod
    def print_device_info(console: Console | None = None) -> None:
        """Print ``device_info`` as a table."""
        table = Table(box=None, pad_edge=False)
        for heading in ("device", "name", "memory", "busy", "temperature"):
            table.add_column(heading)
        for info in DeviceManager.device_info():
            used, total = info.memory_used_bytes / 2**30, info.memory_total_bytes / 2**30
            busy = "-" if info.utilization_frac is None else f"{info.utilization_frac:.0%}"
            warm = "-" if info.temperature_c is None else f"{info.temperature_c:.0f} °C"
            table.add_row(info.device, Text(one_line(info.name)), f"{used:.1f} of {total:.1f} GiB", busy, warm)
        (console or plain_screen()).print(table)

    @staticmethod
    def find_optimal_batch_size(
        model: nn.Module,
        input_shape: tuple[int, ...] | None = None,
        device: torch.device | str | None = None,
        **options: Any,
    ) -> int:
        """Return the batch size that ``search_batch_size`` finds; the same arguments."""
        return DeviceManager.search_batch_size(model, input_shape, device, **options).batch_size

    @staticmethod
    def search_batch_size(
        model: nn.Module,
        input_shape: tuple[int, ...] | None = None,
        device: torch.device | str | None = None,
        *,
        make_inputs: Callable[[int], Any] | None = None,
        min_batch_size: int = 1,
        max_batch_size: int = 65_536,
        memory_frac: float = 0.8,
        max_step_s: float | None = None,
        search_s: float = 20.0,
        refine: bool = False,
        precision: str = "float32",
    ) -> BatchSizeSearch:
        """Return the largest batch that the model can be trained with on ``device``, and what was tried to find it.

        The model is given back as it was: weights, buffers, gradients, train or eval mode, device; torch's random
        numbers too. How it is done, and why the process survives it, stands in ``fronts/batch_size.py``.

        Args:
            model: Anything that takes a tensor (B, *input_shape); moved to ``device`` for the search and back.
            input_shape: Shape of one row. Left out where ``make_inputs`` says it.
            device: ``cpu``, ``cuda``, ``cuda:1`` ...; None takes the model's own.
            make_inputs: Makes the model's input (a tuple: its arguments) for a number of rows, where one float32 tensor
                will not do.
            min_batch_size: First size tried; 2 at least with BatchNorm.
            max_batch_size: Last size tried.
            memory_frac: Part of the memory that is free now which a step may take, optimiser state included (two floats
                a weight).
            max_step_s: Longest step; None is no limit on a GPU and ``CPU_MAX_STEP_S`` on a CPU, where memory is hardly
                ever the limit.
            search_s: Seconds after which nothing more is tried.
            refine: Close in on the limit between the last two powers of two.
            precision: ``float32``, ``bf16`` or ``fp16``.

        Raises:
            UserError: When an argument is out of range, there is no such device, or not even ``min_batch_size`` fits.
        """
        _check_range(input_shape, make_inputs, min_batch_size, max_batch_size, memory_frac, max_step_s, search_s)
        home = _device_of(model)
        at = named_device(device) if device is not None else home
        check_precision(precision, at, "precision")
        shape = input_shape or ()
        inputs = make_inputs or (lambda num_rows: torch.randn(num_rows, *shape, device=at))
        batch_norm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
        smallest = max(min_batch_size, 2 if batch_norm else 1)
        try:
            model.to(at)
            with left_untouched(model, at):
                step_s = max_step_s or (None if at.type == "cuda" else CPU_MAX_STEP_S)
                limits = Limits(max_batch_size, _budget_bytes(model, at, memory_frac), step_s, search_s)
                return search_batch_size(
                    BatchSizeProbe(model, inputs, at, precision), str(at), smallest, limits, refine
                )
        finally:
            model.to(home)


def _check_range(
    input_shape: tuple[int, ...] | None,
    make_inputs: Callable[[int], Any] | None,
    min_batch_size: int,
    max_batch_size: int,
    memory_frac: float,
    max_step_s: float | None,
    search_s: float,
) -> None:
    if (input_shape is None) == (make_inputs is None):
        raise UserError("give either input_shape (of one row, without the batch) or make_inputs, not both")
    if input_shape is not None and not all(isinstance(n, int) and n > 0 for n in input_shape):
        raise UserError(
            f"input_shape {input_shape}: write the positive sizes of one row, for instance (10,) or (3, 84, 84)"
        )
    if not 1 <= min_batch_size <= max_batch_size:
        raise UserError(f"min_batch_size ({min_batch_size}) must be from 1 to max_batch_size ({max_batch_size})")
    if not 0.0 < memory_frac <= 1.0:
        raise UserError(f"memory_frac ({memory_frac}) must be above 0 and at most 1")
    if max_step_s is not None and not max_step_s > 0.0:
        raise UserError(f"max_step_s ({max_step_s}) must be above 0; None takes the device's own limit")
    if search_s <= 0.0:
        raise UserError(f"search_s ({search_s}) must be above 0")


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _budget_bytes(model: nn.Module, device: torch.device, memory_frac: float) -> int:
    """Return what a step may take: a part of what is free, less Adam's two moments of every weight, which a search does
    not make.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory.available_bytes()
    moments = 2 * sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return max(0, int(memory_frac * free) - moments)


def _cpu() -> DeviceInfo:
    limit = memory.available_bytes()
    total = psutil.virtual_memory().total
    return DeviceInfo(
        "cpu", _cpu_name(), total, total - limit, psutil.cpu_percent(interval=0.1) / 100.0, _cpu_temperature()
    )


def _cpu_name() -> str:
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {memory.num_cpus()} CPUs"


def _cpu_temperature() -> float | None:
    read = getattr(psutil, "sensors_temperatures", None)  # Linux and FreeBSD only
    sensors = read() if read is not None else {}
    for name in ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz"):
        if sensors.get(name):
            return float(sensors[name][0].current)
    return None


def _gpus() -> list[DeviceInfo]:
    """Ask NVML; nothing where there is no driver or no GPU."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver here: the machine has no GPU that could be asked
        return []
    try:
        return [_gpu(pynvml, handle, index) for index, handle in enumerate(_visible_handles(pynvml))]
    finally:
        pynvml.nvmlShutdown()


def _visible_handles(nvml: Any) -> list[Any]:
    """Return the handles of the GPUs that CUDA_VISIBLE_DEVICES leaves, in its order: NVML itself sees all of them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    handles: list[Any] = []
    for name in filter(None, (part.strip() for part in visible.split(","))):
        try:
            handles.append(
                nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)
            )
        except nvml.NVMLError:  # as CUDA does: an entry that is none ends the list
            break
    return handles


def _gpu(nvml: Any, handle: Any, index: int) -> DeviceInfo:
    def ask(question: Callable[..., Any], *args: Any) -> Any:
        try:
            return question(handle, *args)
        except nvml.NVMLError:  # this GPU does not tell (MIG slices, some laptops)
            return None

    name, memory_info = ask(nvml.nvmlDeviceGetName), ask(nvml.nvmlDeviceGetMemoryInfo)
    rates, temperature = (
        ask(nvml.nvmlDeviceGetUtilizationRates),
        ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
    )
    return DeviceInfo(
        f"cuda:{index}",
        name.decode() if isinstance(name, bytes) else str(name or "GPU"),
        int(memory_info.total) if memory_info is not None else 0,
        int(memory_info.used) if memory_info is not None else 0,
        None if rates is None else rates.gpu / 100.0,
        None if temperature is None else float(temperature),
    )
