"""The whole system with our own worlds, as far as this machine's cores go: against workers, shards, ranks and nodes,
one at a time.
"""

from __future__ import annotations

from typing import Any

from proofs.scale.system import Nodes, ray_nodes, running
from robonav_ray.screen import say

BASE = {"workers": 2, "shards": 2, "ranks": 1, "nodes": 1}
ROLLOUT_HEAVY, DEFAULT = 0.25, 2.0
"""Samples per insert: workers are counted where they are what limits, the rest with the default config."""
SERIES: tuple[tuple[str, tuple[int, ...], float], ...] = (
    ("workers", (1, 2, 4), ROLLOUT_HEAVY),
    ("shards", (1, 2, 4), DEFAULT),
    ("ranks", (1, 2), DEFAULT),
    ("nodes", (1, 2, 3), DEFAULT),
)
WORLDS_PER_WORKER = 32
"""So that fragments are alike for any number of workers."""


def points_of(series: tuple[tuple[str, tuple[int, ...], float], ...] = SERIES) -> list[tuple[dict[str, int], float]]:
    """Return what is to be measured, each once, those with more nodes last (a node that was added stays)."""
    points: list[tuple[dict[str, int], float]] = []
    for axis, values, ratio in series:
        for value in values:
            point = ({**BASE, axis: value}, ratio)
            if point not in points:
                points.append(point)
    return sorted(points, key=lambda point: point[0]["nodes"])


def measure_point(nodes: Nodes, point: dict[str, int], ratio: float, seconds: float) -> dict[str, Any]:
    """Start everything anew and return the figures of a window."""
    nodes.grow(point["nodes"])
    overrides = [
        f"replay.num_shards={point['shards']}", f"learner.num_ranks={point['ranks']}",
        f"replay.samples_per_insert={ratio}", f"rollout.num_worlds={WORLDS_PER_WORKER * point['workers']}",
        "curriculum.force_stage=3", "replay.capacity=100000",
    ]  # fmt: skip
    with running(overrides, workers=point["workers"], num_nodes=point["nodes"]) as system:
        system.wait_running(150.0, lambda facts: facts.metrics.get("learner/learner_step", 0.0) > 200)
        window = system.measure(seconds)
        row_bytes = system.row_bytes
    say(
        f"{point} samples per insert {ratio:g}: {window.env_steps_per_s:8,.0f} env steps/s, "
        f"{window.samples_per_s:8,.0f} samples/s, learner idle {window.learner_idle_frac:.0%}, CPU "
        f"{window.cpu_frac:.0%}, {window.cpu_cores}"
    )
    return {**point, "samples_per_insert": ratio, "row_bytes": row_bytes, **window.as_dict()}


def bench_real(seconds: float = 8.0) -> dict[str, Any]:
    """Return all points."""
    with ray_nodes() as nodes:
        return {
            "points": [measure_point(nodes, point, ratio, seconds) for point, ratio in points_of()],
            "worlds_per_worker": WORLDS_PER_WORKER,
        }
