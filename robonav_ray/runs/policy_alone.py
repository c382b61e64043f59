"""Checkpoints that hold a policy, and nothing to go on with: what is left of a run that was freed, and the best of its
judgements.

::

    RUN/checkpoints/policy-000001234567/           judged while it trained, and the best so far
    RUN/checkpoints/env-000001234567-policy/       what ``robonav runs gc`` has left
        learner/learner.json  learner.safetensors    online and target network alone
        counters.json  policy_alone.json  manifest.json

``evaluate``, ``play`` and ``load_policy`` open one as any other. Training cannot go on from it; another run can begin
with its weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from robonav_ray.files.storage import open_folder, write_file
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointError, CheckpointWriter, Counters, folders_in
from robonav_ray.runs.saved_learner import COUNTERS_FILE, TENSORS_FILE
from robonav_ray.text import command_text, path_word

POLICY = "policy-"
"""Begins the name of one that was judged: none that a run goes on from is called so."""
POLICY_ALONE = "policy_alone.json"
"""Stands in a checkpoint that holds a policy and nothing to go on from."""


def judged_name(counters: Counters, storage: str | None) -> str:
    """Return how the policy at ``counters`` is called; in a storage no name is taken twice."""
    unique = "" if storage is None else f"-{time.time_ns():x}"
    return f"{POLICY}{counters.env_steps:012d}{unique}"


def judged_policies(folder: Path) -> list[Path]:
    """Return the policies that were judged, and written by ``write_policy_alone``, under ``RUN/checkpoints``."""
    return sorted(path for path in folders_in(folder) if path.name.startswith(POLICY)) if folder.is_dir() else []


def write_policy_alone(
    writer: CheckpointWriter, document: Mapping[str, Any], networks: Mapping[str, np.ndarray], note: Mapping[str, Any]
) -> Checkpoint:
    """Commit a checkpoint of a policy alone; ``document`` is a saved learner's, ``note`` is kept with it.

    Raises:
        OSError: When it cannot be written; nothing is left then.
    """
    try:
        folder = open_folder(str(writer.path / "learner"))
        files = {TENSORS_FILE: save(dict(networks)), COUNTERS_FILE: json.dumps(document, indent=1).encode()}
        writer.add(write_file(folder, name, data).below("learner") for name, data in files.items())
        writer.write_json(POLICY_ALONE, note)
        return writer.commit()
    finally:
        writer.discard()


def holds_policy_alone(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint holds a policy and nothing to go on from."""
    return (checkpoint.path / POLICY_ALONE).is_file()


def refuse_policy_alone(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError where training cannot go on from ``checkpoint``, because it holds the policy alone."""
    if not holds_policy_alone(checkpoint):
        return
    run = path_word(checkpoint.path.parent.parent)
    if checkpoint.path.name.startswith(POLICY):
        raise CheckpointError(
            f"{checkpoint.path}: holds the policy alone, as it was judged, so training cannot go on from it; "
            f"`{command_text('robonav', 'train', '--resume', run)}` goes on from the newest checkpoint, and "
            f"--init-from {run} begins a new run with this policy's weights"
        )
    raise CheckpointError(
        f"{checkpoint.path}: holds the policy alone, the rest was freed (robonav runs gc), so training cannot go "
        f"on from it; `{command_text('robonav', 'train', '--init-from', run)}` begins a new run with its weights"
    )
