"""A batch in k pieces: the gradient of the whole, in the memory of one piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class Piece(NamedTuple):
    """One micro-batch: rows ``start`` to ``stop`` of ``num_rows``."""

    start: int
    stop: int
    weight: float
    """Factor on the mean loss of these rows, so that the pieces sum up to the mean over all rows."""
    is_last: bool


def pieces(num_rows: int, num_pieces: int) -> Iterator[Piece]:
    """Cut ``num_rows`` into ``num_pieces`` that differ by one row at most; ValueError when there are fewer rows than
    pieces.
    """
    if num_rows < num_pieces:
        raise ValueError(
            f"{num_rows} rows cannot be accumulated in {num_pieces} steps; take a larger batch or fewer steps"
        )
    edges = [i * num_rows // num_pieces for i in range(num_pieces + 1)]
    for i in range(num_pieces):
        yield Piece(edges[i], edges[i + 1], (edges[i + 1] - edges[i]) / num_rows, i == num_pieces - 1)


def begin_gradients(parameters: Iterable[Tensor], in_place: bool) -> None:
    """Drop the gradients, so that the first backward pass makes them; ``in_place`` sets them to 0 in memory of their
    own instead.

    A parameter that is frozen has none from here on: with one of 0 an optimiser's weight decay would move it.

    A captured CUDA graph makes gradients in its own memory, which its next run overwrites: with several pieces they
    must not live there (pytorch/pytorch#169545).
    """
    for parameter in parameters:
        if not in_place or not parameter.requires_grad:
            parameter.grad = None
        elif parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        else:
            parameter.grad.zero_()


def averaged(model: nn.Module, is_last: bool) -> AbstractContextManager[Any]:
    """Return the context for the forward and backward pass of a piece: ranks average their gradients once, at the last
    one.
    """
    if isinstance(model, DistributedDataParallel) and not is_last:
        return model.no_sync()
    return nullcontext()
