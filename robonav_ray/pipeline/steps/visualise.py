"""Visualise: the curves of every run, and a film of what was selected."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.errors import UserError
from robonav_ray.pipeline.hashes import file_sha256
from robonav_ray.pipeline.runs_of_steps import runs, selected, word_of
from robonav_ray.pipeline.step import Job, Made, Step

FILM = "film.gif"


def inputs(config: PipelineConfig) -> Mapping[str, Any]:
    """What is drawn."""
    return {"visualise": config.visualise.model_dump(mode="json", exclude_defaults=True)}


def work(job: Job) -> Made:
    """Draw and film; what cannot be drawn (a stored run, an environment without pictures) is left out, and said."""
    from robonav_ray.evaluation.picture import draw_curves

    curves = dict[str, str]()
    for run in runs(job):
        path = job.folder / f"curves-{run['name']}.png"
        try:
            curves[run["name"]] = job.below(draw_curves(Path(word_of(job, run)), path, run["name"]))
        except (UserError, ValueError, OSError) as error:
            job.say(f"no curves of {run['name']}: {error}")
    film = _film(job) if job.config.visualise.film_episodes else None
    files = [*map(job.path, curves.values()), *([] if film is None else [film])]
    facts = {
        "curves": curves,
        "film": None if film is None else job.below(film),
        "sha256": {job.below(path): file_sha256(path) for path in files},
    }
    return Made(facts, files, f"{len(curves)} curves{', a film' * (film is not None)}")


def _film(job: Job) -> Path | None:
    from robonav_ray.errors import EnvironmentFailedError
    from robonav_ray.registry.ensembles import open_acting
    from robonav_ray.runtime.filming import NoFilmError, draw_gif

    config, task, policy, _, _ = open_acting(word_of(job, selected(job)))
    if not task.draws:
        job.say("no film: the environment draws no pictures")
        return None
    num = job.config.visualise.film_episodes
    try:
        draw_gif(job.folder / FILM, policy, config, task, stage=len(task.levels) - 1, num_episodes=num)
    except (NoFilmError, EnvironmentFailedError) as error:
        job.say(f"no film: {error}")
        return None
    return job.folder / FILM


STEP = Step(
    "visualise",
    ("robonav_ray.evaluation.picture", "robonav_ray.worlds.pictures", "robonav_ray.runtime.filming"),
    inputs,
    work,
    ends_at_once=True,
)
