"""Shares the worlds out anew as nodes come and go: over more workers or fewer, one after the other while the rest goes
on acting.
"""

from __future__ import annotations

import logging

import ray
from ray.exceptions import RayError, RayTaskError

from robonav_ray.errors import PartLostError
from robonav_ray.nodes.part_placement import NodeFacts
from robonav_ray.nodes.resources import Plan
from robonav_ray.part_names import Part, event_name
from robonav_ray.records import PartEvent
from robonav_ray.runtime.over_ray.elastic import Elasticity
from robonav_ray.runtime.sizes import max_fragment_rows
from robonav_ray.runtime.topology import CALL_TIMEOUT_S, Parts, worker_nodes, worker_orders
from robonav_ray.runtime.wiring import RunSession

logger = logging.getLogger(__name__)


class Sharing:
    """Follows the nodes; ``Elasticity`` says when, this does it."""

    def __init__(self, session: RunSession, plan: Plan, parts: Parts, nodes: tuple[NodeFacts, ...]) -> None:
        """``nodes`` are those that ``plan`` was made for."""
        self._session, self._plan, self._parts = session, plan, parts
        self._elasticity = Elasticity(session.config, plan, parts.events.note, nodes=nodes)
        self._done = ""

    @property
    def messages(self) -> tuple[str, str]:
        """What a person should know: what is waited for, and what was done last; each may be empty."""
        return self._elasticity.message, self._done

    def look(self) -> None:
        """Share out anew where the nodes that there are call for it."""
        plan = self._elasticity.look()
        if plan is not None:
            self.share_out(plan)

    def share_out(self, plan: Plan) -> None:
        """Give the worlds to as many workers as ``plan`` has.

        They stay as they are when fragments would be larger than a given ``replay.error_buffer`` allows, which is
        logged.
        """
        parts = self._parts
        rows = max_fragment_rows(self._session.config, max(parts.fleet.most_worlds, *(n for _, n in plan.worlds)))
        try:
            ray.get(parts.replay.ledger.announce.remote(rows), timeout=CALL_TIMEOUT_S)
        except RayTaskError as error:
            logger.warning("the worlds stay with the workers that they have: %s", error.cause)
            return
        except RayError as error:
            raise PartLostError(f"the ledger did not answer: {error}") from error
        before, self._plan = self._plan.num_workers, plan
        self._done = f"{plan.num_workers} rollout workers in place of {before}, as the nodes allow"
        parts.events.note(PartEvent("restarted", event_name(Part.WORKER), self._done))
        parts.fleet.resize(
            worker_orders(self._session, plan, parts.curriculum, parts.replay, parts.weights), worker_nodes(plan)
        )
