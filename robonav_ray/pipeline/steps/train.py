"""Train: one run per seed, side by side where there is room, or runs that are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.errors import UserError
from robonav_ray.pipeline.maps_of_runs import map_file_hashes
from robonav_ray.pipeline.runs_of_steps import files_of_run, weights_digest
from robonav_ray.pipeline.settings import dotted, run_config, what_is_learned
from robonav_ray.pipeline.side_by_side import TrainOrder, check_finished, num_at_once, train_all
from robonav_ray.pipeline.step import Job, Made, Step
from robonav_ray.runs.run_directory import EVALUATION_JSON, RunDirectory

MODULES = ("algo", "config", "curriculum", "learner", "league", "replay", "rollout", "runtime", "weights", "worlds")


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """What the runs learn from; of given ones their weights."""
    train = config.train
    if train.given:
        return {"given": {run: weights_digest(run) for run in train.given}}
    found: dict[str, Any] = {"seeds": train.seeds, "wiring": config.wiring}
    if config.budget.env_steps is not None:
        found["budget"] = {"env_steps": config.budget.env_steps}
    if "search" in config.steps:
        return {**found, "overrides": dotted(train.overrides)}
    run = run_config(config, train.seeds[0])
    if maps := map_file_hashes([run]):
        found["maps"] = maps
    return {**found, "run": {k: v for k, v in what_is_learned(run).items() if k != "seed"}}


def work(job: Job) -> Made:
    """Train every seed that is not trained yet; one that is stopped goes on from its own checkpoint."""
    config = job.config
    if config.train.given:
        facts = [_facts_of_given(run, i) for i, run in enumerate(config.train.given)]
        return Made({"runs": facts}, told=f"{len(facts)} runs are given")
    names = [f"seed-{seed}" for seed in config.train.seeds]
    orders = [_order(job, seed) for seed in config.train.seeds]
    ended = dict.fromkeys((name for name in names if is_finished(job.folder / name)), "finished")
    left = [order for order in orders if order.name not in ended]
    if left:
        base = job.path(job.results["search"]["config"]) if "search" in job.results else None
        first, local = run_config(config, config.train.seeds[0], base), config.wiring == "local"
        at_once = num_at_once(config.train.num_at_once, len(left), first, local=local)
        ended |= train_all(left, at_once, job.stop, job.say)
    cut = [name for name in names if ended.get(name) != "finished"] if job.out_of_budget() else []
    if not cut:
        check_finished(ended, names, job.stop, job.folder)
    facts = [_facts_of(job, seed, cut) for seed in config.train.seeds]
    files = [path for name in names for path in files_of_run(job.folder / name)]
    told = ", ".join(f"{one['name']} {_success_text(one)}" for one in facts)
    steps = sum(one["env_steps"] for one in facts)
    return Made({"runs": facts, **({"cut": True} if cut else {})}, files, told, steps)


def is_finished(run: Path) -> bool:
    """Whether a run is trained and judged."""
    return RunDirectory(run).status == "finished" and (run / EVALUATION_JSON).is_file()


def _order(job: Job, seed: int) -> TrainOrder:
    config, overrides = job.config, {**dotted(job.config.train.overrides), "seed": seed}
    base = str(job.path(job.results["search"]["config"])) if "search" in job.results else config.train.config
    if job.env_steps_left is not None:
        share = job.env_steps_left // len(config.train.seeds)
        own = run_config(config, seed, Path(base) if base is not None else None).budget.max_env_steps
        if share < 1:
            raise UserError(
                f"budget.env_steps ({config.budget.env_steps}): the search has used all of them; raise it, or have "
                "fewer trials (search.overrides)"
            )
        overrides["budget.max_env_steps"] = share if own is None else min(own, share)
    out = job.folder / f"seed-{seed}"
    return TrainOrder(out.name, base, overrides, str(out), config.wiring == "local")


def _facts_of(job: Job, seed: int, cut: list[str]) -> dict[str, Any]:
    run = RunDirectory(job.folder / f"seed-{seed}")
    if run.path.name in cut and not (run.path / EVALUATION_JSON).is_file():
        judged = RunDirectory(job.folder / f"{run.path.name}-judged")
        if not (judged.path / EVALUATION_JSON).is_file():
            _judge(run, judged.path)
    else:
        judged = run
    known = {"name": run.path.name, "seed": seed, "path": job.below(run.path), "weights": weights_digest(run.path)}
    return {**known, **_figures(judged.read_json(EVALUATION_JSON))}


def _judge(run: RunDirectory, out: Path) -> None:
    """Judge a run that was cut off by the budget; UserError where it has learned nothing yet."""
    from robonav_ray.fronts.evaluate_call import evaluate

    if not any((run.path / "checkpoints").glob("*/manifest.json")):
        raise UserError(f"budget.time_s: ended before {run.path.name} had a checkpoint: raise it, or have fewer seeds")
    evaluate(run.path, out=out)


def _facts_of_given(run: str, number: int) -> dict[str, Any]:
    from robonav_ray.registry.by_name import located

    with located(run) as found:
        report = found.run.read_json(EVALUATION_JSON)
        seed = found.run.config.seed
    known = {"name": f"given-{number + 1}", "seed": seed, "given": run, "weights": weights_digest(run)}
    return {**known, **_figures(report)}


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a run did on the last stage that it was judged on; None where that is not known."""
    levels = report.get("levels") or [{}]
    summary = levels[-1].get("summary", {})
    return {
        "env_steps": report.get("env_steps") or 0,
        "success": (summary.get("success") or {}).get("frac"),
        "mean_return": (summary.get("total_return") or {}).get("value"),
    }


def _success_text(facts: Mapping[str, Any]) -> str:
    success, mean = facts["success"], facts["mean_return"]
    return f"{success:.1%} held-out success" if success is not None else f"mean return {mean}"


STEP = Step("train", tuple(f"robonav_ray.{room}" for room in MODULES), inputs, work)
