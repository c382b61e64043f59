"""What a bundle costs a robot: one decision from scan, pose and goals to a twist, on one core; import; memory; bytes.

Each figure is taken in an interpreter of its own, which stands in the bundle's folder and takes robonav_policy from
there; before all other processes where the system allows it, as a robot's control loop has it. Scans are those of a
drive among circles, so that alignment has something to do. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.config.load import load_run_config
from robonav_ray.deploy.export import export
from robonav_ray.runs.run_directory import open_run
from robonav_ray.screen import say
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.kernels import layout as lay

DEFAULT_DECISIONS = 20_000
ROBOT = """
import json, os, sys, time
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
except PermissionError:
    pass
before = time.perf_counter()
import robonav_policy
imported = time.perf_counter() - before
import numpy as np
safety = robonav_policy.SafetyLayer() if sys.argv[4] == "safety" else None
policy = robonav_policy.Policy.load(sys.argv[1], kind=sys.argv[3], safety=safety, allow_less=True)
drive = np.load(sys.argv[2])
scans, poses, goals = drive["scans"], drive["poses"], drive["goals"]
if scans.shape[1] != policy.spec.scan.num_beams:
    lidar = robonav_policy.Lidar(scans.shape[1], -np.pi, 2 * np.pi / scans.shape[1], 12.0, mount=(0.1, 0.0, 0.0))
    policy = robonav_policy.Policy.load(sys.argv[1], kind=sys.argv[3], safety=safety, lidar=lidar)
seconds = []
for i in range(len(scans)):
    start = time.perf_counter()
    policy.act(scans[i], poses[i], goals[i])
    seconds.append(time.perf_counter() - start)
    assert policy.last.problem is None, policy.last.problem
seconds = np.array(seconds[200:]) * 1e3
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({
    "import_s": imported, "p50_ms": float(np.median(seconds)), "p99_ms": float(np.quantile(seconds, 0.99)),
    "most_ms": float(seconds.max()), "memory_mb": peak / 1024,
}))
"""


def drive(run: Path, num: int, num_beams: int | None) -> dict[str, np.ndarray]:
    """Return scans (T, B) m, poses (T, 3) and goals (T, 2) of a robot that turns and drives on in worlds of a run."""
    config = open_run(run).config
    if num_beams is not None:
        config = load_run_config(None, [f"env.world.lidar.num_beams={num_beams}", "env.world.lidar.range_max_m=12"])
    worlds = BatchedWorlds(config.env.world, (config.curriculum.stages[-1].level,), 1, seed=3, gamma=0.99)
    worlds.reset()
    rng, found = np.random.default_rng(0), {"scans": [], "poses": [], "goals": []}
    table = worlds.action_table
    assert table is not None
    action = 0
    for step in range(num):
        robot, lane = worlds.state.robot[0, 0], worlds.state.lane[0, 0]
        found["scans"].append(worlds.state.scan[0, 0, lane[lay.HEAD]] * worlds.config.lidar.range_max_m)
        found["poses"].append([robot[lay.X], robot[lay.Y], math.atan2(robot[lay.SIN], robot[lay.COS])])
        found["goals"].append(worlds.current_goal[0])
        if step % 5 == 0:
            action = int(rng.integers(0, len(table)))
        worlds.step(np.array([action]))
    return {name: np.array(rows) for name, rows in found.items()}


def measure(bundle: Path, rows: dict[str, np.ndarray], kind: str, safety: bool, folder: Path) -> dict[str, Any]:
    """Return the figures of one robot."""
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    np.savez(folder / "drive.npz", allow_pickle=False, **rows)
    words = [
        sys.executable,
        "-c",
        ROBOT,
        str(bundle),
        str(folder / "drive.npz"),
        kind,
        "safety" if safety else "-",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=bundle, env=without)
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the bundle of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run whose policy has a lidar")
    parser.add_argument("--decisions", type=int, default=DEFAULT_DECISIONS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = export(options.run, out=folder / "bundle", format="onnx,numpy")
        told: dict[str, Any] = {"bundle_mb": made.num_bytes / 1e6}
        own, fine = drive(options.run, options.decisions, None), drive(options.run, options.decisions // 4, 720)
        for name, rows, kind, safety in (
            ("onnx", own, "onnx", False),
            ("numpy", own, "numpy", False),
            ("onnx_safety", own, "onnx", True),
            ("onnx_safety_720_rays", fine, "onnx", True),
        ):
            told[name] = {
                key: round(value, 3) for key, value in measure(made.folder, rows, kind, safety, folder).items()
            }
            say(f"{name}: {told[name]}")
    say(json.dumps(told))
