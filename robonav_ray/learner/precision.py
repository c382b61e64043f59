"""In which floating-point format a network computes, and the loss scaling that fp16 needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from robonav_ray.errors import UserError

AUTO = "auto"
DTYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
MIN_LOSS_SCALE = 1.0
"""Where a gradient that is still not finite is no longer put down to the scale of the loss."""


class Steps(Protocol):
    """What a precision needs of an optimiser: torch's, or ours."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any:
        """Move the parameters by their gradients."""
        ...


class Precision:
    """Mixed precision (Micikevicius et al. 2018): weights, gradients, losses and optimiser stay float32, matrix
    products do not.

    ``bf16`` has the range of float32, so its gradients need no care. ``fp16`` has not: the loss is scaled up before the
    backward pass and the gradients down again, by torch's GradScaler; a gradient that overflowed is skipped and the
    scale halved.
    """

    def __init__(
        self, name: str = "float32", device: torch.device | None = None, *, init_scale: float = 65536.0
    ) -> None:
        """Choose ``float32``, ``bf16``, ``fp16`` or ``auto``; whether ``device`` can is ``check_precision``'s to
        say.
        """
        self.device = device or torch.device("cpu")
        self.name = choose_precision(name, self.device)
        self.dtype = DTYPES[self.name]
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=init_scale) if self.name == "fp16" else None
        self.num_overflows = 0
        """Gradients that were skipped because the scale was too high."""

    @property
    def loss_scale(self) -> float:
        """Factor on the loss now; 1 without scaling."""
        return 1.0 if self.scaler is None else self.scaler.get_scale()

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which matrix products run in this precision."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of ``loss``, scaled where this precision needs it."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def unscale(self, optimizer: Steps) -> None:
        """Undo the scaling of all gradients; once before they are clipped or looked at."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)  # pyright: ignore[reportArgumentType]

    def step(self, optimizer: Steps) -> None:
        """Move the weights by gradients that are finite."""
        if self.scaler is None:
            optimizer.step()
            return
        self.scaler.step(optimizer)  # pyright: ignore[reportArgumentType]
        self.scaler.update()

    def skip(self, loss_is_finite: bool) -> bool:
        """Give up gradients that are not finite; return whether the scale of a finite loss explains them. It is halved
        then.
        """
        if self.scaler is None:
            return False
        scale = self.loss_scale
        explained = loss_is_finite and scale > MIN_LOSS_SCALE
        if explained:
            self.num_overflows += 1
            self.scaler.update()
        else:
            self.scaler.update(scale)
        return explained

    def state_dict(self) -> dict[str, float]:
        """Return the scale and how long it has held; empty without scaling."""
        if self.scaler is None:
            return {}
        state = self.scaler.state_dict()
        return {"scale": state["scale"], "growth_tracker": state["_growth_tracker"]}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on with the scale of ``state``; a state saved in another precision leaves it as it is."""
        if self.scaler is None or not state:
            return
        if set(state) != {"scale", "growth_tracker"}:
            raise ValueError(f"precision: expected scale and growth_tracker, got {', '.join(sorted(state))}")
        self.scaler.load_state_dict(
            self.scaler.state_dict() | {"scale": state["scale"], "_growth_tracker": int(state["growth_tracker"])}
        )


def choose_precision(name: str, device: torch.device) -> str:
    """Return ``name``, or for ``auto`` bf16 where ``device`` has instructions for it (AVX512-BF16 on a CPU), else
    float32.
    """
    if name != AUTO:
        return name
    native = has_bf16(device) and (device.type == "cuda" or torch.cpu._is_avx512_bf16_supported())
    return "bf16" if native else "float32"


def check_precision(name: str, device: torch.device, key: str = "learner.precision") -> None:
    """Refuse a precision that ``device`` does not have; ``key`` is what the user wrote it under.

    Raises:
        UserError: with the alternatives.
    """
    if name not in (*DTYPES, AUTO):
        raise UserError(f"{key}: there is no precision {name!r}; choose {', '.join(DTYPES)} or {AUTO}")
    if name == "fp16" and device.type != "cuda":
        raise UserError(
            f"{key}=fp16 needs a GPU, and this learner computes on {device}: take {key}=bf16 where the processor has "
            "it, or float32"
        )
    if name == "bf16" and not has_bf16(device):
        other = "fp16 or float32" if device.type == "cuda" else "float32"
        raise UserError(
            f"{key}=bf16: {device} has no bf16 of its own and would emulate it, slower than float32: take {other}"
        )


def has_bf16(device: torch.device) -> bool:
    """Return whether ``device`` multiplies bf16 in hardware: a GPU from compute capability 8.0, a CPU with AVX-512 or
    better.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
