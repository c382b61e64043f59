"""What the learner shows beyond means: the distributions of its weights, gradients, Q values and TD errors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robonav_ray.algo.networks import QNetwork
from robonav_ray.algo.objective import Batch
from robonav_ray.histograms import Histogram

NUM_BINS = 40


def learner_histograms(online: QNetwork, newest: Batch | None, td_error: np.ndarray | None) -> tuple[Histogram, ...]:
    """Return the histograms of every parameter and of its newest gradient, and of one batch.

    Nothing is changed and nothing is drawn: noisy layers act with their means, as the greedy policy does.

    Args:
        online: The network that is trained; its gradients are those of the newest update.
        newest: The batch of the newest update; None before the first.
        td_error: |td_error| (B,) of that batch; None where the update was dropped.
    """
    values = dict[str, np.ndarray]()
    for name, parameter in online.named_parameters():
        values[f"learner/weights/{name}"] = _values(parameter)
        if parameter.grad is not None:
            values[f"learner/gradients/{name}"] = _values(parameter.grad)
    if newest is not None:
        values["learner/q_values"] = _q_values(online, newest.obs)
    if td_error is not None:
        values["learner/td_error"] = td_error
    shown = {name: array for name, array in values.items() if np.isfinite(array).any()}
    return tuple(Histogram.of(name, array, NUM_BINS) for name, array in shown.items())


def _q_values(online: QNetwork, obs: Tensor) -> np.ndarray:
    modes = [(module, module.training) for module in online.modules()]  # a user's may differ from one to another
    online.eval()  # a user's module may leave out units at random while it trains, from the generator of all
    try:
        with torch.no_grad():
            return _values(online.q_values(obs))
    finally:
        for module, trains in modes:
            module.training = trains


def _values(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
