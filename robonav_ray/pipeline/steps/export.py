"""Export: what was selected as a bundle that a robot drives with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.pipeline.runs_of_steps import selected, word_of
from robonav_ray.pipeline.step import Job, Made, Step
from robonav_ray.text import bytes_text

BUNDLE = "bundle"


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """How it is written."""
    return {"export": config.export.model_dump(mode="json", exclude_defaults=True)}


def work(job: Job) -> Made:
    """Write the bundle; the same one stays as it is."""
    from robonav_ray.deploy.export import export

    made = export(word_of(job, selected(job)), out=job.folder / BUNDLE, format=job.config.export.formats)
    files = [made.folder / name for name in made.files]
    facts = {"bundle": job.below(job.folder / BUNDLE), "sha256": made.sha256}
    return Made(facts, files, f"{len(made.files)} files, {bytes_text(made.num_bytes)}")


STEP = Step("export", ("robonav_ray.deploy", "robonav_policy"), inputs, work)
