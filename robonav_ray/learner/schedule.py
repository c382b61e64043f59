"""The learning rate over a run: warm-up, then constant, linear or cosine. Pure functions of step and budget.

Two clocks can drive the decay. ``learner.lr_schedule_steps`` counts learner steps: exact, and the same in every run.
Without it the runtime says what part of the run's budget (seconds or env steps) is used, so that a run which is bounded
by time decays over just that time on any machine. The warm-up always counts learner steps.
"""

from __future__ import annotations

import math

from robonav_ray.config.learner import LearnerConfig


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Return (step + 1) / warmup_steps, at most 1, for the update number ``step`` from 0 (gradual warm-up, Goyal et al.
    2017, 2.2).
    """
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps > 0 else 1.0


def linear_factor(fraction: float, final_frac: float) -> float:
    """Return the straight line from 1 at ``fraction`` 0 to ``final_frac`` at 1."""
    return 1.0 + (final_frac - 1.0) * fraction


def cosine_factor(fraction: float, final_frac: float) -> float:
    """Return final + (1 - final) (1 + cos(pi * fraction)) / 2: half a cosine from 1 down (Loshchilov and Hutter 2017,
    eq. 5).
    """
    return final_frac + (1.0 - final_frac) * (1.0 + math.cos(math.pi * fraction)) / 2.0


def used_frac(step: int, warmup_steps: int, horizon_steps: int) -> float:
    """Return how much of the decay, which begins after the warm-up and ends at ``horizon_steps``, lies behind at
    ``step``; 0 to 1.
    """
    return min(1.0, max(0, step - warmup_steps) / (horizon_steps - warmup_steps))


def learning_rate(config: LearnerConfig, step: int, budget_frac: float) -> float:
    """Return the learning rate of the update number ``step`` (from 0).

    Args:
        config: Base rate and schedule.
        step: Updates made so far.
        budget_frac: Part of the run's budget that is used, 0 to 1; looked at only without ``lr_schedule_steps``.
    """
    rate = config.learning_rate * warmup_factor(step, config.lr_warmup_steps)
    if config.lr_schedule == "constant":
        return rate
    horizon = config.lr_schedule_steps
    fraction = budget_frac if horizon is None else used_frac(step, config.lr_warmup_steps, horizon)
    factor = linear_factor if config.lr_schedule == "linear" else cosine_factor
    return rate * factor(min(1.0, max(0.0, fraction)), config.lr_final_frac)


def is_scheduled(config: LearnerConfig) -> bool:
    """Whether the rate follows a schedule."""
    return config.lr_schedule != "constant" or config.lr_warmup_steps > 0
