"""How a trained policy is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic.json_schema import JsonSchemaValue

from robonav_ray.config.base import Section

MAX_EPISODE_STEPS = 10_000
"""Steps after which an episode is cut off in an evaluation where neither the config nor the environment bounds it."""


class EvaluationConfig(Section):
    """Greedy episodes on worlds whose seeds training never sees."""

    also_read: ClassVar[Mapping[str, JsonSchemaValue]] = {
        "levels": {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1}
    }

    num_episodes: int = Field(default=1000, ge=1)
    """Episodes per level."""
    seed: int = Field(default=1_000_003, ge=0)
    """Seed of the held-out worlds; refused when it equals the training seed."""
    num_worlds: int = Field(default=256, ge=1)
    """Worlds run side by side."""
    max_episode_steps: int | None = Field(default=None, ge=1)
    """Steps after which an episode that has not ended is cut off, which is no success; None takes what Gymnasium or our
    worlds end episodes at, or 10,000 where nothing does."""
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    """Level of the Wilson intervals."""
    levels: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None
    """Stages to evaluate, by name or number from 0; None means the last one only after training, all of them in
    ``robonav evaluate``."""
    gif_episodes: int = Field(default=3, ge=0)
    """Episodes that are filmed for ``play.gif`` after training; 0 films none, which saves some seconds."""
    metrics: tuple[str, ...] = ()
    """Figures of your own beside ours: ``module:Name`` of a function that returns one number per episode, or the name
    of an entry point in the group ``robonav_ray.metrics``."""
    weights: Literal["averaged", "online"] = "averaged"
    """Which network acts in evaluation and pictures: ``averaged`` is the target network (with Polyak updates, a running
    average of the online one; after a ten-minute run it won 77.3 % of 2,000 held-out stage-4 worlds, the online one
    73.3 %)."""

    interval_s: float | None = Field(default=None, gt=0.0)
    """Seconds between two judgements of the newest policy while it trains, beside the training, which loses under 3 %
    by it; None judges none. The first is made ``interval_s`` after learning has begun. It plays worlds of its own,
    which neither training nor the evaluation after it sees, in the last stage (or ``levels``, or the stage that the run
    is held in)."""
    judged_episodes: int = Field(default=100, ge=1)
    """Episodes per stage in a judgement; the same worlds each time."""
    patience: int | None = Field(default=None, ge=1)
    """Judgements in a row without a gain in success (in return, where no success is told) after which a run in its last
    stage ends as finished; None never ends it."""

    target_success: float | None = Field(default=None, gt=0.0, le=1.0)
    """Success in a judgement, 0 to 1, with which a run in its last stage ends as finished; None never ends it."""

    @field_validator("levels")
    @classmethod
    def _each_once(cls, levels: tuple[int, ...] | None) -> tuple[int, ...] | None:
        twice = sorted({level for level in levels or () if (levels or ()).count(level) > 1})
        if twice:
            raise ValueError(f"stage {twice[0]} stands twice; name every stage once")
        return levels
