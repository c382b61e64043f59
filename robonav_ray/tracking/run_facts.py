"""What a backend is told of the run that it tracks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

RunKind = Literal["train", "trial", "search", "evaluation", "own"]


@dataclass(frozen=True)
class RunFacts:
    """One run, or search, or an experiment of the user's own (``own``)."""

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


def flat_config(config: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return the values of a nested config by dotted key; what is null, or an empty list, is a text."""
    found = dict[str, str | int | float | bool]()
    for key, value in flat_items(config):
        found[key] = value if isinstance(value, str | int | float | bool) else json.dumps(value, default=str)
    return found


def flat_items(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Give the values of nested mappings and lists by dotted key, below ``key``; an empty one is a value."""
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    if not items:
        yield key, value
    for name, item in items:
        yield from flat_items(item, f"{key}.{name}" if key else str(name))
