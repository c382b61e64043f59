"""A sweep file of W&B, key by key: what is taken, and what is refused with what to write in its place.

The keys are those of https://docs.wandb.ai/guides/sweeps/sweep-config-keys; ``tuning/sweeps.py`` makes a search of
them.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from robonav_ray.config.base import Section

Distribution = Literal[
    "constant",
    "categorical",
    "int_uniform",
    "uniform",
    "q_uniform",
    "log_uniform",
    "log_uniform_values",
    "q_log_uniform",
    "q_log_uniform_values",
    "inv_log_uniform",
    "inv_log_uniform_values",
]
UNBOUNDED = ("normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta")
"""Distributions of W&B that a search has none for."""
MAX_MULTIPLES = 1000
"""Multiples of ``q`` between two bounds at most."""
MAX_PARAMETERS = 200
MAX_BOUND = 1e300
"""An integer may be larger than every float."""


class SweepMetric(Section):
    """What is optimised."""

    name: Literal["objective", "success_frac", "collision_frac", "mean_return"]
    """A figure of a trial's report."""
    goal: Literal["maximize", "minimize"] = "minimize"
    """W&B minimises where nothing is said."""
    target: float | None = None
    """Refused."""

    @model_validator(mode="after")
    def _is_ours(self) -> SweepMetric:
        wanted = "minimize" if self.name == "collision_frac" else "maximize"
        if self.goal != wanted:
            raise ValueError(f"goal: {self.name} is better the {_BETTER[wanted]} it is; write `goal: {wanted}`")
        if self.target is not None:
            raise ValueError("target: a search does not end at a value; leave it out, and set run_cap")
        return self


_BETTER = {"minimize": "lower", "maximize": "higher"}


