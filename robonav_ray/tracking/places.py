"""The backends that a config can name: how each is opened, checked before a run begins, and gone on with."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from robonav_ray.config.tracking import MlflowTracking, TensorboardTracking, TrackingConfig, WandbTracking
from robonav_ray.errors import UserError
from robonav_ray.tracking.backend import Backend
from robonav_ray.tracking.deliveries import Delivered, Delivery, TrackersFile
from robonav_ray.tracking.feed import Place
from robonav_ray.tracking.run_facts import RunFacts

logger = logging.getLogger(__name__)
AnySection = TensorboardTracking | MlflowTracking | WandbTracking
Open = Callable[[Any, RunFacts, Callable[[Mapping[str, str]], None]], Backend]
"""Opens a backend: its section, the run, and what keeps ids of the backend's own for the run's next session."""


@dataclass(frozen=True)
class Known:
    """A backend of ours. Its module is imported when it is switched on."""

    opens: str
    """``module:function``, an ``Open``."""
    checks: str | None = None
    """``module:function``, given the section: raises UserError for what keeps the backend from being opened."""
    rewinds: bool = False
    """Whether it hides what a resumed run lives through again."""


BACKENDS = {
    "tensorboard": Known("robonav_ray.tracking.tensorboard.event_file:open_tensorboard", rewinds=True),
    "mlflow": Known(
        "robonav_ray.tracking.mlflow_backend:open_mlflow", "robonav_ray.tracking.mlflow_backend:check_mlflow"
    ),
    "wandb": Known("robonav_ray.tracking.wandb.wandb_run:open_wandb", "robonav_ray.tracking.wandb.access:check_wandb"),
}


def sections_on(config: TrackingConfig) -> dict[str, AnySection]:
    """Return the sections of the backends that are switched on, by backend."""
    every: dict[str, AnySection | None] = {
        "tensorboard": config.tensorboard,
        "mlflow": config.mlflow,
        "wandb": config.wandb,
    }
    return {name: section for name, section in every.items() if section is not None}


def check_backends(config: TrackingConfig) -> None:
    """Look, before a run begins, whether every backend that is switched on can be opened.

    Raises:
        UserError: For the first that cannot, and is required; a warning says the same of one that is not.
    """
    for name, section in sections_on(config).items():
        checks = BACKENDS[name].checks
        if checks is None:
            continue
        try:
            _loaded(checks)(section)
        except UserError as error:
            if _is_required(section):
                raise
            logger.warning("%s; the run goes on, and %s is given it later", error, name)


def places(config: TrackingConfig, facts: RunFacts, file: TrackersFile, spool_end: int) -> list[Place]:
    """Return where points go by the sections of ``config``.

    A backend that was given nothing by the account of ``file`` is given the whole spool; TensorBoard, of a run from
    before there was such a file, what comes behind ``spool_end``.
    """
    found = list[Place]()
    is_from_before = not file.path.exists() and (facts.directory / "tensorboard").is_dir()
    for name, section in sections_on(config).items():
        known = BACKENDS[name]
        is_older = name == "tensorboard" and is_from_before
        delivery = Delivery(file, name, rewinds=known.rewinds, start=spool_end if is_older else 0)
        gather_s = float(section.flush_s) if isinstance(section, TensorboardTracking) else 0.0
        make = partial(_opened, known, section, facts, file, delivery)
        found.append(Place(name, make, delivery, _is_required(section), gather_s))
    return found


def _opened(known: Known, section: AnySection, facts: RunFacts, file: TrackersFile, delivery: Delivery) -> Backend:
    entry = file.read().get(delivery.name, Delivered())
    resume_step = facts.resume_step
    if known.rewinds and resume_step is not None and entry.position is not None:
        resume_step = min(resume_step, entry.step)  # what was written, and not noted, is written again
    parents = {} if facts.parent is None else TrackersFile(facts.parent).read()
    parent_ids = parents.get(delivery.name, Delivered()).ids
    told = replace(facts, ids={**entry.ids, **delivery.ids}, parent_ids=parent_ids, resume_step=resume_step)
    return _loaded(known.opens)(section, told, delivery.keep_ids)


def _is_required(section: AnySection) -> bool:
    return isinstance(section, TensorboardTracking) or section.required


def _loaded(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    return vars(importlib.import_module(module))[function]
