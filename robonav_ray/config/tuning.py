"""A search over whole curriculum runs: what is searched, how, who is stopped early, and what a trial may use."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from robonav_ray.config.base import Section
from robonav_ray.config.words import FolderPath

S = TypeVar("S", bound=Section)
MAX_INTEGER, MAX_NUMBER = 2**53, 1e300
"""Of the bounds of what is searched: whole numbers that a float holds exactly; numbers whose difference overflows no
float."""
Scalar = bool | int | float | str | None


def _check_used(section: S, used: dict[str, bool], why: str, name: str) -> S:
    for key, is_used in used.items():
        value, default = getattr(section, key), type(section).model_fields[key].default
        if not is_used and value != default:
            raise ValueError(
                f"{name}.{key} ({value}) would be ignored, because {why}: leave it out (or at its default, {default})"
            )
    return section


class DimensionConfig(Section):
    """Where the values of one key come from; exactly one of these is given."""

    uniform: tuple[float, float] | None = None
    """A number between two bounds, each value as likely as any other."""
    loguniform: tuple[float, float] | None = None
    """A number between two positive bounds, each order of magnitude as likely as any other."""
    integer: tuple[int, int] | None = None
    """A whole number between two bounds, both included."""
    log_integer: tuple[int, int] | None = None
    """A whole number between two positive bounds, both included, each order of magnitude as likely as any other."""
    choice: tuple[Scalar | tuple[Scalar, ...], ...] | None = None
    """One of these values."""

    @property
    def kind(self) -> str:
        """Which of the five it is."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_of_them(self) -> DimensionConfig:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(type(self).model_fields)}, for instance {{loguniform: [1e-5, 1e-2]}}; "
                f"{'these are there: ' + ', '.join(given) if given else 'there is none'}"
            )
        kind = given[0]
        if kind == "choice":
            if len(self.choice or ()) < 1:
                raise ValueError("choice: name at least one value")
            return self
        low, high = getattr(self, kind)
        most = MAX_INTEGER if "integer" in kind else MAX_NUMBER
        if not max(abs(low), abs(high)) <= most:
            raise ValueError(f"{kind}: both bounds must be from {-most:g} to {most:g}: searchers reckon with floats")
        if not low < high:
            raise ValueError(f"{kind}: the first bound ({low}) must be below the second ({high})")
        if kind.startswith("log") and low <= 0:
            raise ValueError(f"{kind}: the bounds must be above 0, not {low}")
        return self


class SearchConfig(Section):
    """Where the next trial's values come from."""

    method: Literal["random", "grid", "bayesopt", "optuna"] = "random"
    """``random`` draws each trial without a look at the others; ``grid`` goes through all combinations of choices and
    integers; ``bayesopt`` is Bayesian optimisation with a Gaussian process (bayesian-optimization); ``optuna`` takes
    ``sampler``."""
    sampler: Literal["tpe", "gp"] = "tpe"
    """optuna: tree-structured Parzen estimator (Bergstra et al. 2011) or Gaussian process."""
    num_startup: int = Field(default=8, ge=1)
    """bayesopt and optuna: trials drawn at random before the model of the objective is used."""
    exploration: float = Field(default=2.576, gt=0.0)
    """bayesopt: kappa of the upper confidence bound (Srinivas et al. 2010)."""

    @model_validator(mode="after")
    def _nothing_ignored(self) -> SearchConfig:
        used = {
            "sampler": self.method == "optuna",
            "num_startup": self.method in ("bayesopt", "optuna"),
            "exploration": self.method == "bayesopt",
        }
        return _check_used(self, used, f"search.method is {self.method}", "search")


class SchedulerConfig(Section):
    """Who is stopped early, or goes on from another trial's weights. Times are env steps of the trial."""

    kind: Literal["asha", "pbt", "pb2", "median", "fifo"] = "asha"
    """``asha``: asynchronous successive halving (Li et al. 2020); ``pbt``: population-based training (Jaderberg et al.
    2017); ``pb2``: the same with a Gaussian-process bandit in place of random perturbation (Parker-Holder et al. 2020);
    ``median``: stop what is below the median of the others (Golovin et al. 2017); ``fifo``: stop no trial."""
    grace_env_steps: int = Field(default=50_000, ge=1)
    """asha, median: no trial is stopped before; for asha the first rung."""
    reduction_factor: float = Field(default=4.0, gt=1.0)
    """asha: one in so many goes on at a rung, and each rung is so many times further."""
    brackets: int = Field(default=1, ge=1)
    """asha: brackets, each with a first rung later than the one before."""
    min_trials: int = Field(default=3, ge=1)
    """median: trials that must have come as far before a trial is stopped."""
    perturbation_env_steps: int = Field(default=50_000, ge=1)
    """pbt, pb2: env steps between two comparisons of a trial with the population."""
    quantile_frac: float = Field(default=0.25, gt=0.0, le=0.5)
    """pbt, pb2: the lowest part of the population goes on from one of the highest part."""
    resample_prob: float = Field(default=0.25, ge=0.0, le=1.0)
    """pbt: a value is drawn anew with this probability, else multiplied by 0.8 or 1.2."""
    clone_replay: Literal["own", "donor"] = "own"
    """pbt, pb2: a clone learns on from its ``own`` rows, or from a copy of its ``donor``'s (whose checkpoints then hold
    them)."""

    @property
    def is_population(self) -> bool:
        """Whether trials go on from each other."""
        return self.kind in ("pbt", "pb2")

    @model_validator(mode="after")
    def _nothing_ignored(self) -> SchedulerConfig:
        asha, median = self.kind == "asha", self.kind == "median"
        used = {
            "grace_env_steps": asha or median,
            "reduction_factor": asha,
            "brackets": asha,
            "min_trials": median,
            "perturbation_env_steps": self.is_population,
            "quantile_frac": self.is_population,
            "resample_prob": self.kind == "pbt",
            "clone_replay": self.is_population,
        }
        return _check_used(self, used, f"scheduler.kind is {self.kind}", "scheduler")


