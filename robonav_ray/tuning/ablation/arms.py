"""What is trained: the whole method and the same without a part, for each seed; checked before anything is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.config.curriculum import stage_number
from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.load import ConfigError, check_run_config
from robonav_ray.config.load_suite import load_suite
from robonav_ray.config.studies.ablation import AblationConfig
from robonav_ray.evaluation.ablation.table import WHOLE
from robonav_ray.runs.task import Task, check_gates, check_places, describe_task
from robonav_ray.runtime.budget import check_learns
from robonav_ray.runtime.sizes import check_sizes
from robonav_ray.runtime.user_parts import check_user_code
from robonav_ray.tracking.places import check_backends
from robonav_ray.tuning.keys import is_covered
from robonav_ray.tuning.space import apply_params

FOREVER_S = 1e9
"""A run's time budget: it ends by its env steps, not when its curriculum is passed."""
_OWNED = {
    "seed": "seeds says which there are",
    "name": "the ablation names its runs",
    "output_dir": "the ablation decides where its runs are kept; set output_dir",
    "preset": "it lies under all values of a run; set run.preset, and switch single keys",
    "budget": "all runs train equally long; set budget.env_steps",
    "evaluation": "all runs are judged in one way; set exam",
    "checkpoint": "it changes nothing that is learned; set run.checkpoint",
    "tracking": "it changes nothing that is learned; set run.tracking",
    "runtime": "what a run may use is the same for all; set resources",
}
"""Patterns that a switch must not change, and why."""


@dataclass(frozen=True)
class Arm:
    """A method that is trained with every seed."""

    name: str
    values: dict[str, Any]
    """What differs from ``run``, by dotted key."""


@dataclass(frozen=True)
class Comparison:
    """What is held against what for one switch."""

    switch: str
    off: str
    """Name of the arm without the part."""
    whole: str
    """Name of the arm with it."""
    values: dict[str, Any]
    """By which the two differ, as they are when the part is off."""


