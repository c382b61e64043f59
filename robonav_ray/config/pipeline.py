"""A pipeline: which steps it has, in which order, and what each is told.

A step that is left out of ``steps`` is not done; one whose result is given (``search.given``, ``train.given``,
``select.given``) hands that over in place of making one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import Field, field_validator, model_validator

from robonav_ray.config.base import Section
from robonav_ray.config.evaluation_suite import MIN_EPISODES
from robonav_ray.config.steps.backup import BackupConfig
from robonav_ray.config.steps.notify import NotifyConfig
from robonav_ray.config.words import FolderPath, ShownPlace, ShownSentence

StepName = Literal[
    "prepare",
    "search",
    "train",
    "select",
    "evaluate",
    "visualise",
    "report",
    "export",
    "register",
    "back_up",
    "notify",
]
STEPS: tuple[StepName, ...] = get_args(StepName)
"""All there are, in the order that they have unless the config says otherwise."""
READS: dict[StepName, tuple[StepName, ...]] = {
    "prepare": (),
    "search": (),
    "train": ("search",),
    "select": ("train",),
    "evaluate": ("train", "select"),
    "visualise": ("train", "select"),
    "report": ("search", "train", "select", "evaluate", "visualise"),
    "export": ("train", "select"),
    "register": ("train", "select"),
    "back_up": ("search", "train", "select", "evaluate", "visualise", "report", "export", "register"),
    "notify": ("train", "evaluate", "visualise", "report", "register", "back_up"),
}
"""Whose results a step takes, where they are in the pipeline: it comes after them, and is done again when one
differs."""
WAITS: dict[StepName, tuple[StepName, ...]] = {
    "search": ("prepare",),
    "train": ("prepare",),
    "evaluate": ("prepare",),
    "back_up": ("prepare",),
    "notify": ("prepare", "search", "select", "export"),
}
"""What a step comes after besides, without taking anything of it."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Values = dict[str, Any]
"""Values by dotted key of the config that is named beside them."""


def _nothing() -> Values:
    return {}


def _no_steps() -> dict[StepName, tuple[StepName, ...]]:
    return {}


def _no_modules() -> dict[StepName, tuple[str, ...]]:
    return {}


class PrepareStepConfig(Section):
    """Looks at everything before hours are spent: configs, environments, seeds."""

    warm: bool = True
    """Whether the kernels are compiled now, once, before several processes need them."""


class SearchStepConfig(Section):
    """Searches the settings that all seeds are trained with."""

    config: ShownPlace = "asha"
    """Of the search: a YAML file, or the name of a shipped one (``robonav config list``)."""
    overrides: Values = Field(default_factory=_nothing)
    """Values by dotted key on top of it."""
    given: ShownPlace | None = None
    """A run's config that takes the place of a search: ``best_config.yaml`` of an earlier one, or any other."""

    @model_validator(mode="after")
    def _one_of_the_two(self) -> SearchStepConfig:
        if self.given is not None and self.overrides:
            raise ValueError(
                "overrides would be ignored, because given names the result: write them in train.overrides"
            )
        return self


class TrainStepConfig(Section):
    """Trains the same config from several seeds."""

    config: ShownPlace | None = None
    """Of the runs: a YAML file, or the name of a shipped one; None takes the defaults. With a search in the pipeline
    its best config is taken, and this must be left out."""
    overrides: Values = Field(default_factory=_nothing)
    """Values by dotted key on top of it."""
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    """One run each."""
    num_at_once: int | None = Field(default=None, ge=1)
    """Runs side by side; None takes as many as there are cores (local), or as fit on the Ray cluster that is joined."""
    given: tuple[ShownPlace, ...] = ()
    """Runs that take the place of a training: directories, URIs or models by name."""

    @model_validator(mode="after")
    def _one_of_the_two(self) -> TrainStepConfig:
        if twice := sorted({seed for seed in self.seeds if self.seeds.count(seed) > 1}):
            raise ValueError(f"seeds: {twice[0]} stands twice; name each once")
        if self.given and (self.config is not None or self.overrides):
            raise ValueError("config and overrides would be ignored, because given names the runs: leave them out")
        return self


class SelectStepConfig(Section):
    """Chooses what goes on from the runs of all seeds."""

    by: Literal["best", "last", "mean", "vote"] = "best"
    """``best``: the run with the highest success on held-out worlds (return, where none tells success), at its best
    checkpoint; ``last``: the last checkpoint of the last seed; ``mean`` and ``vote``: all seeds as an ensemble, which
    acts by the mean of their Q values or by a vote."""
    given: ShownPlace | None = None
    """A run, a checkpoint, a URI, a model by name or an ensemble that is taken without a choice."""

    @property
    def is_ensemble(self) -> bool:
        """Whether all seeds go on together."""
        return self.given is None and self.by in ("mean", "vote")


