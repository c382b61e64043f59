"""A step: what it takes, what it makes, and the call that makes it.

::

    STEP = Step("export", modules=("robonav_ray.deploy",), inputs=inputs, work=work)

``inputs`` returns what decides on the result: the part of the config that is the step's, and hashes of files that lie
outside of the pipeline. ``work`` makes one plain call of ``fronts`` or ``deploy`` and returns a ``Made``: facts, of
which later steps take theirs, and the files that they rest on. The facts say what was made by its content (hashes of
weights, of rows), so that a step which is done again with the same outcome leaves those behind it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from robonav_ray.config.pipeline import READS, PipelineConfig, StepName
from robonav_ray.errors import UserError
from robonav_ray.files.manifest import leads_outside
from robonav_ray.pipeline.lock_file import LOCK_FILE, TRAINS
from robonav_ray.runtime.signals import StopRequest

Facts = Mapping[str, Any]
"""JSON values."""


@dataclass(frozen=True)
class Made:
    """The result of a step."""

    facts: Facts
    """What later steps read, by content; the same result gives the same facts."""
    files: Sequence[Path] = ()
    """Files below the pipeline's folder that later steps open."""
    told: str = ""
    """One line for people."""
    env_steps: int = 0
    """Env steps of training in it, for the budget."""


@dataclass(frozen=True)
class Job:
    """What a step works with."""

    config: PipelineConfig
    root: Path
    """The pipeline's folder, absolute."""
    folder: Path
    """The step's own, which holds what an earlier session of the same work has left."""
    results: Mapping[StepName, Facts]
    """Of the steps before it."""
    stop: StopRequest
    """Whether to end; calls of ``fronts`` in this process ask it already."""
    say: Callable[[str], None]
    """Tells people a line."""
    tell_end: Callable[[str, Path | None], None] = lambda text, picture: None
    """Sends a notice of the end, where notices are on."""
    told: Sequence[str] = ()
    """A line of each step that is done."""
    env_steps_left: int | None = None
    """Of the pipeline's budget; None without one."""
    out_of_budget: Callable[[], bool] = field(default=lambda: False)
    """Whether the budget of time is used up."""

    def path(self, below: str) -> Path:
        """Return the path of a file or folder of which a step has told, below the pipeline's folder.

        Raises:
            UserError: When it leads out of there: the lock file may be a stranger's.
        """
        if leads_outside(below):
            raise UserError(f"{self.root / LOCK_FILE}: {below[:80]!r} leads out of the pipeline's folder")
        return self.root / below

    def below(self, path: Path) -> str:
        """Return how the facts name ``path``: below the pipeline's folder, which may be moved."""
        return path.relative_to(self.root).as_posix()


class Inputs(Protocol):
    """Returns what decides on a step's result, as JSON values; UserError for what is wrong in it."""

    def __call__(self, config: PipelineConfig) -> Mapping[str, Any]:
        """Return them."""
        ...


@dataclass(frozen=True)
class Step:
    """One step; ``READS`` says whose results it takes."""

    name: StepName
    modules: tuple[str, ...]
    """Whose source decides on the result too."""
    inputs: Inputs
    work: Callable[[Job], Made]
    takes_up: bool = False
    """Whether it finds by itself what it made for other inputs and still holds: its folder stays then."""
    ends_at_once: bool = False
    """Whether it may be left in the middle when the pipeline shall end: what it writes is whole or not there."""

    @property
    def trains(self) -> bool:
        """Whether the pipeline's budget counts it."""
        return self.name in TRAINS

    def reads(self, config: PipelineConfig) -> tuple[StepName, ...]:
        """Return the steps of the pipeline whose results it takes."""
        return tuple(name for name in READS[self.name] if name in config.in_use)


class UnfinishedError(RuntimeError):
    """A step was stopped before its end; the same command goes on with it. The message says why, where it is known."""
