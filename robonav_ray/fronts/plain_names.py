"""The plain names of the default space (``learning_rate``, ``buffer_size``, ...) and the keys of a run's config that
they stand for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robonav_ray.config.load import ConfigError, checked_config
from robonav_ray.config.preset import merged
from robonav_ray.config.tuning import DimensionConfig, TuningConfig
from robonav_ray.fronts.default_space import DEFAULT_SPACE

PLAIN_NAMES: Mapping[str, str] = {
    "num_layers": "algo.num_layers",
    "hidden_dims": "algo.hidden_dims",
    "learning_rate": "learner.learning_rate",
    "batch_size": "learner.batch_size",
    "gamma": "algo.gamma",
    "epsilon_decay": "curriculum.stages.*.epsilon.decay",
    "buffer_size": "replay.capacity",
    "target_update": "learner.target_interval",
    "dropout": "algo.dropout",
    "lr_schedule": "learner.lr_schedule",
}
_HARD_COPIES: Mapping[str, Any] = {"learner": {"target_update": "hard"}}
"""``target_update`` counts learner steps between two copies of the network, so it is copied."""


def dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` under dotted keys; a name that is none of ours stays."""
    return {PLAIN_NAMES.get(name, name): value for name, value in values.items()}


def dotted_space(space: Mapping[str, DimensionConfig] | None = None) -> dict[str, DimensionConfig]:
    """Return ``space`` (None: the default one) under dotted keys."""
    return {PLAIN_NAMES.get(name, name): dimension for name, dimension in (space or DEFAULT_SPACE).items()}


def base_run(run: Mapping[str, Any] | None, space: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all runs have in common: ``run``, with what the keys of ``space`` need lying under it."""
    needed = _HARD_COPIES if "learner.target_interval" in space else {}
    return merged(needed, run or {})


def common_run(overrides: Sequence[str] | None, *, is_ours: bool) -> dict[str, Any]:
    """Return what all runs of a search have in common, as sections.

    Raises:
        ConfigError: For a wrong override, and for any where a function of the user's takes our curriculum's place.
    """
    if overrides and not is_ours:
        raise ConfigError(f"{overrides[0]!r}: is for our curriculum, and --train-fn takes its place; leave one out")
    words = [f"run.{override}" for override in overrides or ()]
    return dict(checked_config(TuningConfig, {"space": dotted_space()}, words, "options").run)
