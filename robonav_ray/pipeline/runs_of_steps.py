"""Runs and policies as steps tell them to each other: by path below the pipeline's folder, or as they were given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robonav_ray.pipeline.step import Facts, Job
from robonav_ray.registry.by_name import located
from robonav_ray.registry.ensembles import find_ensemble, names_ensemble
from robonav_ray.runs.checkpoint_index import INDEX_FILE, Which
from robonav_ray.runs.policies import read_policy, stored_ensemble
from robonav_ray.runs.run_directory import EVALUATION_JSON
from robonav_ray.runs.stored_models import ModelCheckpoint
from robonav_ray.text import path_word

_NOT_HASHED = ("replay", "rollout")
"""Rows and worlds of a checkpoint: only a resume needs them, and a person may remove them to make room."""


def weights_digest(run: str | Path, which: Which | None = None) -> str:
    """Return a hash of the policy of a run, a checkpoint, a URI, a model by name or an ensemble: the same weights, the
    same hash.

    Raises:
        UserError: When it is none, or is damaged.
    """
    if names_ensemble(str(run)):
        return find_ensemble(str(run)).sha256
    with located(str(run), which=which) as found:
        if isinstance(found.checkpoint, ModelCheckpoint) and found.checkpoint.is_ensemble:
            return stored_ensemble(found.checkpoint).sha256
        snapshot = read_policy(found.checkpoint, found.run.config.evaluation.weights)
    digest = hashlib.sha256()
    for name, array in sorted(zip(snapshot.names, snapshot.arrays, strict=True)):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()


def word_of(job: Job, facts: Facts) -> str:
    """Return a run or a policy of a step as calls take it: a path, or what the user gave."""
    return str(facts["given"]) if "given" in facts else path_word(job.path(str(facts["path"])))


def runs(job: Job) -> list[dict[str, Any]]:
    """Return the runs of the training; none where it is left out."""
    return list(job.results.get("train", {}).get("runs", []))


def selected(job: Job) -> dict[str, Any]:
    """Return what was selected, or the one run that there is."""
    found = job.results.get("select")
    return dict(found) if found is not None else runs(job)[0]


def files_of_run(run: Path) -> Iterable[Path]:
    """Give the files of a run that later steps open."""
    for name in ("config.yaml", EVALUATION_JSON, INDEX_FILE):
        if (run / name).is_file():
            yield run / name
    for path in sorted((run / "checkpoints").glob("*/**/*")):
        below = path.relative_to(run / "checkpoints").parts
        if path.is_file() and below[1] not in _NOT_HASHED and not below[0].startswith("."):
            yield path
