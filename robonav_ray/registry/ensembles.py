"""The one place where ``ensemble:runs/a,runs/b``, or the path of an ``ensemble.json``, becomes an ensemble; and where
anything that acts is opened.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import NamedTuple, cast

from robonav_ray.algo.ensemble import HOWS, How
from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.files.locations import is_uri
from robonav_ray.registry.by_name import located
from robonav_ray.registry.names import model_named
from robonav_ray.runs.checkpoint_index import Which
from robonav_ray.runs.ensembles import EnsembleError, ensemble_file, open_ensemble, open_members
from robonav_ray.runs.located import whole_uri
from robonav_ray.runs.policies import Ensemble, make_ready, read_policy, stored_ensemble, weights_hash
from robonav_ray.runs.stored_models import ModelCheckpoint
from robonav_ray.runs.task import Task, describe_task

PREFIX = "ensemble:"


class Acting(NamedTuple):
    """What acts, of a run, a checkpoint, a model by name, or an ensemble."""

    config: RunConfig
    """Of an ensemble that of its first member."""
    task: Task
    policy: Policy
    sha256: str
    """Of the weights; the same for the same policy."""
    env_steps: int
    """Of training behind it."""


def open_acting(word: str, which: Which | None = None) -> Acting:
    """Return the policy that ``word`` names, an ensemble included.

    Raises:
        UserError: When it names none, is damaged, or its weights do not fit its environment.
    """
    if names_ensemble(word):
        checkpoint_of_one(which)
        ensemble = find_ensemble(word)
        task = describe_task(ensemble.config)
        return Acting(ensemble.config, task, ensemble.policy(task), ensemble.sha256, ensemble.env_steps)
    with located(word, which=which) as found:
        config, checkpoint = found.run.config, found.checkpoint
        task = describe_task(config)
        if isinstance(checkpoint, ModelCheckpoint) and checkpoint.is_ensemble:
            ensemble = stored_ensemble(checkpoint)
            return Acting(config, task, ensemble.policy(task), ensemble.sha256, ensemble.env_steps)
        snapshot = read_policy(checkpoint, config.evaluation.weights)
        policy = make_ready(snapshot, config, task, str(checkpoint.learner))
        return Acting(config, task, policy, weights_hash(snapshot), checkpoint.counters.env_steps)


def names_ensemble(word: str) -> bool:
    """Whether a word is ``ensemble:...`` and no file is called so, or the path of an ``ensemble.json`` or of its
    folder.
    """
    return _has_prefix(word) or (bool(word) and "\0" not in word and ensemble_file(Path(word)) is not None)


def find_ensemble(word: str) -> Ensemble:
    """Return the ensemble that ``word`` names: an ``ensemble.json`` or its folder, or runs, checkpoints and models by
    name with commas between them; a glob (``runs/seed*``) stands for all that it finds.

    ``ensemble:mean:`` (the default) takes the mean of their Q values, ``ensemble:vote:`` has them vote.

    Raises:
        UserError: Naming the member that cannot take part.
    """
    told = word.removeprefix(PREFIX) if _has_prefix(word) else word
    file = ensemble_file(Path(told)) if told else None
    if file is not None:
        return open_ensemble(file)
    first, colon, rest = told.partition(":")
    how, parts = (cast("How", first), rest) if colon and first in HOWS else ("mean", told)
    return open_members(how, [one for part in parts.split(",") for one in _globbed(part.strip(), word)], located)


def checkpoint_of_one(which: Which | None) -> None:
    """Raise EnsembleError where ``which`` checkpoint is asked for of an ensemble."""
    if which is not None:
        raise EnsembleError(
            f"--checkpoint {which}: an ensemble names a checkpoint of each member; leave the option away, or name "
            "checkpoints in place of runs"
        )


def _has_prefix(word: str) -> bool:
    return word.startswith(PREFIX) and "\0" not in word and not os.path.lexists(word)


def _globbed(part: str, word: str) -> list[str]:
    if not part:
        raise EnsembleError(f"{word}: a member is missing; write ensemble:runs/a,runs/b")
    is_one = os.path.lexists(part) or is_uri(whole_uri(part)) or model_named(part) is not None
    if is_one or not any(mark in part for mark in "*?["):
        return [part]
    if not (paths := sorted(glob.glob(part))):
        raise EnsembleError(f"{word}: {part} finds nothing")
    return paths
