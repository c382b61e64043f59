"""Compiles the kernels once on every node, before many processes do it all at once.

Where a node sees these kernels for the first time (a fresh image, a job that brought its own checkout) every worker and
shard would compile the same ones at the same time, for minutes where there are few cores. One task per node does it
first, and nodes that share a machine take turns; where everything is compiled already (``robonav_ray/compiled.py``) it
takes as long as a process takes to start. Ray keeps in mind, while the cluster lives, which nodes have done it for
which sources and config, so that the next session of a run need not wait for it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError
from ray.experimental import internal_kv

from robonav_ray import compiled
from robonav_ray.config import RunConfig
from robonav_ray.nodes.part_placement import NodeFacts
from robonav_ray.nodes.strategies import near
from robonav_ray.runs.task import Task
from robonav_ray.runtime.over_ray.kernels import compile_kernels

logger = logging.getLogger(__name__)
TIMEOUT_S = 240.0
SAY_AFTER_S = 6.0
NAMESPACE = "robonav"


def warm_nodes(
    config: RunConfig,
    task: Task,
    nodes: tuple[NodeFacts, ...],
    say: Callable[[str], None],
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Run ``compile_kernels`` on every node at once and wait for it, ``timeout_s`` at most; a node that fails is left
    to itself.

    Nodes that have done it already are not asked again.

    Args:
        config: Of the run, whose sizes and switches decide what is compiled.
        task: Its levels and rows.
        nodes: Those on which it will run.
        say: Is told, once, when this takes long enough for a person to wonder.
        timeout_s: Where it takes longer, workers and shards compile what is left.
    """
    needed = hashlib.sha256(
        f"{compiled.__file__} {compiled.fingerprint()} {config.model_dump_json()}".encode()
    ).hexdigest()
    notes = {node.node_id: f"kernels-{node.node_id}-{needed}" for node in nodes}
    cold = [node for node in nodes if not internal_kv._internal_kv_exists(notes[node.node_id], namespace=NAMESPACE)]
    if not cold:
        return
    compiling: Any = ray.remote(num_cpus=0, max_retries=0)(compile_kernels)
    refs = {
        compiling.options(scheduling_strategy=near(node.node_id)).remote(config, task.levels, task.spec): node
        for node in cold
    }
    done, late = ray.wait(list(refs), num_returns=len(refs), timeout=SAY_AFTER_S)
    if late:
        say(
            f"compiling the kernels on {len(late)} of {len(nodes)} nodes, which have not seen these sources yet; about "
            "a minute, once"
        )
        done, late = ray.wait(list(refs), num_returns=len(refs), timeout=timeout_s - SAY_AFTER_S)
    for ref in done:
        try:
            ray.get(ref)
            internal_kv._internal_kv_put(notes[refs[ref].node_id], b"", namespace=NAMESPACE)
        except RayError as error:  # what is wrong with it will show where it is needed
            logger.warning("node %s: the kernels were not compiled beforehand: %s", refs[ref].address, error)
    for ref in late:
        ray.cancel(ref, force=True)
