"""Adam (Kingma and Ba 2015) on torch's fused kernel."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Adam:
    """Bit for bit what ``torch.optim.Adam(..., fused=True)`` does, without its start-up cost.

    The constructor of any ``torch.optim`` optimiser imports ``torch._dynamo``: 800 modules and about a second, in every
    rank at every start, for nothing that is used here.
    """

    def __init__(
        self, parameters: Iterable[Tensor], learning_rate: float, eps: float, betas: tuple[float, float] = (0.9, 0.999)
    ):
        """Start with zero moments for ``parameters``, which live on one device."""
        self.parameters = list(parameters)
        self.param_groups = [{"params": self.parameters}]
        """The parameters again, where torch's GradScaler looks for them."""
        self.learning_rate, self.eps, self.betas = learning_rate, eps, betas
        self.exp_avg = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.exp_avg_sq = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.steps = [torch.zeros((), dtype=torch.float32, device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter by its gradient; all of them must have one."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        torch._foreach_add_(self.steps, 1.0)  # pyright: ignore[reportPrivateImportUsage]
        torch._fused_adam_(  # pyright: ignore[reportPrivateImportUsage]
            self.parameters,
            gradients,
            self.exp_avg,
            self.exp_avg_sq,
            [],
            self.steps,
            lr=self.learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )
