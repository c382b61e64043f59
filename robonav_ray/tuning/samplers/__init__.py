"""Where the next trial's values come from: one file per family, all of them asked and told in the same way."""

from __future__ import annotations

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.tuning.samplers.base import Sampler
from robonav_ray.tuning.samplers.plain import GridSampler, RandomSampler
from robonav_ray.tuning.space import Space

__all__ = ["Sampler", "make_sampler"]


def make_sampler(config: TuningConfig) -> Sampler:
    """Return the sampler that ``search`` names; what it is built on is imported here and not before."""
    search, space = config.search, Space(config.space)
    if search.method == "random":
        return RandomSampler(space, config.seed)
    if search.method == "grid":
        return GridSampler(space)
    if search.method == "bayesopt":
        from robonav_ray.tuning.samplers.bayesian import BayesianSampler

        return BayesianSampler(space, config.seed, search.num_startup, search.exploration)
    from robonav_ray.tuning.samplers.optuna_study import OptunaSampler

    return OptunaSampler(space, config.seed, search.num_startup, search.sampler)
