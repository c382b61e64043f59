"""Back up: the whole folder, to another one or a bucket; only what changed is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.pipeline.step import Job, Made, Step

NOT_NEEDED = (".lock", "*/.lock", "superseded/*", "*/ray_tune/*")
"""Left out besides what ``back_up.exclude`` says: locks, what was put aside, notes of Tune that are not read again."""


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """Where to."""
    return {} if config.back_up is None else {"back_up": config.back_up.model_dump(mode="json", exclude_defaults=True)}


def work(job: Job) -> Made:
    """Send what is not there yet."""
    from robonav_ray.pipeline.backing_up import back_up

    section = job.config.back_up
    assert section is not None  # the step is not in use without it
    report = back_up(job.root, section.uri, (*NOT_NEEDED, *section.exclude))
    return Made({"location": report.location}, told=report.text())


STEP = Step("back_up", (), inputs, work)