class TrialConfig(Section):
    """What one trial is: a whole curriculum run, told about at every report."""

    wiring: Literal["ray", "local"] = "ray"
    """``ray``: rollout workers, replay shards and learner ranks of its own, as ``robonav train``; ``local``: one
    process, as ``robonav train --local``, which starts in two seconds and shares a small machine best."""
    max_env_steps: int = Field(default=400_000, ge=1)
    """Env steps after which a trial is finished."""
    report_env_steps: int = Field(default=50_000, ge=1)
    """Env steps between two reports: a checkpoint and greedy episodes on held-out worlds."""
    evaluation_episodes: int = Field(default=100, ge=1)
    """Greedy episodes per report, on the stage that the trial is in."""
    metric: Literal["objective", "success_frac", "collision_frac", "mean_return"] = "objective"
    """What is maximised, of those episodes: ``objective`` is the stage + the success on it; ``success_frac`` and
    ``mean_return`` are on the stage that the trial is in; of ``collision_frac``, the negative."""
    max_failures: int = Field(default=2, ge=0)
    """How often a trial that failed goes on from its last checkpoint."""


class TrialResourcesConfig(Section):
    """What a trial may use; how many run at once follows from the cluster."""

    max_concurrent: int | None = Field(default=None, ge=1)
    """Trials at once at most; None takes as many as fit."""
    cpus_per_trial: float | None = Field(default=None, gt=0.0)
    """CPUs over all rollout workers, shards and ranks of a trial; None adds up what the run's config asks for."""
    gpus_per_trial: float = Field(default=0.0, ge=0.0)
    """GPUs over all ranks of a trial; a fraction shares one. Where the cluster has none the learner takes a CPU, with a
    warning."""


def _no_space() -> dict[str, DimensionConfig]:
    return {}


def _no_run() -> dict[str, Any]:
    return {}


class TuningConfig(Section):
    """A search over whole curriculum runs."""

    name: str = Field(default="tune", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)
    """Experiment directories are ``output_dir/NAME-TIMESTAMP``."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of the search. The trials' own seed is ``run.seed``, the same for all."""
    output_dir: FolderPath = "runs"
    """Where experiment directories are made."""
    run: dict[str, Any] = Field(default_factory=_no_run)
    """What all trials have in common: the sections of a run's config, ``preset`` included."""
    space: dict[str, DimensionConfig] = Field(default_factory=_no_space)
    """Dotted keys of a run's config, and where their values come from. ``*`` stands for every item of a list."""
    num_trials: int = Field(default=16, ge=1)
    """Trials in all (fewer when a grid has fewer points)."""
    search: SearchConfig = SearchConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    trial: TrialConfig = TrialConfig()
    resources: TrialResourcesConfig = TrialResourcesConfig()

    @field_validator("space")
    @classmethod
    def _something_to_search(cls, space: dict[str, DimensionConfig]) -> dict[str, DimensionConfig]:
        if not space:
            raise ValueError("name at least one key, for instance learner.learning_rate: {loguniform: [1e-5, 1e-2]}")
        return space

    @model_validator(mode="after")
    def _fits_together(self) -> TuningConfig:
        trial, scheduler = self.trial, self.scheduler
        if trial.report_env_steps > trial.max_env_steps:
            raise ValueError(
                f"trial.report_env_steps ({trial.report_env_steps}) must not be above trial.max_env_steps "
                f"({trial.max_env_steps})"
            )
        if scheduler.kind in ("asha", "median") and scheduler.grace_env_steps >= trial.max_env_steps:
            raise ValueError(
                f"scheduler.grace_env_steps ({scheduler.grace_env_steps}) must be below trial.max_env_steps "
                f"({trial.max_env_steps}), or no trial is ever stopped"
            )
        if scheduler.is_population and scheduler.perturbation_env_steps >= trial.max_env_steps:
            raise ValueError(
                f"scheduler.perturbation_env_steps ({scheduler.perturbation_env_steps}) must be below "
                f"trial.max_env_steps ({trial.max_env_steps}), or no trial ever goes on from another"
            )
        if scheduler.is_population and self.num_trials < 2:
            raise ValueError(f"num_trials ({self.num_trials}): a population has at least 2 trials")
        if scheduler.is_population and self.search.method != "random":
            raise ValueError(
                f"search.method={self.search.method} does not go with scheduler.kind={scheduler.kind}, which itself "
                "changes the values of running trials: take search.method=random"
            )
        if self.search.method == "grid":
            endless = [key for key, dimension in self.space.items() if dimension.kind not in ("choice", "integer")]
            if endless:
                raise ValueError(
                    f"space.{endless[0]} ({self.space[endless[0]].kind}) has no end of values, and search.method is "
                    "grid: give a choice or an integer range, or take search.method=random"
                )
        return self