class SweepParameter(Section):
    """Where the values of one parameter come from, or, with ``parameters``, of those below it."""

    value: Any = None
    """The same in all trials."""
    values: tuple[Any, ...] | None = None
    """One of these."""
    distribution: Distribution | None = None
    min: int | float | None = Field(default=None, ge=-MAX_BOUND, le=MAX_BOUND)
    max: int | float | None = Field(default=None, ge=-MAX_BOUND, le=MAX_BOUND)
    q: float | None = Field(default=None, gt=0.0)
    """Values are multiples of it; 1 where nothing is said."""
    probabilities: tuple[float, ...] | None = None
    """Refused."""
    mu: float | None = None
    """Refused, as is ``sigma``."""
    sigma: float | None = None
    parameters: dict[str, SweepParameter] | None = None

    @field_validator("distribution", mode="before")
    @classmethod
    def _is_bounded(cls, name: Any) -> Any:
        if isinstance(name, str) and (name in UNBOUNDED or name == "categorical_w_probabilities"):
            raise ValueError(
                f"{name} is not taken: a search draws between bounds, each value as likely as any other, or each order "
                "of magnitude; write uniform or log_uniform_values with min and max, or values"
            )
        return name

    @field_validator("values")
    @classmethod
    def _has_some(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if values is not None and not values:
            raise ValueError("name at least one value")
        return values

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> SweepParameter:
        if self.mu is not None or self.sigma is not None:
            raise ValueError("mu and sigma belong to normal distributions, which are not taken; write min and max")
        if self.probabilities is not None:
            raise ValueError("probabilities are not taken: each of the values is as likely as any other")
        given = self.model_fields_set - {"distribution"}
        allowed = _KEYS[self.kind]
        strange = sorted(given - allowed)
        if strange:
            raise ValueError(f"{strange[0]} does not go with {self.kind}, which takes {', '.join(sorted(allowed))}")
        missing = sorted(allowed - given - {"q"})
        if missing:
            raise ValueError(f"{self.kind} needs {missing[0]}")
        return self

    @property
    def kind(self) -> Distribution | Literal["nested"]:
        """The distribution, by W&B's rules where none is named: whole bounds give whole numbers."""
        given = self.model_fields_set
        if "parameters" in given:
            return "nested"
        if self.distribution is not None:
            return self.distribution
        if "value" in given:
            return "constant"
        if "values" in given:
            return "categorical"
        return "int_uniform" if _is_whole(self.min) and _is_whole(self.max) and given else "uniform"


_RANGE = frozenset(("min", "max"))
_KEYS: dict[str, frozenset[str]] = {
    "nested": frozenset(("parameters",)),
    "constant": frozenset(("value",)),
    "categorical": frozenset(("values",)),
    **dict.fromkeys(("int_uniform", "uniform", "log_uniform", "log_uniform_values"), _RANGE),
    **dict.fromkeys(("inv_log_uniform", "inv_log_uniform_values"), _RANGE),
    **dict.fromkeys(("q_uniform", "q_log_uniform", "q_log_uniform_values"), _RANGE | {"q"}),
}


def _is_whole(bound: int | float | None) -> bool:
    return isinstance(bound, int)


class SweepEarlyTerminate(Section):
    """Hyperband. An iteration is a report of a trial."""

    type: Literal["hyperband"]
    min_iter: int | None = Field(default=None, ge=1, le=10**9)
    """Iterations at the first bracket."""
    max_iter: int | None = Field(default=None, ge=1, le=10**9)
    """Iterations of a trial; with ``s``, the first bracket is at ``max_iter / eta**s``."""
    s: int | None = Field(default=None, ge=1, le=64)
    """Brackets."""
    eta: float = Field(default=3.0, gt=1.0, le=1e6)
    """One trial in so many goes on at a bracket."""
    strict: bool = False
    """Refused when on."""

    @model_validator(mode="after")
    def _has_a_first_bracket(self) -> SweepEarlyTerminate:
        if self.strict:
            raise ValueError("strict: trials are stopped as they come (ASHA), never in step; leave it out")
        if (self.min_iter is None) == (self.max_iter is None):
            raise ValueError("give min_iter, or max_iter with s")
        if (self.max_iter is None) != (self.s is None):
            raise ValueError("max_iter and s go together")
        return self

    @property
    def first_bracket(self) -> int:
        """Iterations before which no trial is stopped."""
        if self.min_iter is not None:
            return self.min_iter
        assert self.max_iter is not None
        assert self.s is not None
        try:
            return max(1, round(self.max_iter / self.eta**self.s))
        except OverflowError:  # so many brackets that the first is at once
            return 1


class SweepFile(Section):
    """A whole file."""

    program: str | None = None
    """Told, and not run: a trial is a run of robonav."""
    command: tuple[Any, ...] | None = None
    """As ``program``."""
    name: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    project: str | None = Field(default=None, min_length=1, max_length=128)
    entity: str | None = Field(default=None, min_length=1, max_length=128)
    method: Literal["grid", "random", "bayes"]
    metric: SweepMetric | None = None
    parameters: dict[str, SweepParameter] = Field(min_length=1)
    early_terminate: SweepEarlyTerminate | None = None
    run_cap: int | None = Field(default=None, ge=1)
    """Trials at most."""

    @model_validator(mode="after")
    def _bayes_has_a_metric(self) -> SweepFile:
        if self.method == "bayes" and self.metric is None:
            raise ValueError("metric: bayes needs one, for instance {name: objective, goal: maximize}")
        return self

    def leaves(self) -> list[tuple[str, tuple[str, ...], SweepParameter]]:
        """Return every parameter that has values: its dotted key, where it stands in the file, and itself."""
        return _leaves(self.parameters, "", ("parameters",))


def _leaves(
    parameters: dict[str, SweepParameter], prefix: str, path: tuple[str, ...]
) -> list[tuple[str, tuple[str, ...], SweepParameter]]:
    found: list[tuple[str, tuple[str, ...], SweepParameter]] = []
    for name, parameter in parameters.items():
        if parameter.parameters is None:
            found.append((prefix + name, (*path, name), parameter))
        else:
            found += _leaves(parameter.parameters, f"{prefix}{name}.", (*path, name, "parameters"))
    return found


def range_of(parameter: SweepParameter) -> tuple[float, float]:
    """Return the bounds of the values themselves, for a parameter that has ``min`` and ``max``.

    ``log_uniform`` names the natural logarithms of its bounds, ``inv_log_uniform`` those of one over them: X for which
    log(1/X) lies evenly between them, which is as even in log(X).

    Raises:
        ValueError: For bounds that no numbers are left for.
    """
    low, high = parameter.min, parameter.max
    assert low is not None
    assert high is not None
    if not low < high:
        raise ValueError(f"min ({low:g}) must be below max ({high:g})")
    try:
        if parameter.kind in ("log_uniform", "q_log_uniform"):
            low, high = math.exp(low), math.exp(high)
        elif parameter.kind == "inv_log_uniform":
            low, high = math.exp(-high), math.exp(-low)
    except OverflowError:
        raise ValueError(
            f"{parameter.kind} takes the natural logarithms of its bounds, and exp({high:g}) is no number; "
            "log_uniform_values takes the bounds themselves"
        ) from None
    if "log" in parameter.kind and low <= 0:
        raise ValueError(f"{parameter.kind}: the bounds must be above 0, not {low:g}")
    return low, high
