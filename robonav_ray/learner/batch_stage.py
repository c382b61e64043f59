"""Samples become tensors on the learner's device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robonav_ray.algo.objective import Batch
from robonav_ray.records import ReplaySample, TransitionSpec

_STAGED = (
    ("obs", torch.float32),
    ("action", torch.int64),
    ("reward", torch.float32),
    ("next_obs", torch.float32),
    ("discount", torch.float32),
)


class BatchStage:
    """Copies samples (which may be read-only views of shared memory) into one set of tensors that is used again and
    again.
    """

    def __init__(self, spec: TransitionSpec, device: torch.device) -> None:
        self._columns = tuple((spec.index(name), dtype) for name, dtype in _STAGED)
        self._device = device
        self._host: tuple[Tensor, ...] = ()
        self._views: tuple[np.ndarray, ...] = ()

    def load(self, sample: ReplaySample) -> Batch:
        """Return the sample's columns as tensors; they are overwritten by the next ``load``."""
        sources = (*(sample.columns[i] for i, _ in self._columns), sample.importance_weight)
        if tuple(s.shape for s in sources) != tuple(v.shape for v in self._views):
            dtypes = (*(dtype for _, dtype in self._columns), torch.float32)
            pin = self._device.type == "cuda"
            self._host = tuple(
                torch.empty(s.shape, dtype=d, pin_memory=pin) for s, d in zip(sources, dtypes, strict=True)
            )
            self._views = tuple(t.numpy() for t in self._host)
        for view, source in zip(self._views, sources, strict=True):
            np.copyto(view, source, casting="same_kind")
        if self._device.type == "cpu":
            return Batch(*self._host)
        return Batch(*(t.to(self._device, non_blocking=True) for t in self._host))
