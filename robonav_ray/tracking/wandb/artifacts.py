"""Artifacts of W&B: a file that a run keeps, and the model that it ends with."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import is_plain
from robonav_ray.runs.checkpoint import CheckpointError, fetch_checkpoint, newest_good_checkpoint
from robonav_ray.runs.checkpoint_index import read_index
from robonav_ray.tracking.items import Asset

logger = logging.getLogger(__name__)


def artifact_name(name: str) -> str:
    """Return ``name`` with what W&B's names of artifacts may have."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)[:128]


def log_file(run: Any, asset: Asset) -> None:
    """Log a file, or a folder, as an artifact; the newest of a name is ``latest``."""
    import wandb

    artifact = wandb.Artifact(
        artifact_name(f"{run.id}-{asset.name}"), type=asset.note.get("type", "file"), metadata=dict(asset.note)
    )
    try:
        _add(artifact, asset.path)
    except (OSError, ValueError) as error:
        logger.warning("W&B is not given %s: %s", asset.name, error)
        return
    aliases = [alias for alias in asset.note.get("aliases", "").split(",") if alias]
    run.log_artifact(artifact, aliases=["latest", *aliases])


def log_model(run: Any, directory: Path) -> str | None:
    """Log the best checkpoint of the run in ``directory``, or the newest where none was judged, without the rows of its
    replay; return its name, None where there is none.

    The artifact's aliases are ``latest`` and ``best`` or ``last``.
    """
    import wandb

    checkpoints = directory / "checkpoints"
    try:
        best = read_index(directory).best
        found, alias = None if best is None else checkpoints / best.checkpoint, "best"
        if found is None or not found.is_dir():
            newest, alias = newest_good_checkpoint(checkpoints)[0], "last"
            if newest is None:
                return None
            found = newest.path
        with tempfile.TemporaryDirectory(prefix="robonav-wandb-") as aside:
            policy = fetch_checkpoint(str(found), Path(aside))
            about = {"checkpoint": found.name, "env_steps": policy.counters.env_steps}
            artifact = wandb.Artifact(f"{run.id}-model", type="model", metadata=about)
            _add(artifact, policy.path)
            if is_plain(directory / "config.yaml"):
                _add(artifact, directory / "config.yaml")
            run.log_artifact(artifact, aliases=["latest", alias])
    except (CheckpointError, OSError) as error:
        logger.warning("W&B is not given the checkpoint: %s", error)
        return None
    return found.name


def _add(artifact: Any, path: Path) -> None:
    """Add a file, or all plain files of a folder; raises OSError or ValueError where that is not possible."""
    if path.is_symlink():
        raise ValueError(f"{path} is a link")
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if is_plain(file):
                artifact.add_file(str(file), name=file.relative_to(path).as_posix())
    else:
        artifact.add_file(str(path))
