"""Which process is which part of a run: Ray titles an actor's process after its class, ``ray::CLASS.method``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from robonav_ray.part_names import Part

_TITLE = re.compile(r"ray::(\w+)(?:\.(\w+))?")


@cache
def part_classes() -> Mapping[str, Part]:
    """Return the part that each class of actor is, by the class's name. Imports the classes, and with them Ray and
    torch.
    """
    from ray.train.v2._internal.execution.controller import TrainController
    from ray.train.v2._internal.execution.worker_group.worker import RayTrainWorker

    from robonav_ray.hosted_remote import CentralParts
    from robonav_ray.replay.shard import ReplayShard
    from robonav_ray.rollout.remote import _WorkerActor
    from robonav_ray.weights.remote import _Store

    classes: dict[type, Part] = {
        _WorkerActor: Part.WORKER,
        ReplayShard: Part.SHARD,
        RayTrainWorker: Part.RANK,
        TrainController: Part.CONTROLLER,
        CentralParts: Part.HOST,
        _Store: Part.WEIGHTS,
    }
    return MappingProxyType({actor.__name__: part for actor, part in classes.items()})


def part_of(title: str, more: Mapping[str, Part] = MappingProxyType({})) -> Part | None:
    """Return the part whose process has this title; None for any other process. ``more`` are classes beside the run's
    own.
    """
    match = _TITLE.match(title)
    return (more.get(match[1]) or part_classes().get(match[1])) if match else None


def method_of(title: str) -> str | None:
    """Return the method that the actor of this title runs; None while it waits, and for any other process."""
    match = _TITLE.match(title)
    return match[2] if match else None


def title_starts(*parts: Part) -> tuple[str, ...]:
    """Return how the titles of these parts' processes begin; of all parts for none."""
    return tuple(f"ray::{name}" for name, part in part_classes().items() if part in parts or not parts)
