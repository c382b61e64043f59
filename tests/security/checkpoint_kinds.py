"""Real checkpoints of every kind that a run writes, small, and how they are taken up again: for tests that damage
them."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.files.manifest import MANIFEST, FileEntry
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters, _manifest_bytes
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.wiring import RunSession

CONFIGS = Path(__file__).parents[2] / "configs/run"
SMALL = [
    "algo.hidden_dims=[16]", "algo.n_step=3", "rollout.num_worlds=4", "rollout.steps_per_fragment=8",
    "replay.capacity=600", "replay.min_size=100", "learner.batch_size=16", "learner.batches_per_call=2",
    "evaluation.gif_episodes=0", "evaluation.num_episodes=2", "tracking.backends=[jsonl]", "tracking.panel=off",
]  # fmt: skip
OURS = [
    "env.world.lidar.num_beams=12", "curriculum.window=4", "curriculum.stages.0.gate={min_success_frac: 0.0}",
    "curriculum.stages.0.level.max_steps=40", "curriculum.stages.1.level.max_steps=60",
]  # fmt: skip
FAULTS = ", ".join(
    f"{name}: 3"
    for name in (
        "range_noise",
        "blind_sector",
        "frozen_scan",
        "blackout",
        "odometry_drift",
        "observation_latency",
        "action_latency",
    )
)
KINDS: dict[str, tuple[Path | None, list[str]]] = {
    "lidar": (None, [*SMALL, *OURS]),
    "obstacles": (
        None,
        [
            *SMALL, *OURS, "env.world.lidar.stack=3", "env.world.lidar.align=true",
            "curriculum.stages.0.level.num_dynamic=5", "curriculum.stages.0.level.num_goals=2",
            "curriculum.stages.0.level.max_steps=120",
            "curriculum.stages.0.level.behaviours=[orca, social_force, intercept, bounce, waypoint]",
            f"curriculum.stages.0.level.randomization={{{FAULTS}}}",
        ],
    ),
    "robots": (None, [*SMALL, *OURS, "env.world.num_robots=3", "rollout.num_worlds=2"]),
    "crowdnav": (CONFIGS / "crowdnav.yaml", SMALL),
    "hindsight": (
        None, [*SMALL, *OURS, "hindsight.strategy=future", "env.world.reward.mode=sparse", "replay.sampler=rank"]
    ),
    "bits": (CONFIGS / "bitflip.yaml", [*SMALL, "env.kwargs.num_bits=6"]),
    "rainbow": (None, ["preset=rainbow", *SMALL, *OURS, "algo.num_atoms=11"]),
    "uniform": (None, [*SMALL, *OURS, "replay.sampler=uniform"]),
    "cartpole": (CONFIGS / "cartpole.yaml", SMALL),
    "ray": (None, [*SMALL, *OURS]),
}  # fmt: skip
"""Name -> config file and overrides. ``ray`` is a checkpoint as the wiring over Ray leaves it: no worlds, no mixer."""
ROUNDS = 30


def config_of(kind: str) -> RunConfig:
    """Return the config of a kind."""
    path, overrides = KINDS[kind]
    return load_run_config(path, overrides)


def make_checkpoint(kind: str, directory: Path) -> Path:
    """Train a little in a new run in ``directory`` and return the checkpoint of it."""
    config = config_of(kind)
    run = create_run(config, directory)
    wiring = LocalWiring(RunSession(config, describe_task(config), run, None, time.monotonic()))
    for _ in range(ROUNDS):
        wiring.round()
    writer = CheckpointWriter(run.checkpoints, Counters(wiring.env_steps, wiring.learner_state.learner_step, 1.0, 1))
    wiring.save(writer)
    folder = writer.commit().path
    if kind == "ray":
        shutil.rmtree(folder / "rollout")
        path = folder / "replay" / "replay.json"
        saved = json.loads(path.read_text())
        path.write_text(json.dumps({name: saved[name] for name in ("num_shards", "ledger")}))
        forge(folder)
    return folder


def forge(folder: Path, **renamed: str) -> Path:
    """Write a manifest whose hashes fit what lies in ``folder``, as an attacker can; ``renamed`` gives files other
    names in it."""
    files = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        name = path.relative_to(folder).as_posix()
        files.append(
            FileEntry(renamed.get(path.name, name), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        )
    (folder / MANIFEST).write_bytes(_manifest_bytes(time.time(), files))
    return folder
