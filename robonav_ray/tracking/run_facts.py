"""What a backend is told of the run that it tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

RunKind = Literal["train", "trial", "search", "evaluation", "own"]


@dataclass(frozen=True)
class RunFacts:
    """One run, or search, or what is tracked by itself (``own``)."""

    name: str
    directory: Path
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Resolved, nested."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    """Git revision, the user's project and its revision, host, Ray job, seed, command."""
    kind: RunKind = "own"
    """``evaluation``: opened again for what was made after the training."""
    group: str | None = None
    """Name of the search that a trial belongs to."""
    resume_step: int | None = None
    """Env step that a resumed run goes on from; None for a new one."""
    ids: Mapping[str, str] = field(default_factory=dict[str, str])
    """This backend's own ids of the run, as it has told them in an earlier session."""
    parent_ids: Mapping[str, str] = field(default_factory=dict[str, str])
    """The same of the search."""
    parent: Path | None = None
    """Directory of the search."""
