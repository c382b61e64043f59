"""Register: a version of the model, which becomes its champion when it wins the A/B test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.pipeline.runs_of_steps import selected, word_of
from robonav_ray.pipeline.step import Job, Made, Step

CHAMPION, CHALLENGER = "champion", "challenger"


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """Where it goes, and what it must win."""
    return {"registry": config.registry.model_dump(mode="json", exclude_defaults=True)}


def work(job: Job) -> Made:
    """Add the version, have it carry its bundle, and hold it against the champion."""
    from robonav_ray.fronts.models.registry_call import registry

    section, reason = job.config.registry, f"pipeline {job.config.name}"
    models = registry(section.place)
    version = models.add(word_of(job, selected(job)), section.name, alias=CHALLENGER, reason=reason)
    job.say(f"{version.ref}: {version.shown}")
    if section.bundle:
        from robonav_ray.deploy.export import export

        export(version.location)
    facts = {"model": section.name, "version": version.number, "content": version.content_id}
    stands = models.aliases(section.name).get(CHAMPION)
    if stands is not None and stands.version == version.number:
        return Made({**facts, "champion": True}, told=f"{version.ref} is the champion")
    if section.gate is None:
        return Made({**facts, "champion": False}, told=f"{version.ref} is the {CHALLENGER}; no gate was asked for")
    if stands is None:
        models.promote(section.name, version.number, alias=CHAMPION, reason=f"{reason}: the first")
        return Made({**facts, "champion": True}, told=f"{version.ref} is the champion, as the first")
    return _through_the_gate(job, facts, version.ref)


def _through_the_gate(job: Job, facts: dict[str, Any], ref: str) -> Made:
    from robonav_ray.fronts.studies.ab_call import ab

    section = job.config.registry
    assert section.gate is not None
    found = ab(
        f"{section.name}@{CHAMPION}",
        ref,
        worlds=section.gate.worlds,
        area_worlds=section.gate.area_worlds,
        out=job.folder / "ab",
        promote=True,
        registry=section.place,
        local=job.config.wiring == "local",
    )
    told = f"{ref} won the A/B test and is the champion" if found.promoted else f"{ref} stays {CHALLENGER}"
    reason = found.record.gate.reason
    return Made({**facts, "champion": found.promoted, "gate": reason}, told=f"{told}{f': {reason}' * bool(reason)}")


STEP = Step("register", ("robonav_ray.pipeline.steps.register",), inputs, work)
