"""Notify: who is to know is told what came out. Starts and failures are told by the session itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.pipeline.step import Job, Made, Step


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """Who; no URL stands in a config."""
    return {} if config.notify is None else {"notify": config.notify.model_dump(mode="json", exclude_defaults=True)}


def work(job: Job) -> Made:
    """Tell it, with a picture; a channel that takes nothing is said in the log, and holds nothing up."""
    curves = job.results.get("visualise", {}).get("curves", {})
    picture = job.path(next(iter(curves.values()))) if curves else None
    job.tell_end("\n".join(job.told), picture)
    return Made({}, told=f"{len(job.config.notify.channels) if job.config.notify is not None else 0} channels")


STEP = Step("notify", (), inputs, work)
