"""One model on several devices: DistributedDataParallel over ranks, DataParallel within a process, SyncBatchNorm."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parallel.scatter_gather import scatter

from robonav_ray.errors import UserError
from robonav_ray.learner.tensor_tree import map_tensors, tensors_in


def has_process_group() -> bool:
    """Return whether this process is a rank of a group, under Ray Train, torchrun or by hand."""
    return dist.is_available() and dist.is_initialized()


def average_over_ranks(
    module: nn.Module, device: torch.device, find_unused_parameters: bool = False
) -> DistributedDataParallel:
    """Return ``module`` wrapped so that a backward pass leaves the mean gradient of all ranks (Li et al. 2020).

    ``find_unused_parameters`` is for modules that do not use every parameter in every pass, and costs a walk through
    the graph.
    """
    device_ids = [device] if device.type == "cuda" else None
    return DistributedDataParallel(
        module, device_ids=device_ids, gradient_as_bucket_view=True, find_unused_parameters=find_unused_parameters
    )


class RowsOverGpus(DataParallel[nn.Module]):
    """torch's DataParallel, whose ``scatter`` knows every holder of tensors that ``tensor_tree`` knows.

    torch's own hands what it does not know (a dataclass, a mapping that is no dict) whole to every GPU.
    """

    def scatter(self, inputs: tuple[Any, ...], kwargs: dict[str, Any] | None, device_ids: Any) -> tuple[Any, Any]:
        """Return arguments and keywords for each GPU, with its part of the rows; fewer where there are fewer rows."""
        whole = (inputs, kwargs or {})
        tensors = list(tensors_in(whole))
        if not tensors:
            return super().scatter(inputs, kwargs, device_ids)
        parts = [iter(part) for part in scatter(tensors, device_ids, self.dim)]
        shared = [map_tensors(lambda _, part=part: next(part), whole) for part in parts]
        return tuple(part[0] for part in shared), tuple(part[1] for part in shared)


def spread_over_gpus(module: nn.Module) -> DataParallel[nn.Module]:
    """Return ``module`` wrapped so that every forward pass shares its rows out over the GPUs of this process."""
    return RowsOverGpus(module)


def with_sync_batch_norm(module: nn.Module, device: torch.device, key: str = "sync_batch_norm") -> nn.Module:
    """Return ``module`` with every BatchNorm replaced by one that takes its statistics over all ranks.

    Raises:
        UserError: On a CPU, without a process group, or when there is no BatchNorm; ``key`` is what the user wrote it
            under.
    """
    if device.type != "cuda":
        raise UserError(
            f"{key} needs one GPU per rank, and the model is on {device}: leave it out, or take LayerNorm or GroupNorm"
        )
    if not has_process_group():
        raise UserError(
            f"{key} needs a process group, and this process is no rank of one: start it with torchrun or in a Ray "
            "Train worker, or leave it out (one process sees the whole batch anyway)"
        )
    if not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules()):
        raise UserError(f"{key} has nothing to do: the model has no BatchNorm layer; leave it out")
    return nn.SyncBatchNorm.convert_sync_batchnorm(module)
