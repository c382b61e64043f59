"""The sharded prioritised replay."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from robonav_ray.config.base import Section


class ReplayConfig(Section):
    """Prioritised experience replay (Schaul et al. 2016) over several shards, sampled as if it were one buffer."""

    auto_keys: ClassVar[tuple[str, ...]] = ("num_shards",)

    capacity: int = Field(default=400_000, ge=1)
    """Rows over all shards; allocated up front."""
    num_shards: int = Field(default=2, ge=1, le=256)
    """Ray actors that hold the rows; over Ray, where it is not set (or ``auto``), 1 on fewer than six cores."""
    sampler: Literal["prioritized", "rank", "uniform"] = "prioritized"
    """``prioritized``: P ~ priority**alpha, the proportional variant of PER; ``rank``: P ~ (1 / rank)**alpha, its
    rank-based variant (section 3.3); ``uniform`` ignores priorities, and importance weights are then 1."""
    initial_priority: Literal["computed", "max"] = "computed"
    """What a new row enters with: its |td_error|, computed where it was made (Horgan et al. 2018), or the highest
    priority so far, so that it is drawn soon (PER, algorithm 1)."""
    stratified: bool = False
    """Draw one row from each equal part of a shard's mass (PER, section 3.3) instead of independently."""
    priority_exponent: float = Field(default=0.6, ge=0.0, le=1.0)
    """alpha of the PER paper, applied once, inside the shard. The paper takes .6 for the proportional and .7 for the
    rank-based variant."""
    importance_exponent: float = Field(default=0.4, ge=0.0, le=1.0)
    """beta of the PER paper at the start. The paper takes .4 for the proportional and .5 for the rank-based variant."""
    importance_exponent_final: float = Field(default=1.0, ge=0.0, le=1.0)
    """beta at the end of the annealing."""
    importance_anneal_steps: int = Field(default=20_000, ge=1)
    """Learner steps over which beta grows linearly."""
    priority_epsilon: float = Field(default=1e-3, gt=0.0)
    """Added to every |td_error| so that no item starves (PER, section 3.3); ranks need none."""
    min_size: int = Field(default=5_000, ge=1)
    """Rows over all shards before the first batch is drawn (warm-up)."""
    samples_per_insert: float = Field(default=2.0, gt=0.0)
    """Rows drawn per row inserted, cumulatively since warm-up."""
    error_buffer: float | None = Field(default=None, gt=0.0)
    """How far (in drawn rows) the balance may stray; None computes the least that cannot block, times two."""
    max_memory_frac: float = Field(default=0.5, gt=0.0, le=0.9)
    """Part of the machine's memory (container limit included) that the rows may take; more is refused at the start."""
    shard_timeout_s: float = Field(default=2.0, gt=0.0)
    """Seconds after which a batch is drawn without a shard that does not answer."""
    lease_s: float = Field(default=60.0, gt=0.0)
    """Seconds after which rows reserved by a client that never reported back are no longer counted."""

    @model_validator(mode="after")
    def _stratified_needs_priorities(self) -> ReplayConfig:
        if self.stratified and self.sampler == "uniform":
            raise ValueError("replay.stratified has no effect with replay.sampler = uniform: drop one of them")
        return self
