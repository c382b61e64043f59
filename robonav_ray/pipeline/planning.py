"""Which steps are to be done, and why."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from robonav_ray.config.pipeline import PipelineConfig, StepName
from robonav_ray.errors import UserError
from robonav_ray.pipeline.folder import PipelineFolder
from robonav_ray.pipeline.hashes import difference, plain, sources_of
from robonav_ray.pipeline.lock_file import LockFile, StepRecord, changed_files, key_of
from robonav_ray.pipeline.step import Step

GOES_ON = "goes on where it was stopped"
State = Literal["done", "to do", "depends", "left out"]


@dataclass(frozen=True)
class Asked:
    """What a command asks for besides the config."""

    first: str | None = None
    """Step before which none is looked at; None looks at all."""
    until: str | None = None
    """Last step; None goes to the end."""
    force: bool = False
    """Do all steps in between again."""
    accept_code: bool = False
    """What was made by other code still holds."""

    def range(self, order: tuple[StepName, ...]) -> tuple[StepName, ...]:
        """Return the steps that are asked for; UserError for one that the pipeline does not have."""
        for option, name in (("--from", self.first), ("--until", self.until)):
            if name is not None and name not in order:
                near = difflib.get_close_matches(name, order, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(order)}"
                raise UserError(f"{option} {name}: the pipeline has no such step; {hint}")
        begin = 0 if self.first is None else order.index(self.first)
        end = len(order) if self.until is None else order.index(self.until) + 1
        if begin >= end:
            raise UserError(f"--from {self.first} --until {self.until}: {self.until} comes before {self.first}")
        return order[begin:end]


@dataclass(frozen=True)
class StepPlan:
    """What is to become of one step."""

    name: StepName
    state: State
    """``depends``: it is done again only if a step before it gives another result."""
    reason: str
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    reads: dict[str, str] = field(default_factory=dict[str, str])
    code: dict[str, str] = field(default_factory=dict[str, str])
    changed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Files that are not as they were made."""
    afresh: bool = False
    """Whether nothing of an earlier session is gone on with."""

    @property
    def key(self) -> str:
        """Hash of inputs and reads."""
        return key_of(self.inputs, self.reads)


def plan_step(
    step: Step,
    config: PipelineConfig,
    folder: PipelineFolder,
    lock: LockFile,
    asked: Asked,
    pending: Collection[str] = (),
) -> StepPlan:
    """Return what is to become of a step, when those in ``pending`` are still to be done.

    Raises:
        UserError: For what is wrong in its config.
    """
    inputs, code = plain(step.inputs(config)), sources_of((*step.modules, *config.modules.get(step.name, ())))
    reads = {name: lock.steps[name].facts_digest for name in step.reads(config) if name in lock.steps}
    record = lock.steps.get(step.name)
    waits = [name for name in step.reads(config) if name in pending]

    def planned(
        state: State, reason: str, changed: Mapping[str, str] | None = None, *, afresh: bool = False
    ) -> StepPlan:
        return StepPlan(step.name, state, reason, inputs, reads, code, changed or {}, afresh)

    if record is None:
        goes_on = not waits and folder.begun_for(step.name) == key_of(inputs, reads)
        return planned("to do", GOES_ON if goes_on else "is not done yet")
    if asked.force:
        return planned("to do", "--force", afresh=True)
    if record.inputs != inputs:
        return planned("to do", difference(record.inputs, inputs))
    if set(record.reads) != set(step.reads(config)):
        return planned("to do", f"takes other results than before: {', '.join(step.reads(config)) or 'none'}")
    if other := [name for name in reads if name not in waits and record.reads[name] != reads[name]]:
        return planned("to do", f"{', '.join(other)} gave another result")
    if (changed_code := _changed_code(record, code)) and not asked.accept_code:
        return planned(
            "to do", f"code changed: {', '.join(changed_code)} (--accept-code: what was made still holds)", afresh=True
        )
    if changed := changed_files(folder.path, record.files):
        name, what = next(iter(changed.items()))
        return planned("to do", f"{name} {what}{f' (and {len(changed) - 1} more)' * (len(changed) > 1)}", changed)
    if record.facts.get("cut") and _has_more_budget(config, lock, step):
        return planned("to do", "was cut off by the budget, which has grown")
    if waits:
        return planned("depends", f"only if {' or '.join(waits)} gives another result")
    return planned("done", "nothing changed" + f"; code of {', '.join(changed_code)} accepted" * bool(changed_code))


def _changed_code(record: StepRecord, code: Mapping[str, str]) -> list[str]:
    return [name for name, digest in code.items() if record.code.get(name) != digest]


def _has_more_budget(config: PipelineConfig, lock: LockFile, step: Step) -> bool:
    return step.trains and (config.budget.time_s is None or lock.spent.trained_s < config.budget.time_s)