class EvaluateStepConfig(Section):
    """Has all seeds, and what is named beside them, play the same held-out worlds."""

    suites: tuple[ShownPlace, ...] = Field(default=("quick",), min_length=1)
    """By name, or as YAML files."""
    episodes: int | None = Field(default=None, ge=MIN_EPISODES)
    """Of each scenario; None takes what the suites say."""
    beside: tuple[ShownPlace, ...] = ()
    """Who plays besides: planners (``dwa``, ``orca``), other runs, models by name."""
    failures: bool = False
    """Whether failures are told, replayed and filmed too."""


class VisualiseStepConfig(Section):
    """Draws the curves of all runs and films what was selected."""

    film_episodes: int = Field(default=3, ge=0)
    """Episodes of the film; 0 films none."""


class ExportStepConfig(Section):
    """Writes what was selected as a bundle for a robot."""

    formats: tuple[Literal["onnx", "pt2", "numpy"], ...] = Field(default=("onnx",), min_length=1)
    """How the network is written."""


class GateConfig(Section):
    """The A/B test that a new version has to win before the champion's alias moves to it."""

    worlds: int = Field(default=2000, ge=100)
    """At most so many; the test ends when it knows."""
    area_worlds: int = Field(default=100, ge=MIN_EPISODES)
    """Worlds of each point of the robustness area."""


class RegistryStepConfig(Section):
    """Adds what was selected to the registry of models."""

    name: str = Field(default="robot_nav", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)
    """Of the model; a new one is made."""
    place: ShownPlace | None = None
    """Folder or bucket of models; None takes ROBONAV_REGISTRY, else ``runs/models``."""
    bundle: bool = True
    """Whether the version carries its bundle."""
    gate: GateConfig | None = GateConfig()
    """Null leaves the champion where it is; the first version of a model becomes it without a test."""


class PipelineBudgetConfig(Section):
    """What search and training may use together, over all sessions. What comes after them is done in any case."""

    time_s: float | None = Field(default=None, gt=0.0)
    """Seconds; then the search ends with the best so far, and runs with the checkpoints that they have."""
    env_steps: int | None = Field(default=None, ge=1)
    """What the search leaves of them is shared equally by the seeds, as their ``budget.max_env_steps``."""


