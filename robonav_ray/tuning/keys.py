"""Dotted keys of a run's config: which there are, when two of them meet, and which a search leaves alone.

A key names one value (``learner.learning_rate``); a number or ``*`` in it stands for an item, or for every item, of a
list (``curriculum.stages.*.epsilon.decay``). A pattern is the beginning of keys: ``curriculum.stages.*.epsilon`` covers
all that lies under it.
"""

from __future__ import annotations

import difflib
import types
from functools import cache
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from robonav_ray.config.run import RunConfig

EVERY = "*"

_OTHER_TASK = "trials would practise different tasks, and their results could not be compared"
_OTHER_EXAM = "passing a stage would not mean the same in every trial"

OWNED = {
    "env": f"{_OTHER_TASK}; set run.env",
    "seed": "all trials have one seed, so that nothing but the values sets them apart; set run.seed",
    "name": "the search names its trials",
    "output_dir": "the search decides where its trials are kept; set output_dir",
    "preset": "it lies under all values of a run; set run.preset, and search single keys of it",
    "evaluation": "trials are judged in one way, or their results could not be compared; set run.evaluation",
    "runtime": "what a trial may use is fixed before it starts; set resources",
    "tracking": "it changes nothing that is learned; set run.tracking",
    "checkpoint": "the search decides when a trial is saved; set trial.report_env_steps",
    "budget": "trials are compared at equal env steps; set trial.max_env_steps",
    "curriculum.stages.*.level": f"{_OTHER_TASK}; set run.curriculum.stages",
    "curriculum.stages.*.gate": f"{_OTHER_EXAM}; set run.curriculum.stages",
    "curriculum.stages.*.name": "it says nothing to a learner",
    "curriculum.window": f"{_OTHER_EXAM}; set run.curriculum.window",
    "curriculum.gate_ladder_frac": f"{_OTHER_EXAM}; set run.curriculum.gate_ladder_frac",
    "curriculum.start_stage": "trials would start with different leads; set run.curriculum.start_stage",
    "curriculum.force_stage": "trials would be held in different stages; set run.curriculum.force_stage",
}
"""Patterns that a search must not vary, and why."""


@cache
def known_keys() -> dict[str, bool]:
    """Return every key of a RunConfig that has a value, with ``*`` for the items of lists, and whether that value is a
    list.
    """
    return dict(_leaves(RunConfig, ""))


def canonical(key: str) -> str:
    """Return ``key`` with ``*`` in place of every number."""
    return ".".join(EVERY if part.isdigit() else part for part in key.split("."))


def is_covered(key: str, pattern: str) -> bool:
    """Whether ``pattern`` is ``key`` or a beginning of it."""
    parts, beginning = canonical(key).split("."), canonical(pattern).split(".")
    return parts[: len(beginning)] == beginning


def are_overlapping(one: str, other: str) -> bool:
    """Whether both set one value, or one sets a part of what the other sets."""
    pairs = zip(one.split("."), other.split("."), strict=False)
    return all(a == b or (EVERY in (a, b) and _is_item(a) and _is_item(b)) for a, b in pairs)


def problem_with(key: str) -> str | None:
    """Return why a search cannot vary ``key``, and what to do; None when it can."""
    for pattern, reason in OWNED.items():
        if is_covered(key, pattern):
            return f"is not for a search to vary: {reason}"
    name, known = canonical(key), known_keys()
    whole = name.removesuffix(f".{EVERY}")
    if name in known or (whole != name and known.get(whole)):
        return None
    inside = [known_key for known_key in known if known_key.startswith(f"{name}.")]
    if inside:
        return f"is a section or a list; name a value in it, for instance {inside[0]}"
    open_keys = [k for k in known if not any(is_covered(k, pattern) for pattern in OWNED)]
    near = difflib.get_close_matches(name, open_keys, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ", for instance learner.learning_rate"
    return f"there is no such key in a run's config{hint}"


def _is_item(part: str) -> bool:
    return part == EVERY or part.isdigit()


def _leaves(model: type[BaseModel], prefix: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        section, is_list = _kind(field.annotation)
        if section is None:
            found.append((key, is_list))
        else:
            found += _leaves(section, f"{key}.{EVERY}." if is_list else f"{key}.")
    return found


def _kind(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Return the section that values of an annotation are made of, if they are, and whether they are lists."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if origin in (tuple, list):
        return _kind(arguments[0])[0], True
    if origin in (Union, types.UnionType):
        kinds = [_kind(argument) for argument in arguments]
        return next((section for section, _ in kinds if section), None), any(is_list for _, is_list in kinds)
    if hasattr(annotation, "__metadata__"):
        return _kind(arguments[0])
    return None, False
