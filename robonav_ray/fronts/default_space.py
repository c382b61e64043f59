"""What a search goes through when it is not told: the hyper-parameters of a value-based agent, under plain names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from robonav_ray.config.tuning import DimensionConfig

DEFAULT_SPACE: Mapping[str, DimensionConfig] = MappingProxyType(
    {
        "num_layers": DimensionConfig(integer=(2, 4)),
        "hidden_dims": DimensionConfig(choice=(64, 128, 256, 512)),
        "learning_rate": DimensionConfig(loguniform=(1e-5, 1e-2)),
        "batch_size": DimensionConfig(choice=(16, 32, 64, 128, 256)),
        "gamma": DimensionConfig(uniform=(0.95, 0.999)),
        "epsilon_decay": DimensionConfig(uniform=(0.990, 0.999)),
        "buffer_size": DimensionConfig(log_integer=(10_000, 100_000)),
        "target_update": DimensionConfig(integer=(100, 1_000)),
        "dropout": DimensionConfig(uniform=(0.0, 0.3)),
        "lr_schedule": DimensionConfig(choice=("constant", "linear", "cosine")),
    }
)
"""Sizes are units (``hidden_dims``, of each of ``num_layers`` layers), rows (``batch_size``, ``buffer_size``) and
learner steps (``target_update``); ``epsilon_decay`` multiplies epsilon at the end of an episode. A ``train_fn`` leaves
aside what it has no use for."""
