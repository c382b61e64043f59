"""In what two versions differ: where they are from, their config, how they were judged, their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from robonav_ray.registry.names import RegistryError
from robonav_ray.registry.versions import Version

_ORIGIN = ("run", "checkpoint", "which", "env_steps", "learner_steps", "train_s", "seed", "git_revision", "network")

_JUDGED = ("success_frac", "collision_frac", "return_mean", "num_episodes")


@dataclass(frozen=True)
class Difference:
    """One thing in which two versions differ. None where one has nothing of the kind."""

    part: str
    """``origin``, ``package``, ``config``, ``evaluation`` or ``weights``."""
    key: str
    a: Any
    b: Any


def difference(a: Version, b: Version) -> list[Difference]:
    """Return all in which two versions differ; none where they are the same policy from the same run.

    Raises:
        RegistryError: When one of them is damaged.
    """
    found = [*_differing("origin", {key: (a.provenance[key], b.provenance[key]) for key in _ORIGIN})]
    found += _of("package", a.provenance["versions"], b.provenance["versions"])
    found += _of("config", flat(a.config.model_dump(mode="json")), flat(b.config.model_dump(mode="json")))
    found += _of("evaluation", figures(a), figures(b))
    return [*found, *_weights(a, b)]


def figures(version: Version) -> dict[str, Any]:
    """Return the figures that a version was judged by before it was added, by name: parts of all episodes, 0 to 1."""
    judgement, report = version.evaluation.get("judgement") or {}, version.evaluation.get("report") or {}
    found = {f"judgement {key}": judgement.get(key) for key in _JUDGED}
    levels = report.get("levels")
    for level in levels if isinstance(levels, list) else []:
        summary = level.get("summary") if isinstance(level, dict) else None
        rates = summary if isinstance(summary, dict) else {}
        for key in ("success", "collision"):
            rate = rates.get(key)
            if isinstance(rate, dict):
                found[f"{level.get('level')} {key}"] = rate.get("frac")
    return {key: value for key, value in found.items() if value is not None}


def flat(value: Any, key: str = "") -> dict[str, Any]:
    """Return a nested mapping by dotted key; lists stay whole."""
    if not isinstance(value, Mapping) or not value:
        return {key: value}
    return {k: v for name, item in value.items() for k, v in flat(item, f"{key}.{name}" if key else str(name)).items()}


def _of(part: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    keys = [*a, *(key for key in b if key not in a)]
    return _differing(part, {key: (a.get(key), b.get(key)) for key in keys})


def _differing(part: str, pairs: Mapping[str, tuple[Any, Any]]) -> Iterator[Difference]:
    return (Difference(part, key, a, b) for key, (a, b) in pairs.items() if a != b)


def _weights(a: Version, b: Version) -> list[Difference]:
    first, second = a.read_weights(), b.read_weights()
    if first == second:
        return []
    try:
        ours, theirs = load(first), load(second)
    except SafetensorError as error:
        raise RegistryError(f"{a.ref}, {b.ref}: weights.safetensors: {error}") from None
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        x, y = ours.get(name), theirs.get(name)
        if x is None or y is None or x.shape != y.shape:
            shapes = tuple(None if one is None else str(one.shape) for one in (x, y))
            found.append(Difference("weights", name, *shapes))
        elif not np.array_equal(x, y):
            apart = float(np.abs(x.astype(np.float64) - y.astype(np.float64)).max())
            found.append(Difference("weights", name, f"{x.shape}", f"differs by {apart:.3g} at most"))
    return found
