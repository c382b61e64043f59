"""The learning rule: what is computed, not how fast or where."""

from __future__ import annotations

from pydantic import Field

from robonav_ray.config.base import Section


class AlgoConfig(Section):
    """Double, dueling, n-step DQN as composable switches."""

    gamma: float = Field(default=0.99, gt=0.0, lt=1.0)
    """Discount per env step; also the gamma of the worlds' potential shaping."""
    n_step: int = Field(default=3, ge=1, le=64)
    """Rewards folded into one transition (Sutton 1988; in DQN: Hessel et al. 2018)."""
    double: bool = True
    """Double Q-learning (van Hasselt et al. 2016): the online net chooses, the target net values."""
    dueling: bool = True
    """Dueling heads (Wang et al. 2016): Q = V + A - mean(A)."""
    hidden_dims: tuple[int, ...] = Field(default=(256, 256), min_length=1, max_length=8)
    """Widths of the hidden layers."""
    huber_delta: float = Field(default=1.0, gt=0.0)
    """Where the Huber loss turns from squared to linear."""
    reward_scale: float = Field(default=0.2, gt=0.0)
    """Factor on every reward that is learned from (Q values near 1 suit Adam and the Huber loss); returns are reported unscaled."""
