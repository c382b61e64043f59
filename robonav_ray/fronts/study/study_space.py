"""Between our dimensions and Optuna's distributions, which know scalars only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from robonav_ray.config.tuning import DimensionConfig
from robonav_ray.errors import UserError


class StudySpace:
    """The parameters of a study: what Optuna draws, and what the user's function gets."""

    def __init__(self, dimensions: Mapping[str, DimensionConfig]) -> None:
        """Take the space; UserError when it is empty or an item is no dimension."""
        if not dimensions:
            raise UserError("search_space is empty: name at least one parameter, or leave it out for the default space")
        for name, dimension in dimensions.items():
            if not isinstance(dimension, DimensionConfig):
                raise UserError(
                    f"search_space[{name!r}] is a {type(dimension).__name__}: give a DimensionConfig, for instance "
                    "DimensionConfig(loguniform=(1e-5, 1e-2))"
                )
        self._values = {name: _values_by_label(dimension) for name, dimension in dimensions.items()}
        self.distributions = {
            name: _distribution(dimension, self._values[name]) for name, dimension in dimensions.items()
        }

    def config(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a trial's parameters stand for; those of another space pass as they are."""
        return {name: self._values.get(name, {}).get(value, value) for name, value in params.items()}

    def check_fits(self, study: optuna.Study) -> None:
        """UserError when the study's trials were drawn from choices that differ from these."""
        for trial in study.get_trials(deepcopy=False):
            for name in trial.distributions.keys() & self.distributions.keys():
                try:
                    optuna.distributions.check_distribution_compatibility(
                        trial.distributions[name], self.distributions[name]
                    )
                except ValueError:
                    raise UserError(
                        f"study {study.study_name!r} has trials that drew {name!r} from {trial.distributions[name]}, "
                        f"and now it is {self.distributions[name]}: bounds of numbers may change within a study, "
                        "choices and kinds may not; take another study_name"
                    ) from None


def _values_by_label(dimension: DimensionConfig) -> dict[Any, Any]:
    """Return choices by the text that stands for them in the study; empty where Optuna takes all of them as they are.

    It does not take tuples, and does not tell 1, 1.0 and True apart.
    """
    choices = dimension.choice or ()
    if len(set(choices)) == len(choices) and not any(isinstance(choice, tuple) for choice in choices):
        return {}
    return {repr(choice): choice for choice in choices}


def _distribution(dimension: DimensionConfig, values: Mapping[Any, Any]) -> BaseDistribution:
    if dimension.choice is not None:
        return CategoricalDistribution(tuple(values) if values else dimension.choice)  # type: ignore[arg-type]
    low, high = getattr(dimension, dimension.kind)
    if dimension.kind in ("integer", "log_integer"):
        return IntDistribution(low, high, log=dimension.kind == "log_integer")
    return FloatDistribution(low, high, log=dimension.kind == "loguniform")
