"""How a trained policy is judged."""

from __future__ import annotations

from pydantic import Field

from robonav_ray.config.base import Section


class EvaluationConfig(Section):
    """Greedy episodes on worlds whose seeds training never sees."""

    num_episodes: int = Field(default=1000, ge=1)
    """Episodes per level."""
    seed: int = Field(default=1_000_003, ge=0)
    """Seed of the held-out worlds; refused when it equals the training seed."""
    num_worlds: int = Field(default=256, ge=1)
    """Worlds run side by side."""
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    """Level of the Wilson intervals."""
    levels: tuple[int, ...] | None = None
    """Stages to evaluate; None means the last one only after training, all of them in ``robonav evaluate``."""
