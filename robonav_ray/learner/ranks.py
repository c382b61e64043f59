"""What the learner's ranks say to each other besides gradients: few words, at step boundaries only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import torch
from torch import distributed as dist


class RanksDivergedError(Exception):
    """Ranks hold different weights, which averaged gradients cannot bring about; nothing but a restart from a
    checkpoint mends it.
    """


class Agreement(NamedTuple):
    """What all ranks do next."""

    train: bool
    """Every rank has its batches."""
    look: bool
    """Rank 0 wants to look at the mailbox."""


class OneRank:
    """A learner of one process; nothing to agree on. Also the interface that ``ProcessGroupRanks`` implements."""

    rank = 0
    world_size = 1

    def agree(self, have_batches: bool, wants_look: bool) -> Agreement:
        """Return whether every rank has batches and whether rank 0 wants to look. A collective with several ranks."""
        return Agreement(have_batches, wants_look)

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's ``value`` (small; records and plain data) on every rank."""
        return value

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrite the tensors with rank 0's."""

    def mean(self, values: Sequence[float]) -> list[float]:
        """Return the mean over ranks of each value."""
        return list(values)

    def gather(self, value: Any) -> list[Any] | None:
        """Return every rank's ``value`` (small, plain data) in the order of ranks on rank 0, None elsewhere. A
        collective.
        """
        return [value]

    def check_equal(self, fingerprint: Callable[[], str]) -> None:
        """Return when all ranks have the same ``fingerprint``, which a lone rank need not make. A collective.

        Raises:
            RanksDivergedError: On every rank.
        """
        if self.world_size == 1:
            return
        found = self.gather(fingerprint())
        differ = self.broadcast(None if found is None else [rank for rank, one in enumerate(found) if one != found[0]])
        if differ:
            raise RanksDivergedError(f"the weights of rank {differ[0]} are not those of rank 0")

    def barrier(self) -> None:
        """Wait for every rank."""


class ProcessGroupRanks(OneRank):
    """Ranks of the default process group. Words travel by gloo, also where gradients travel by NCCL."""

    def __init__(self, timeout_s: float = 1800.0) -> None:
        """Join; every rank must do so. ``timeout_s`` bounds every later wait for a rank that does not answer."""
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        own = dist.get_backend() != "gloo"
        self._group: Any = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s)) if own else None

    def agree(self, have_batches: bool, wants_look: bool) -> Agreement:
        """One all-reduce (minimum) of two small integers."""
        words = torch.tensor([int(have_batches), -1 if wants_look and self.rank == 0 else 0])
        dist.all_reduce(words, op=dist.ReduceOp.MIN, group=self._group)
        have_all, look = words.tolist()
        return Agreement(have_all == 1, look == -1)

    def broadcast(self, value: Any) -> Any:
        """One broadcast of the pickled value between our own processes."""
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """One broadcast per tensor, through host memory."""
        for tensor in tensors:
            host = tensor.detach().cpu().contiguous()
            dist.broadcast(host, src=0, group=self._group)
            with torch.no_grad():
                tensor.copy_(host)

    def mean(self, values: Sequence[float]) -> list[float]:
        """One all-reduce of the values."""
        words = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(words, group=self._group)
        return (words / self.world_size).tolist()

    def gather(self, value: Any) -> list[Any] | None:
        """One gather of the pickled values between our own processes."""
        box: list[Any] | None = [None] * self.world_size if self.rank == 0 else None
        dist.gather_object(value, box, dst=0, group=self._group)
        return box

    def barrier(self) -> None:
        """Wait for every rank."""
        dist.barrier(group=self._group)
