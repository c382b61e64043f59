"""What a ``DistributedTrainer`` finds: which precision the device has, which processes and GPUs share the work."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from torch import distributed as dist
from torch import nn

from robonav_ray.errors import UserError
from robonav_ray.learner.parallel import average_over_ranks, has_process_group, spread_over_gpus
from robonav_ray.learner.precision import has_bf16

logger = logging.getLogger(__name__)
Strategy = Literal["auto", "ddp", "dp", "none"]


def precision_name(use_amp: bool, amp_dtype: str, device: torch.device) -> str:
    """Return the format to compute in, as ``DistributedTrainer`` is asked for it; a warning where it is float32 for
    want of another.
    """
    if not use_amp:
        if amp_dtype != "auto":
            raise UserError(
                f"amp_dtype={amp_dtype!r} would be ignored without use_amp=True: set it, or leave amp_dtype out"
            )
        return "float32"
    if amp_dtype != "auto":
        return amp_dtype
    if has_bf16(device):
        return "bf16"
    if device.type == "cuda":
        return "fp16"
    logger.warning("use_amp=True: this %s has neither bf16 nor fp16 of its own and computes in float32", device.type)
    return "float32"


def join_torchrun(device: torch.device) -> bool:
    """Join the process group that torchrun has prepared, where that was not done yet; return whether that was done
    here.
    """
    if has_process_group() or not dist.is_torchelastic_launched():
        return False
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return True


def chosen_strategy(strategy: Strategy, device: torch.device) -> Strategy:
    """Return what ``strategy`` comes to here; UserError for one that the device or the processes cannot do."""
    if strategy == "auto":
        if has_process_group() and dist.get_world_size() > 1:
            return "ddp"
        return "dp" if device.type == "cuda" and not has_process_group() and torch.cuda.device_count() > 1 else "none"
    if strategy == "ddp" and not has_process_group():
        raise UserError(
            "strategy='ddp' needs a process group: start with torchrun or in a Ray Train worker, call "
            "torch.distributed.init_process_group, or take strategy='auto'"
        )
    if strategy == "dp" and (device.type != "cuda" or torch.cuda.device_count() < 2):
        raise UserError(
            "strategy='dp' shares batches out over the GPUs of this process, and it sees fewer than two: take 'auto' "
            "or 'none'"
        )
    if strategy not in ("ddp", "dp", "none"):
        raise UserError(f"there is no strategy {strategy!r}; choose 'auto', 'ddp', 'dp' or 'none'")
    return strategy


def wrapped(module: nn.Module, device: torch.device, strategy: Strategy, find_unused_parameters: bool) -> nn.Module:
    """Return ``module`` as the strategy calls it."""
    if strategy == "ddp":
        return average_over_ranks(module, device, find_unused_parameters)
    return spread_over_gpus(module) if strategy == "dp" else module
