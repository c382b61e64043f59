"""A small model, its batches, and torch alone as the oracle of what a ``DistributedTrainer`` makes of them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def make_model(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 4))


def batches(count: int, rows: int = 16) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(rows, 10, generator=generator), torch.randint(0, 4, (rows,), generator=generator))
        for _ in range(count)
    ]


def weights_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


def plain_training(
    data, rows_per_step: int = 1, max_norm: float | None = None, optimizer=torch.optim.Adam, learning_rate=0.01
) -> torch.Tensor:
    """The oracle: torch and nothing else."""
    model = make_model()
    optimizer = optimizer(model.parameters(), lr=learning_rate)
    for i in range(0, len(data), rows_per_step):
        x, y = (torch.cat(parts) for parts in zip(*data[i : i + rows_per_step], strict=True))
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
    return weights_of(model)
