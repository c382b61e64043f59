"""Runs with a league as a training leaves them, made in milliseconds: two snapshots, scripts, results, a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robonav_ray.league.league import League
from robonav_ray.league.written import as_json
from robonav_ray.runs.checkpoint import list_checkpoints, open_checkpoint
from robonav_ray.runs.policies import read_policy
from robonav_ray.runs.run_directory import RunDirectory
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.self_play.member_store import MemberStore
from tests.made_up_runs import add_checkpoint, make_run

LEVEL = "num_static: 0, num_dynamic: 0, num_goals: 1, max_steps: 32"
STAGES = f"[{{name: pair, level: {{num_robots: 2, {LEVEL}}}}}, {{name: all, level: {{{LEVEL}}}}}]"
SMALL_LEAGUE = (
    "env.world.num_robots=3",
    "env.world.lidar.num_beams=8",
    "algo.hidden_dims=[8]",
    f"curriculum.stages={STAGES}",
    "league={capacity: 4, snapshot_env_steps: 100, scripted: [orca, straight]}",
    "name=small",
)


def make_league_run(
    path: Path, overrides: Sequence[str] = (), *, snapshots: int = 2, storage: str | None = None
) -> RunDirectory:
    """Return a run whose league has ``snapshots``, the weights of its earlier checkpoints, and results of training."""
    steps = tuple(100 * (i + 1) for i in range(snapshots))
    run = make_run(path, (*SMALL_LEAGUE, *overrides), steps=steps, storage=storage)
    config = run.config
    assert config.league is not None
    league, rng = League(config.league), np.random.default_rng(0)
    stored_at = None if storage is None else f"{storage}/{run.path.name}"
    store = MemberStore(str(run.path), stored_at)
    for i, checkpoint in enumerate(list_checkpoints(run.checkpoints)):
        for member in league.pool.members:
            league.report("main", member.id, rng.random(40) < 0.3 + 0.2 * i)
        sha256 = store.put(read_policy(open_checkpoint(checkpoint), "online"))
        league.snapshot(100 * (i + 1), sha256)
    state = json.loads(as_json(league.state_dict()))
    store.store(state)
    add_checkpoint(run, describe_task(config), 1000, stored_at, {"league.json": state})
    return run
