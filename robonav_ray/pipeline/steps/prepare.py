"""Prepare: everything is looked at before hours are spent, and written down: seeds, data, kernels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.config.shipped import ConfigKind, find_shipped
from robonav_ray.files.plain_files import replace
from robonav_ray.pipeline.hashes import file_sha256
from robonav_ray.pipeline.maps_of_runs import check_maps, map_file_hashes
from robonav_ray.pipeline.settings import run_config, search_config, what_is_learned
from robonav_ray.pipeline.step import Job, Made, Step

SEEDS, MANIFEST = "seeds.json", "data_manifest.json"


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """Everything that it checks."""
    found: dict[str, Any] = {"prepare": config.prepare.model_dump(mode="json", exclude_defaults=True)}
    if "search" in config.steps and config.search.given is None:
        found["search"] = search_config(config).model_dump(mode="json", exclude_defaults=True)
    if runs := _runs(config):
        found["train"] = [what_is_learned(run) for run in runs]
        if maps := map_file_hashes(runs):
            found["maps"] = maps
    return found


def work(job: Job) -> Made:
    """Check configs and environments, write seeds and manifest, compile kernels."""
    config, runs = job.config, _runs(job.config)
    if "search" in config.steps and config.search.given is None:
        from robonav_ray.tuning.search import check_search

        check_search(search_config(config))
        job.say(f"the search {config.search.config} can work")
    tasks = [_checked(run) for run in runs]
    if runs:
        check_maps(runs[0], job.say)  # all have the same
    seeds = _held_out(config, runs)
    replace(job.folder / SEEDS, json.dumps(seeds, indent=1) + "\n")
    replace(job.folder / MANIFEST, json.dumps(_manifest(config, runs), indent=1) + "\n")
    if runs and config.prepare.warm:
        from robonav_ray.runtime.over_ray.kernels import compile_kernels

        compile_kernels(runs[0], tasks[0].levels, tasks[0].spec)
        job.say("kernels are compiled")
    told = f"{len(runs)} runs can work" if runs else "checked"
    return Made({"seeds": seeds}, [job.folder / SEEDS, job.folder / MANIFEST], told)


def _runs(config: PipelineConfig) -> list[RunConfig]:
    """Return the configs of the trainings, as far as they are known before a search."""
    if "train" not in config.steps or config.train.given or ("search" in config.steps and config.search.given is None):
        return []
    base = None if "search" not in config.steps else Path(str(config.search.given))
    return [run_config(config, seed, base) for seed in config.train.seeds]


def _checked(run: RunConfig) -> Any:
    from robonav_ray.runs.task import check_gates, check_places, describe_task
    from robonav_ray.runtime.budget import check_budget
    from robonav_ray.runtime.sizes import check_sizes
    from robonav_ray.runtime.user_parts import check_user_code

    task = describe_task(run)
    check_sizes(run, task.spec)
    check_gates(run, task)
    check_budget(run)
    check_places(run, task)
    check_user_code(run, task)
    return task


def _held_out(config: PipelineConfig, runs: list[RunConfig]) -> dict[str, Any]:
    """Return which seeds train, and which judge the runs that they train."""
    training = sorted({run.seed for run in runs} or set(config.train.seeds))
    judging: dict[str, list[int]] = {}
    if runs:
        judging["evaluation.seed"] = sorted({run.evaluation.seed for run in runs})
    return {"training": training, "judging": judging}


def _manifest(config: PipelineConfig, runs: list[RunConfig]) -> dict[str, Any]:
    """Return what the pipeline rests on: files of the user's and shipped ones by hash, kernels, packages."""
    from robonav_ray.compiled import fingerprint
    from robonav_ray.runs.session_facts import session_facts

    named: list[tuple[Any, ConfigKind]] = [(config.train.config, "run"), (config.search.given, "run")]
    named.append((config.search.config if "search" in config.steps else None, "search"))
    cases: list[tuple[Any, ConfigKind]] = [(run.env.world.cases if run.env.is_native else None, "run") for run in runs]
    files: dict[str, str] = map_file_hashes(runs)
    for name, kind in named + cases:
        path = None if name is None else find_shipped(Path(str(name)), kind) or Path(str(name))
        if path is not None and path.is_file():
            files[str(name)] = file_sha256(path.resolve())
    facts = session_facts([])
    return {"files": files, "kernels": fingerprint(), "packages": facts["packages"], "python": facts["python"]}


STEP = Step("prepare", ("robonav_ray.worlds", "robonav_ray.pipeline.steps.prepare"), inputs, work, ends_at_once=True)
