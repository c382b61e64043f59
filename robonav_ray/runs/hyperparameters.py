"""Which of the learner's settings may change while it runs, and the check of a change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from robonav_ray.config.learner import LearnerConfig

CHANGEABLE = (
    "learning_rate",
    "adam_eps",
    "max_grad_norm",
    "target_update",
    "target_tau",
    "target_interval",
    "publish_interval",
    "report_interval",
)


def check_changeable(changes: Mapping[str, Any]) -> None:
    """Raise ValueError when a change names something that is unknown or fixed for the run."""
    unknown = sorted(set(changes) - set(CHANGEABLE))
    if unknown:
        raise ValueError(
            f"hyperparameter {unknown[0]!r} cannot be changed while running; these can: {', '.join(CHANGEABLE)}"
        )


def changed(config: LearnerConfig, changes: Mapping[str, Any]) -> LearnerConfig:
    """Return ``config`` with the changes; ValueError names the first value that is out of range."""
    try:
        return LearnerConfig.model_validate({**config.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}, got {first['input']!r}"
        ) from None
