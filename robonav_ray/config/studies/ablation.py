"""An ablation: what each part of a method is worth, by training without it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, cast

from pydantic import Field, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue

from robonav_ray.config.base import Section
from robonav_ray.config.words import FolderPath

_SWITCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Values = dict[str, Any]
"""Values by dotted key of a run's config."""


def _nothing() -> Values:
    return {}


class SwitchConfig(Section):
    """One part of the method, and what its absence is."""

    off: Values
    """Values by dotted key with which the part is off. A switch that is written as such keys alone has just these."""
    whole: Values = Field(default_factory=_nothing)
    """Values by dotted key that hold with the part on and off, where it does not go with the rest: it is then held
    against a whole of its own."""

    @model_validator(mode="before")
    @classmethod
    def _keys_alone_are_off(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = cast("Mapping[Any, Any]", data)
        return given if not given or set(given) & set(cls.model_fields) else {"off": dict(given)}

    @field_validator("off")
    @classmethod
    def _something_is_off(cls, off: Values) -> Values:
        if not off:
            raise ValueError("name a key and its value when the part is off, for instance algo.dueling: false")
        return off


class AblationBudgetConfig(Section):
    """How long each run trains, the same for all."""

    env_steps: int = Field(default=400_000, ge=1)
    """Env steps after which a run ends, whether its curriculum is passed or not."""


class AblationExamConfig(Section):
    """What all runs are judged by, on worlds that none of them has seen."""

    suite: str | None = None
    """A suite of scenarios, by its file or name (``robonav compare --suite``), for our worlds; the success over all of
    them counts, and its scenarios say seeds and stages. None takes ``stages``."""
    stages: Annotated[tuple[str | int, ...], Field(min_length=1)] | None = None
    """Stages, by name or number from 0; None takes the last one. The success over all of them counts."""
    num_episodes: int = Field(default=1000, ge=2)
    """Greedy episodes per stage, or per scenario of the suite; the same worlds for every run."""
    seed: int = Field(default=1_000_003, ge=0)
    """Of the worlds; must differ from all of ``seeds``."""
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    """Level of the intervals over seeds."""

    @model_validator(mode="after")
    def _nothing_ignored(self) -> AblationExamConfig:
        for key in ("stages", "seed") if self.suite is not None else ():
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default:
                raise ValueError(f"exam.{key} ({value}) would be ignored, because exam.suite says it: leave it out")
        return self


class AblationResourcesConfig(Section):
    """What a run may use; how many run side by side follows from the cluster. A run is one process."""

    cpus_per_run: float = Field(default=1.0, gt=0.0)
    """CPUs that a run reserves."""
    max_concurrent: int | None = Field(default=None, ge=1)
    """Runs at once at most; None takes as many as fit."""
    max_failures: int = Field(default=1, ge=0)
    """How often a run that failed goes on from its last checkpoint before it is given up."""


class AblationConfig(Section):
    """Switches of the config off one at a time, over seeds, against the whole."""

    also_read: ClassVar[Mapping[str, JsonSchemaValue]] = {
        "switches": {"type": "object", "additionalProperties": {"type": "object"}}
    }

    name: str = Field(default="ablation", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)
    """The directory is ``output_dir/NAME``: the same command goes on with it."""
    output_dir: FolderPath = "runs"
    """Where the directory is made."""
    run: Values = Field(default_factory=_nothing)
    """The whole method: sections of a run's config, ``preset`` included."""
    switches: dict[str, SwitchConfig] = Field(default_factory=dict)
    """Parts of it, by name."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2)
    """Of the trainings; every switch is trained with each. Intervals need two at least, and say little below five."""
    budget: AblationBudgetConfig = AblationBudgetConfig()
    exam: AblationExamConfig = AblationExamConfig()
    resources: AblationResourcesConfig = AblationResourcesConfig()

    @field_validator("switches")
    @classmethod
    def _names_are_file_names(cls, switches: dict[str, SwitchConfig]) -> dict[str, SwitchConfig]:
        if not switches:
            raise ValueError("name at least one part, for instance dueling: {algo.dueling: false}")
        for name in switches:
            if not _SWITCH.fullmatch(name):
                raise ValueError(f"{name!r}: a switch is called by up to 40 letters, digits, _ and -")
        return switches

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if twice:
            raise ValueError(f"seed {twice[0]} stands twice; name every seed once")
        return seeds

    @model_validator(mode="after")
    def _worlds_are_held_out(self) -> AblationConfig:
        if self.exam.seed in self.seeds:
            raise ValueError(f"exam.seed ({self.exam.seed}) is one of seeds, so its worlds would not be held out")
        return self
