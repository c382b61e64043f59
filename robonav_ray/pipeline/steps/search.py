"""Search: the settings that all seeds are trained with, by any tuner, or given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robonav_ray.config.load import dump_config, load_run_config
from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.config.yaml_document import ConfigError
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import replace
from robonav_ray.pipeline.hashes import digest_of
from robonav_ray.pipeline.settings import NOT_LEARNED, search_config, what_is_learned
from robonav_ray.pipeline.step import Job, Made, Step, UnfinishedError

BEST, EXPERIMENT = "best_config.yaml", "experiment"


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """The config of the search, or of the run that is given in its place."""
    if config.search.given is not None:
        try:
            return {"given": what_is_learned(load_run_config(Path(config.search.given)))}
        except ConfigError as error:
            raise ConfigError(f"search.given: {error}") from None
    asked = search_config(config).model_dump(mode="json", exclude={"output_dir", "name"}, exclude_defaults=True)
    asked["run"] = {key: value for key, value in asked.get("run", {}).items() if key not in NOT_LEARNED}
    return {"search": asked}


def work(job: Job) -> Made:
    """Search, or take what is given."""
    best = job.folder / BEST
    if job.config.search.given is not None:
        found = load_run_config(Path(job.config.search.given))
        replace(best, dump_config(found))
        return _made(job, best, {"given": job.config.search.given}, f"{job.config.search.given} is given", 0)
    from robonav_ray.fronts.tune_call import tune

    result = tune(search_config(job.config), resume="auto", out=job.folder / EXPERIMENT)
    cut = result.status == "unfinished"
    if cut and not job.out_of_budget():
        raise UnfinishedError(f"{job.stop.why}: {result.path.name} goes on later")
    if result.best_config is None:
        raise UserError("budget.time_s: ended before the first trial had reported: raise it, or make trials shorter")
    replace(best, dump_config(result.best_config))
    trials = result.trials()
    facts = {
        "objective": float(trials["best_objective"].to_numpy().max()),
        "trials": len(trials),
        **({"cut": True} if cut else {}),
    }
    used = int(trials["last_env_steps"].fillna(0).to_numpy().sum())
    return _made(job, best, facts, f"{len(trials)} trials, objective {facts['objective']:.3f}", used)


def _made(job: Job, best: Path, facts: dict[str, Any], told: str, env_steps: int) -> Made:
    learned = what_is_learned(load_run_config(best))  # not the file's bytes: a new key at its default changes nothing
    known = {"config": job.below(best), "sha256": digest_of(learned)}
    return Made({**known, **facts}, [best], told, env_steps)


STEP = Step(
    "search", ("robonav_ray.tuning", "robonav_ray.learner", "robonav_ray.algo", "robonav_ray.config"), inputs, work
)
