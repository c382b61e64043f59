"""Nodes that come and go while a run is under way: what the run should look like on those that there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from robonav_ray.config import RunConfig
from robonav_ray.nodes.connection import look_at_nodes
from robonav_ray.nodes.part_placement import NodeFacts
from robonav_ray.nodes.resources import Plan, replan
from robonav_ray.part_names import Part, event_name
from robonav_ray.records import PartEvent

LOOK_INTERVAL_S = 2.0
SETTLE_S = 1.0
"""Nodes come and go in groups; the run is planned anew when nothing has changed for so long."""


class Elasticity:
    """Looks at the nodes every two seconds and plans the run anew when there are others than before.

    What a node has for this run is what it had free when the run was planned, or all that it has when it joined later:
    what the run itself holds must not count against it.
    """

    def __init__(
        self,
        config: RunConfig,
        plan: Plan,
        note: Callable[[PartEvent], None],
        *,
        nodes: tuple[NodeFacts, ...] = (),
        look: Callable[[], tuple[NodeFacts, ...]] = look_at_nodes,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``nodes`` are those that ``plan`` was made for."""
        self._config, self._plan, self._note, self._look, self._now = config, plan, note, look, now
        self._ours = {node.node_id: node for node in nodes}
        self._looked_at = now()
        self._changed_at: float | None = None
        self.message = ""

    def look(self) -> Plan | None:
        """Return the plan for the nodes that there are now, when its number of workers differs from before; None
        otherwise.
        """
        if self._plan.placement is None or self._now() - self._looked_at < LOOK_INTERVAL_S:
            return None
        self._looked_at = self._now()
        self._compare({node.node_id: node for node in self._look()})
        if self._changed_at is None or self._now() - self._changed_at < SETTLE_S:
            return None
        plan = replan(self._config, self._plan, tuple(self._ours.values()))
        if plan is None:
            self.message = (
                "too few nodes are left for learner, replay and one rollout worker; waiting for nodes to join"
            )
            return None
        self._changed_at, self.message = None, ""
        if plan.num_workers == self._plan.num_workers:
            return None
        self._plan = plan
        return plan

    def _compare(self, found: dict[str, NodeFacts]) -> None:
        for node_id in [n for n in self._ours if n not in found]:
            node = self._ours.pop(node_id)
            self._note(
                PartEvent(
                    "left",
                    event_name(Part.NODE, node.address),
                    f"node {node_id[:8]} with {node.cpus:g} CPUs for us is gone",
                )
            )
            self._changed_at = self._now()
        for node_id in [n for n in found if n not in self._ours]:
            node = found[node_id]
            self._ours[node_id] = replace(node, cpus=node.total_cpus, gpus=node.total_gpus)
            self._note(
                PartEvent(
                    "joined", event_name(Part.NODE, node.address), f"node {node_id[:8]} with {node.total_cpus:g} CPUs"
                )
            )
            self._changed_at = self._now()
