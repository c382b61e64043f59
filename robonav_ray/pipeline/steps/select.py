"""Select: which policy goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from robonav_ray.algo.ensemble import How
from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import replace
from robonav_ray.pipeline.runs_of_steps import runs, weights_digest, word_of
from robonav_ray.pipeline.step import Job, Made, Step

SELECTED = "selected.json"
NAMES = {"mean": "mean of seeds", "vote": "vote of seeds"}
"""What an ensemble of all seeds is called in tables."""


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """How it is chosen; of what is given its weights."""
    given = config.select.given
    found = {"select": config.select.model_dump(mode="json", exclude_defaults=True)}
    return found if given is None else {**found, "weights": weights_digest(given)}


def work(job: Job) -> Made:
    """Choose."""
    section = job.config.select
    if section.given is not None:
        facts: dict[str, Any] = {"name": "given", "given": section.given, "weights": weights_digest(section.given)}
        why = f"{section.given} is given"
    elif section.by == "mean" or section.by == "vote":
        return _ensemble(job, section.by)
    else:
        found = runs(job)
        best = max(found, key=_merit) if section.by == "best" else found[-1]
        facts = {**best, **_checkpoint(job, best, section.by)}
        why = _why(best, found, section.by)
    replace(job.folder / SELECTED, json.dumps({**facts, "why": why}, indent=1) + "\n")
    return Made({**facts, "by": section.by}, [job.folder / SELECTED], why)


def _ensemble(job: Job, how: How) -> Made:
    """Have all seeds go on together, each at its best checkpoint."""
    from robonav_ray.runs.ensembles import ENSEMBLE_FILE, write_ensemble

    path, found = job.folder / ENSEMBLE_FILE, runs(job)
    ensemble = write_ensemble(path, how, [word_of(job, run) for run in found])
    facts = {"name": NAMES[how], "path": job.below(path), "weights": ensemble.sha256, "by": how}
    why = f"{NAMES[how]}: {', '.join(str(run['name']) for run in found)}"
    replace(job.folder / SELECTED, json.dumps({**facts, "why": why}, indent=1) + "\n")
    return Made(facts, [path, job.folder / SELECTED], why)


def _merit(run: Mapping[str, Any]) -> tuple[float, float]:
    success, mean = (-math.inf if run[key] is None else float(run[key]) for key in ("success", "mean_return"))
    return success, mean


def _checkpoint(job: Job, run: Mapping[str, Any], by: str) -> dict[str, Any]:
    """Return the checkpoint that is meant, of a run that lies in the pipeline's folder or beside it."""
    from robonav_ray.registry.by_name import located

    which = "last" if by == "last" else None
    word = word_of(job, run)
    with located(word, which=which) as found:
        here = found.uri is None and not found.run.is_model
        path = found.checkpoint.path.absolute()
    if not here:
        if which == "last":
            raise UserError(
                f"select.by=last: {word} lies in a storage or a registry: take best, or name it in select.given"
            )
        return {}
    digest = weights_digest(path)
    return {"given": str(path), "weights": digest} if "given" in run else {"path": job.below(path), "weights": digest}


def _why(chosen: Mapping[str, Any], found: list[dict[str, Any]], by: str) -> str:
    if by == "last":
        return f"{chosen['name']}: the last checkpoint of the last seed"
    if chosen["success"] is not None:
        return f"{chosen['name']}: {chosen['success']:.1%} held-out success, the highest of {len(found)}"
    return f"{chosen['name']}: a mean return of {chosen['mean_return']}, the highest of {len(found)}"


STEP = Step("select", ("robonav_ray.pipeline.steps.select",), inputs, work, ends_at_once=True)
