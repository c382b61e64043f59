"""Evaluate: all seeds, and the planners that are named beside them, on the same held-out worlds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.errors import UserError
from robonav_ray.pipeline.hashes import file_sha256
from robonav_ray.pipeline.runs_of_steps import runs, word_of
from robonav_ray.pipeline.settings import suites_of
from robonav_ray.pipeline.step import Job, Made, Step

EXAM = "exam"


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """The suites as they are, and who plays."""
    suites = suites_of(config)
    for suite in suites if "train" in config.steps and not config.train.given else ():
        if both := sorted({scenario.seed for scenario in suite.all_scenarios()} & set(config.train.seeds)):
            raise UserError(
                f"evaluate.suites: {suite.name} has worlds of seed {both[0]}, which is among train.seeds: they would "
                "not be held out"
            )
    found = {suite.name: suite.model_dump(mode="json", exclude_defaults=True) for suite in suites}
    return {"evaluate": config.evaluate.model_dump(mode="json", exclude_defaults=True), "suites": found}


def work(job: Job) -> Made:
    """Have all play; cells that are finished are kept."""
    from robonav_ray.evaluation.exam_table import EPISODES_PARQUET, EXAM_JSON
    from robonav_ray.fronts.compare_call import compare

    section, out = job.config.evaluate, job.folder / EXAM
    table = compare(
        _entrants(job),
        *section.beside,
        suite=suites_of(job.config),
        out=out,
        episodes=section.episodes,
        local=job.config.wiring == "local",
        failures=section.failures,
    )
    files = [out / EXAM_JSON, out / EPISODES_PARQUET]
    success = {
        entrant.name: round(float((table.cell(e, s).outcome == 1).mean()), 6)
        for e, entrant in enumerate(table.entrants)
        for s in [len(table.scenarios) - 1]
        if (e, s) not in table.missing
    }
    facts = {
        "exam": job.below(out),
        "rows": file_sha256(out / EPISODES_PARQUET),
        "entrants": [entrant.name for entrant in table.entrants],
        "scenarios": len(table.scenarios),
    }
    told = f"{len(table.entrants)} entrants in {len(table.scenarios)} scenarios; in the last " + ", ".join(
        f"{name} {frac:.1%}" for name, frac in success.items()
    )
    return Made(facts, files, told)


def _entrants(job: Job) -> dict[str, str]:
    """Return name -> run of all seeds; what was selected plays for its run, at the checkpoint that was chosen."""
    found = {run["name"]: word_of(job, run) for run in runs(job)}
    chosen = job.results.get("select")
    return found if chosen is None else {**found, str(chosen["name"]): word_of(job, chosen)}


STEP = Step(
    "evaluate", ("robonav_ray.evaluation", "robonav_ray.planners", "robonav_ray.worlds"), inputs, work, takes_up=True
)
