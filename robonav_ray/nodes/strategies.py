"""On which node an actor or a task shall run, in Ray's words."""

from __future__ import annotations

from typing import Any

import ray


def here() -> Any:
    """Return the scheduling strategy that keeps an actor on the node of its caller."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def near(node_id: str) -> Any:
    """Return the scheduling strategy that prefers a node, and takes any other when that has no room or is gone."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=True, _spill_on_unavailable=True)