@dataclass(frozen=True)
class Cell:
    """One training: an arm with a seed."""

    arm: str
    seed: int
    config: RunConfig
    stages: tuple[int, ...]
    """Stages that it is judged in, where there is no suite."""
    suite: Suite | None = None
    """Scenarios that it is judged in."""

    @property
    def name(self) -> str:
        """What it is called, and its folder."""
        return f"{self.arm}-{self.seed}"

    @cached_property
    def key(self) -> str:
        """Hash of all that its result depends on: results of another config are not taken for its own."""
        sections = self.config.model_dump(
            mode="json", exclude={"name", "output_dir", "tracking", "checkpoint", "runtime"}
        )
        suite = None if self.suite is None else self.suite.model_dump(mode="json")
        content = json.dumps([sections, self.stages, suite], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """All that is to be trained, and what is made of it."""

    cells: tuple[Cell, ...]
    """In the order of work: all arms with the first seed come first, so that a part of it can be compared."""
    comparisons: tuple[Comparison, ...]
    stages: tuple[str, ...]
    """Names of the stages, or scenarios, of the exam."""

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms, the whole method first."""
        return tuple(dict.fromkeys(cell.arm for cell in self.cells))


def plan_ablation(config: AblationConfig) -> Plan:
    """Return what is to be trained; makes nothing.

    Raises:
        ConfigError: Naming the switch, for a key that a switch must not change, for values that give no valid run, that
            change nothing, or with which nothing could be learned.
    """
    arms, comparisons = _arms(config)
    suite = _suite(config)
    cells = [_cell(config, arm, seed, suite) for seed in config.seeds for arm in arms]
    for cell in cells[: len(arms)]:
        _check(cell, config)
    check_backends(cells[0].config.tracking)
    task = describe_task(cells[0].config)
    if suite is not None:
        _check_suite(suite, config, task)
        return Plan(tuple(cells), comparisons, tuple(scenario.name for scenario in suite.all_scenarios()))
    return Plan(tuple(cells), comparisons, tuple(task.shown_name(stage) for stage in cells[0].stages))


def _arms(config: AblationConfig) -> tuple[list[Arm], tuple[Comparison, ...]]:
    """Return the arms, each once however many switches share it, and the comparisons."""
    arms, found = [Arm(WHOLE, {})], {_resolved(config, {}, "run"): WHOLE}
    comparisons = list[Comparison]()
    for name, switch in config.switches.items():
        where = f"switches.{name}"
        for key in (*switch.off, *switch.whole):
            for pattern, why in _OWNED.items():
                if is_covered(key, pattern):
                    raise ConfigError(f"{where}: {key} is not for a switch to change: {why}")
        pair = list[str]()
        for suffix, values in (("-whole", switch.whole), ("", {**switch.whole, **switch.off})):
            resolved = _resolved(config, values, where)
            if resolved not in found:
                found[resolved] = f"{name}{suffix}" if name != WHOLE else f"{name}-off{suffix}"
                arms.append(Arm(found[resolved], values))
            pair.append(found[resolved])
        if pair[0] == pair[1]:
            told = ", ".join(f"{key}={_text(value)}" for key, value in switch.off.items())
            raise ConfigError(f"{where}: {told} changes nothing: that is what run says already; name what is on there")
        comparisons.append(Comparison(name, pair[1], pair[0], dict(switch.off)))
    return arms, tuple(comparisons)


def _resolved(config: AblationConfig, values: Mapping[str, Any], where: str) -> str:
    return json.dumps(_run_config(config, values, config.seeds[0], where).model_dump(mode="json"), sort_keys=True)


def _run_config(config: AblationConfig, values: Mapping[str, Any], seed: int, where: str) -> RunConfig:
    """Return the checked config of a run; ConfigError, naming ``where`` its values are from."""
    try:
        sections = apply_params(config.run, {**values, "seed": seed})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    run = check_run_config(sections, where)
    budget = {
        "time_s": FOREVER_S,
        "env_steps": None,
        "give_up_s": None,
        "max_time_s": None,
        "max_env_steps": config.budget.env_steps,
    }
    exam = {"num_episodes": config.exam.num_episodes, "seed": config.exam.seed, "gif_episodes": 0}
    return run.model_copy(
        update={
            "budget": run.budget.model_copy(update=budget),
            "tracking": run.tracking.model_copy(update={"panel": "off", "prometheus": False}),
            "evaluation": run.evaluation.model_copy(update=exam),
        }
    )


def _suite(config: AblationConfig) -> Suite | None:
    if config.exam.suite is None:
        return None
    try:
        return load_suite(Path(config.exam.suite))
    except ConfigError as error:
        raise ConfigError(f"exam.suite: {error}") from None


def _check_suite(suite: Suite, config: AblationConfig, task: Task) -> None:
    if not task.is_native:
        raise ConfigError(f"exam.suite ({suite.name}): has scenarios of our worlds, and env.id is {task.env_id}")
    for scenario in suite.all_scenarios():
        if scenario.seed in config.seeds:
            raise ConfigError(f"seeds: {scenario.seed} is the seed of {suite.name}:{scenario.name}, of unseen worlds")


def _cell(config: AblationConfig, arm: Arm, seed: int, suite: Suite | None) -> Cell:
    where = "run" if arm.name == WHOLE else f"switches.{arm.name}"
    run = _run_config(config, arm.values, seed, where)
    run = run.model_copy(update={"name": f"{config.name[:40]}-{arm.name[:16]}-{seed}"})
    names = [stage.name for stage in run.curriculum.stages_for(run.env.is_native)]
    words = config.exam.stages if config.exam.stages is not None else (len(names) - 1,)
    try:
        stages = tuple(stage_number(str(word), names) for word in words)
    except ValueError as error:
        raise ConfigError(f"exam.stages: {error}") from None
    if beyond := [stage for stage in stages if stage >= len(names)]:
        raise ConfigError(f"exam.stages: there is no stage {beyond[0]}; {where} has {', '.join(names)}")
    return Cell(arm.name, seed, run, () if suite is not None else stages, suite)


def _check(cell: Cell, config: AblationConfig) -> None:
    """Refuse what could not work; ConfigError with the key."""
    task: Task = describe_task(cell.config)
    try:
        check_gates(cell.config, task)
        check_places(cell.config, task)
        check_user_code(cell.config, task)
        check_sizes(cell.config, task.spec)
        check_learns(cell.config, config.budget.env_steps, "budget.env_steps")
    except ConfigError as error:
        raise ConfigError(f"{cell.arm}: {error}") from None


def _text(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value