class PipelineConfig(Section):
    """From nothing to a report and a registered model."""

    name: str = Field(default="pipeline", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)
    """The pipeline's folder is ``output_dir/NAME``: the same name goes on there."""
    question: ShownSentence | None = None
    """What it shall answer, for the report."""
    output_dir: FolderPath = "pipelines"
    """Where pipelines have their folders."""
    wiring: Literal["local", "ray"] = "ray"
    """``local``: each run in one process, the same bits every time; ``ray``: over the cluster that is found. A search
    takes Ray in any case."""
    steps: tuple[StepName, ...] = Field(default=STEPS, min_length=1)
    """Which are done, in this order; but a step comes after those whose result it takes."""
    after: dict[StepName, tuple[StepName, ...]] = Field(default_factory=_no_steps)
    """Steps that a step waits for besides, such as ``{export: [report]}``."""
    modules: dict[StepName, tuple[ShownPlace, ...]] = Field(default_factory=_no_modules)
    """Modules of your own that a step depends on, by dotted name: when their source changes it is done again."""
    prepare: PrepareStepConfig = PrepareStepConfig()
    search: SearchStepConfig = SearchStepConfig()
    train: TrainStepConfig = TrainStepConfig()
    select: SelectStepConfig = SelectStepConfig()
    evaluate: EvaluateStepConfig = EvaluateStepConfig()
    visualise: VisualiseStepConfig = VisualiseStepConfig()
    export: ExportStepConfig = ExportStepConfig()
    registry: RegistryStepConfig = RegistryStepConfig()
    """Of the step ``register``."""
    back_up: BackupConfig | None = None
    """Null is off, and the step is left out."""
    notify: NotifyConfig | None = None
    """Null is off, and the step is left out. The start and a failure are told too."""
    budget: PipelineBudgetConfig = PipelineBudgetConfig()

    @field_validator("steps", mode="before")
    @classmethod
    def _names_are_told(cls, steps: Any) -> Any:
        """Refuse a step that there is not, with the nearest name, in one message."""
        from difflib import get_close_matches

        given = cast("Sequence[Any]", steps) if isinstance(steps, list | tuple) else ()
        for name in given:
            if isinstance(name, str) and name not in STEPS:
                near = get_close_matches(name, STEPS, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"the steps are {', '.join(STEPS)}"
                raise ValueError(f"there is no step {name!r}; {hint}")
        return cast("Any", steps)

    @model_validator(mode="after")
    def _each_step_has_what_it_takes(self) -> PipelineConfig:
        if twice := sorted({step for step in self.steps if self.steps.count(step) > 1}):
            raise ValueError(f"steps: {twice[0]} stands twice; name each once")
        for step, before in self.after.items():
            if missing := [name for name in (step, *before) if name not in self.steps]:
                raise ValueError(f"after: {missing[0]} is not among steps: add it there, or leave it out here")
        self.order()
        if "search" in self.steps and "train" in self.steps and self.train.config is not None:
            raise ValueError(
                f"train.config ({self.train.config}) would be ignored, because search finds the config: name it in "
                "search.given, write what shall differ in train.overrides, or leave search out of steps"
            )
        self._check_ensemble()
        for step, section in {"back_up": self.back_up, "notify": self.notify}.items():
            if section is not None and step not in self.steps:
                raise ValueError(f"{step}: would be ignored, because {step} is not among steps: add it there")
        has_one = "select" in self.steps or ("train" in self.steps and len(self.train.given or self.train.seeds) == 1)
        needed = {
            "select": self.select.given is not None or "train" in self.steps,
            "evaluate": has_one or "train" in self.steps,
            **dict.fromkeys(("visualise", "export", "register"), has_one),
            "report": "evaluate" in self.steps,
        }
        missing_of = {"select": "train", "evaluate": "train", "report": "evaluate"}
        for step in self.steps:
            if not needed.get(step, True):
                what = missing_of.get(step, "select")
                given = {"train": "train.given=[RUN, ...]", "select": "select.given=RUN"}.get(what)
                raise ValueError(
                    f"steps: {step} takes the result of {what}, which is left out: add it"
                    + (f" (with {given} it makes none of its own)" if given else "")
                    + f", or leave {step} out"
                )
        return self

    def _check_ensemble(self) -> None:
        """Raise ValueError where an ensemble is asked for, and there are not several seeds, or no file of it."""
        if "select" not in self.steps or not self.select.is_ensemble:
            return
        by = f"select.by={self.select.by}"
        if len(self.train.given or self.train.seeds) < 2:
            raise ValueError(
                f"{by}: takes several runs: name more in train.seeds (or train.given), or take select.by=best"
            )
        bundles = "export" in self.steps or ("register" in self.steps and self.registry.bundle)
        if self.select.by == "vote" and bundles:
            raise ValueError(
                f"{by}: a vote is no graph of Q values, so no bundle holds it: take select.by=mean, or leave export "
                "out of steps and set registry.bundle=false"
            )
        if "numpy" in self.export.formats and "export" in self.steps:
            raise ValueError(f"{by}: export.formats: numpy holds one network, not an ensemble: leave numpy out")

    @property
    def in_use(self) -> tuple[StepName, ...]:
        """The steps but for those that are told nothing, and so have nothing to do."""
        off = {"back_up": self.back_up is None, "notify": self.notify is None}
        return tuple(step for step in self.steps if not off.get(step, False))

    def order(self) -> tuple[StepName, ...]:
        """Return the steps in the order in which they are done: as listed, but each after those that it takes from or
        waits for; ValueError, naming the ring, where there is no such order.
        """
        left: list[StepName] = [*self.in_use]
        done: list[StepName] = []
        while left:
            free: StepName | None = next((step for step in left if not set(self.before(step)) & set(left)), None)
            if free is None:
                raise ValueError(
                    f"after: {' waits for '.join(self._ring(left))}: a ring, in which no step can be first"
                )
            left.remove(free)
            done.append(free)
        return tuple(done)

    def before(self, step: StepName) -> tuple[StepName, ...]:
        """Return the steps of this pipeline that ``step`` comes after."""
        named = (*READS[step], *WAITS.get(step, ()), *self.after.get(step, ()))
        return tuple(dict.fromkeys(name for name in named if name in self.in_use))

    def _ring(self, left: list[StepName]) -> list[StepName]:
        ring: list[StepName] = [left[0]]
        while ring.count(ring[-1]) < 2:
            ring.append(next(step for step in self.before(ring[-1]) if step in left))
        return ring[ring.index(ring[-1]) :]
