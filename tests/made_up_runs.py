"""Run directories as a training leaves them, made in milliseconds: a config, notes, and checkpoints with a learner,
rows and counters."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.config.load import load_run_config
from robonav_ray.learner.state import LearnerState
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, Counters
from robonav_ray.runs.run_directory import RunDirectory, create_run
from robonav_ray.runs.task import Task, describe_task

TINY = ("env.id=CartPole-v1", "algo.hidden_dims=[8]", "name=tiny")


def make_run(
    path: Path,
    overrides: Sequence[str] = TINY,
    *,
    status: str = "finished",
    steps: Sequence[int] = (100, 200),
    success: float | None = None,
    started: str = "2026-11-22T18:15:00+0000",
    storage: str | None = None,
) -> RunDirectory:
    """Return a run with a checkpoint at each of ``steps``."""
    config = load_run_config(None, [*overrides, *([] if storage is None else [f"checkpoint.storage={storage}"])])
    run = create_run(config, path)
    run.write_json("run.json", {"sessions": [{"started": started, "seed": config.seed, "wiring": "local"}]})
    run.write_json("summary.json", {"env_steps": max(steps, default=0)})
    if success is not None:
        run.write_json("evaluation.json", {"levels": [{"summary": {"success": {"frac": success}}}]})
    (run.path / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": s, "learner/q_mean": 0.1 * s}) + "\n" for s in (1, 2, 3))
    )
    task = describe_task(config)
    for count in steps:
        add_checkpoint(run, task, count, None if storage is None else f"{storage}/{run.path.name}")
    run.write_status(status)  # type: ignore[arg-type]
    if storage is not None:
        stored = Path(storage) / run.path.name
        for name in ("config.yaml", "status.json", "run.json", "metrics.jsonl"):
            (stored / name).write_bytes((run.path / name).read_bytes())
    return run


def add_checkpoint(
    run: RunDirectory,
    task: Task,
    env_steps: int,
    storage: str | None = None,
    documents: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Commit a checkpoint of a learner whose weights are a function of ``env_steps``, with further ``documents``."""
    config = run.config
    writer = CheckpointWriter(run.checkpoints, Counters(env_steps=env_steps, learner_steps=env_steps // 10), storage)
    learner = LearnerState(
        task.obs_dim, task.num_actions, config.algo, config.learner, seed=env_steps, structure=task.structure
    )
    learner.policy_version = 1
    writer.add(entry.below("learner") for entry in learner.save(writer.path / "learner"))
    (writer.path / "replay").mkdir()
    np.save(writer.path / "replay" / "rows.npy", np.zeros((100, 100), np.float32))
    for name, document in {"curriculum.json": {}, **(documents or {})}.items():
        writer.write_json(name, document)
    return writer.commit()
