"""The largest batch that a model can be trained with here, found by trying, without ever running the machine out of
memory.

Sizes are doubled from the smallest. A GPU says itself when its memory is full, and survives it. A CPU does not: the
kernel ends the process. So there every size is first *predicted* from what the smaller ones took, and tried only if
that fits; and while it is tried, the process's address space is limited, so that an allocation beyond the prediction
fails as an error that is caught.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robonav_ray.errors import UserError
from robonav_ray.fronts import device_memory as memory
from robonav_ray.learner.precision import Precision
from robonav_ray.learner.tensor_tree import tensors_in

NOISE_BYTES = 16 << 20
"""Growth below which a measured peak says nothing: allocators take memory in advance."""
MARGIN = 1.25
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "cannot allocate",
)


@dataclass(frozen=True)
class Trial:
    """One batch size, tried or ruled out."""

    batch_size: int
    fits: bool
    step_s: float | None = None
    """Seconds of one forward and backward pass; None when it was not made."""
    peak_bytes: int | None = None
    """Memory above what was held before; None when it was not made."""
    why_not: str = ""

    def describe(self) -> str:
        """Return one line for people."""
        if self.step_s is None or self.peak_bytes is None:
            return f"{self.batch_size}: {self.why_not}"
        found = f"{self.batch_size}: {self.step_s * 1e3:.1f} ms, {self.peak_bytes / 2**20:.0f} MiB"
        return found if self.fits else f"{found}; {self.why_not}"


@dataclass(frozen=True)
class BatchSizeSearch:
    """What a search found, and what it tried."""

    batch_size: int
    device: str
    limited_by: str
    """``memory``, ``step time``, ``search time`` or ``max_batch_size``."""
    tried: tuple[Trial, ...]

    def describe(self) -> str:
        """Return a few lines for people."""
        return "\n".join(
            [
                f"batch size {self.batch_size} on {self.device}, limited by {self.limited_by}",
                *(t.describe() for t in self.tried),
            ]
        )


@dataclass(frozen=True)
class Limits:
    """Where a search ends."""

    max_batch_size: int
    max_bytes: int
    max_step_s: float | None
    search_s: float


class BatchSizeProbe:
    """Makes training steps of a model on made-up batches, and says what they cost."""

    def __init__(
        self, model: nn.Module, make_inputs: Callable[[int], Any], device: torch.device, precision: str = "float32"
    ):
        self._model, self._make_inputs, self._device = model, make_inputs, device
        self._precision = Precision(precision, device)
        self._counted = True
        self._floor = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)

    @property
    def floor_bytes(self) -> int:
        """What any step takes: one gradient per parameter."""
        return self._floor

    def try_size(self, batch_size: int, max_bytes: int) -> Trial:
        """Make one step; a trial that does not fit when it ran out of memory. Other errors of the model are raised."""
        before = self._held()
        began = time.perf_counter()
        guard = memory.limited_growth(max_bytes) if self._device.type == "cpu" else nullcontext()
        try:
            with guard:
                self._step(batch_size)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return Trial(batch_size, False, why_not="out of memory")
        finally:
            self._clear()
        step_s = time.perf_counter() - began
        peak = max(0, self._peak() - before)
        if peak > max_bytes:
            return Trial(batch_size, False, step_s, peak, f"more than the {max_bytes / 2**20:.0f} MiB that it may take")
        return Trial(batch_size, True, step_s, peak)

    def _step(self, batch_size: int) -> None:
        inputs = self._make_inputs(batch_size)
        with self._precision.autocast():
            outputs = self._model(*inputs) if isinstance(inputs, tuple) else self._model(inputs)
        loss = sum_of_means(outputs)
        if loss is not None and loss.requires_grad:
            loss.backward()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _clear(self) -> None:
        for parameter in self._model.parameters():
            parameter.grad = None
        if self._device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

    def _held(self) -> int:
        """Return the memory that is held now, and count its peak from here."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return torch.cuda.memory_allocated(self._device)
        memory.give_back()
        self._counted = memory.forget_peak()
        return memory.resident_bytes()

    def _peak(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return memory.peak_bytes() if self._counted else memory.resident_bytes()


def search_batch_size(
    probe: BatchSizeProbe, device: str, smallest: int, limits: Limits, refine: bool
) -> BatchSizeSearch:
    """Double from ``smallest`` while it fits, then (``refine``) halve the last gap down to a sixteenth of the size.

    Raises:
        UserError: When not even ``smallest`` fits.
    """
    until = time.monotonic() + limits.search_s
    if probe.floor_bytes > limits.max_bytes:
        raise UserError(
            f"the gradients of the model alone take {probe.floor_bytes / 2**20:.0f} MiB, and only "
            f"{limits.max_bytes / 2**20:.0f} MiB may be used: free memory, raise memory_frac, or take a smaller model"
        )
    probe.try_size(smallest, limits.max_bytes)  # warm-up: the first pass loads code and sets up the allocator
    tried: list[Trial] = []
    best, size, limited_by = 0, smallest, "max_batch_size"
    while size <= limits.max_batch_size:
        reason = _rule_out(size, tried, probe.floor_bytes, limits, until)
        if reason is None:
            tried.append(_best_of_two(probe, size, limits))
            reason = _why_too_large(tried[-1], limits, bool(best))
        else:
            tried.append(Trial(size, False, why_not=f"not tried: {reason[1]}"))
        if reason is not None:
            limited_by = reason[0]
            break
        best, size = size, size * 2
    if not best:
        raise UserError(
            f"not even a batch of {smallest} fits on {device} ({tried[-1].describe()}): free memory, or take a smaller "
            "model or input"
        )
    while refine and best < size <= limits.max_batch_size and size - best > max(1, best // 16):
        middle = (best + size) // 2
        reason = _rule_out(middle, tried, probe.floor_bytes, limits, until)
        if reason is not None and reason[0] == "search time":
            break
        if reason is None:
            tried.append(_best_of_two(probe, middle, limits))
            reason = _why_too_large(tried[-1], limits, True)
        else:
            tried.append(Trial(middle, False, why_not=f"not tried: {reason[1]}"))
        best, size = (middle, size) if reason is None else (best, middle)
    return BatchSizeSearch(best, device, limited_by, tuple(tried))


def predicted_bytes(size: int, tried: list[Trial], floor_bytes: int) -> int:
    """Return what a step of ``size`` rows is expected to take at most, from the trials so far.

    Linear in the rows, or steeper where the last trials were (attention over the batch is quadratic), with a margin.
    Trials within the allocator's noise count as that noise.
    """
    made = sorted((t.batch_size, t.peak_bytes) for t in tried if t.peak_bytes is not None and t.fits)
    if not made:
        return floor_bytes
    rows, last = made[-1]
    telling = [(r, peak) for r, peak in made if peak > NOISE_BYTES]
    peak = max(last, NOISE_BYTES, *(p * rows / r for r, p in telling))
    power = 1.0
    if len(telling) > 1:
        (fewer, lower), (more, higher) = telling[-2:]
        power = max(1.0, math.log(higher / lower) / math.log(more / fewer))
    return int(max(floor_bytes, MARGIN * peak * (size / rows) ** power))


def _rule_out(size: int, tried: list[Trial], floor_bytes: int, limits: Limits, until: float) -> tuple[str, str] | None:
    """Return (limit, reason) why ``size`` shall not be tried, None when it may."""
    expected = predicted_bytes(size, tried, floor_bytes)
    if expected > limits.max_bytes:
        return (
            "memory",
            f"would take up to {expected / 2**20:.0f} MiB, and {limits.max_bytes / 2**20:.0f} MiB may be used",
        )
    made = [t for t in tried if t.step_s is not None]
    if made:
        step_s = made[-1].step_s or 0.0
        if time.monotonic() + step_s * size / made[-1].batch_size > until:
            return "search time", "the time of the search is used"
    return None


def _best_of_two(probe: BatchSizeProbe, size: int, limits: Limits) -> Trial:
    """Try ``size``, and once more when it was too slow: something else may have had the processor."""
    trial = probe.try_size(size, limits.max_bytes)
    if not trial.fits or limits.max_step_s is None or (trial.step_s or 0.0) <= limits.max_step_s:
        return trial
    again = probe.try_size(size, limits.max_bytes)
    return again if again.fits and (again.step_s or 0.0) < (trial.step_s or 0.0) else trial


def _why_too_large(trial: Trial, limits: Limits, has_smaller: bool) -> tuple[str, str] | None:
    if not trial.fits:
        return "memory", trial.why_not
    too_slow = limits.max_step_s is not None and trial.step_s is not None and trial.step_s > limits.max_step_s
    return ("step time", "a step takes too long") if too_slow and has_smaller else None


def sum_of_means(outputs: Any) -> Tensor | None:
    """Return a loss that depends on every floating-point tensor in ``outputs``; None when there is none."""
    parts = [tensor.float().square().mean() for tensor in tensors_in(outputs) if tensor.is_floating_point()]
    return torch.stack(parts).sum() if parts else None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory has run out, from whichever library."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        word in str(error).lower() for word in _OUT_OF_MEMORY
    )


@contextmanager
def left_untouched(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Give the model back with the buffers, gradients and train/eval modes that it had, and torch's random numbers
    too.
    """
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for parameter, _ in gradients:
            parameter.grad = None
        model.train()
        try:
            yield
        finally:
            for parameter, gradient in gradients:
                parameter.grad = gradient
            for module, training in modes:
                module.training = training
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)
