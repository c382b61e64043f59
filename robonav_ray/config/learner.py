"""The learner: optimiser, target network, ranks and what they wait for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robonav_ray.config.base import Section


class LearnerConfig(Section):
    """One DDP rank per ``num_ranks``; batch sizes are global."""

    num_ranks: int = Field(default=1, ge=1)
    """DDP ranks (workers of the TorchTrainer)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` takes a GPU when the cluster has one for every rank."""
    batch_size: int = Field(default=256, ge=1)
    """Rows per gradient step over all ranks; each rank draws its part."""
    batches_per_call: int = Field(default=16, ge=1)
    """Batches that travel together from replay to a rank."""
    prefetch_calls: int = Field(default=2, ge=1)
    """Calls that may wait, ready, in front of a rank (the bound of that queue)."""
    learning_rate: float = Field(default=1e-3, gt=0.0)
    """Adam's step size."""
    adam_eps: float = Field(default=1e-8, gt=0.0)
    """Adam's epsilon."""
    max_grad_norm: float = Field(default=10.0, gt=0.0)
    """Global norm at which gradients are clipped."""
    target_update: Literal["polyak", "hard"] = "polyak"
    """``polyak`` moves the target net by ``target_tau`` every step; ``hard`` copies it every ``target_interval`` steps."""
    target_tau: float = Field(default=0.01, gt=0.0, le=1.0)
    """Polyak coefficient."""
    target_interval: int = Field(default=250, ge=1)
    """Learner steps between hard copies."""
    publish_interval: int = Field(default=20, ge=1)
    """Learner steps between two published versions of the weights."""
    report_interval: int = Field(default=50, ge=1)
    """Learner steps between two looks at the mailbox (metrics out, commands in)."""
    max_restarts: int = Field(default=3, ge=0)
    """How often Ray Train may restart the ranks after a failure."""
    torch_threads: int = Field(default=1, ge=1)
    """Intra-op threads of a rank."""
